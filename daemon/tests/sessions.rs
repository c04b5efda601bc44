//! What a peer sees: every kind of question, order, arrival in pieces, and bytes that are no frames.

#[macro_use]
mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use support::{EICAR_MD5, Got, Peer, Scratch, config, eventually, explain, lookup, ping, start, stop};
use verdict_wire as wire;
use wire::{Class, ErrorCode, KeyKind, Status};

fn answers_every_kind_of_question_in_one_frame() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mapped: [u8; 16] = "::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let answers = peer.ask(&[
        (KeyKind::Url, b"https://www.EVIL.test/a?b"),
        (KeyKind::Host, b"evil.test"),
        (KeyKind::Url, b"http://shared.test/bad.php?x=1"),
        (KeyKind::Url, b"http://shared.test/good.php"),
        (KeyKind::Ipv4, &[192, 0, 2, 77]),
        (KeyKind::Ipv6, &mapped),
        (KeyKind::Url, b"http://0xC0.0.0x2.1/"),
        (KeyKind::Md5, &EICAR_MD5),
        (KeyKind::Sha1, &[9; 20]),
        (KeyKind::Url, b"http:///"),
        (KeyKind::Md5, &[1, 2, 3]),
    ]);
    let classes: Vec<Class> = answers.iter().map(|answer| answer.class()).collect();
    use Class::{Malicious, Unknown};
    assert_eq!(classes[..9], [Malicious, Malicious, Malicious, Unknown, Malicious, Malicious, Malicious, Malicious, Unknown]);
    assert_eq!(answers[9].status(), Status::Unparseable);
    assert_eq!(answers[10].status(), Status::Unparseable);
    stop(daemon);
}

fn an_unknown_kind_of_key_is_answered_unsupported_beside_the_others() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut frame = Vec::new();
    wire::encode_lookup(&mut frame, 1, [(200u8, b"x".as_slice()), (KeyKind::Host.raw(), b"evil.test")]).unwrap();
    peer.send(&frame);
    let Some(Got::Answers { answers, .. }) = peer.receive() else { panic!("no answers") };
    assert_eq!((answers[0].status(), answers[1].class()), (Status::Unsupported, Class::Malicious));
    stop(daemon);
}

fn replies_come_in_request_order_whatever_they_are() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut bytes = Vec::new();
    for id in 0..300 {
        match id % 3 {
            0 => bytes.extend(lookup(id, &[(KeyKind::Host, b"evil.test"), (KeyKind::Host, b"good.test")])),
            1 => bytes.extend(ping(id, &id.to_le_bytes())),
            _ => {
                let hello = wire::ClientHello { version_min: 1, version_max: 1, name: "test" };
                wire::encode_hello(&mut bytes, id, &hello).unwrap();
            }
        }
    }
    peer.send(&bytes);
    for expected in 0..300u32 {
        match peer.receive() {
            Some(Got::Answers { id, answers, .. }) => {
                assert_eq!((id, expected % 3), (expected, 0));
                assert_eq!((answers[0].class(), answers[1].class()), (Class::Malicious, Class::Unknown));
            }
            Some(Got::Pong { id, payload }) => assert_eq!((id, payload), (expected, expected.to_le_bytes().to_vec())),
            Some(Got::Hello { id, generation, .. }) => assert!(id == expected && generation != 0),
            other => panic!("{expected}: {other:?}"),
        }
    }
    stop(daemon);
}

fn a_frame_may_arrive_byte_by_byte_and_two_frames_at_once() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut bytes = lookup(1, &[(KeyKind::Url, b"http://evil.test/"), (KeyKind::Url, b"http://good.test/")]);
    bytes.extend(ping(2, b"after"));
    for byte in &bytes {
        peer.send(std::slice::from_ref(byte));
        std::thread::sleep(Duration::from_micros(200));
    }
    assert!(matches!(peer.receive(), Some(Got::Answers { id: 1, .. })));
    assert!(matches!(peer.receive(), Some(Got::Pong { id: 2, .. })));
    stop(daemon);
}

fn describes_what_an_answer_names_and_refuses_another_generation() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    peer.send(&lookup(1, &[(KeyKind::Host, b"evil.test")]));
    let Some(Got::Answers { generation, answers, .. }) = peer.receive() else { panic!("no answers") };
    let mut frame = Vec::new();
    wire::encode_describe(&mut frame, 2, generation, &[answers[0].id(), wire::VERDICT_ID_MAX]).unwrap();
    wire::encode_describe(&mut frame, 3, generation ^ 1, &[answers[0].id()]).unwrap();
    peer.send(&frame);
    let expected =
        Got::Descriptions { id: 2, sources: vec![vec!["unit test".into()], vec![]], classes: vec![Class::Malicious, Class::Unknown] };
    assert_eq!(peer.receive(), Some(expected));
    assert_eq!(peer.receive(), Some(Got::Error { id: 3, code: ErrorCode::StaleGeneration, closing: false }));
    stop(daemon);
}

