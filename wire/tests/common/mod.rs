//! What the tests share: reading the golden vectors, and telling what a decoder makes of bytes in one line per frame.
//!
//! A vector is text: `# comment`, `side: request|reply`, one `expect:` line per outcome, then hexadecimal bytes, where `3*2a` repeats a byte
//! and `2*(01 02)` a group.
#![allow(dead_code)] // each test binary takes its part

#[path = "../../fuzz/src/again.rs"]
pub mod again;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use verdict_wire::{
    Answer, Description, ErrorCode, Explained, ExplainedMatch, FeatureSet, Frame, Frames, HostAsked, KeyKind, MatchOn, Place, Reply,
    Request, SourceNames,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Request,
    Reply,
}

#[derive(Clone, Debug)]
pub struct Vector {
    pub name: String,
    pub side: Side,
    pub expect: Vec<String>,
    pub bytes: Vec<u8>,
}

pub fn crate_path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// All of wire/vectors, by name.
pub fn vectors() -> Vec<Vector> {
    let mut paths: Vec<_> =
        std::fs::read_dir(crate_path("vectors")).expect("wire/vectors").map(|entry| entry.expect("entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    paths.sort();
    assert!(paths.len() >= 100, "only {} vectors found", paths.len());
    paths.iter().map(|path| parse_vector(path)).collect()
}

pub fn vector(name: &str) -> Vector {
    parse_vector(&crate_path("vectors").join(name).with_extension("hex"))
}

fn parse_vector(path: &Path) -> Vector {
    let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (mut side, mut expect, mut hex) = (None, Vec::new(), String::new());
    for line in text.lines() {
        match line {
            "side: request" => side = Some(Side::Request),
            "side: reply" => side = Some(Side::Reply),
            _ if line.starts_with("expect: ") => expect.push(line["expect: ".len()..].to_owned()),
            _ => {
                hex.push_str(line.split('#').next().unwrap_or_default());
                hex.push('\n');
            }
        }
    }
    assert!(!expect.is_empty(), "{name}: no expect line");
    Vector {
        side: side.unwrap_or_else(|| panic!("{name}: no side")),
        expect,
        bytes: parse_hex(&hex).unwrap_or_else(|e| panic!("{name}: {e}")),
        name,
    }
}

/// `01 02 3*2a 2*(03 04)`
pub fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let spaced = text.replace('*', " * ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let (bytes, end) = parse_group(&tokens, 0)?;
    if end == tokens.len() { Ok(bytes) } else { Err(format!("token {end}: a ')' too many")) }
}

fn parse_group(tokens: &[&str], mut at: usize) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    while at < tokens.len() && tokens[at] != ")" {
        let repeat = match tokens.get(at + 1) {
            Some(&"*") => tokens[at].parse::<usize>().map_err(|e| format!("{}: {e}", tokens[at]))?,
            _ => 1,
        };
        if tokens.get(at + 1) == Some(&"*") {
            at += 2;
        }
        let group = match tokens.get(at) {
            Some(&"(") => {
                let (group, end) = parse_group(tokens, at + 1)?;
                if tokens.get(end) != Some(&")") {
                    return Err("a '(' that is never closed".to_owned());
                }
                at = end;
                group
            }
            Some(byte) if byte.len() == 2 => vec![u8::from_str_radix(byte, 16).map_err(|e| format!("{byte}: {e}"))?],
            other => return Err(format!("{other:?} is no byte")),
        };
        at += 1;
        for _ in 0..repeat {
            bytes.extend_from_slice(&group);
        }
    }
    Ok((bytes, at))
}

pub fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

/// A receiver that gets its bytes in pieces and notes one outcome per frame.
pub struct Receiver {
    side: Side,
    buffer: Vec<u8>,
    pub outcomes: Vec<String>,
    closed: bool,
}

impl Receiver {
    pub fn new(side: Side) -> Self {
        Self { side, buffer: Vec::new(), outcomes: Vec::new(), closed: false }
    }

    pub fn push(&mut self, piece: &[u8]) {
        if self.closed {
            return;
        }
        self.buffer.extend_from_slice(piece);
        let mut frames = Frames::new(&self.buffer);
        for frame in frames.by_ref() {
            match frame {
                Ok(frame) => self.outcomes.push(outcome(self.side, &frame)),
                Err(refusal) => {
                    assert!(refusal.closes && refusal.request_id == 0, "only a length stops a stream");
                    self.outcomes.push(format!("refused {} {} closes", refusal.code, refusal.detail));
                    self.closed = true;
                }
            }
        }
        let consumed = frames.consumed();
        self.buffer.drain(..consumed);
    }

    /// The outcomes; `incomplete` last where bytes are left, or none ever came.
    pub fn finish(mut self) -> Vec<String> {
        if !self.closed && (!self.buffer.is_empty() || self.outcomes.is_empty()) {
            self.outcomes.push("incomplete".to_owned());
        }
        self.outcomes
    }
}

pub fn outcomes<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut receiver = Receiver::new(side);
    for piece in pieces {
        receiver.push(piece);
    }
    receiver.finish()
}

