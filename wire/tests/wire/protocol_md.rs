//! PROTOCOL.md and the code say the same: numbers, names, limits, layouts, examples, and the program at its end.
//!
//! PROTOCOL.md marks its tables with comments (`<!-- table: Class -->`), from which the checks below find them. A hash of frame.rs stands
//! at its end: who changes the frame reads PROTOCOL.md again and records the new hash.

use crate::common;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::mem::offset_of;
use std::net::TcpListener;
use std::process::Command;
use verdict_wire::*;

fn protocol() -> String {
    std::fs::read_to_string(common::crate_path("../PROTOCOL.md")).expect("PROTOCOL.md")
}

/// The cells of the table behind `<!-- marker`, without its two head lines.
fn table(marker: &str) -> Vec<Vec<String>> {
    let text = protocol();
    let at = text.find(&format!("<!-- {marker}")).unwrap_or_else(|| panic!("PROTOCOL.md has no table marked {marker:?}"));
    let lines = text[at..].lines().skip(1).take_while(|line| line.starts_with('|')).skip(2);
    let rows: Vec<Vec<String>> =
        lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()).collect();
    assert!(!rows.is_empty(), "the table {marker:?} is empty");
    rows
}

fn number(cell: &str) -> usize {
    match cell.strip_prefix("0x") {
        Some(hex) => usize::from_str_radix(hex, 16),
        None => cell.parse(),
    }
    .unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

/// Column 0 is a number, column 1 a name: exactly those of the code, in order.
fn check_numbers(marker: &str, code: impl Iterator<Item = (usize, &'static str)>) {
    let written: Vec<_> = table(marker).iter().map(|row| (number(&row[0]), row[1].clone())).collect();
    let coded: Vec<_> = code.map(|(number, name)| (number, name.to_owned())).collect();
    assert_eq!(written, coded, "PROTOCOL.md, {marker}: left as written, right as coded");
}

#[test]
fn numbers_and_names_are_those_of_the_code() {
    check_numbers("table: FrameKind", FrameKind::ALL.iter().map(|kind| (kind.raw().into(), kind.name())));
    check_numbers("table: Scheme", Scheme::ALL.iter().map(|scheme| (scheme.raw().into(), scheme.name())));
    check_numbers("table: KeyKind", KeyKind::ALL.iter().map(|kind| (kind.raw().into(), kind.name())));
    check_numbers("table: FeatureSet", FeatureSet::ALL.iter().map(|set| (set.raw().into(), set.name())));
    let values: Vec<_> = table("table: FeatureSet").iter().map(|row| number(&row[2])).collect();
    assert_eq!(values, FeatureSet::ALL.iter().map(|set| set.values()).collect::<Vec<_>>());
    check_numbers("table: Status", Status::ALL.iter().map(|status| (status.raw().into(), status.name())));
    check_numbers("table: Class", Class::ALL.iter().map(|class| (class.raw().into(), class.name())));
    check_numbers("table: RuleKind", RuleKind::ALL.iter().map(|kind| (kind.raw().into(), kind.name())));
    check_numbers("table: ErrorCode", ErrorCode::ALL.iter().map(|code| (code.raw().into(), code.name())));
    check_numbers("bits: Categories", Categories::ALL.iter().map(|(_, bit, name)| (*bit as usize, *name)));
    check_numbers("bits: Flags", Flags::ALL.iter().map(|(_, bit, name)| (*bit as usize, *name)));
    check_numbers("table: Act", Act::ALL.iter().map(|act| (act.raw().into(), act.name())));
    check_numbers("table: Outcome", Outcome::ALL.iter().map(|outcome| (outcome.raw().into(), outcome.name())));
    check_numbers("table: MatchOn", MatchOn::ALL.iter().map(|on| (on.raw().into(), on.name())));
    check_numbers("bits: MatchFlags", MatchFlags::ALL.iter().map(|(_, bit, name)| (*bit as usize, *name)));
    check_numbers("bits: ExplanationFlags", ExplanationFlags::ALL.iter().map(|(_, bit, name)| (*bit as usize, *name)));
    check_numbers("bits: DescriptionFlags", DescriptionFlags::ALL.iter().map(|(_, bit, name)| (*bit as usize, *name)));
}

#[test]
fn limits_flags_and_versions_are_those_of_the_code() {
    let check = |marker: &str, code: &[(&str, usize)]| {
        let written: Vec<_> = table(marker).iter().map(|row| (row[0].clone(), number(&row[1]))).collect();
        let coded: Vec<_> = code.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        assert_eq!(written, coded, "PROTOCOL.md, {marker}: left as written, right as coded");
    };
    check(
        "limits",
        &[
            ("FRAME_BYTES_MAX", FRAME_BYTES_MAX),
            ("KEYS_MAX", KEYS_MAX),
            ("KEY_BYTES_MAX", KEY_BYTES_MAX),
            ("FILE_VALUES_MAX", FILE_VALUES_MAX),
            ("IDS_MAX", IDS_MAX),
            ("MATCHES_MAX", MATCHES_MAX),
            ("CANONICAL_BYTES_MAX", CANONICAL_BYTES_MAX),
            ("NAME_BYTES_MAX", NAME_BYTES_MAX),
            ("PING_BYTES_MAX", PING_BYTES_MAX),
            ("MESSAGE_BYTES_MAX", MESSAGE_BYTES_MAX),
            ("EXPLAINED_BYTES_MAX", EXPLAINED_BYTES_MAX),
            ("DESCRIPTION_BYTES_MAX", DESCRIPTION_BYTES_MAX),
            ("SOURCE_BYTES_MAX", SOURCE_BYTES_MAX),
        ],
    );
    let bit = |flag: u32| flag.trailing_zeros() as usize;
    check(
        "flags",
        &[
            ("REQUEST_BUDGET", REQUEST_BUDGET_SHIFT as usize),
            ("REQUEST_SUFFIX", bit(REQUEST_SUFFIX)),
            ("REQUEST_PREFIX", bit(REQUEST_PREFIX)),
            ("REPLY_CLOSING", bit(REPLY_CLOSING)),
            ("REPLY_DRAINING", bit(REPLY_DRAINING)),
        ],
    );
    check("versions", &[("VERSION", VERSION.into()), ("VERSION_MIN", VERSION_MIN.into()), ("VERSION_MAX", VERSION_MAX.into())]);
}

/// Offsets of the fixed part of a layout by field, checked to have neither gap nor overlap and to be `bytes` long.
fn layout(name: &str, bytes: usize) -> Vec<(String, usize)> {
    let rows = table(&format!("layout: {name} {bytes} "));
    let mut end = 0;
    for row in &rows {
        assert_eq!(number(&row[0]), end, "{name}: {} does not begin where the field before it ends", row[2]);
        end += if row[1] == "…" { 0 } else { number(&row[1]) };
    }
    assert_eq!(end, bytes, "{name}");
    rows.into_iter().filter(|row| row[1] != "…").map(|row| (row[2].clone(), number(&row[0]))).collect()
}

macro_rules! check_layout {
    ($type:ident { $($field:ident),* }) => {
        assert_eq!(
            layout(stringify!($type), size_of::<$type>()),
            [$((stringify!($field).to_owned(), offset_of!($type, $field))),*],
            "PROTOCOL.md, layout {}: left as written, right as coded", stringify!($type)
        );
    };
}

#[test]
fn layouts_are_those_of_the_structs() {
    check_layout!(FrameHeader { frame_bytes, kind, version, count, request_id, flags });
    check_layout!(KeyHead { kind, zero, key_bytes });
    check_layout!(HashedKey { lo, hi });
    check_layout!(FileHead { sha256, features, values });
    check_layout!(Answer { outcome, score, categories, flags, id });
    check_layout!(HostAsked { at, paths_asked, listed });
    check_layout!(ActHead { message_bytes, version, act, kind, class, ttl_s, key_bytes, reason_bytes });
    check_layout!(ToldHead {
        message_bytes,
        version,
        outcome,
        act,
        kind,
        class,
        zero,
        uid,
        pid,
        entries,
        at_ms,
        until_ms,
        key_bytes,
        text_bytes,
        took_us
    });
    assert!(protocol().contains(&format!("16 to {ACT_BYTES_MAX} bytes for an act, 48 to {TOLD_BYTES_MAX} for a reply")));
    check_layout!(RuleMatch { on, flags, host, path, at, bytes, answer, first, last });
    check_layout!(Description {
        id,
        class,
        score,
        confidence,
        rule_kind,
        categories,
        flags,
        first_seen_day,
        last_seen_day,
        ttl_s,
        source_count,
        source_bytes
    });
}

/// The structs of these four are private; what the encoders write is compared field by field.
#[test]
fn layouts_are_those_of_the_encoders() {
    let field = |frame: &[u8], fields: &[(String, usize)], name: &str, bytes: usize| {
        let at = 16 + fields.iter().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no field {name}")).1;
        frame[at..at + bytes].iter().rev().fold(0_u128, |value, byte| value << 8 | u128::from(*byte))
    };
    let mut frame = Vec::new();
    encode_hello(&mut frame, 1, &ClientHello { version_min: 3, version_max: 7, name: "n" }).expect("a HELLO");
    let fields = layout("HELLO", 4);
    assert_eq!([("version_min", 1), ("version_max", 1), ("zero", 2)].map(|(name, bytes)| field(&frame, &fields, name, bytes)), [3, 7, 0]);
    assert_eq!(frame.len(), 16 + 4 + 1);

    let limits = Limits { frame_bytes_max: 11, keys_max: 12, key_bytes_max: 13, requests_in_flight_max: 14 };
    let profile = Profile { scheme: 4, host_labels_max: 5, path_prefixes_max: 6 };
    let hash_key = HashKey { h: [0x15; 16], k: [0x16; 16] };
    frame.clear();
    encode_hello_reply(
        &mut frame,
        1,
        &ServerHello { generation: 9, version: 1, version_min: 2, version_max: 3, limits, profile, hash_key, server: "seven b" },
    );
    let fields = layout("HELLO_REPLY", 64);
    for (name, bytes, value) in [
        ("generation", 8, 9),
        ("version", 1, 1),
        ("version_min", 1, 2),
        ("version_max", 1, 3),
        ("scheme", 1, 4),
        ("host_labels_max", 1, 5),
        ("path_prefixes_max", 1, 6),
        ("server_bytes", 2, 7),
        ("frame_bytes_max", 4, 11),
        ("keys_max", 4, 12),
        ("key_bytes_max", 4, 13),
        ("requests_in_flight_max", 4, 14),
        ("h", 16, u128::from_le_bytes([0x15; 16])),
        ("k", 16, u128::from_le_bytes([0x16; 16])),
    ] {
        assert_eq!(field(&frame, &fields, name, bytes), value, "HELLO_REPLY {name}");
    }
    assert_eq!((fields.len(), frame.len()), (14, 16 + 64 + 7));

    frame.clear();
    let (hosts, ends) = ([HostAsked::default(); 3], [[9, 0]; 4]);
    let explanation = Explanation {
        generation: 31,
        status: 2,
        flags: 1,
        canonical: "aaaaaaaaa",
        path_at: 6,
        hosts: &hosts,
        path_ends: &ends,
        paths_exact: 2,
        reason: "five!",
        matches: &[],
    };
    encode_explanation(&mut frame, 1, &explanation);
    let fields = layout("EXPLANATION", 24);
    for (name, bytes, value) in [
        ("generation", 8, 31),
        ("status", 1, 2),
        ("flags", 1, 1),
        ("canonical_bytes", 2, 9),
        ("reason_bytes", 2, 5),
        ("path_at", 2, 6),
        ("hosts", 1, 3),
        ("paths", 1, 4),
        ("paths_exact", 1, 2),
        ("zero", 5, 0),
    ] {
        assert_eq!(field(&frame, &fields, name, bytes), value, "EXPLANATION {name}");
    }
    assert_eq!((fields.len(), frame.len()), (10, 16 + 24 + 12 + 8 + 9 + 5));

    frame.clear();
    encode_error(&mut frame, 1, 21, ErrorCode::Overloaded, 23, "four", false);
    let fields = layout("ERROR", 16);
    for (name, bytes, value) in [("generation", 8, 21), ("code", 2, 7), ("message_bytes", 2, 4), ("detail", 4, 23)] {
        assert_eq!(field(&frame, &fields, name, bytes), value, "ERROR {name}");
    }
    assert_eq!((fields.len(), frame.len()), (4, 16 + 16 + 4));
}

#[test]
fn examples_are_the_vectors_they_name() {
    let text = protocol();
    let mut names = Vec::new();
    for block in text.split("```hex ").skip(1) {
        let (name, rest) = block.split_once('\n').expect("a name");
        let hex: String = rest
            .split("```")
            .next()
            .expect("a block")
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().to_owned() + "\n")
            .collect();
        assert_eq!(common::parse_hex(&hex).expect(name), common::vector(name).bytes, "PROTOCOL.md, example {name}");
        names.push(name);
    }
    for wanted in [
        "hello",
        "hello-reply",
        "lookup-every-kind",
        "lookup-hashed",
        "lookup-files",
        "answers",
        "describe",
        "descriptions",
        "explain",
        "explanation",
        "error",
    ] {
        assert!(names.contains(&wanted), "PROTOCOL.md has no example {wanted}");
    }
}

#[test]
fn sections_that_the_code_refers_to_exist() {
    let text = protocol();
    let mut references = 0;
    for path in ["src", "src/client"].into_iter().flat_map(|folder| std::fs::read_dir(common::crate_path(folder)).expect("a folder")) {
        let path = path.expect("entry").path();
        if path.is_dir() {
            continue;
        }
        let code = std::fs::read_to_string(&path).expect("a source");
        for reference in code.split("PROTOCOL.md section ").skip(1) {
            let number: String = reference.chars().take_while(char::is_ascii_digit).collect();
            assert!(text.contains(&format!("\n## {number}. ")), "{}: PROTOCOL.md has no section {number}", path.display());
            references += 1;
        }
    }
    assert!(references >= 4, "the sources no longer say where PROTOCOL.md describes them");
}

#[test]
fn neither_the_frame_nor_its_description_changes_alone() {
    let source = std::fs::read(common::crate_path("src/frame.rs")).expect("frame.rs");
    let hash = common::hex(&Sha256::digest(&source));
    assert!(
        protocol().contains(&format!("wire/src/frame.rs as this file describes it: sha256 {hash}\n")),
        "wire/src/frame.rs changed. Read PROTOCOL.md sections 2, 3 and 9 against it, mend what no longer holds, then write its new sha256 at the end of PROTOCOL.md: {hash}"
    );
}

/// Someone who has only PROTOCOL.md can ask a question.
#[test]
fn the_program_at_the_end_runs() {
    let text = protocol();
    let program = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("PROTOCOL.md has a program");
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: no python3 here to run the program of PROTOCOL.md");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("bound").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accepted");
        let (mut buffer, mut piece) = (Vec::new(), [0; 1024]);
        loop {
            let frame = next_frame(&buffer).expect("a length that can be");
            let Some(frame) = frame else {
                let bytes = stream.read(&mut piece).expect("read");
                assert!(bytes > 0, "closed in mid frame");
                buffer.extend_from_slice(&piece[..bytes]);
                continue;
            };
            let Ok(Request::Lookup(keys)) = frame.request() else { panic!("{:?}", frame.request()) };
            assert_eq!(keys.collect::<Vec<_>>(), [(1, b"http://a.example/".as_slice()), (1, b"b".as_slice()), (1, b"c".as_slice())]);
            let answers = [
                Answer::new(Class::Malicious, 90, Categories::MALWARE, Flags::NONE, 0x01_0203),
                Answer::new(Class::Unknown, 0, Categories::NONE, Flags::NONE, 0),
                Answer::without_verdict(Status::Unparseable),
            ];
            let mut out = Vec::new();
            encode_answers(&mut out, frame.header.request_id, 5, &answers);
            stream.write_all(&out).expect("written");
            return;
        }
    });
    let output = Command::new("python3")
        .args(["-c", program, "127.0.0.1", &port.to_string(), "http://a.example/", "b", "c"])
        .output()
        .expect("python3 runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "http://a.example/ malicious 90 66051\nb unknown 0 0\nc unparseable 0 0\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    server.join().expect("the server saw what it should");
}
