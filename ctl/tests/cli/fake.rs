//! A daemon of a few lines, so that the command's behaviour is tested without tables, shards or rings; and the command itself as a child.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use verdict_wire::{
    Answer, Categories, Class, Description, DescriptionFlags, DescriptionsWriter, ErrorCode, Explanation, Flags, Frame, HashKey, HostAsked,
    KeyKind, Limits, MatchFlags, MatchOn, Profile, Request, RuleKind, RuleMatch, Scheme, ServerHello, Status,
};

/// What the fake daemon says.
#[derive(Clone)]
pub struct Book {
    pub generation: u64,
    /// Kind, key, answer; a key that is not here is unknown.
    pub answers: Vec<(KeyKind, Vec<u8>, Answer)>,
    pub records: Vec<(Description, Vec<&'static str>)>,
    /// DESCRIBE is refused as if a swap had happened.
    pub describe_is_stale: bool,
    /// Instead of every reply.
    pub error: Option<(ErrorCode, &'static str)>,
    /// Sent instead of any frame.
    pub garbage: Option<&'static [u8]>,
}

impl Book {
    /// A few rules of every kind, all under reserved names.
    pub fn sample() -> Self {
        let record = |id, class, rule: RuleKind| Description {
            id,
            class,
            score: 90,
            confidence: 80,
            rule_kind: rule.raw(),
            categories: Categories::MALWARE.0,
            first_seen_day: 20_148,
            last_seen_day: 20_199,
            ttl_s: 3600,
            ..Description::default()
        };
        let malicious = |id| Answer::new(Class::Malicious, 90, Categories::MALWARE, Flags::NONE, id);
        Self {
            generation: 0x0123_4567_89ab_cdef,
            answers: vec![
                (KeyKind::Url, b"http://bad.test/dropper.exe".to_vec(), malicious(1)),
                (KeyKind::Host, b"evil.test".to_vec(), malicious(2)),
                (KeyKind::Host, b"maybe.test".to_vec(), Answer::new(Class::Suspicious, 50, Categories::PHISHING, Flags::STALE, 3)),
                (KeyKind::Host, b"good.test".to_vec(), Answer::new(Class::Clean, 0, Categories::NONE, Flags::ALLOWLISTED, 4)),
                (KeyKind::Ipv4, vec![192, 0, 2, 7], malicious(5)),
                (KeyKind::Host, b"a]b".to_vec(), Answer::without_verdict(Status::Unparseable)),
                (KeyKind::Host, b"busy.test".to_vec(), Answer::without_verdict(Status::Overloaded)),
            ],
            records: vec![
                (record(1, Class::Malicious as u8, RuleKind::Url), vec!["sample-urls", "second-urls"]),
                (record(2, Class::Malicious as u8, RuleKind::HostBelow), vec!["sample-hosts"]),
                (record(3, Class::Suspicious as u8, RuleKind::Host), vec!["evil\x1b[31mname"]),
                (Description { flags: DescriptionFlags::ALLOWLISTED.0, ..record(4, Class::Clean as u8, RuleKind::Host) }, vec!["allow"]),
                (record(5, Class::Malicious as u8, RuleKind::Network), vec!["sample-nets"]),
            ],
            describe_is_stale: false,
            error: None,
            garbage: None,
        }
    }
}

/// Listens until the test ends.
pub fn daemon(book: Book) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let book = Arc::new(book);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let book = Arc::clone(&book);
            std::thread::spawn(move || serve(&book, stream));
        }
    });
    address
}

fn serve(book: &Book, mut stream: TcpStream) {
    let (mut received, mut buffer, mut out) = (Vec::new(), [0; 4096], Vec::new());
    loop {
        while let Ok(Some(frame)) = verdict_wire::next_frame(&received) {
            let frame_bytes = frame.bytes();
            reply(book, &frame, &mut out);
            received.drain(..frame_bytes);
        }
        if stream.write_all(&out).is_err() {
            return;
        }
        out.clear();
        match stream.read(&mut buffer) {
            Ok(bytes @ 1..) => received.extend_from_slice(&buffer[..bytes]),
            _ => return,
        }
    }
}

