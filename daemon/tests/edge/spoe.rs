//! The SPOE agent: byte by byte as the specification has it, and under the real HAProxy.

use crate::haproxy::{Haproxy, example, is_there};
use crate::support::{Scratch, config, eventually, free, start, stop};
use crate::visitors::{Ending, Response, Tally, Visit, Visitor, crowd};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use verdictd::Daemon;
use verdictd::config::Config;

/// As `support::config`, with a listener for HAProxy.
fn with_spop(scratch: &Scratch) -> Config {
    let mut config = config(scratch);
    config.listen.spop = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    config.limits.connections_max = 10_000;
    config
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap());
    bytes.extend(text.as_bytes());
}

fn framed(kind: u8, ids: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut bytes = (7 + payload.len() as u32).to_be_bytes().to_vec();
    bytes.extend([kind, 0, 0, 0, 1]);
    bytes.extend(ids);
    bytes.extend(payload);
    bytes
}

fn hello(extra: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in [("supported-versions", "2.0"), ("capabilities", "pipelining,async")] {
        text(&mut payload, name);
        payload.push(8);
        text(&mut payload, value);
    }
    text(&mut payload, "max-frame-size");
    payload.extend([3, 0xFC, 0xF0, 0x06]); // 16380
    payload.extend(extra);
    framed(1, [0, 0], &payload)
}

fn notify(ids: [u8; 2], url: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    text(&mut payload, "check");
    payload.push(1);
    text(&mut payload, "url");
    payload.push(8);
    text(&mut payload, url);
    framed(3, ids, &payload)
}

/// One frame: its type, its two numbers, its payload.
fn frame(stream: &mut TcpStream) -> Option<(u8, [u8; 2], Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[1..5], [0, 0, 0, 1], "FIN and nothing else");
    Some((frame[0], [frame[5], frame[6]], frame.split_off(7)))
}