/// One line about one frame.
pub fn outcome(side: Side, frame: &Frame<'_>) -> String {
    match side {
        Side::Request => match frame.request() {
            Ok(request) => tell_request(frame.header.request_id, &request),
            Err(refusal) => {
                assert!(
                    !refusal.closes && refusal.request_id == frame.header.request_id,
                    "a complete frame never closes, and its id is known"
                );
                format!("refused {} {}", refusal.code, refusal.detail)
            }
        },
        Side::Reply => match frame.reply() {
            Ok(reply) => tell_reply(frame.header.request_id, &reply),
            Err(malformed) => format!("malformed {}", malformed.offset),
        },
    }
}

const TOLD_MAX: usize = 16;
const KEY_BYTES_TOLD_MAX: usize = 64;

fn tell_request(id: u32, request: &Request<'_>) -> String {
    match request {
        Request::Hello(hello) => format!("HELLO id {id} versions {}-{} name {:?}", hello.version_min, hello.version_max, hello.name),
        Request::Lookup(keys) => {
            if keys.len() > TOLD_MAX || keys.clone().any(|(_, key)| key.len() > KEY_BYTES_TOLD_MAX) {
                return format!("LOOKUP id {id}: {} keys", keys.clone().count());
            }
            let told: Vec<_> = keys
                .clone()
                .map(|(raw, key)| match KeyKind::from_raw(raw) {
                    Some(kind @ (KeyKind::Url | KeyKind::Host)) => format!("{kind} {:?}", String::from_utf8_lossy(key)),
                    Some(kind) => format!("{kind} {}", hex(key)),
                    None => format!("{raw} {}", hex(key)),
                })
                .collect();
            let budget = if keys.budget_us() == 0 { String::new() } else { format!(" budget {}", keys.budget_us()) };
            format!("LOOKUP id {id}{budget} keys: {}", told.join("; "))
        }
        Request::LookupHashed(lookup) => {
            let keys = lookup.keys(lookup.generation()).expect("the generation it names");
            let how = match lookup.place() {
                Place { suffix: false, prefix: false } => "exact",
                Place { suffix: true, prefix: false } => "suffix",
                Place { suffix: false, prefix: true } => "prefix",
                Place { suffix: true, prefix: true } => "suffix prefix",
            };
            let told = match keys.len() {
                0..=TOLD_MAX => keys.map(|key| format!("{:016x}{:016x}", key.hi, key.lo)).collect::<Vec<_>>().join(" "),
                count => format!("{count} keys"),
            };
            format!("LOOKUP_HASHED id {id} generation {:016x} {how}: {told}", lookup.generation())
        }
        Request::LookupFiles(files) => {
            if files.len() > TOLD_MAX {
                return format!("LOOKUP_FILES id {id}: {} files", files.clone().count());
            }
            let budget = if files.budget_us() == 0 { String::new() } else { format!(" budget {}", files.budget_us()) };
            let told: Vec<_> = files
                .clone()
                .map(|file| {
                    let set = FeatureSet::from_raw(file.features).map_or(file.features.to_string(), |set| set.to_string());
                    file.values.fold(format!("{} {set}", hex(file.sha256)), |told, value| format!("{told} {value}"))
                })
                .collect();
            format!("LOOKUP_FILES id {id}{budget} files: {}", told.join("; "))
        }
        Request::Describe(describe) => {
            let ids = describe.ids(describe.generation()).expect("the generation it names");
            match ids.len() {
                0..=TOLD_MAX => {
                    let told: Vec<_> = ids.map(|id| id.to_string()).collect();
                    format!("DESCRIBE id {id} generation {:016x} ids: {}", describe.generation(), told.join(" "))
                }
                count => format!("DESCRIBE id {id} generation {:016x}: {count} ids", describe.generation()),
            }
        }
        Request::Explain { kind, key } => match key.len() {
            0..=KEY_BYTES_TOLD_MAX => format!("EXPLAIN id {id} kind {kind} key {:?}", String::from_utf8_lossy(key)),
            bytes => format!("EXPLAIN id {id} kind {kind}: {bytes} bytes"),
        },
        Request::Ping(payload) => format!("PING id {id} payload {}", hex(payload)),
    }
}

