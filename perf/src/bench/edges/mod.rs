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
use crate::fleet::{self, Binary, Dialect, Outcome, Plan, Pool, Sent};
use crate::process;
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};
use crate::stalls::{self, Reply, Sentinels};

/// Runs that are done again because the generator was late.
const RETRIES: usize = 4;
/// p99.9 of its own lateness: a third of what a figure may be.
const LAG_NS_MAX: u64 = 300_000;
/// Of the replies of a run.
const LEFT_OUT_MAX: f64 = 0.5;

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
    /// Whether sentinels may watch the CPUs of server and generator.
    watches: bool,
    urls: &'a Urls,
    figures: Vec<Figure>,
    discarded: Discarded,
    /// Share of the replies of each open-loop run that its latencies leave out.
    left_out: Vec<f64>,
    notes: Vec<String>,
}

/// A run, and what became of it.
struct Heard {
    outcome: Outcome,
    /// Share of the replies that were under way while a CPU was away.
    left_out: f64,
    /// p99.9 of the generator's lateness with the others.
    late_ns: u64,
}

impl Heard {
    /// At most 1 is sound.
    fn spoilt(&self) -> f64 {
        (self.left_out / LEFT_OUT_MAX).max(self.late_ns as f64 / LAG_NS_MAX as f64)
    }
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Shares> = definition(include_str!("../../../definitions/edges.toml"))?;
    let size = if setting.small { definition.small } else { definition.full };
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    let urls = Urls::new(setting, &definition.expected, size.strings)?;
    let watches = cpu.is_some() && Sentinels::start(&process::cpus()[..2]).is_ok();
    if !watches {
        notes.push("no real-time threads here: what other guests of the host do is part of the latencies".to_owned());
    }
    let (figures, discarded, left_out) = (Vec::new(), Discarded::default(), Vec::new());
    let mut bench = Bench { setting, size, cpu, watches, urls: &urls, figures, discarded, left_out, notes };
    authz::run(&mut bench)?;
    tls::run(&mut bench)?;
    proxies::run(&mut bench)?;
    scrape::run(&mut bench)?;
    fairness::run(&mut bench)?;
    let Bench { mut figures, discarded, left_out, notes, .. } = bench;
    figures.push(Figure::new("open_loop_left_out", "of the replies", How::Counted, "", left_out));
    let results = Results { name: definition.name, bias: definition.bias, figures, notes };
    Ok(Findings { results, curves: Vec::new(), discarded })
}

impl Bench<'_> {
    fn runs(&self) -> usize {
        self.setting.runs.unwrap_or(self.size.runs)
    }

    /// A run in open loop: its latencies are those that no CPU's absence has spoilt. One of which too little is left, or whose generator was late
    /// all the same, is done again; after a few the one that was spoilt least counts, whole where too little is left, and a note says so.
    fn punctual<D: Dialect>(&mut self, plan: &Plan, pool: &Pool, dialect: &D) -> io::Result<Outcome> {
        let mut best: Option<Heard> = None;
        for _ in 0..=RETRIES {
            let heard = self.listen(plan, pool, dialect)?;
            let sound = heard.left_out <= LEFT_OUT_MAX && heard.late_ns <= LAG_NS_MAX;
            self.discarded.neighbours += usize::from(heard.left_out > LEFT_OUT_MAX);
            self.discarded.generator_lagged += usize::from(heard.left_out <= LEFT_OUT_MAX && heard.late_ns > LAG_NS_MAX);
            if best.as_ref().is_none_or(|best| sound || heard.spoilt() < best.spoilt()) {
                best = Some(heard);
            }
            if sound {
                break;
            }
        }
        let best = best.expect("at least one run");
        if best.spoilt() > 1.0 {
            self.notes.push(format!(
                "UNSOUND: in the best of {} runs in a row {:.0} % of the replies were under way while a CPU was away, and the generator was {} us late",
                RETRIES + 1,
                100.0 * best.left_out,
                best.late_ns / 1_000
            ));
        }
        self.left_out.push(best.left_out);
        Ok(best.outcome)
    }

    /// The same of a generator that shares its CPU, whose lateness is therefore no reason to repeat it: one run.
    fn watched(&mut self, plan: &Plan, pool: &Pool) -> io::Result<Outcome> {
        let heard = self.listen(plan, pool, &Binary)?;
        self.left_out.push(heard.left_out);
        if heard.left_out > LEFT_OUT_MAX {
            self.notes.push(format!("UNSOUND: {:.0} % of a run's replies were under way while a CPU was away", 100.0 * heard.left_out));
        }
        Ok(heard.outcome)
    }

    fn listen<D: Dialect>(&self, plan: &Plan, pool: &Pool, dialect: &D) -> io::Result<Heard> {
        let watched = self.watches.then(|| Sentinels::start(&process::cpus()[..2])).transpose()?;
        let (mut replies, from) = (Vec::new(), plan.warm_up.as_nanos() as u64);
        let hear = |sent: &Sent, _: &[u8], done_ns| {
            if sent.meant_ns >= from {
                replies.push(Reply { meant_ns: sent.meant_ns, done_ns, late_ns: sent.late_ns });
            }
            Ok(())
        };
        let mut outcome = fleet::run_witnessed(plan, pool, dialect, hear, || false)?;
        let stalls = watched.map_or(Vec::new(), |watched| watched.end(outcome.started));
        let left = stalls::undisturbed(&replies, &stalls).count();
        let left_out = 1.0 - left as f64 / replies.len().max(1) as f64;
        if left_out <= LEFT_OUT_MAX {
            outcome.latency.reset();
            outcome.lag.reset();
            for reply in stalls::undisturbed(&replies, &stalls) {
                outcome.latency.saturating_record(reply.done_ns.saturating_sub(reply.meant_ns).max(1));
                outcome.lag.saturating_record(reply.late_ns);
            }
        }
        // A run that stood still for most of its time keeps all its latencies: of what is left, often nothing, no percentile could be told.
        Ok(Heard { left_out, late_ns: outcome.lag.value_at_quantile(0.999), outcome })
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
