//! The last word on a snapshot, on the very bytes that would be served, by the code that would serve them.
//!
//! ```text
//! compiled file, on disk, without its name ──► Snapshot::load ──► questions: never-block, canaries, suffixes, top sites ─┐
//! the current snapshot and store ──► shrink, growth, blast radius                                                       ├─► all pass: rename
//! what became of the rows ──► share per feed, rows nobody could read ───────────────────────────────────────────────────┘   else: exit 3
//! ```
//! Every large failure of this kind was valid-looking data, pushed fast to everyone: one `/` in a list (Google 2009), a file twice as long as
//! ever (Cloudflare 2025). Rows are judged one by one in `breadth`; here it is asked what they come to. Nothing has its name until all gates
//! have passed; a gate that is off, or has no list, is told in every report.

mod asking;
mod current;
mod lists;
mod rows;
mod served;

pub use asking::{Asked, Asker};
pub use current::{Blast, Current, Replayed};
pub use lists::{Entry, List};

use crate::config::Config;
use crate::config::gates::{Share, WHOLE};
use crate::report::Report;
use crate::store::{Store, StoreError};
use serde::{Serialize, Serializer};
use std::path::Path;
use verdict_simd::Backend;
use verdict_tables::Snapshot;

/// A gate, in the order of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gate {
    /// What must never be blocked is not.
    NeverBlock,
    /// What is known to be good is not listed.
    CanaryGood,
    /// What is known to be bad is listed: an empty snapshot fails here.
    CanaryBad,
    /// No public suffix and no single label is listed, and only so much of all addresses.
    Breadth,
    /// No feed lists many of the most visited sites.
    TopSites,
    /// Rules of the file are those that rows gave: no kind has more.
    Kinds,
    /// No lookup touches more lines than the format allows, and the table is not overfull.
    ProbeBound,
    /// Not much smaller than the current one, as a whole and by feed.
    Shrink,
    /// Not much larger.
    Growth,
    /// No feed is nearly everything.
    FeedShare,
    /// Nearly all rows were understood.
    UnknownRows,
}

impl Gate {
    /// All of them.
    pub const ALL: [Gate; 11] = [
        Gate::NeverBlock,
        Gate::CanaryGood,
        Gate::CanaryBad,
        Gate::Breadth,
        Gate::TopSites,
        Gate::Kinds,
        Gate::ProbeBound,
        Gate::Shrink,
        Gate::Growth,
        Gate::FeedShare,
        Gate::UnknownRows,
    ];

    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            Gate::NeverBlock => "never-block",
            Gate::CanaryGood => "canary-good",
            Gate::CanaryBad => "canary-bad",
            Gate::Breadth => "breadth",
            Gate::TopSites => "top-sites",
            Gate::Kinds => "kinds",
            Gate::ProbeBound => "probe-bound",
            Gate::Shrink => "shrink",
            Gate::Growth => "growth",
            Gate::FeedShare => "feed-share",
            Gate::UnknownRows => "unknown-rows",
        }
    }

    /// Its key in `[gates]`; none for what is not to be had otherwise.
    pub fn key(self) -> Option<&'static str> {
        Some(match self {
            Gate::NeverBlock => "never_block",
            Gate::CanaryGood => "canary_good",
            Gate::CanaryBad => "canary_bad",
            Gate::Breadth => "breadth",
            Gate::TopSites => "top_sites",
            Gate::Kinds | Gate::ProbeBound => return None,
            Gate::Shrink => "shrink_max",
            Gate::Growth => "growth_max",
            Gate::FeedShare => "feed_share_max",
            Gate::UnknownRows => "unknown_rows_max",
        })
    }

    /// Does it ask for a list of entries?
    pub fn needs_list(self) -> bool {
        matches!(self, Gate::NeverBlock | Gate::CanaryGood | Gate::CanaryBad | Gate::TopSites)
    }

    /// Its limit, where it has one to choose.
    pub fn default_limit(self) -> Option<Share> {
        match self {
            Gate::CanaryBad => Some(WHOLE / 100 * 99),
            Gate::Breadth => Some(WHOLE / 4),
            Gate::TopSites => Some(WHOLE / 10_000),
            Gate::Shrink => Some(WHOLE / 10 * 3),
            Gate::Growth => Some(WHOLE),
            Gate::FeedShare => Some(WHOLE / 10 * 8),
            Gate::UnknownRows => Some(WHOLE / 20),
            Gate::NeverBlock | Gate::CanaryGood | Gate::Kinds | Gate::ProbeBound => None,
        }
    }
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// How a gate came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Passed,
    /// The snapshot is refused.
    Refused,
    /// The operator wants it so.
    Off,
    /// There is nothing to hold the snapshot against.
    NotRun,
}