fn connect(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.spop[0]).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn contains(payload: &[u8], name: &str, value: &str) -> bool {
    let mut wanted = Vec::new();
    text(&mut wanted, name);
    wanted.push(8);
    text(&mut wanted, value);
    payload.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn answers_hello_notify_and_disconnect_as_the_specification_has_them() {
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let mut stream = connect(&daemon);
    // All at once, and the NOTIFYs of two streams: HAProxy pipelines.
    let last = framed(2, [0, 0], b"\x0bstatus-code\x03\x00\x07message\x08\x06normal");
    let all = [hello(b""), notify([7, 1], "http://evil.test/"), notify([8, 1], "http://good.test/x"), last].concat();
    all.chunks(11).for_each(|piece| stream.write_all(piece).unwrap());
    let agreed = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xFC\xF0\x06\x0ccapabilities\x08\x0apipelining";
    assert_eq!(frame(&mut stream), Some((101, [0, 0], agreed.to_vec())));
    let (kind, ids, evil) = frame(&mut stream).unwrap();
    assert_eq!((kind, ids), (103, [7, 1]));
    assert_eq!(evil[..15], *b"\x01\x03\x02\x06status\x08\x02ok\x01", "set-var, three arguments, scope txn");
    for (name, value) in [("class", "malicious"), ("categories", "malware"), ("source", "unit test"), ("key", "url")] {
        assert!(contains(&evil, name, value), "{name}: {}", evil.escape_ascii());
    }
    let generation = format!("{:016x}", daemon.metrics.shards[0].generation.get());
    assert!(contains(&evil, "generation", &generation) && evil.windows(9).any(|window| window == b"\x02\x05score\x03\x5A"));
    let (kind, ids, good) = frame(&mut stream).unwrap();
    assert_eq!((kind, ids, contains(&good, "class", "unknown")), (103, [8, 1], true));
    let (kind, _, bye) = frame(&mut stream).unwrap();
    assert_eq!((kind, &bye[..14]), (102, &b"\x0bstatus-code\x03\x00"[..]));
    assert_eq!(frame(&mut stream), None, "closed after DISCONNECT");
    stop(daemon);
}

#[test]
fn answers_a_health_check_and_closes() {
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let mut stream = connect(&daemon);
    stream.write_all(&hello(b"\x0bhealthcheck\x11")).unwrap();
    assert_eq!(frame(&mut stream).unwrap().0, 101);
    assert_eq!(frame(&mut stream), None);
    stop(daemon);
}

#[test]
fn says_why_it_gives_a_connection_up() {
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let check = |bytes: &[u8], status: u8| {
        let mut stream = connect(&daemon);
        stream.write_all(bytes).unwrap();
        let last = std::iter::from_fn(|| frame(&mut stream)).last().unwrap();
        assert_eq!((last.0, last.2[13]), (102, status), "{}", bytes.escape_ascii());
    };
    check(&notify([1, 1], "http://a.test/"), 4); // before HELLO
    check(&framed(1, [0, 0], b""), 5);
    check(&[hello(b""), vec![0, 0, 0x3F, 0xFD]].concat(), 3); // 16381 bytes, one more than was agreed
    check(&[hello(b""), hello(b"")].concat(), 4);
    let mut piece = notify([1, 1], "http://a.test/");
    piece[8] = 0; // no FIN
    check(&[hello(b""), piece].concat(), 10);
    stop(daemon);
}

/// A site before `daemon`, and an application behind it.
struct Site {
    haproxy: Haproxy,
    address: SocketAddr,
    scratch: Scratch,
}

impl Site {
    /// Whose requests wait so long for a verdict.
    fn of(file: &str, agent: SocketAddr, wait: &str) -> Self {
        let (scratch, address) = (Scratch::new(), free());
        let files = [example(file), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/edge/application.cfg")];
        let variables = [
            ("VERDICTD_SPOP", agent.to_string()),
            ("VERDICTD_SPOE", example("verdictd-spoe.conf").display().to_string()),
            ("VERDICTD_WAIT", wait.to_owned()),
            ("SITE", address.to_string()),
            ("APPLICATION", free().to_string()),
        ];
        let haproxy = Haproxy::start(&scratch, &files, &variables, address);
        Site { haproxy, address, scratch }
    }

    fn get(&self, host: &str, path: &str) -> Response {
        let (response, _) = Visitor::new(self.address).ask(&request(host, path)).unwrap();
        response
    }
}

fn request(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Verdict-Class: clean\r\n\r\n")
}

/// Every third is malicious; the path comes back, so that an answer to another question would be seen.
fn visit(number: u64) -> Visit {
    let (host, path) = match number % 3 {
        0 => ("evil.test", format!("/{number}")),
        1 => ("shared.test", format!("/good-{number}")),
        _ => ("good.test", format!("/{number}?of=all")),
    };
    let request = request(host, &path);
    let malicious = number.is_multiple_of(3);
    let right = Box::new(move |response: &Response| match malicious {
        true => response.status == 403,
        false => response.status == 200 && response.header("x-path") == Some(&path) && response.header("x-class") == Some("unknown"),
    });
    Visit { request, right }
}

#[test]
fn the_examples_do_what_their_comments_say() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let open = Site::of("fail-open.cfg", daemon.spop[0], "5s");
    let closed = Site::of("fail-closed.cfg", daemon.spop[0], "5s");
    for site in [&open, &closed] {
        eventually("the agent is up", || site.get("good.test", "/").header("x-class") == Some("unknown"));
        assert_eq!(site.get("evil.test", "/").status, 403);
        assert_eq!(site.get("www.evil.test:8080", "/deep?er").status, 403);
        assert_eq!(site.get("shared.test", "/bad.php").status, 403);
        let other = site.get("shared.test", "/other.php");
        assert_eq!((other.status, other.header("x-class"), other.header("x-error")), (200, Some("unknown"), None));
    }
    let unreadable = "GET / HTTP/1.1\r\nHost: 1.2.3.999\r\n\r\n";
    let ask = |site: &Site| Visitor::new(site.address).ask(unreadable).unwrap().0;
    assert_eq!((ask(&open).status, ask(&open).header("x-class"), ask(&closed).status), (200, None, 400));
    stop(daemon);
    // The agent is gone: one goes on and says so, one does not.
    let without = open.get("evil.test", "/");
    assert_eq!((without.status, without.header("x-class")), (200, None), "{}", open.haproxy.said());
    assert!(without.header("x-error").is_some(), "{without:?}");
    let refused = closed.get("good.test", "/");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop((open, closed));
}

#[test]
fn two_thousand_connections_get_the_answers_to_their_own_questions() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let site = Site::of("fail-closed.cfg", daemon.spop[0], "5s");
    eventually("the agent is up", || site.get("good.test", "/").status == 200);
    let (tally, end) = (Tally::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| crowd(site.address, 4, 500, &end, &tally, visit));
        let _ending = Ending(&end);
        std::thread::sleep(Duration::from_secs(3));
    });
    tally.assert_all_right(2000);
    drop(site);
    stop(daemon);
}

#[test]
fn fifty_reloads_of_haproxy_under_load_lose_nothing() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new();
    let daemon = start(&with_spop(&scratch));
    let site = Site::of("fail-closed.cfg", daemon.spop[0], "5s");
    eventually("the agent is up", || site.get("good.test", "/").status == 200);
    let (tally, end) = (Tally::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| crowd(site.address, 2, 16, &end, &tally, visit));
        let _ending = Ending(&end);
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(50));
            site.haproxy.reload();
        }
    });
    tally.assert_all_right(1000);
    let disconnects: u64 = daemon.metrics.shards.iter().map(|shard| shard.spop_disconnects.get()).sum();
    println!("{disconnects} DISCONNECTs, {} workers left", site.haproxy.count());
    assert!(disconnects >= 25, "old workers end their connections in order: {disconnects}");
    assert!(site.scratch.join("haproxy.log").exists());
    drop(site);
    stop(daemon);
}