fn explains_how_a_url_is_read_what_was_asked_and_which_rules_match() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let url = b"HTTP://user@SHARED.test:80/x/../bad.php?id=1";
    peer.send(&[explain(1, KeyKind::Url, url), lookup(2, &[(KeyKind::Url, url)])].concat());
    let Some(Got::Explanation { id: 1, explained }) = peer.receive() else { panic!("no explanation") };
    let Some(Got::Answers { generation, answers, .. }) = peer.receive() else { panic!("no answers") };
    assert_eq!((explained.generation, explained.canonical.as_str()), (generation, "http://shared.test/bad.php?id=1"));
    assert_eq!(
        explained.hosts.iter().map(|(host, asked)| (host.as_str(), asked.listed, asked.paths_asked)).collect::<Vec<_>>(),
        [("shared.test", 1, 2)]
    );
    assert_eq!((explained.paths.clone(), explained.paths_exact), (vec!["/bad.php?id=1".into(), "/bad.php".into(), "/".into()], 2));
    let [found] = explained.matches.as_slice() else { panic!("{explained:?}") };
    assert_eq!((found.found.on(), found.found.path, found.found.answer), (wire::MatchOn::Url, 1, answers[0]));
    assert!(found.found.flags().contains(wire::MatchFlags::WINS));

    peer.send(&[explain(3, KeyKind::Ipv6, &"::ffff:192.0.2.9".parse::<std::net::Ipv6Addr>().unwrap().octets())].concat());
    let Some(Got::Explanation { id: 3, explained }) = peer.receive() else { panic!("no explanation") };
    assert_eq!(explained.canonical, "192.0.2.9", "a mapped address is an IPv4 address");
    assert_eq!(explained.matches[0].found.network(), ([192, 0, 2, 0].into(), [192, 0, 2, 255].into()));

    peer.send(&[explain(4, KeyKind::Url, b"http:///"), explain(5, KeyKind::Md5, &EICAR_MD5), explain(6, KeyKind::Md5, b"short")].concat());
    let Some(Got::Explanation { id: 4, explained }) = peer.receive() else { panic!("no explanation") };
    assert!(explained.status == Status::Unparseable && !explained.reason.is_empty() && explained.matches.is_empty());
    let Some(Got::Explanation { id: 5, explained }) = peer.receive() else { panic!("no explanation") };
    assert_eq!((explained.canonical.as_str(), explained.matches[0].found.on()), ("44d88612fea8a8f36de82e1278abb02f", wire::MatchOn::Key));
    assert!(matches!(peer.receive(), Some(Got::Explanation { id: 6, explained }) if explained.status == Status::Unparseable));
    assert_eq!(daemon.metrics.shards[0].frames_explain.get(), 5);
    stop(daemon);
}

fn a_client_that_hashes_itself_gets_the_same_answers_until_the_generation_changes() {
    use verdict_simd::{Backend, Domain, HashKey, HashSchedule, seal};
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut frame = Vec::new();
    wire::encode_hello(&mut frame, 1, &wire::ClientHello { version_min: 1, version_max: 1, name: "hasher" }).unwrap();
    peer.send(&frame);
    let Some(Got::Hello { generation, hash_key, .. }) = peer.receive() else { panic!("no hello") };
    let schedule = HashSchedule::new(&HashKey { h: hash_key.h, k: hash_key.k });
    let keys: Vec<wire::HashedKey> = ["evil.test", "good.test"]
        .iter()
        .map(|host| seal(verdict_simd::detect().unwrap().hash(&schedule, Domain::Host, host.as_bytes())))
        .map(|key| wire::HashedKey { lo: key.lo, hi: key.hi })
        .collect();
    frame.clear();
    wire::encode_lookup_hashed(&mut frame, 2, generation, &keys, wire::Place::EXACT).unwrap();
    wire::encode_lookup_hashed(&mut frame, 3, generation ^ 1, &keys, wire::Place::EXACT).unwrap();
    peer.send(&frame);
    let Some(Got::Answers { answers, .. }) = peer.receive() else { panic!("no answers") };
    assert_eq!((answers[0].class(), answers[1].class()), (Class::Malicious, Class::Unknown));
    assert_eq!(peer.receive(), Some(Got::Error { id: 3, code: ErrorCode::StaleGeneration, closing: false }));
    stop(daemon);
}

