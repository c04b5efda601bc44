//! Which models a node runs, for which keys, and how far each is believed: one file, read strictly, signed as a whole.
//!
//! ```text
//! # verdictd-models 1                     first line: what is signed cannot be taken for anything else
//! sequence = 7                            rises with every change, so that an old file cannot be put back
//! [[model]]
//! name = "url-first"      version = 3     what every answer names
//! file = "url-first-3.onnx"   sha256 = "…"
//! kind = "url"            features = "url-1"
//! mode = "shadow"                         off, shadow, enforce
//! cpu_percent = 10.0                      of a shard
//! suspicious = 0.97                       score from which on it says so
//! expires = 2027-05-01
//! categories = ["phishing"]
//! gate = { tlds = ["top", "xyz"] }        or: after = "url-first", band = [0.2, 0.97]
//! provenance = { trained = 2026-11-01, data = ["…"], remark = "…" }
//! ```
//! A model that says *malicious* must be told so (`malicious = 0.999`); without it *suspicious* is the most it can say. Every mistake has its line;
//! one mistake refuses the file, and the last good one stays.

mod parse;
mod route;

pub use parse::{MistakeAt, parse};
pub use route::{Crowd, PER_KEY_MAX, Router, tld};

/// First line of a file.
pub const MAGIC: &str = "# verdictd-models 1";
/// Models of one node at most.
pub const MODELS_MAX: usize = 1024;
/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Names of top-level domains in a gate at most.
pub const TLDS_MAX: usize = 256;

/// A score or threshold in millionths: an integer, so that a comparison is the same everywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u32);

impl Score {
    /// One, in millionths.
    pub const ONE: Self = Self(1_000_000);

    /// From a number of 0 to 1, to the nearest millionth; none for anything else.
    pub fn from_unit(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then(|| Self((value * 1e6).round() as u32))
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// What a model is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A URL: host, path and query.
    Url,
    /// A host name.
    Host,
    /// A file, by features that the client extracted.
    File,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Url, Self::Host, Self::File];
}

/// How far a model is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is not loaded.
    Off,
    /// It is asked within its own share of CPU, dropped first, and answers nobody: its disagreements are counted.
    Shadow,
    /// Its word is in the answer.
    Enforce,
}

/// Which keys a model is asked about, besides their kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gate {
    /// Only these top-level domains, ascending; all where it is empty.
    pub tlds: Vec<String>,
    /// Only after this model (place in `Registry::models`), where its score lies in the band, both ends included.
    pub after: Option<(usize, [Score; 2])>,
}

/// Where a model comes from, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Data sets by name.
    pub data: Vec<String>,
    /// The trainer's revision.
    #[serde(default)]
    pub trainer: String,
    /// Anything else.
    #[serde(default)]
    pub remark: String,
}

/// One model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, for answers, metrics and logs.
    pub name: String,
    /// Its version, at least 1.
    pub version: u32,
    /// The file's name, beside the registry.
    pub file: String,
    /// The file's digest.
    pub sha256: [u8; 32],
    /// What it is asked about.
    pub subject: Subject,
    /// The name of its features.
    pub features: String,
    /// How far it is believed.
    pub mode: Mode,
    /// Its share of a shard's CPU, in thousandths of a percent.
    pub cpu_share: u32,
    /// From this score on it says *suspicious*.
    pub suspicious: Score,
    /// From this score on it says *malicious*, where the operator lets it.
    pub malicious: Option<Score>,
    /// Unix seconds after which it is asked no more.
    pub expires_s: u64,
    /// Bits of the categories that it means.
    pub categories: u16,
    /// Which keys.
    pub gate: Gate,
    /// Where it comes from.
    pub provenance: Provenance,
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Rises with every change.
    pub sequence: u64,
    /// In the order of the file; a cascade's later stage stands after its earlier one.
    pub models: Vec<Entry>,
}

/// What a model's score says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// Nothing.
    Nothing,
    /// Worth a second look.
    Suspicious,
    /// Harmful, where the operator lets a model say so.
    Malicious,
}

impl Entry {
    /// What this score says, at this time: nothing once it has expired.
    pub fn says(&self, score: Score, now_s: u64) -> Says {
        if now_s >= self.expires_s || self.mode == Mode::Off {
            return Says::Nothing;
        }
        match self.malicious {
            Some(from) if score >= from => Says::Malicious,
            _ if score >= self.suspicious => Says::Suspicious,
            _ => Says::Nothing,
        }
    }
}