fn reply(book: &Book, frame: &Frame<'_>, out: &mut Vec<u8>) {
    let (id, generation) = (frame.header.request_id, book.generation);
    if let Some(garbage) = book.garbage {
        out.extend_from_slice(garbage);
        return;
    }
    if let Some((code, message)) = book.error {
        verdict_wire::encode_error(out, id, generation, code, 0, message, false);
        return;
    }
    match frame.request().expect("the command writes good frames") {
        Request::Hello(_) => {
            let hello = ServerHello {
                generation,
                version: 1,
                version_min: 1,
                version_max: 1,
                limits: Limits::default(),
                profile: Profile { scheme: Scheme::Full as u8, host_labels_max: 5, path_prefixes_max: 3 },
                hash_key: HashKey { h: [0xAA; 16], k: [0xBB; 16] },
                server: "fake/1.0",
            };
            verdict_wire::encode_hello_reply(out, id, &hello);
        }
        Request::Lookup(keys) => {
            let answers: Vec<Answer> = keys.map(|(kind, key)| answer(book, kind, key)).collect();
            verdict_wire::encode_answers(out, id, generation, &answers);
        }
        Request::LookupFiles(files) => {
            // A file that is not in the book, with headers: a model's word, whose score is the number of sections.
            let model = |score: i64| Answer::new(Class::Suspicious, score as u8, Categories::MALWARE, Flags::FROM_MODEL, 0);
            let one = |mut file: verdict_wire::FileAsked<'_>| match answer(book, KeyKind::Sha256.raw(), file.sha256) {
                unlisted if unlisted.class() == Class::Unknown => file.values.nth(16).map_or(unlisted, model),
                listed => listed,
            };
            let answers: Vec<Answer> = files.map(one).collect();
            verdict_wire::encode_answers(out, id, generation, &answers);
        }
        Request::LookupHashed(_) => panic!("the command hashes nothing"),
        Request::Describe(describe) => {
            let served = if book.describe_is_stale { generation + 1 } else { generation };
            match describe.ids(served) {
                Err(refusal) => verdict_wire::encode_refusal(out, served, &refusal),
                Ok(ids) => {
                    let mut writer = DescriptionsWriter::new(out, id, generation, ids.len());
                    for id in ids {
                        match book.records.iter().find(|(record, _)| record.id == id) {
                            Some((record, sources)) => writer.push(*record, sources.iter().copied()),
                            None => writer.push(Description::absent(id), []),
                        }
                    }
                }
            }
        }
        Request::Explain { kind, key } => explain(book, id, kind, key, out),
        Request::Ping(payload) => verdict_wire::encode_pong(out, id, generation, payload),
    }
}

/// Reads every key as the host that it spells; the answer of the book is that of a rule on that host and names below it.
fn explain(book: &Book, id: u32, kind: u8, key: &[u8], out: &mut Vec<u8>) {
    let canonical = String::from_utf8_lossy(key).into_owned();
    let found = RuleMatch { on: MatchOn::Host.raw(), flags: MatchFlags::WINS.0, answer: answer(book, kind, key), ..RuleMatch::default() };
    let explanation = Explanation {
        generation: book.generation,
        status: 0,
        flags: 0,
        canonical: &canonical,
        path_at: canonical.len() as u16,
        hosts: &[HostAsked { at: [0; 2], paths_asked: 0, listed: (found.answer.id() != 0).into() }],
        path_ends: &[],
        paths_exact: 0,
        reason: "",
        matches: if found.answer.id() == 0 { &[] } else { std::slice::from_ref(&found) },
    };
    verdict_wire::encode_explanation(out, id, &explanation);
}

fn answer(book: &Book, kind: u8, key: &[u8]) -> Answer {
    let unknown = Answer::new(Class::Unknown, 0, Categories::NONE, Flags::NONE, 0);
    let found = book.answers.iter().find(|(of_kind, of_key, _)| of_kind.raw() == kind && of_key == key);
    found.map_or(unknown, |(_, _, answer)| *answer)
}

/// What the command did.
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The command in a bare environment, with nothing to read.
pub fn verdictctl(arguments: &[&str]) -> Ran {
    verdictctl_reading(arguments, b"")
}

/// The command with this standard input.
pub fn verdictctl_reading(arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdictctl"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["VERDICT_CONNECT", "VERDICT_CONTROL", "VERDICT_ADMIN", "VERDICT_TLS_CA", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"]
    {
        command.env_remove(name);
    }
    let mut child = command.spawn().expect("the command was built for this test");
    let mut pipe = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        // Beside the reading, since both pipes may fill. A command that stops early closes its end; that is its right.
        scope.spawn(move || pipe.write_all(input));
        child.wait_with_output()
    });
    let Output { status, stdout, stderr } = output.expect("the command ends");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ran { status: status.code().expect("ended by itself"), stdout: text(stdout), stderr: text(stderr) }
}

/// A file of this test's own.
pub fn file(name: &str, content: &[u8]) -> String {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = directory.join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("cargo gives tests a directory");
    path.to_str().expect("a plain path").to_owned()
}
