//! PROXY headers, TLS and permissions, on real sockets, over every driver.

use crate::certificates::{Authority, Pair, Trickle, connect, dial, has_openssl, secure};
use crate::support::{EICAR_MD5, Got, Peer, Scratch, config, eventually, explain, lookup, ping, start, stop};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use verdict_wire::{Answer, Class, ErrorCode, KeyKind};
use verdictd::Daemon;
use verdictd::config::Config;
use verdictd::edge::guard::config::ClientConfig;
use verdictd::edge::guard::peer::Permission;

every_driver! {
    a_header_of_either_version_is_taken_and_a_connection_without_one_is_not,
    an_answer_over_tls_is_the_plain_one_however_the_bytes_arrive,
    a_client_may_what_stands_beside_its_name,
}

/// All that a shard counts under this.
fn closed(daemon: &Daemon, of: fn(&verdictd::metrics::ShardMetrics) -> u64) -> u64 {
    daemon.metrics.shards.iter().map(|shard| of(shard)).sum()
}

fn proxied(scratch: &Scratch, from: &str) -> Config {
    let mut config = config(scratch);
    config.proxy.on = vec!["tcp".into()];
    config.proxy.from = vec![from.into()];
    config
}

/// Version 2, PROXY, TCP4, from 192.0.2.1.
const HEADER: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x1e\x14";

fn a_header_of_either_version_is_taken_and_a_connection_without_one_is_not() {
    let scratch = Scratch::new();
    let daemon = start(&proxied(&scratch, "127.0.0.0/8"));
    for header in [&b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\r\n"[..], HEADER, b"PROXY UNKNOWN\r\n"] {
        let mut peer = Peer::connect(daemon.tcp[0]);
        let frame = lookup(7, &[(KeyKind::Host, b"evil.test")]);
        peer.send(&[header, &frame].concat());
        assert!(matches!(peer.receive(), Some(Got::Answers { .. })), "a header and a frame in one piece");
        let mut peer = Peer::connect(daemon.tcp[0]);
        for byte in header {
            peer.send(&[*byte]);
        }
        assert_eq!(peer.class_of("evil.test"), Class::Malicious, "a header byte by byte");
    }
    let mut without = Peer::connect(daemon.tcp[0]);
    without.send(&ping(1, b""));
    assert!(without.receive().is_none());
    let mut short = Peer::connect(daemon.tcp[0]);
    short.send(&HEADER[..20]);
    drop(short);
    eventually("counted", || closed(&daemon, |shard| shard.closed_proxy.get()) == 1);
    let unix = UnixStream::connect(scratch.join("verdictd.sock")).unwrap();
    assert_eq!(Peer::over(unix).class_of("evil.test"), Class::Malicious, "the Unix socket has no header");
    stop(daemon);
}

#[test]
fn who_is_no_load_balancer_may_not_say_for_whom_it_connects() {
    let scratch = Scratch::new();
    let daemon = start(&proxied(&scratch, "192.0.2.0/24"));
    let mut stranger = Peer::connect(daemon.tcp[0]);
    let _ = stranger.stream.write_all(HEADER);
    assert!(stranger.receive().is_none());
    eventually("counted", || closed(&daemon, |shard| shard.closed_refused.get()) == 1);
    stop(daemon);
}

#[test]
fn a_header_or_handshake_that_does_not_come_ends_by_its_deadline() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let mut config = encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example"));
    config.limits.frame_deadline_ms = 300;
    let daemon = start(&config);
    let mut silent = dial(daemon.tcp[0]);
    let mut slow = dial(daemon.tcp[0]);
    slow.write_all(&[0x16, 0x03, 0x01]).unwrap();
    // A signal of the executor may interrupt a plain read.
    assert_eq!((silent.read_to_end(&mut Vec::new()).unwrap(), slow.read_to_end(&mut Vec::new()).unwrap()), (0, 0));
    assert_eq!(closed(&daemon, |shard| shard.closed_frame_deadline.get()), 2);
    stop(daemon);
}

fn encrypted(scratch: &Scratch, authority: &Authority, server: &Pair) -> Config {
    let mut config = config(scratch);
    (config.tls.certificate, config.tls.key) = (server.certificate.clone(), server.key.clone());
    config.tls.on = vec!["tcp".into(), "admin".into()];
    let _ = authority;
    config
}

