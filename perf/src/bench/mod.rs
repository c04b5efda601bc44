//! Benches: tests with a stopwatch. A definition says what is done and what must come out; runs of ours and theirs alternate.
//!
//! ```text
//! definitions/NAME.toml ─► run 1: ours, peer, peer │ run 2: ours, peer, peer │ ... ─► figures (median, least, most, samples) ─► table, JSON, record
//! ```
//! Answers are checked while the clock runs or right after it; a run with wrong answers has no figure. `--small` is the same code in a
//! second, for tests: its figures mean nothing.

pub mod hash;
pub mod instructions;
pub mod keys;
pub mod lpm;
pub mod memcached;
pub mod patterns;
pub mod peers;
pub mod record;
pub mod servers;
pub mod tables;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::report::Figure;
use crate::seed::Rng;

/// Which figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Servers over TCP: verdictd, memcached, the null server.
    Peers,
    /// The exact table in process, beside hashbrown and the machine's limit.
    Tables,
    /// URL to keys, beside URL parsers; addresses, beside prefix tables.
    Keys,
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

/// Runs one suite.
pub fn run(suite: Suite, setting: &Setting) -> io::Result<Results> {
    match suite {
        Suite::Peers => peers::run(setting),
        Suite::Tables => tables::run(setting),
        Suite::Keys => Ok(keys::run(setting)?.with(lpm::run(setting)?)),
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
