//! Which models a node runs, for which keys, and how far each is believed: one file, read strictly, signed as a whole.
//!
//! ```text
//! # verdictd-models 1                     first line
//! sequence = 7                            rises with every change, so that an old file cannot be put back
//! [[model]]
//! name = "url"  version = 3               what every answer names
//! file = "url-3.onnx"   sha256 = "…"      kind = "url"
//! mode = "shadow"                         off, shadow, enforce
//! cpu_percent = 10.0                      of a shard
//! expires = 2027-05-01
//! features = { name = "url-1", bits = 15, host_grams = [2, 3, 4, 5], rest_grams = [3, 4] }
//! gate = { tlds = ["top", "xyz"] }        or: after = "url-first", head = "phishing", band = [-1.0, 5.0]
//! provenance = { data = ["…"], remark = "…" }
//! [[model.head]]                          as many as the model has logits, in its order
//! name = "phishing"  categories = ["phishing"]  suspicious = 5.82
//! ```
//! Thresholds and bands are logits, as the trainer writes them. A head that says *malicious* must be told so (`malicious = 12.0`); without it
//! *suspicious* is the most it can say, and without `suspicious` it says nothing. Every mistake has its line; one mistake refuses the file.
//! docs/models.md is the operator's page.

mod parse;
mod popular;
mod raw;
mod route;
mod score;

pub use parse::{MistakeAt, parse};
pub use popular::{LIST_BYTES_MAX, Popular};
pub use route::{Crowd, PER_KEY_MAX, Router, tld};
pub use score::score_of;

use crate::features::Spec;

/// First line of a file.
pub const MAGIC: &str = "# verdictd-models 1";
/// Models of one node at most.
pub const MODELS_MAX: usize = 1024;
/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;
/// Names of top-level domains in a gate at most.
pub const TLDS_MAX: usize = 256;
/// Logits are nowhere near: a threshold beyond is a slip of the pen.
pub const LOGIT_MAX: f32 = 1000.0;

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

    /// As the file has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Host => "host",
            Self::File => "file",
        }
    }
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

impl Mode {
    /// As the file has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// Where the rows of a key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Grams and counts of canonical text.
    Text(Spec),
    /// Leaves of the trees in this file, to which the fields of a file lead.
    Trees {
        /// Its name, beside the registry.
        file: String,
        /// Its digest.
        sha256: [u8; 32],
    },
}

/// What a model looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// As the trainer calls them.
    pub name: String,
    /// How they are had.
    pub source: Source,
}

/// What a model's logit must reach to be asked further.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct After {
    /// Which model: its place in `Registry::models`.
    pub place: usize,
    /// Which of its logits; the largest where none is named.
    pub head: Option<usize>,
    /// Both ends included.
    pub band: [f32; 2],
}

/// Which keys a model is asked about, besides their kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gate {
    /// Only these top-level domains, ascending; all where it is empty.
    pub tlds: Vec<String>,
    /// Only after another model, where its logit lies in a band.
    pub after: Option<After>,
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

/// One of a model's logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Its name.
    pub name: String,
    /// Bits of the categories that it means.
    pub categories: u16,
    /// From this logit on it says *suspicious*; never without.
    pub suspicious: Option<f32>,
    /// From this logit on it says *malicious*, where the operator lets it.
    pub malicious: Option<f32>,
}

/// One model.
#[derive(Clone, Debug, PartialEq)]
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
    /// What it looks at.
    pub features: Features,
    /// How far it is believed.
    pub mode: Mode,
    /// Its share of a shard's CPU, in thousandths of a percent.
    pub cpu_share: u32,
    /// Unix seconds from which on it is asked no more.
    pub expires_s: u64,
    /// Which keys.
    pub gate: Gate,
    /// Its logits, in the model's order.
    pub heads: Vec<Head>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Where its table begins in the file.
    pub line: usize,
}

/// Names whose keys need more to be suspected.
#[derive(Clone, Debug, PartialEq)]
pub struct PopularFile {
    /// The list's name, beside the registry.
    pub file: String,
    /// Its digest.
    pub sha256: [u8; 32],
    /// What is added to every threshold for such a name.
    pub margin: f32,
    /// Where its table stands in the file.
    pub line: usize,
}

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registry {
    /// Rises with every change.
    pub sequence: u64,
    /// Whose keys are damped.
    pub popular: Option<PopularFile>,
    /// In the order of the file; a cascade's later stage stands after its earlier one.
    pub models: Vec<Entry>,
}