/// Hosts, addresses and a file, `count` of them, a few of them bad.
fn keys(count: usize) -> Vec<(KeyKind, Vec<u8>)> {
    let key = |number: usize| match number % 5 {
        0 => (KeyKind::Host, format!("a{number}.evil.test").into_bytes()),
        1 => (KeyKind::Url, format!("http://host-{number}.example/path/{number}?q={number}").into_bytes()),
        2 => (KeyKind::Ipv4, vec![192, 0, (number % 3) as u8, number as u8]),
        3 => (KeyKind::Md5, EICAR_MD5.to_vec()),
        _ => (KeyKind::Url, b"http://shared.test/bad.php".to_vec()),
    };
    (0..count).map(key).collect()
}

fn ask<S: Read + Write>(peer: &mut Peer<S>, keys: &[(KeyKind, Vec<u8>)]) -> Vec<Answer> {
    peer.ask(&keys.iter().map(|(kind, key)| (*kind, key.as_slice())).collect::<Vec<_>>())
}

fn an_answer_over_tls_is_the_plain_one_however_the_bytes_arrive() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let daemon = start(&encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example")));
    let mut plain = Peer::over(UnixStream::connect(scratch.join("verdictd.sock")).unwrap());
    let client = authority.client(None);
    let mut peer = connect(&client, daemon.tcp[0]);
    for count in [1, 2, 100, 4096] {
        assert!(ask(&mut peer, &keys(count)) == ask(&mut plain, &keys(count)), "{count} keys");
    }
    // Many frames on their way: more answers than one record and one buffer of the kernel hold.
    let frame = lookup(7, &keys(2000).iter().map(|(kind, key)| (*kind, key.as_slice())).collect::<Vec<_>>());
    let expected = ask(&mut plain, &keys(2000));
    for _ in 0..40 {
        peer.send(&frame);
    }
    for _ in 0..40 {
        assert!(matches!(peer.receive(), Some(Got::Answers { answers, .. }) if answers == expected));
    }
    let mut trickled = Peer::over(secure(&client, Trickle(dial(daemon.tcp[0]))));
    assert!(ask(&mut trickled, &keys(10)) == ask(&mut plain, &keys(10)));
    // Whoever speaks plainly gets no answer.
    let mut outside = dial(daemon.tcp[0]);
    outside.write_all(&ping(1, b"x")).unwrap();
    let mut told = Vec::new();
    let _ = outside.read_to_end(&mut told);
    assert!(told.starts_with(&[0x15, 0x03]) || told.is_empty(), "an alert, or nothing: {told:02x?}");
    eventually("counted", || closed(&daemon, |shard| shard.closed_tls.get()) == 1);
    assert_eq!(closed(&daemon, |shard| shard.handshakes.get()), 2);
    // The end is said by both sides.
    peer.stream.conn.send_close_notify();
    peer.stream.flush().unwrap();
    assert_eq!(peer.stream.read(&mut [0; 16]).unwrap(), 0, "close_notify comes back: rustls calls an end without it an error");
    stop(daemon);
}

fn named(name: &str, certificate: &str, may: &[Permission]) -> ClientConfig {
    ClientConfig { name: name.into(), certificate: certificate.into(), uid: None, gid: None, may: may.to_vec() }
}

fn a_client_may_what_stands_beside_its_name() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let mut config = encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example"));
    config.tls.client_ca = authority.certificate();
    config.clients = vec![
        named("balancer", "lb.example", &[Permission::Lookup]),
        named("person", "spiffe://example/person", &[Permission::Lookup, Permission::Explain]),
        named("old", "only-common", &[Permission::Explain]),
    ];
    let daemon = start(&config);
    let cases = [
        (authority.issue("lb-1", "DNS:other.example,DNS:lb.example"), true, false),
        (authority.issue("someone", "URI:spiffe://example/person"), true, true),
        (authority.issue("only-common", ""), false, true),
        // Who has a name of the better kind is not known by the other one, though an authority wrote it.
        (authority.issue("lb.example", "DNS:stranger.example"), false, false),
    ];
    for (pair, lookup_allowed, explain_allowed) in &cases {
        let mut peer = connect(&authority.client(Some(pair)), daemon.tcp[0]);
        peer.send(&lookup(1, &[(KeyKind::Host, b"evil.test")]));
        match peer.receive() {
            Some(Got::Answers { .. }) => assert!(lookup_allowed, "{pair:?}"),
            Some(Got::Error { id: 1, code: ErrorCode::NotPermitted, closing: false }) => assert!(!lookup_allowed, "{pair:?}"),
            other => panic!("{other:?}"),
        }
        peer.send(&explain(2, KeyKind::Host, b"evil.test"));
        match peer.receive() {
            Some(Got::Explanation { .. }) => assert!(explain_allowed, "{pair:?}"),
            Some(Got::Error { id: 2, code: ErrorCode::NotPermitted, closing: false }) => assert!(!explain_allowed, "{pair:?}"),
            other => panic!("{other:?}"),
        }
        peer.send(&ping(3, b"here"));
        assert!(matches!(peer.receive(), Some(Got::Pong { id: 3, .. })), "whoever is let in may ask whether somebody is there");
    }
    let stranger = Authority::new();
    for shown in [None, Some(stranger.issue("lb.example", "DNS:lb.example"))] {
        let mut peer = connect(&authority.client(shown.as_ref()), daemon.tcp[0]);
        let _ = peer.stream.write_all(&ping(1, b""));
        assert!(peer.stream.read(&mut [0; 16]).is_err(), "an alert: {shown:?}");
    }
    eventually("counted", || closed(&daemon, |shard| shard.closed_tls.get()) == 2);
    stop(daemon);
}

