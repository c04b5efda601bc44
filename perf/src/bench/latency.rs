//! Suite `latency`: percentiles at half of saturation beside the null servers, by load, and while a snapshot is swapped.
//!
//! ```text
//! closed loop ─► saturation of verdictd, frames/s ─► × 0.5 ─► open loop, the same schedule for every server, in turns
//! latency = reply complete - meant start               p999_vs_echo = p99.9 of verdictd ÷ p99.9 of the quickest null server, pair by pair
//! ```
//! Many short runs in turns until there are pairs enough: on a machine that others use a long run is never quiet. What is discarded says something of
//! the generator or of other processes, never of the server: see `Bench::disturbed`.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use super::cost::Discarded;
use super::material::{Shares, Urls};
use super::servers::{Peer, part_cpus};
use super::{Curve, Definition, Findings, Results, Setting, definition, swap, unexpected};
use crate::fleet::{self, Binary, Nothing, Outcome, Pace, Plan, Pool};
use crate::null_server::Twin;
use crate::process;
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    /// Pairs wanted beside each null server.
    runs: usize,
    seconds: f64,
    warm_up: f64,
    /// For all pairs together.
    patience_s: f64,
    saturation_runs: usize,
    strings: usize,
    pub lag_us_max: u64,
    /// Of one CPU, what all other processes together may use.
    pub others_max: f64,
    loads: Vec<f64>,
    pub swaps: usize,
    pub swap_entries: u64,
    pub steady_s: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    batch: usize,
    connections: usize,
    in_flight: usize,
}

/// A figure of fewer pairs is called unsound.
const PAIRS_MIN: usize = 5;

/// The generator's own lateness may be this part of the percentile that it measures.
pub(super) const LAG_PART: u64 = 4;

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Shares, Case> = definition(include_str!("../../definitions/latency.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let case = *definition.case.first().ok_or_else(|| io::Error::other("the definition has no case"))?;
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    let urls = Urls::new(setting, &definition.expected, size.strings)?;
    let mut bench = Bench {
        setting,
        size,
        case,
        cpu,
        pool: urls.frames(case.batch),
        figures: Vec::new(),
        curves: Vec::new(),
        discarded: Discarded::default(),
        lag_us: Vec::new(),
        notes,
    };
    let daemon =
        Daemon::start(&Wanted { binary: &setting.verdictd, driver: AUTO, snapshot: Served::Bytes(&urls.snapshot), cpu, limits: "" })?;
    let saturation = bench.saturation(&daemon)?;
    bench.beside_null_servers(&daemon, saturation / 2.0)?;
    bench.by_load(&daemon, saturation)?;
    daemon.stop()?;
    bench.while_swapping(&urls, saturation / 2.0)?;
    let Bench { figures, curves, discarded, mut notes, .. } = bench;
    notes.push(format!(
        "{:.0} frames/s of {} URLs are half of saturation, over {} connections",
        saturation / 2.0,
        case.batch,
        case.connections
    ));
    let results = Results { name: definition.name, bias: definition.bias, figures, notes };
    Ok(Findings { results, curves, discarded })
}

struct Bench<'a> {
    setting: &'a Setting,
    size: &'a Size,
    case: Case,
    cpu: Option<usize>,
    pool: Pool,
    figures: Vec<Figure>,
    curves: Vec<Curve>,
    discarded: Discarded,
    /// p99.9 of the generator's own lateness, of every run.
    lag_us: Vec<f64>,
    notes: Vec<String>,
}

/// One server at one rate: what counts, by round.
struct Percentiles {
    name: String,
    /// Round, and a value a quantile.
    us: Vec<(usize, [f64; QUANTILES.len()])>,
    all: Histogram<u64>,
    /// The least disturbed run of those that do not count.
    spare: Option<(u64, usize, Outcome)>,
}

const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p999")];

impl Percentiles {
    fn new(name: &str) -> Self {
        let all = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("these bounds are valid");
        Percentiles { name: name.to_owned(), us: Vec::new(), all, spare: None }
    }

    fn note(&mut self, round: usize, outcome: &Outcome) -> io::Result<()> {
        self.us.push((round, QUANTILES.map(|(quantile, _)| outcome.latency.value_at_quantile(quantile) as f64 / 1e3)));
        self.all.add(&outcome.latency).map_err(io::Error::other)
    }

    fn keep_spare(&mut self, round: usize, outcome: Outcome) {
        let late = late_ns(&outcome);
        if self.spare.as_ref().is_none_or(|(least, ..)| late < *least) {
            self.spare = Some((late, round, outcome));
        }
    }

    fn figure(&self, at: usize) -> Figure {
        let name = format!("{}_{}_us", self.name, QUANTILES[at].1);
        Figure::new(name, "us", How::Measured, &self.name, self.us.iter().map(|(_, us)| us[at]).collect())
    }

