//! `block`, `unblock`, `overlay`, `switch` and its like: what goes to the control socket, and what comes back as text and exit status.

use crate::fake::verdictctl;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use verdict_wire::{ACT_BYTES_MAX, Act, ActRequest, Class, KeyKind, Outcome, Told, ToldHead, read_message};

/// One act is taken and replied to. What it was, and how the command ended.
fn acted(name: &str, arguments: &[&str], replies: &[Told<'_>]) -> (Vec<u8>, crate::fake::Ran) {
    let path: PathBuf = std::env::temp_dir().join(format!("verdictctl-acts-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let bytes: Vec<u8> = replies.iter().fold(Vec::new(), |mut bytes, told| {
        told.encode(&mut bytes);
        bytes
    });
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("an act");
        let message = read_message(&mut stream, ACT_BYTES_MAX).expect("a message");
        stream.write_all(&bytes).expect("taken");
        message
    });
    let ran = verdictctl(&[arguments, &["--control", path.to_str().expect("a name")]].concat());
    let message = server.join().expect("an act");
    std::fs::remove_file(path).expect("the socket goes");
    (message, ran)
}

fn told(outcome: Outcome, text: &str) -> Told<'_> {
    let head = ToldHead { entries: 3u32.to_le_bytes(), took_us: 1500u32.to_le_bytes(), ..ToldHead::default() };
    Told { head, outcome, key: b"", text }
}

#[test]
fn a_block_goes_out_whole_and_is_confirmed() {
    let block = ["block", "http://a.test/x", "--ttl", "2h", "--reason", "ticket 7", "--class", "suspicious"];
    let (message, ran) = acted("block", &block, &[told(Outcome::Done, "http://a.test/x: block by uid 0")]);
    let sent = ActRequest::decode(&message).expect("well formed");
    let want = ActRequest {
        act: Act::Block,
        kind: Some(KeyKind::Url),
        class: Class::Suspicious,
        ttl_s: 7200,
        key: b"http://a.test/x",
        reason: "ticket 7",
    };
    assert_eq!(sent, want);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "http://a.test/x: block by uid 0\nenforced by every shard after 1.5 ms; 3 acts in force\n");
}

#[test]
fn what_the_daemon_refuses_or_fails_at_has_a_status_of_its_own() {
    let unblock = ["unblock", "a.test", "--ttl", "24h", "--reason", "false alarm"];
    let (message, ran) = acted("refused", &unblock, &[told(Outcome::Refused, "full\u{200b}")]);
    assert_eq!(ActRequest::decode(&message).map(|sent| (sent.act, sent.class, sent.ttl_s)), Ok((Act::Unblock, Class::Unknown, 86_400)));
    assert_eq!((ran.status, ran.stderr.as_str(), ran.stdout.as_str()), (3, "verdictctl: full\\u{200b}\n", ""));
    let (_, ran) = acted("failed", &unblock, &[told(Outcome::Failed, "no room")]);
    assert_eq!((ran.status, ran.stderr.as_str()), (75, "verdictctl: no room\n"));
    let (_, ran) = acted("silent", &unblock, &[]);
    assert!(ran.status == 75 && ran.stderr.contains("overlay list"), "{}", ran.stderr);
    let (_, ran) = acted("gone", &["overlay", "remove", "a.test"], &[told(Outcome::NotThere, "no entry of a.test is in force")]);
    assert_eq!(ran.status, 3);
}