fn unknown_versions_and_kinds_are_answered_and_the_connection_goes_on() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let mut version = ping(1, b"");
    version[5] = 99;
    let mut kind = ping(2, b"");
    kind[4] = 0x7E;
    let mut flags = ping(3, b"");
    flags[12] = 1;
    peer.send(&[version, kind, flags, ping(4, b"still here")].concat());
    for (id, code) in [(1, ErrorCode::UnsupportedVersion), (2, ErrorCode::UnsupportedKind), (3, ErrorCode::Malformed)] {
        assert_eq!(peer.receive(), Some(Got::Error { id, code, closing: false }));
    }
    assert_eq!(peer.receive(), Some(Got::Pong { id: 4, payload: b"still here".to_vec() }));
    stop(daemon);
}

fn a_length_that_cannot_be_trusted_gets_an_error_and_the_door() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    for (length, code) in [(15u32, ErrorCode::Malformed), (u32::MAX, ErrorCode::FrameTooLarge)] {
        let mut peer = Peer::connect(daemon.tcp[0]);
        peer.send(&[ping(1, b"before"), length.to_le_bytes().to_vec(), vec![0; 12]].concat());
        assert!(matches!(peer.receive(), Some(Got::Pong { id: 1, .. })));
        assert_eq!(peer.receive(), Some(Got::Error { id: 0, code, closing: true }));
        assert_eq!(peer.receive(), None);
    }
    eventually("both are counted", || daemon.metrics.shards[0].closed_malformed.get() == 2);
    stop(daemon);
}

fn answers_what_was_asked_before_the_peer_closed_its_half() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let frames: Vec<u8> = (0..500).flat_map(|id| lookup(id, &[(KeyKind::Host, b"evil.test")])).collect();
    peer.send(&frames);
    peer.stream.shutdown(std::net::Shutdown::Write).unwrap();
    for expected in 0..500 {
        assert!(matches!(peer.receive(), Some(Got::Answers { id, .. }) if id == expected));
    }
    assert_eq!(peer.receive(), None);
    stop(daemon);
}

fn the_unix_socket_answers_like_tcp_and_is_gone_afterwards() {
    let scratch = Scratch::new();
    let config = config(&scratch);
    let daemon = start(&config);
    let mut peer = Peer::over(UnixStream::connect(&config.listen.unix).unwrap());
    assert_eq!(peer.class_of("www.evil.test"), Class::Malicious);
    stop(daemon);
    assert!(!config.listen.unix.exists());
}

fn a_frame_of_4096_urls_is_one_reply() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    let mut peer = Peer::connect(daemon.tcp[0]);
    let urls: Vec<String> = (0..4096).map(|i| format!("http://{}.test/{i}", if i % 7 == 0 { "evil" } else { "good" })).collect();
    let keys: Vec<(KeyKind, &[u8])> = urls.iter().map(|url| (KeyKind::Url, url.as_bytes())).collect();
    for (i, answer) in peer.ask(&keys).iter().enumerate() {
        assert_eq!(answer.class() == Class::Malicious, i % 7 == 0, "{}", urls[i]);
    }
    stop(daemon);
}

fn metrics_and_health_are_told_over_http() {
    let scratch = Scratch::new();
    let daemon = start(&config(&scratch));
    Peer::connect(daemon.tcp[0]).ask(&[(KeyKind::Host, b"evil.test"), (KeyKind::Host, b"a.test")]);
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(daemon.admin).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n").as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(get("/livez").starts_with("HTTP/1.1 200"));
    let ready = get("/readyz");
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains(&format!("driver {}", daemon.metrics.driver)) && ready.contains("generation "),
        "{ready}"
    );
    let metrics = get("/metrics");
    assert!(metrics.contains("verdictd_answers_total{class=\"malicious\"} 1"), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    stop(daemon);
}

every_driver!(
    answers_every_kind_of_question_in_one_frame,
    an_unknown_kind_of_key_is_answered_unsupported_beside_the_others,
    replies_come_in_request_order_whatever_they_are,
    a_frame_may_arrive_byte_by_byte_and_two_frames_at_once,
    describes_what_an_answer_names_and_refuses_another_generation,
    explains_how_a_url_is_read_what_was_asked_and_which_rules_match,
    a_client_that_hashes_itself_gets_the_same_answers_until_the_generation_changes,
    unknown_versions_and_kinds_are_answered_and_the_connection_goes_on,
    a_length_that_cannot_be_trusted_gets_an_error_and_the_door,
    answers_what_was_asked_before_the_peer_closed_its_half,
    the_unix_socket_answers_like_tcp_and_is_gone_afterwards,
    a_frame_of_4096_urls_is_one_reply,
    metrics_and_health_are_told_over_http,
);