#[test]
fn users_of_the_unix_socket_are_told_apart() {
    let user = rustix::process::geteuid().as_raw();
    for (uid, class) in [(user, Some(Class::Malicious)), (user + 1, None)] {
        let scratch = Scratch::new();
        let mut config = config(&scratch);
        config.clients = vec![ClientConfig { uid: Some(uid), ..named("one", "", &[Permission::Lookup]) }];
        let daemon = start(&config);
        let mut peer = Peer::over(UnixStream::connect(scratch.join("verdictd.sock")).unwrap());
        peer.send(&lookup(1, &[(KeyKind::Host, b"evil.test")]));
        match (peer.receive(), class) {
            (Some(Got::Answers { answers, .. }), Some(class)) => assert_eq!(answers[0].class(), class),
            (Some(Got::Error { code: ErrorCode::NotPermitted, .. }), None) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of("evil.test"), Class::Malicious, "users say nothing of TCP");
        stop(daemon);
    }
}

/// Whole, and in one step: as certificate managers do it.
fn install(from: &Pair, to: &Pair) {
    for (from, to) in [(&from.key, &to.key), (&from.certificate, &to.certificate)] {
        let temporary = to.with_extension("new");
        std::fs::copy(from, &temporary).unwrap();
        std::fs::rename(&temporary, to).unwrap();
    }
}

#[test]
fn certificates_are_exchanged_without_a_restart_and_a_bad_set_is_refused() {
    if !has_openssl() {
        return;
    }
    let (scratch, first, second) = (Scratch::new(), Authority::new(), Authority::new());
    let served = Pair { certificate: scratch.join("served.pem"), key: scratch.join("served.key") };
    install(&first.issue("daemon", "DNS:daemon.example"), &served);
    let daemon = start(&encrypted(&scratch, &first, &served));
    let mut before = connect(&first.client(None), daemon.tcp[0]);
    assert_eq!(before.class_of("evil.test"), Class::Malicious);
    let numbers = &daemon.metrics.control.guard;
    assert!(numbers.expires_s.get() > 1_700_000_000);

    // A certificate whose key is another one, then half a file: neither is shown.
    let next = second.issue("daemon", "DNS:daemon.example");
    std::fs::copy(&next.certificate, &served.certificate).unwrap();
    daemon.reload();
    eventually("the pair is refused", || numbers.refused.get() == 1);
    std::fs::write(&served.certificate, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    daemon.reload();
    eventually("half a file is refused", || numbers.refused.get() == 2);
    assert_eq!(connect(&first.client(None), daemon.tcp[0]).class_of("evil.test"), Class::Malicious);

    install(&next, &served);
    daemon.reload();
    eventually("exchanged", || numbers.exchanged.get() == 1);
    let new = second.client(None);
    eventually("new connections see it", || {
        let mut peer = secure(&new, dial(daemon.tcp[0]));
        peer.write_all(&ping(1, b"")).is_ok() && peer.read(&mut [0; 16]).is_ok()
    });
    assert_eq!(before.class_of("evil.test"), Class::Malicious, "who is connected stays so");
    stop(daemon);
}

/// One request, all of the reply.
fn get<S: Read + Write>(mut stream: S, path: &str, header: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{header}\r\n").as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8(reply).unwrap()
}

#[test]
fn the_admin_listener_shows_health_to_all_and_the_rest_to_who_may_see_it() {
    let scratch = Scratch::new();
    let mut config = config(&scratch);
    config.admin.unix = scratch.join("admin.sock");
    let daemon = start(&config);
    let admin = daemon.admin;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert!(get(dial(admin), path, "").starts_with("HTTP/1.1 200 OK\r\n"), "{path}");
    }
    assert!(get(dial(admin), "/models", "").starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    assert!(get(dial(admin), "/models", "Authorization: Bearer 0000000000000000\r\n").starts_with("HTTP/1.1 401 "));
    assert!(get(dial(admin), "/models", crate::support::AUTHORIZATION).starts_with("HTTP/1.1 200 "));
    let user = UnixStream::connect(scratch.join("admin.sock")).unwrap();
    assert!(get(user, "/models", "").starts_with("HTTP/1.1 200 "), "the daemon's own user needs no token");
    std::fs::write(&config.admin.token, "another-token-of-a-test").unwrap();
    daemon.reload();
    eventually("the token is another", || get(dial(admin), "/models", crate::support::AUTHORIZATION).starts_with("HTTP/1.1 401 "));
    assert!(daemon.metrics.control.guard.denied.get() >= 3);
    let admin_socket = config.admin.unix.clone();
    stop(daemon);
    assert!(!admin_socket.exists());
}

#[test]
fn the_admin_listener_speaks_tls_to_openssl_and_curl() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let daemon = start(&encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example,IP:127.0.0.1")));
    let mut session = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "daemon.example", "-connect"])
        .arg(daemon.admin.to_string())
        .arg("-CAfile")
        .arg(authority.certificate())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    session
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: daemon.example\r\nAccept: application/openmetrics-text\r\n\r\n")
        .unwrap();
    let told = String::from_utf8(session.wait_with_output().unwrap().stdout).unwrap();
    assert!(told.starts_with("HTTP/1.1 200 OK\r\n") && told.trim_end().ends_with("# EOF"), "{told}");
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--max-time", "10", "--cacert"]).arg(authority.certificate()).arg(format!("https://{}/livez", daemon.admin));
    match curl.output() {
        Ok(output) => assert_eq!(String::from_utf8_lossy(&output.stdout), "alive\n", "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => println!("SKIPPED: curl: {error}"),
    }
    let mut plain = dial(daemon.admin);
    plain.write_all(b"GET /livez HTTP/1.1\r\n\r\n").unwrap();
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told);
    assert!(!told.starts_with(b"HTTP"), "nothing is said in the open");
    stop(daemon);
}

