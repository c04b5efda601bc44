//! Benches: tests with a stopwatch. A definition says what is done and what must come out; runs of ours and theirs alternate.
//!
//! ```text
//! definitions/NAME.toml ─► run 1: ours, peer, peer │ run 2: ours, peer, peer │ ... ─► figures (median, least, most, samples) ─► table, JSON, record
//! ```
//! Servers are started, pinned and asked in one way (`servers`, `cost`); what they are asked and must answer is `material`.
//! Answers are checked while the clock runs or right after it; a run with wrong answers has no figure. `--small` is the same code in a
//! second, for tests: its figures mean nothing.

pub mod cost;
pub mod drivers;
pub mod echo;
pub mod edges;
pub mod hash;
pub mod instructions;
pub mod intel;
pub mod keys;
pub mod large;
pub mod latency;
pub mod lpm;
pub mod material;
pub mod memcached;
pub mod models;
pub mod patterns;
pub mod peers;
pub mod record;
pub mod redis;
pub mod servers;
mod swap;
pub mod tables;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::cost::Discarded;
use crate::report::Figure;
use crate::seed::Rng;

/// Which figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Servers over TCP: verdictd, memcached, Redis.
    Peers,
    /// verdictd beside servers that only move the bytes.
    Echo,
    /// How long replies take.
    Latency,
    /// The daemon over each of its drivers.
    Drivers,
    /// The exact table in process, beside hashbrown and the machine's limit.
    Tables,
    /// URL to keys, beside URL parsers; addresses, beside prefix tables.
    Keys,
    /// What models cost.
    Models,
    /// Other protocols, and who shares the daemon with whom.
    Edges,
    /// All feeds at hand in one snapshot.
    Feeds,
    /// Thirty updates in a row.
    Refresh,
}

/// What a bench needs to know beside its definition.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The `small` size of the definition.
    pub small: bool,
    /// Instead of the definition's number of runs.
    pub runs: Option<usize>,
    /// The verdictd binary.
    pub verdictd: PathBuf,
    /// This binary, for the null server.
    pub verdict_perf: PathBuf,
    /// For choices.
    pub rng: Rng,
}

/// A definition with sizes of type `S` and expectations of type `E`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition<S, E, C = ()> {
    /// Of the suite.
    pub name: String,
    /// What the figures leave out, and whom they favour.
    pub bias: String,
    /// For figures.
    pub full: S,
    /// For tests.
    pub small: S,
    /// What must come out.
    pub expected: E,
    /// Variants.
    #[serde(default = "Vec::new")]
    pub case: Vec<C>,
}

/// Figures of a suite, and what its definition says about them.
#[derive(Clone, Debug)]
pub struct Results {
    /// Of the suite.
    pub name: String,
    /// Of the definition.
    pub bias: String,
    /// All of them.
    pub figures: Vec<Figure>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Results {
    /// One suite of two definitions.
    fn with(mut self, other: Results) -> Self {
        self.bias = format!("{} {}: {}", self.bias, other.name, other.bias);
        self.figures.extend(other.figures);
        self.notes.extend(other.notes);
        self
    }
}

/// A suite's results with what a plot needs more than figures, and what was measured in vain.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The figures.
    pub results: Results,
    /// For plots.
    pub curves: Vec<Curve>,
    /// Runs that were not counted, and why.
    pub discarded: Discarded,
}

impl From<Results> for Findings {
    fn from(results: Results) -> Self {
        Findings { results, curves: Vec::new(), discarded: Discarded::default() }
    }
}

/// One line of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Which plot: `cost_by_batch`, `percentiles` or `load`.
    pub plot: String,
    /// Lines of one group stand in one picture.
    pub group: String,
    /// In the legend.
    pub name: String,
    /// x and y, as the plot has them.
    pub points: Vec<(f64, f64)>,
}

/// Runs one suite.
pub fn run(suite: Suite, setting: &Setting) -> io::Result<Findings> {
    match suite {
        Suite::Peers => peers::run(setting),
        Suite::Echo => echo::run(setting),
        Suite::Latency => latency::run(setting),
        Suite::Drivers => drivers::run(setting).map(Findings::from),
        Suite::Tables => tables::run(setting).map(Findings::from),
        Suite::Models => models::run(setting),
        Suite::Edges => edges::run(setting),
        Suite::Feeds => intel::whole::run(setting),
        Suite::Refresh => intel::refresh::run(setting),
        Suite::Keys => Ok(keys::run(setting)?.with(lpm::run(setting)?).into()),
    }
}

/// The definition in `text`, which is part of this binary.
fn definition<T: for<'de> Deserialize<'de>>(text: &str) -> io::Result<T> {
    toml::from_str(text).map_err(io::Error::other)
}

/// How long `work` takes.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let started = Instant::now();
    let result = work();
    (result, started.elapsed())
}

fn unexpected(what: &str, share: f64) -> io::Error {
    io::Error::other(format!("the answers are not those of the definition: {what} is {share:.4}"))
}