    /// Values of rounds in which both count.
    fn pairs(&self, other: &Percentiles, at: usize) -> Vec<f64> {
        let of = |round| other.us.iter().find(|(theirs, _)| *theirs == round);
        self.us.iter().filter_map(|(round, us)| Some(us[at] / of(*round)?.1[at])).collect()
    }

    fn curve(&self, group: &str) -> Curve {
        Curve { plot: "percentiles".into(), group: group.into(), name: self.name.replace('_', ", "), points: percentiles(&self.all) }
    }
}

/// (1 / (1 - quantile), microseconds), as far as there are values for.
pub(super) fn percentiles(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let enough = |tail: f64| histogram.len() as f64 >= 10.0 * tail;
    let tails = [1.25, 1.6, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0, 40.0, 100.0, 200.0, 400.0, 1e3, 2e3, 4e3, 1e4, 2e4, 4e4, 1e5];
    tails.into_iter().filter(|tail| enough(*tail)).map(|tail| (tail, histogram.value_at_quantile(1.0 - 1.0 / tail) as f64 / 1e3)).collect()
}

/// Answers that differ from what was foretold end the bench; *overloaded* is an answer.
fn as_foretold(outcome: &Outcome) -> io::Result<()> {
    match outcome.tally.odd > 0 || outcome.tally.wrong > outcome.tally.overloaded {
        true => Err(unexpected(&format!("{:?}; the known share", outcome.tally), outcome.tally.known as f64 / outcome.checked_keys as f64)),
        false => Ok(()),
    }
}

/// p99.9 of the generator's own lateness.
fn late_ns(outcome: &Outcome) -> u64 {
    outcome.lag.value_at_quantile(0.999)
}

