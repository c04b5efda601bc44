//! Questions whose answers are known: a snapshot that answers one of them otherwise is not served.
//!
//! ```text
//! www.example.org <tab> unknown|clean   a name that must never be blocked
//! botnet.test     <tab> malicious       one that must be: so that an empty table, or one hashed by another key, fails too
//! ```
//! One more is always asked: a name below `.invalid`, drawn from the snapshot's own hash, must not be listed. A rule that covers everything
//! (`*`, a bare suffix) is caught by it even where the operator named no canaries.

use super::refusal::Refusal;
use crate::{Class, Scratch, Snapshot, Status, Verdict, lookup};
use verdict_keys::{Batch, Kind, Question, URL_BYTES_MAX};
use verdict_simd::Backend;

/// The classes that a question may be answered with; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(u8);

impl Expected {
    /// Not listed as bad.
    pub const HARMLESS: Self = Self(1 << Class::Unknown as u8 | 1 << Class::Clean as u8);

    /// Bit n is class n.
    pub fn from_bits(bits: u8) -> Option<Self> {
        (1..=15).contains(&bits).then_some(Self(bits))
    }

    /// Bit n is class n.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether only a listing satisfies it.
    pub fn needs_a_listing(self) -> bool {
        self.0 & Self::HARMLESS.0 == 0
    }

    fn holds(self, class: Class) -> bool {
        self.0 >> class as u8 & 1 != 0
    }

    /// `malicious`, or `unknown|clean`.
    fn parse(text: &str) -> Option<Self> {
        let bit =
            |name: &str| (0..4).find(|class| Class::from_u8(*class).is_some_and(|class| class.name() == name)).map(|class| 1 << class);
        text.split('|').map(|name| bit(name.trim())).try_fold(0, |bits, bit| Some(bits | bit?)).and_then(Self::from_bits)
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = (0..4).filter_map(Class::from_u8).filter(|class| self.holds(*class)).map(Class::name);
        out.write_str(&names.collect::<Vec<_>>().join(" or "))
    }
}

/// A question, and what it must be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Of the key.
    pub kind: Kind,
    /// Classes.
    pub expected: Expected,
    /// Text of a URL or host, or bytes of an address or digest.
    pub key: Box<[u8]>,
}

impl Canary {
    /// If the kind is known and the key can be one.
    pub fn new(kind: u8, expected: Expected, key: &[u8]) -> Option<Self> {
        let (kind, bytes) = match kind {
            1 => (Kind::Url, 1..=URL_BYTES_MAX),
            2 => (Kind::Host, 1..=URL_BYTES_MAX),
            3 => (Kind::Ipv4, 4..=4),
            4 => (Kind::Ipv6, 16..=16),
            5 => (Kind::Sha256, 32..=32),
            6 => (Kind::Sha1, 20..=20),
            7 => (Kind::Md5, 16..=16),
            _ => return None,
        };
        bytes.contains(&key.len()).then(|| Self { kind, expected, key: key.into() })
    }

    /// As people see it.
    fn shown(&self) -> String {
        match self.kind {
            Kind::Url | Kind::Host => self.key.escape_ascii().to_string(),
            Kind::Ipv4 => self.key.first_chunk::<4>().map_or(String::new(), |octets| std::net::Ipv4Addr::from(*octets).to_string()),
            Kind::Ipv6 => self.key.first_chunk::<16>().map_or(String::new(), |octets| std::net::Ipv6Addr::from(*octets).to_string()),
            Kind::Sha256 | Kind::Sha1 | Kind::Md5 => super::hex(&self.key),
        }
    }
}

/// Reads a list: a question by its look, a tab, the classes it may be answered with (`malicious`, `unknown|clean`), and after another tab a remark.
/// It is the format of `verdictctl ask`.
///
/// # Errors
/// `line N: why`.
pub fn read_canaries(text: &str) -> Result<Vec<Canary>, String> {
    let mut canaries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", number + 1);
        let (question, rest) = line.split_once('\t').ok_or_else(|| wrong("QUESTION <tab> CLASS is missing its tab"))?;
        let classes = rest.split('\t').next().unwrap_or_default();
        let expected =
            Expected::parse(classes).ok_or_else(|| wrong("the class is none of unknown, clean, suspicious, malicious (a|b for either)"))?;
        let question = Question::detect(question).map_err(|why| wrong(&why.to_string()))?;
        let (kind, key) = question.key().ok_or_else(|| wrong("a prefix is a rule, not a question"))?;
        canaries.push(Canary::new(kind as u8, expected, key.as_ref()).ok_or_else(|| wrong("the key is too long"))?);
    }
    Ok(canaries)
}

/// Asks all of them, and the one that is always asked.
pub fn check_canaries<B: Backend>(backend: B, snapshot: &Snapshot, canaries: &[Canary]) -> Result<(), Refusal> {
    let nobody = format!("{}.canary.invalid", super::hex(&snapshot.sha256()[..16]));
    let always = [(Kind::Host, nobody.as_bytes()), (Kind::Url, nobody.as_bytes())].map(|(kind, key)| Canary {
        kind,
        expected: Expected::HARMLESS,
        key: key.into(),
    });
    let asked: Vec<&Canary> = canaries.iter().chain(&always).collect();
    let (mut batch, mut scratch) = (Batch::with_capacity(asked.len()), Scratch::default());
    batch.keep_texts(snapshot.reads_texts());
    for canary in &asked {
        batch.push(backend, snapshot.schedule(), snapshot.profile(), canary.kind, &canary.key);
    }
    let mut verdicts = vec![Verdict::default(); asked.len()];
    lookup(backend, snapshot, &batch, &mut scratch, &mut verdicts);
    for (number, (canary, verdict)) in asked.iter().zip(&verdicts).enumerate() {
        let class = verdict.class().filter(|_| verdict.status() == Some(Status::Ok));
        if !class.is_some_and(|class| canary.expected.holds(class)) {
            let got = class.map_or_else(|| "nothing: it is no key".to_owned(), |class| class.name().to_owned());
            return Err(Refusal::Canary { number: number + 1, question: canary.shown(), got, expected: canary.expected.to_string() });
        }
    }
    Ok(())
}
