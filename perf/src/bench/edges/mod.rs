//! Suite `edges`: the daemon where it meets others: protocols beside its own, and clients that share a shard.
//!
//! ```text
//! authz.rs      HTTP authorization beside servers that answer every request head alike
//! tls.rs        encrypted connections beside plain ones, of one daemon
//! proxies.rs    what asking adds to a request in HAProxy and nginx
//! scrape.rs     what metrics cost
//! fairness.rs   goodput at twice the load, and how soon it is over; one greedy client; thousands that do nothing, or a byte a second
//! ```

mod authz;
mod fairness;
mod proxies;
mod scrape;
mod tls;

use std::io;

use serde::Deserialize;

use super::cost::{Discarded, Times};
use super::material::{Shares, Urls};
use super::servers::part_cpus;
use super::{Definition, Findings, Results, Setting, definition};
use crate::fleet::{self, Dialect, Outcome, Plan, Pool};
use crate::report::Figure;
use crate::spawn::{AUTO, Daemon, Served, Wanted};

/// Runs that are done again because the generator was late.
const RETRIES: usize = 4;
/// p99.9 of its own lateness: a third of what a figure may be.
const LAG_NS_MAX: u64 = 300_000;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    times: Times,
    strings: usize,
    overload_s: f64,
    after_s: f64,
    idle: usize,
    trickling: usize,
}

/// What every part of the suite has at hand.
struct Bench<'a> {
    setting: &'a Setting,
    size: Size,
    cpu: Option<usize>,
    urls: &'a Urls,
    figures: Vec<Figure>,
    discarded: Discarded,
    notes: Vec<String>,
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Shares> = definition(include_str!("../../../definitions/edges.toml"))?;
    let size = if setting.small { definition.small } else { definition.full };
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    let urls = Urls::new(setting, &definition.expected, size.strings)?;
    let mut bench = Bench { setting, size, cpu, urls: &urls, figures: Vec::new(), discarded: Discarded::default(), notes };
    authz::run(&mut bench)?;
    tls::run(&mut bench)?;
    proxies::run(&mut bench)?;
    scrape::run(&mut bench)?;
    fairness::run(&mut bench)?;
    let Bench { figures, discarded, notes, .. } = bench;
    let results = Results { name: definition.name, bias: definition.bias, figures, notes };
    Ok(Findings { results, curves: Vec::new(), discarded })
}

impl Bench<'_> {
    fn runs(&self) -> usize {
        self.setting.runs.unwrap_or(self.size.runs)
    }

    /// A run that the generator's own lateness has not spoilt, or the one of a few that it has spoilt least.
    fn punctual<D: Dialect>(&mut self, plan: &Plan, pool: &Pool, dialect: &D) -> io::Result<Outcome> {
        let late = |outcome: &Outcome| outcome.lag.value_at_quantile(0.999);
        let mut best: Option<Outcome> = None;
        for _ in 0..=RETRIES {
            let outcome = fleet::run(plan, pool, dialect)?;
            if late(&outcome) <= LAG_NS_MAX {
                return Ok(outcome);
            }
            self.discarded.generator_lagged += 1;
            if best.as_ref().is_none_or(|best| late(&outcome) < late(best)) {
                best = Some(outcome);
            }
        }
        let best = best.expect("at least one run");
        self.notes.push(format!(
            "UNSOUND: the generator was late in {} runs in a row; the best was {} us",
            RETRIES + 1,
            late(&best) / 1_000
        ));
        Ok(best)
    }

    /// A daemon of one shard that knows the URLs; `sections` begin within `[limits]`.
    fn daemon(&self, sections: &str) -> io::Result<Daemon> {
        Daemon::start(&Wanted {
            binary: &self.setting.verdictd,
            driver: AUTO,
            snapshot: Served::Bytes(&self.urls.snapshot),
            cpu: self.cpu,
            limits: sections,
        })
    }
}