/// Findings of one gate that are told.
pub const FINDINGS_MAX: usize = 20;

/// One thing that a gate objects to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `file:line` of the rows that say so, or the feed; empty where it is nobody's.
    pub at: Vec<String>,
    /// What it is.
    pub what: String,
}

/// What a gate has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Which.
    pub gate: Gate,
    /// How it came out.
    pub state: State,
    /// What was measured, against which limit, or why it was not run.
    pub told: String,
    /// The operator's reason for another limit, or for having it off.
    pub reason: Option<String>,
    /// At most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many there are.
    pub found: u64,
}

impl Checked {
    fn new(gate: Gate, state: State, told: impl Into<String>) -> Self {
        Checked { gate, state, told: told.into(), reason: None, findings: Vec::new(), found: 0 }
    }

    fn of(gate: Gate, passed: bool, told: impl Into<String>) -> Self {
        Self::new(gate, if passed { State::Passed } else { State::Refused }, told)
    }

    fn find(&mut self, at: Vec<String>, what: impl Into<String>) {
        self.found += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { at, what: what.into() });
        }
    }

    /// A line for each finding, or one for the gate: `file:line: gate: what`.
    fn errors(&self) -> Vec<String> {
        let code = self.gate.code();
        let mut errors: Vec<String> = Vec::new();
        for Finding { at, what } in &self.findings {
            match at.first() {
                Some(first) => errors.push(format!("{first}: {code}: {what}")),
                None => errors.push(format!("{code}: {what}")),
            }
        }
        errors.push(format!("{code}: {}", self.told));
        errors
    }
}

/// What all gates have to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// In the order of [`Gate::ALL`]; empty where the snapshot was not built.
    pub gates: Vec<Checked>,
    /// What would change.
    pub blast: Option<Blast>,
}

impl Verdicts {
    /// Some gate refuses.
    pub fn refused(&self) -> bool {
        self.gates.iter().any(|gate| gate.state == State::Refused)
    }

    /// Why, a line each.
    pub fn errors(&self) -> Vec<String> {
        self.gates.iter().filter(|gate| gate.state == State::Refused).flat_map(Checked::errors).collect()
    }
}

/// Why the gates could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// A list that is compiled in.
    #[error("{0}")]
    List(String),
    /// A store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The snapshot that was just written does not verify.
    #[error("the snapshot as written: {0}")]
    Snapshot(verdict_tables::Error),
    /// The recorded questions.
    #[error("{0}")]
    Replay(String),
}

/// What the gates look at.
pub struct Candidate<'a> {
    /// What was asked for.
    pub config: &'a Config,
    /// What became of the rows.
    pub report: &'a Report,
    /// The file as it is on disk, before it gets its name.
    pub snapshot: &'a Path,
    /// Its explain store, likewise, where one is written.
    pub store: Option<&'a Path>,
    /// The snapshot that is served now.
    pub current: Option<Current>,
    /// Recorded questions, one a line.
    pub replay: Option<&'a Path>,
}

/// Asks every gate.
pub fn check<B: Backend>(backend: B, candidate: Candidate<'_>) -> Result<Verdicts, Unasked> {
    let Candidate { config, report, snapshot, store, mut current, replay } = candidate;
    let snapshot = Snapshot::load(snapshot).map_err(Unasked::Snapshot)?;
    let mut store = store.map(Store::open).transpose()?;
    let gates = &config.gates;
    let mut asker = Asker::new(backend, &snapshot);
    let mut checked = served::check(&mut asker, config, report, store.as_mut())?;
    checked.extend(current::check(gates, &snapshot, store.as_ref(), current.as_ref()));
    debug_assert_eq!(checked.len() + 2, Gate::ALL.len());
    checked.extend(rows::check(gates, config, report));
    let blast = match &mut current {
        Some(current) => Some(current::blast(backend, current, &snapshot, store.as_mut(), gates, replay)?),
        None => None,
    };
    for one in &mut checked {
        one.reason = gates.reasons.get(&one.gate).cloned();
        if let Some(reason) = gates.off.get(&one.gate) {
            (one.state, one.reason) = (State::Off, Some(reason.clone()));
        }
    }
    checked.sort_by_key(|one| one.gate);
    Ok(Verdicts { gates: checked, blast })
}

/// `12.34 %`
fn percent(share: u64) -> String {
    let whole = share / 10_000;
    let text = format!("{whole}.{:04}", share % 10_000);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Millionths of `part` in `whole`; 0 of nothing.
fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 { 0 } else { (u128::from(part) * u128::from(WHOLE) / u128::from(whole)) as u64 }
}