/// What a model's logit says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// Nothing.
    Nothing,
    /// Worth a second look.
    Suspicious,
    /// Harmful, where the operator lets a model say so.
    Malicious,
}

/// What a model says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    /// The head that says most; of several the one with the largest logit.
    pub head: u8,
    /// What it says.
    pub says: Says,
    /// Its probability in hundredths, for people.
    pub score: u8,
}

impl Head {
    /// What this logit says, with this much added to the thresholds.
    #[inline]
    pub fn says(&self, logit: f32, margin: f32) -> Says {
        let reaches = |threshold: Option<f32>| threshold.is_some_and(|from| logit >= from + margin);
        match () {
            () if !reaches(self.suspicious) => Says::Nothing,
            () if reaches(self.malicious) => Says::Malicious,
            () => Says::Suspicious,
        }
    }
}

impl Entry {
    /// Whether it is asked at this time.
    pub fn is_on(&self, now_s: u64) -> bool {
        self.mode != Mode::Off && now_s < self.expires_s
    }

    /// What these logits say, one a head; `margin` is what a popular name needs above the thresholds, else zero.
    #[inline]
    pub fn word(&self, logits: &[f32], margin: f32) -> Word {
        let mut best = (Says::Nothing, f32::NEG_INFINITY, 0);
        for (at, (head, &logit)) in self.heads.iter().zip(logits).enumerate() {
            let says = head.says(logit, margin);
            if says > best.0 || says == best.0 && logit > best.1 {
                best = (says, logit, at as u8);
            }
        }
        Word { head: best.2, says: best.0, score: score_of(best.1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(suspicious: Option<f32>, malicious: Option<f32>) -> Head {
        Head { name: "h".into(), categories: 0, suspicious, malicious }
    }

    fn entry(heads: Vec<Head>) -> Entry {
        let features = Features { name: "f".into(), source: Source::Text(Spec::NONE) };
        let gate = Gate::default();
        let provenance = Provenance::default();
        let (name, file) = ("m".to_owned(), "m.onnx".to_owned());
        let (mode, subject) = (Mode::Enforce, Subject::Url);
        Entry {
            name,
            version: 1,
            file,
            sha256: [0; 32],
            subject,
            features,
            mode,
            cpu_share: 1000,
            expires_s: 100,
            gate,
            heads,
            provenance,
            line: 1,
        }
    }

    #[test]
    fn the_head_that_says_most_speaks() {
        let entry = entry(vec![head(Some(2.0), None), head(Some(5.0), Some(7.0)), head(None, None)]);
        let word = |logits: [f32; 3], margin| {
            let word = entry.word(&logits, margin);
            (word.head, word.says)
        };
        assert_eq!(word([1.9, 4.9, 9.0], 0.0), (2, Says::Nothing), "the third never speaks, though its logit is the largest");
        assert_eq!(word([2.0, 4.9, 9.0], 0.0), (0, Says::Suspicious));
        assert_eq!(word([3.0, 5.0, 9.0], 0.0), (1, Says::Suspicious), "of two the larger logit");
        assert_eq!(word([30.0, 7.0, 9.0], 0.0), (1, Says::Malicious), "and who says more speaks first");
        assert_eq!(word([30.0, 7.0, 9.0], 2.5), (0, Says::Suspicious), "for a popular name");
        assert_eq!(entry.word(&[3.0, 5.0, 9.0], 0.0).score, 99);
    }

    #[test]
    fn what_is_no_number_says_nothing() {
        let entry = entry(vec![head(Some(2.0), Some(3.0))]);
        assert_eq!(entry.word(&[f32::NAN], 0.0), Word { head: 0, says: Says::Nothing, score: 0 });
        assert_eq!(entry.word(&[], 0.0).says, Says::Nothing);
    }

    #[test]
    fn what_has_expired_or_is_off_is_not_asked() {
        let mut entry = entry(vec![]);
        assert_eq!([entry.is_on(99), entry.is_on(100)], [true, false]);
        entry.mode = Mode::Off;
        assert!(!entry.is_on(99));
    }
}