#[test]
fn a_list_shows_who_and_why() {
    let head = ToldHead {
        act: Act::Unblock.raw(),
        kind: KeyKind::Ipv4.raw(),
        class: Class::Clean.raw(),
        uid: 1000u32.to_le_bytes(),
        at_ms: 1_780_315_200_000u64.to_le_bytes(),
        until_ms: 1_780_322_400_000u64.to_le_bytes(),
        ..ToldHead::default()
    };
    let entry = Told { head, outcome: Outcome::Entry, key: &[192, 0, 2, 7], text: "our own scanner" };
    let (_, ran) = acted("list", &["overlay", "list"], &[entry, told(Outcome::Done, "")]);
    for part in ["unblock", "clean", "ipv4", "192.0.2.7", "2026-06-01T12:00:00Z", "2026-06-01T14:00:00Z", "1000", "our own scanner"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
    let (_, ran) = acted("json", &["overlay", "list", "--json"], &[entry, told(Outcome::Done, "")]);
    assert!(ran.stdout.contains("\"key\": \"192.0.2.7\"") || ran.stdout.contains("\"key\":\"192.0.2.7\""), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_an_act_is_not_sent() {
    let usage = |arguments: &[&str], status: i32, what: &str| {
        let ran = verdictctl(&[arguments, &["--control", "/nonexistent/socket"]].concat());
        assert!(ran.status == status && ran.stderr.contains(what), "{arguments:?}: {} {}", ran.status, ran.stderr);
    };
    usage(&["block", "a.test", "--ttl", "25h", "--reason", "r"], 2, "at most 24 h");
    usage(&["block", "a.test", "--reason", "r"], 2, "--ttl");
    usage(&["block", "a.test", "--ttl", "1h"], 2, "--reason");
    usage(&["block", "192.0.2.0/24", "--ttl", "1h", "--reason", "r"], 2, "address prefix");
    usage(&["unblock", "a]b", "--ttl", "1h", "--reason", "r"], 65, "no key");
    usage(&["unblock", "a.test", "--ttl", "1h", "--reason", "r"], 69, "listen.control");
}

#[test]
fn switching_and_pinning_name_their_part() {
    let reason = ["--reason", "ticket 8"];
    let cases: [(&[&str], Act, &str); 9] = [
        (&["switch", "off", "feed", "open phish"], Act::Off, "feed open phish"),
        (&["switch", "on", "rule", "host+subdomains"], Act::On, "rule host+subdomains"),
        (&["switch", "off", "model", "url-1"], Act::Off, "model url-1"),
        (&["switch", "off", "enforcement"], Act::Off, "enforcement"),
        (&["freeze"], Act::Off, "updates"),
        (&["thaw"], Act::On, "updates"),
        (&["pin", "--generation", "ff"], Act::Pin, "generation 00000000000000ff"),
        (&["revert"], Act::Pin, "previous"),
        (&["unpin"], Act::On, "pin"),
    ];
    for (arguments, act, part) in cases {
        let (message, ran) = acted("switch", &[arguments, &reason].concat(), &[told(Outcome::Done, "so it is")]);
        let sent = ActRequest::decode(&message).expect("well formed");
        assert_eq!((sent.act, sent.key, sent.reason), (act, part.as_bytes(), "ticket 8"), "{arguments:?}");
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "so it is\nby every shard after 1.5 ms; 3 parts off\n"), "{}", ran.stderr);
    }
    let (_, ran) = acted("not-off", &["switch", "on", "overlay", "--reason", "r"], &[told(Outcome::NotThere, "overlay is not off")]);
    assert_eq!((ran.status, ran.stderr.as_str()), (3, "verdictctl: overlay is not off\n"));
    let ran = verdictctl(&["switch", "off", "rule", "hosts", "--reason", "r"]);
    assert!(ran.status == 2 && ran.stderr.contains("host-substring"), "{}", ran.stderr);
    let head =
        ToldHead { act: Act::Off.raw(), uid: 1000u32.to_le_bytes(), at_ms: 1_780_315_200_000u64.to_le_bytes(), ..ToldHead::default() };
    let entry = Told { head, outcome: Outcome::Entry, key: b"feed a\x1b[2J", text: "it lists us" };
    let (_, ran) = acted("switches", &["switch", "list"], &[entry, told(Outcome::Done, "")]);
    for part in ["off", "feed a\\x1b[2J", "2026-06-01T12:00:00Z", "1000", "it lists us"] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
}