impl Bench<'_> {
    fn plan(&self, address: SocketAddr, pace: Pace) -> Plan {
        Plan {
            warm_up: Duration::from_secs_f64(self.size.warm_up),
            duration: Duration::from_secs_f64(self.size.seconds),
            spins: self.cpu.is_some(),
            ..Plan::new(address, self.case.connections, pace)
        }
    }

    fn runs(&self) -> usize {
        self.setting.runs.unwrap_or(self.size.runs)
    }

    /// Frames a second that verdictd answers when it is asked for as many as it can: the most, since whatever disturbs a run lowers it, and half of too little
    /// would be asked of us.
    fn saturation(&mut self, daemon: &Daemon) -> io::Result<f64> {
        let mut samples = Vec::new();
        for _ in 0..self.size.saturation_runs {
            let mut plan = self.plan(daemon.address, Pace::Closed { in_flight: self.case.in_flight });
            plan.duration = plan.duration.mul_f64(0.5);
            let outcome = fleet::run(&plan, &self.pool, &Binary)?;
            samples.push(outcome.answered as f64 / outcome.elapsed.as_secs_f64());
        }
        let figure = Figure::new("saturation_frames", "frames/s", How::Measured, "", samples);
        let most = figure.max;
        self.figures.push(figure);
        Ok(most)
    }

    /// Whether something else than the server spoilt a run: its own lateness, held against what it measured, or other processes. A server that is slow, behind,
    /// or says *overloaded* spoils nothing: that is what is to be found out.
    fn disturbed(&mut self, outcome: &Outcome, others: Duration) -> bool {
        let late = late_ns(outcome);
        self.lag_us.push(late as f64 / 1e3);
        let share = others.as_secs_f64() / (self.size.seconds + self.size.warm_up);
        if late > (self.size.lag_us_max * 1_000).max(outcome.latency.value_at_quantile(0.999) / LAG_PART) {
            self.discarded.generator_lagged += 1;
        } else if share > self.size.others_max {
            self.discarded.neighbours += 1;
        } else {
            return false;
        }
        true
    }

    fn beside_null_servers(&mut self, daemon: &Daemon, per_second: f64) -> io::Result<()> {
        let nulls = Twin::ALL.map(|twin| Peer::null_server(&self.setting.verdict_perf, twin, self.cpu).map(|peer| (twin, peer)));
        let nulls = nulls.into_iter().collect::<io::Result<Vec<_>>>()?;
        let mut found = vec![Percentiles::new("verdictd")];
        found.extend(nulls.iter().map(|(twin, _)| Percentiles::new(&format!("null_{}", twin.name()))));
        let pool = self.pool.clone();
        let started = Instant::now();
        let enough = |found: &[Percentiles], runs| found[1..].iter().all(|null| found[0].pairs(null, 0).len() >= runs);
        for round in 0.. {
            if enough(&found, self.runs()) || (round > 0 && started.elapsed().as_secs_f64() > self.size.patience_s) {
                break;
            }
            for turn in 0..found.len() {
                let at = (round + turn) % found.len();
                let (address, pid) =
                    if at == 0 { (daemon.address, daemon.pid()) } else { (nulls[at - 1].1.address, nulls[at - 1].1.pid()) };
                let plan = self.plan(address, Pace::Open { per_second });
                let before = process::cpu_time_of_others(pid);
                let outcome = if at == 0 { fleet::run(&plan, &pool, &Binary)? } else { fleet::run(&plan, &pool, &Nothing)? };
                let others = process::cpu_time_of_others(pid).saturating_sub(before);
                as_foretold(&outcome)?;
                match self.disturbed(&outcome, others) {
                    false => found[at].note(round, &outcome)?,
                    true => found[at].keep_spare(round, outcome),
                }
            }
        }
        self.without_pairs(&mut found)?;
        self.compare(&found);
        Ok(())
    }

    /// Says where pairs are few; where a server has no run or no pair at all, the least disturbed runs stand for them.
    fn without_pairs(&mut self, found: &mut [Percentiles]) -> io::Result<()> {
        let fewest = |found: &[Percentiles]| found[1..].iter().map(|null| found[0].pairs(null, 0).len()).min().unwrap_or(0);
        let pairs = fewest(found);
        if pairs < PAIRS_MIN.min(self.runs()) {
            self.notes.push(format!("UNSOUND: beside one null server only {pairs} pairs of runs were undisturbed by the generator's own lag and by other processes"));
        }
        if pairs == 0 {
            self.notes.push("UNSOUND: the least disturbed run of each server is shown where it has no pair".to_owned());
            for server in found.iter_mut() {
                if let (true, Some((_, _, outcome))) = (server.us.is_empty(), server.spare.take()) {
                    server.note(usize::MAX, &outcome)?;
                }
            }
        }
        Ok(())
    }

    fn compare(&mut self, found: &[Percentiles]) {
        let (ours, nulls) = (&found[0], &found[1..]);
        for (at, (_, quantile)) in QUANTILES.iter().enumerate() {
            let ratio = |null: &Percentiles, name: String| {
                let samples = ours.pairs(null, at);
                // Without a pair, the medians of what there is.
                let samples = if samples.is_empty() { vec![ours.figure(at).median / null.figure(at).median] } else { samples };
                Figure::new(name, "ratio", How::Measured, &null.name, samples)
            };
            let quickest = nulls.iter().min_by(|a, b| a.figure(at).median.total_cmp(&b.figure(at).median));
            self.figures.extend(quickest.map(|null| ratio(null, format!("{quantile}_vs_echo"))));
            self.figures.extend(nulls.iter().map(|null| ratio(null, format!("{quantile}_vs_{}", null.name))));
            self.figures.extend(found.iter().map(|percentiles| percentiles.figure(at)));
        }
        self.curves.extend(found.iter().map(|percentiles| percentiles.curve("half of saturation")));
    }

    /// p50, p99 and p99.9 at several rates. A rate that cannot be kept is part of the picture, and so is not done again.
    fn by_load(&mut self, daemon: &Daemon, saturation: f64) -> io::Result<()> {
        let lag = Figure::new("generator_lag_p999_us", "us", How::Measured, "all runs, the discarded too", self.lag_us.clone());
        self.figures.push(lag);
        let mut points: [Vec<(f64, f64)>; QUANTILES.len()] = Default::default();
        for load in &self.size.loads {
            let plan = self.plan(daemon.address, Pace::Open { per_second: saturation * load });
            let outcome = fleet::run(&plan, &self.pool, &Binary)?;
            for (points, (quantile, _)) in points.iter_mut().zip(QUANTILES) {
                points.push((*load, outcome.latency.value_at_quantile(quantile) as f64 / 1e3));
            }
        }
        let group = "verdictd by load";
        self.curves.extend(points.into_iter().zip(QUANTILES).map(|(points, (_, quantile))| Curve {
            plot: "load".into(),
            group: group.into(),
            name: quantile.replace("999", "99.9"),
            points,
        }));
        Ok(())
    }

    fn while_swapping(&mut self, urls: &Urls, per_second: f64) -> io::Result<()> {
        let mut plan = self.plan(SocketAddr::from(([127, 0, 0, 1], 0)), Pace::Open { per_second });
        let seen = swap::run(self.setting, self.size, urls, &mut plan, &self.pool, self.cpu)?;
        self.discarded.generator_lagged += seen.lagged;
        self.discarded.neighbours += seen.neighbours;
        self.notes.extend(seen.note);
        self.figures.extend(seen.figures);
        self.curves.extend(seen.curves);
        Ok(())
    }
}
