//! Reads one feed from its first byte to its last and accounts for every row.
//!
//! ```text
//! rows = kept + rejected + comments + blank            (Counts::adds_up, held by tests and by a debug assertion)
//! ```
//! A row with several indicators counts once: it is kept when at least one of them gives a rule; the others are told as *parts*
//! and counted apart. Nothing of the feed is held but the line being read.

use crate::format::Format;
use crate::json::{Cursor, Fault};
use crate::judge::{Judge, Terms};
use crate::limits::EXCERPT_BYTES;
use crate::lines::{Line as Input, Lines};
use crate::read::document::Rows;
use crate::read::table::Columns;
use crate::read::{Line, Row, Said, document, reader};
use crate::reason::Reason;
use crate::suffixes::Suffixes;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Read};
use verdict_keys::Digest;
use verdict_tables::Rule;

/// How a feed is read.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Its format.
    pub format: Format,
    /// For [`Format::Csv`].
    pub columns: Option<&'a Columns>,
    /// What its rules are like.
    pub terms: Terms,
    /// Which names are public suffixes.
    pub suffixes: &'a Suffixes,
}

/// Takes what a scan finds.
pub trait Visitor {
    /// A rule of line `line` (from 1), and where the row says to read about it. An error rejects this part of the row.
    fn rule(&mut self, line: u64, rule: Rule<'_>, said: &Said, reference: Option<&[u8]>) -> Result<(), Reason>;
    /// A row, or with `part` one indicator of a row that is kept for another, gave nothing. `excerpt` is raw.
    fn rejected(&mut self, line: u64, reason: Reason, part: bool, excerpt: &[u8]) {
        let _ = (line, reason, part, excerpt);
    }
    /// Called now and then.
    fn progress(&mut self) {}
}

/// Why a feed could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file, its compression, or a limit on it.
    #[error("line {line}: {error}")]
    Io {
        /// Lines read before.
        line: u64,
        /// What the system or the decompressor said.
        error: io::Error,
    },
    /// The feed is not what it was declared to be.
    #[error("line {line}: {why}")]
    Declared {
        /// The line.
        line: u64,
        /// What does not fit.
        why: String,
    },
    /// A plan without what its format needs.
    #[error("{0}")]
    Plan(String),
}

/// What became of the rows of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines of the feed.
    pub rows: u64,
    /// Rows that gave at least one rule.
    pub kept: u64,
    /// Comments and headers.
    pub comments: u64,
    /// Blank lines.
    pub blank: u64,
    /// Rejected rows by reason code.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Rejected indicators of kept rows by reason code.
    pub parts_rejected: BTreeMap<&'static str, u64>,
    /// Rules given on, the same rule twice counted twice.
    pub rules: Kinds,
    /// Date columns that hold something else.
    pub dates_unread: u64,
}

/// Rules by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// Exact URLs and path prefixes.
    pub url: u64,
    /// Hosts, with or without the names below.
    pub host: u64,
    /// IPv4 addresses and prefixes.
    pub ipv4: u64,
    /// IPv6 addresses and prefixes.
    pub ipv6: u64,
    /// File digests.
    pub sha256: u64,
    /// File digests.
    pub sha1: u64,
    /// File digests.
    pub md5: u64,
    /// Texts within names and URLs.
    pub signature: u64,
}

impl Counts {
    /// All rejected rows.
    pub fn rejected_rows(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Every row is accounted for exactly once.
    pub fn adds_up(&self) -> bool {
        self.rows == self.kept + self.rejected_rows() + self.comments + self.blank
    }

    /// Sums of two feeds.
    pub fn add(&mut self, other: &Counts) {
        self.rows += other.rows;
        self.kept += other.kept;
        self.comments += other.comments;
        self.blank += other.blank;
        self.dates_unread += other.dates_unread;
        other.rejected.iter().for_each(|(code, count)| *self.rejected.entry(code).or_default() += count);
        other.parts_rejected.iter().for_each(|(code, count)| *self.parts_rejected.entry(code).or_default() += count);
        self.rules.add(&other.rules);
    }
}

impl Kinds {
    /// Rules of all kinds.
    pub fn total(&self) -> u64 {
        self.url + self.host + self.ipv4 + self.ipv6 + self.sha256 + self.sha1 + self.md5 + self.signature
    }

    fn add(&mut self, other: &Kinds) {
        self.url += other.url;
        self.host += other.host;
        self.ipv4 += other.ipv4;
        self.ipv6 += other.ipv6;
        self.sha256 += other.sha256;
        self.sha1 += other.sha1;
        self.md5 += other.md5;
        self.signature += other.signature;
    }