fn tell_reply(id: u32, reply: &Reply<'_>) -> String {
    match reply {
        Reply::Hello(hello) => {
            let (limits, profile) = (hello.limits, hello.profile);
            format!(
                "HELLO_REPLY id {id} generation {:016x} version {} of {}-{} limits {} {} {} {} profile {} {} {} h {} k {} server {:?}",
                hello.generation,
                hello.version,
                hello.version_min,
                hello.version_max,
                limits.frame_bytes_max,
                limits.keys_max,
                limits.key_bytes_max,
                limits.requests_in_flight_max,
                profile.scheme,
                profile.host_labels_max,
                profile.path_prefixes_max,
                hex(&hello.hash_key.h),
                hex(&hello.hash_key.k),
                hello.server
            )
        }
        Reply::Answers(list) => {
            let told = match list.answers.len() {
                0..=TOLD_MAX => list.answers.iter().map(Answer::to_string).collect::<Vec<_>>().join("; "),
                count => format!("{count} answers"),
            };
            format!("ANSWERS id {id} generation {:016x}: {told}", list.generation)
        }
        Reply::Descriptions(list) => {
            let told: Vec<_> = list.clone().map(|(description, sources)| tell_description(&description, sources)).collect();
            format!("DESCRIPTIONS id {id} generation {:016x}: {}", list.generation, told.join("; "))
        }
        Reply::Explanation(explanation) => format!("EXPLANATION id {id} {}", tell_explanation(&explanation.to_owned())),
        Reply::Pong(pong) => format!("PONG id {id} generation {:016x} payload {}", pong.generation, hex(pong.payload)),
        Reply::Error(error) => {
            let code = match ErrorCode::from_raw(error.code_raw) {
                Some(code) => code.to_string(),
                None => format!("{}({})", error.code(), error.code_raw),
            };
            let closing = if error.closing { " closing" } else { "" };
            format!("ERROR id {id} generation {:016x} {code} {} {:?}{closing}", error.generation, error.detail, error.message)
        }
    }
}

fn tell_explanation(explained: &Explained) -> String {
    let Explained { generation, status, flags, canonical, hosts, paths, paths_exact, reason, matches } = explained;
    let canonical = match canonical.len() {
        0..=KEY_BYTES_TOLD_MAX => format!("{canonical:?}"),
        bytes => format!("{bytes} bytes"),
    };
    let mut told = format!("generation {generation:016x} {status} flags {flags} canonical {canonical} reason {reason:?} hosts");
    for (host, HostAsked { paths_asked, listed, .. }) in hosts {
        write!(told, " {host}({listed} {paths_asked})").expect("a String takes all");
    }
    write!(told, " paths {paths_exact} of {}", paths.join(" ")).expect("a String takes all");
    if matches.len() > TOLD_MAX {
        write!(told, "; {} matches", matches.len()).expect("a String takes all");
        return told;
    }
    for ExplainedMatch { found, signature } in matches {
        let (first, last) = found.network();
        let on = match found.on() {
            MatchOn::Host => format!("host {}", found.host),
            MatchOn::Url => format!("url {} {}", found.host, found.path),
            MatchOn::Network => format!("network {first} {last}"),
            MatchOn::Signature => format!("signature {signature:?}"),
            on => on.to_string(),
        };
        write!(told, "; {on} {} {}", found.flags(), found.answer).expect("a String takes all");
    }
    told
}

fn tell_description(description: &Description, sources: SourceNames<'_>) -> String {
    let mut told = format!(
        "id {} {} score {} confidence {} rule {} categories {} flags {} days {}-{} ttl {} sources",
        description.id,
        description.class(),
        description.score,
        description.confidence,
        description.rule_kind(),
        description.categories(),
        description.flags(),
        description.first_seen_day,
        description.last_seen_day,
        description.ttl_s
    );
    for source in sources {
        write!(told, " {source:?}").expect("a String takes all");
    }
    told
}

/// What the frame says, encoded by this crate; `None` where it says something this crate never writes.
pub fn encoded_again(side: Side, frame: &Frame<'_>) -> Option<Vec<u8>> {
    match side {
        Side::Request => again::request_again(frame),
        Side::Reply => again::reply_again(frame),
    }
}