#[test]
fn http_behind_a_header_and_tls_is_asked_about_the_client_that_the_header_names() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let mut config = encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example"));
    config.listen.http = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
    config.tls.on = vec!["http".into()];
    config.tls.client_ca = authority.certificate();
    config.clients = vec![named("balancer", "lb.example", &[Permission::Lookup])];
    config.proxy.on = vec!["http".into()];
    config.proxy.from = vec!["127.0.0.1".into()];
    config.http.ask = vec![verdictd::edge::http::Ask::Src];
    config.http.src_from = verdictd::edge::http::SrcFrom::Connection;
    assert_eq!(config.check(), Vec::<String>::new());
    let daemon = start(&config);
    let ask = |header: &str, client: &str, path: &str| {
        let mut stream = dial(daemon.http[0]);
        stream.write_all(header.as_bytes()).unwrap();
        let shown = authority.issue(client, &format!("DNS:{client}.example"));
        get(secure(&authority.client(Some(&shown)), stream), path, "Host: a.example\r\nConnection: close\r\n")
    };
    let (listed, other) = ("PROXY TCP4 192.0.2.9 198.51.100.1 1 2\r\n", "PROXY TCP4 203.0.113.9 198.51.100.1 1 2\r\n");
    assert!(ask(listed, "lb", "/auth").starts_with("HTTP/1.1 403 "));
    assert!(ask(other, "lb", "/auth").starts_with("HTTP/1.1 200 "));
    let denied = ask(other, "lb", "/v1/explain?url=http://evil.test/");
    assert!(denied.starts_with("HTTP/1.1 403 ") && denied.contains("may not ask"), "{denied}");
    assert!(ask(other, "stranger", "/auth").contains("may not ask"));
    stop(daemon);
}

/// Handshakes are dear: a shard takes a few a turn, and whoever asks meanwhile waits for these at most.
#[test]
fn many_handshakes_at_once_all_come_to_their_end() {
    if !has_openssl() {
        return;
    }
    let (scratch, authority) = (Scratch::new(), Authority::new());
    let daemon = start(&encrypted(&scratch, &authority, &authority.issue("daemon", "DNS:daemon.example")));
    let (client, done) = (authority.client(None), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..12 {
                    let mut peer: Peer<rustls::StreamOwned<_, TcpStream>> = connect(&client, daemon.tcp[0]);
                    assert_eq!(peer.class_of("evil.test"), Class::Malicious);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 96);
    assert_eq!(closed(&daemon, |shard| shard.handshakes.get()), 96);
    stop(daemon);
}
