//! What a compilation did, feed by feed: what scripts read as JSON and what the operator's command prints.

use crate::aggregate::Aggregated;
use crate::config::Feed;
use crate::format::Format;
use crate::gates::Verdicts;
use crate::reason::Reason;
use crate::scan::Counts;
use serde::Serialize;
use std::collections::BTreeMap;

/// A row, or one indicator of a row, that gave no rule. Sinks get it while the feed is read; nothing of it is kept.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Rejected<'a> {
    /// Name of the feed.
    pub feed: &'a str,
    /// Its file.
    pub file: &'a str,
    /// From 1.
    pub line: u64,
    /// Stable code.
    pub reason: &'static str,
    /// The same for people.
    pub why: &'a str,
    /// The row itself is kept: only one of its indicators was rejected.
    pub part: bool,
    /// Its beginning, printable ASCII: everything else is escaped as in a Rust byte string.
    pub excerpt: &'a str,
}

/// Takes news of a compilation as it goes. Every method may be left as it is.
pub trait Sink {
    /// A feed is about to be read, in the order of their names.
    fn begin(&mut self, feed: &str, file: &str, file_bytes: u64) {
        let _ = (feed, file, file_bytes);
    }
    /// Its format is known: "detected: urlhaus-csv because …", or that the operator named it.
    fn format(&mut self, feed: &str, format: Format, because: &str) {
        let _ = (feed, format, because);
    }
    /// How far its file has been read.
    fn progress(&mut self, feed: &str, bytes: u64, file_bytes: u64) {
        let _ = (feed, bytes, file_bytes);
    }
    /// A row or a part of one gave no rule.
    fn rejected(&mut self, rejected: &Rejected<'_>) {
        let _ = rejected;
    }
    /// A feed has been read.
    fn end(&mut self, report: &FeedReport) {
        let _ = report;
    }
    /// All feeds are read and the table is about to be built: who is told how far that is?
    fn building(&mut self) -> Option<verdict_tables::Progress> {
        None
    }
}

/// A sink for nobody.
impl Sink for () {}

/// A file of an archive or directory whose format could not be told.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Its name there.
    pub file: String,
    /// What was seen.
    pub why: String,
}

/// What became of one feed.
#[derive(Clone, Debug, Serialize)]
pub struct FeedReport {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// `None` where the feed could not be opened or its format not told, or where its files have several.
    pub format: Option<Format>,
    /// Why this format.
    pub because: String,
    /// How it is packed: `gzip`, `tar, gzip`, `zip`, `a directory`, …; empty for a plain file.
    pub packed: String,
    /// Files that were read; 1 where the feed is one file.
    pub files: u64,
    /// How many files have each format.
    pub formats: BTreeMap<&'static str, u64>,
    /// Files of an archive or directory that were not read, and why; the first `LEFT_OUT_TOLD_MAX` of them.
    pub left_out: Vec<LeftOut>,
    /// How many were not.
    pub left_out_files: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Rows and rules.
    pub counts: Counts,
    /// Why the feed was refused as a whole, if it was.
    pub error: Option<String>,
    /// Why the deployment may not hold it, if it may not: then it was not opened.
    pub withheld: Option<String>,
    /// It was read to its end, and refused because it gives no rule.
    pub gives_no_rule: bool,
    /// How long reading took.
    pub seconds: f64,
}

impl FeedReport {
    /// Of a feed that nobody has opened yet.
    pub(crate) fn new(feed: &Feed) -> Self {
        Self {
            name: feed.name.clone(),
            file: feed.path.display().to_string(),
            format: None,
            because: String::new(),
            packed: String::new(),
            files: 0,
            formats: BTreeMap::new(),
            left_out: Vec::new(),
            left_out_files: 0,
            file_bytes: 0,
            counts: Counts::default(),
            error: None,
            withheld: None,
            gives_no_rule: false,
            seconds: 0.0,
        }
    }
}

/// What became of all of them.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// By name.
    pub feeds: Vec<FeedReport>,
    /// Sums over all feeds.
    pub counts: Counts,
    /// The profile of the deployment, if feeds were chosen by one.
    pub profile: Option<String>,
    /// `as_of` was given: without it no row ages, and none expires.
    pub as_of_stated: bool,
    /// What the gates say; empty where it did not come to them.
    pub gates: Verdicts,
    /// What `ipv6_aggregate` added; zeros without it.
    pub ipv6_aggregated: Aggregated,
    /// 16 hexadecimal digits; empty when nothing was built.
    pub generation: String,
    /// Size of the snapshot.
    pub snapshot_bytes: u64,
    /// Size of the explain store; 0 where none was written.
    pub store_bytes: u64,
    /// Of building, the explain store.
    pub store_seconds: f64,
    /// Of building, the gates.
    pub gate_seconds: f64,
    /// The files have their names.
    pub written: bool,
    /// Reading and building.
    pub seconds: f64,
    /// Of that, building.
    pub build_seconds: f64,
}

/// Escapes and shows a rejected row.
pub(crate) struct Telling<'a> {
    pub feed: &'a str,
    pub file: &'a str,
}

impl Telling<'_> {
    pub(crate) fn tell(&self, sink: &mut dyn Sink, line: u64, reason: Reason, part: bool, excerpt: &[u8]) {
        let (why, excerpt) = (reason.to_string(), excerpt.escape_ascii().to_string());
        sink.rejected(&Rejected { feed: self.feed, file: self.file, line, reason: reason.code(), why: &why, part, excerpt: &excerpt });
    }
}
