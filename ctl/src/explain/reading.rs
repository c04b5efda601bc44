//! What is known of one key: the JSON document, and what people are shown. Keys are added over time, never renamed or removed.

use super::about::About;
use serde::Serialize;
use verdict_tables::Class;

/// How a key is read, what was asked for it, and what matches.
#[derive(Debug, Default, Serialize)]
pub struct Reading {
    pub question: String,
    pub kind: &'static str,
    /// Null for a key that is unparseable.
    pub canonical: Option<String>,
    pub unparseable: Option<String>,
    /// The exact host, then its suffixes, longest first.
    pub hosts: Vec<String>,
    /// With query, without, then prefixes, longest first.
    pub paths: Vec<String>,
    /// Who was asked; null if nobody.
    pub asked: Option<String>,
    /// Null if nobody was asked.
    pub generation: Option<String>,
    /// Every host alone, and every host with every path.
    pub expressions: Vec<Expression>,
    /// The winner first.
    pub matches: Vec<RuleMatch>,
    /// The operator's act that decides: what, who, when, until when, and why. Null where none does.
    pub overlay: Option<String>,
    /// What models say, a line each, and a line of the pieces of the text that count most for it.
    pub models: Vec<String>,
    /// More rules match than were told.
    pub matches_cut: bool,
    /// The explain store that was used.
    pub store: Option<String>,
    /// Why lines are missing.
    pub store_note: Option<String>,
    #[serde(skip)]
    pub number: u64,
    /// SHA-256 of the snapshot, where it is at hand.
    #[serde(skip)]
    pub sha256: Option<[u8; 32]>,
}

impl Reading {
    /// What decides.
    pub fn winner(&self) -> Option<&RuleMatch> {
        self.matches.first().filter(|first| !first.off)
    }
}

/// One expression of the question.
#[derive(Debug, Serialize)]
pub struct Expression {
    pub host: String,
    /// Null for the host alone.
    pub path: Option<String>,
    /// The tables were probed for it. Paths are, where the host's entry says that URL rules stand under it.
    pub asked: bool,
    /// The tables have an entry of this host; false for hosts with paths.
    pub listed: bool,
}

/// A rule that matches.
#[derive(Debug, Serialize)]
pub struct RuleMatch {
    pub wins: bool,
    /// It is switched off: it would say that, and does not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub off: bool,
    /// Why it wins, or why it loses.
    pub why: String,
    /// What of the question it is about: an expression, a network, the key.
    pub on: String,
    pub rule: &'static str,
    pub class: &'static str,
    pub score: u8,
    pub confidence: u8,
    pub categories: Vec<&'static str>,
    pub flags: Vec<&'static str>,
    /// Null for a rule that only the store knows: the snapshot has no record of it.
    pub verdict_id: Option<u32>,
    pub sources: Vec<String>,
    /// Every word on this rule, if there is a store. Those that count first.
    pub votes: Vec<Vote>,
    /// There are more votes than are told.
    pub votes_cut: bool,
    /// What is odd about it.
    pub note: Option<String>,
    #[serde(skip)]
    pub found: Found,
}

/// What decides between rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub about: About,
    pub class: Class,
    pub allow: bool,
    pub overrides: bool,
    /// An operator's act, not a rule.
    pub overlay: bool,
}

impl Found {
    /// Unblock, block, override, allow, malicious, suspicious, clean, unknown: 7 to 0, as the daemon ranks.
    pub fn rank(&self) -> u8 {
        match (self.overlay, self.overrides, self.allow) {
            (true, _, true) => 7,
            (true, ..) => 6,
            (_, true, _) => 5,
            (_, _, true) => 4,
            _ => self.class as u8,
        }
    }

    /// As the sentence names it.
    pub fn standing(&self) -> &'static str {
        match self.rank() {
            7 => "unblock",
            6 => "block",
            5 => "override",
            4 => "allow",
            _ => self.class.name(),
        }
    }
}

/// One line's word on a rule.
#[derive(Debug, Serialize)]
pub struct Vote {
    /// Its standing is the highest on this rule; else it is overruled.
    pub counts: bool,
    pub why: String,
    pub feed: String,
    pub file: String,
    pub line: u64,
    /// `override`, `allow`, or the class.
    pub says: &'static str,
    pub class: &'static str,
    pub score: u8,
    pub confidence: u8,
    pub categories: Vec<&'static str>,
    /// 2026-06-01; null if not known.
    pub first_seen: Option<String>,
    pub last_seen: Option<String>,
    pub ttl_s: u32,
    /// Where the row says to read about it; null if it does not.
    pub reference: Option<String>,
    /// The line as the feed has it; null if it cannot be shown.
    pub text: Option<String>,
    /// Why it cannot.
    pub text_note: Option<String>,
}