    fn count(&mut self, rule: &Rule<'_>) {
        *match rule {
            Rule::Url { .. } => &mut self.url,
            Rule::Host { .. } => &mut self.host,
            Rule::Net { network, .. } if network.is_ipv4() => &mut self.ipv4,
            Rule::Net { .. } => &mut self.ipv6,
            Rule::File(Digest::Sha256(_)) => &mut self.sha256,
            Rule::File(Digest::Sha1(_)) => &mut self.sha1,
            Rule::File(Digest::Md5(_)) => &mut self.md5,
            Rule::Signature { .. } => &mut self.signature,
        } += 1;
    }
}

/// Lines between two calls of [`Visitor::progress`].
const LINES_PER_PROGRESS: u64 = 4096;

/// Reads a feed. The counts are there in every case, up to where it was read.
pub fn scan(plan: Plan<'_>, input: impl Read, visitor: &mut dyn Visitor) -> (Counts, Result<(), Unreadable>) {
    let mut scan = Scan { judge: Judge::new(plan.suffixes.clone()), terms: plan.terms, counts: Counts::default() };
    let outcome = scan.run(plan, input, visitor);
    debug_assert!(scan.counts.adds_up());
    (scan.counts, outcome)
}

struct Scan {
    judge: Judge,
    terms: Terms,
    counts: Counts,
}

impl Scan {
    fn run(&mut self, plan: Plan<'_>, mut input: impl Read, visitor: &mut dyn Visitor) -> Result<(), Unreadable> {
        if let Some(mut document) = document(plan.format, plan.terms.allow) {
            let mut cursor = Cursor::new(&mut input as &mut dyn Read);
            let outcome = document.read(&mut cursor, &mut Objects { scan: self, visitor });
            visitor.progress();
            return outcome.map_err(|fault| match fault {
                Fault::Io(line, error) => Unreadable::Io { line, error },
                Fault::Malformed { line, column, why } => Unreadable::Declared { line, why: format!("column {column}: {why}") },
            });
        }
        let mut reader = reader(plan.format, plan.columns, plan.terms.allow).map_err(Unreadable::Plan)?;
        let mut lines = Lines::new(input);
        loop {
            let line = lines.number() + 1;
            let text = match lines.next() {
                Ok(Some(Input::Text(text))) => text,
                Ok(Some(Input::TooLong(head))) => {
                    self.counts.rows += 1;
                    self.reject(line, Reason::LineTooLong, head, visitor);
                    continue;
                }
                Ok(None) => break,
                Err(error) => return Err(Unreadable::Io { line, error }),
            };
            self.counts.rows += 1;
            if text.contains(&0) {
                self.reject(line, Reason::NulByte, text, visitor);
                continue;
            }
            if let Some(why) = self.take(line, reader.read(text), text, visitor) {
                return Err(Unreadable::Declared { line, why });
            }
            if line.is_multiple_of(LINES_PER_PROGRESS) {
                visitor.progress();
            }
        }
        visitor.progress();
        Ok(())
    }

    /// Counts a line, and says so where it breaks the whole feed.
    fn take(&mut self, line: u64, what: Line<'_>, text: &[u8], visitor: &mut dyn Visitor) -> Option<String> {
        match what {
            Line::Blank => self.counts.blank += 1,
            Line::Comment => self.counts.comments += 1,
            Line::Refused(reason) => self.reject(line, reason, text, visitor),
            Line::Row(row) => self.row(line, row, text, visitor),
            Line::Broken(why) => {
                self.counts.comments += 1;
                return Some(why);
            }
        }
        None
    }

    fn row(&mut self, line: u64, row: Row<'_>, text: &[u8], visitor: &mut dyn Visitor) {
        self.counts.dates_unread += u64::from(row.said.dates_unread);
        let mut refused: Vec<(Reason, usize)> = Vec::new();
        let mut kept = false;
        let reference = row.reference.as_deref();
        for (index, part) in row.parts.iter().enumerate() {
            let rule = part.expect.and_then(|expect| self.judge.rule(&part.text, expect, self.terms));
            let counts = &mut self.counts;
            let outcome = rule.and_then(|rule| visitor.rule(line, rule, &row.said, reference).map(|()| counts.rules.count(&rule)));
            match outcome {
                Ok(()) => kept = true,
                Err(reason) => refused.push((reason, index)),
            }
        }
        if kept {
            self.counts.kept += 1;
            for (reason, index) in refused {
                *self.counts.parts_rejected.entry(reason.code()).or_default() += 1;
                visitor.rejected(line, reason, true, excerpt(&row.parts[index].text));
            }
        } else {
            // The worst first: a row of local names and one broken name is told by the broken one.
            let reason = refused.iter().map(|(reason, _)| *reason).find(|reason| *reason != Reason::LocalName);
            let reason = reason.or(refused.first().map(|(reason, _)| *reason)).unwrap_or(Reason::EmptyIndicator);
            self.reject(line, reason, text, visitor);
        }
    }

    fn reject(&mut self, line: u64, reason: Reason, text: &[u8], visitor: &mut dyn Visitor) {
        *self.counts.rejected.entry(reason.code()).or_default() += 1;
        visitor.rejected(line, reason, false, excerpt(text));
    }
}

/// Rows of a document go where lines go.
struct Objects<'s, 'v> {
    scan: &'s mut Scan,
    visitor: &'v mut dyn Visitor,
}

impl Rows for Objects<'_, '_> {
    fn row(&mut self, line: u64, what: Line<'_>, about: &[u8]) {
        self.scan.counts.rows += 1;
        self.scan.take(line, what, about, self.visitor);
        if self.scan.counts.rows.is_multiple_of(LINES_PER_PROGRESS) {
            self.visitor.progress();
        }
    }
}

fn excerpt(text: &[u8]) -> &[u8] {
    &text[..text.len().min(EXCERPT_BYTES)]
}
