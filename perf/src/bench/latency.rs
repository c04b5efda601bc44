//! Suite `latency`: percentiles at half of saturation beside the null servers, by load, and while a snapshot is swapped.
//!
//! ```text
//! closed loop ─► saturation of verdictd, frames/s ─► × 0.5 ─► open loop, the same schedule for every server, in turns
//! latency = reply complete - meant start               p999_vs_echo = p99.9 of verdictd ÷ p99.9 of the quickest null server
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Deserialize;

use super::cost::Discarded;
use super::material::{Shares, Urls};
use super::servers::{Peer, part_cpus};
use super::{Curve, Definition, Findings, Results, Setting, definition, swap, unexpected};
use crate::fleet::{self, Binary, Nothing, Outcome, Pace, Plan, Pool};
use crate::null_server::Twin;
use crate::report::{Figure, How};
use crate::spawn::{Daemon, Served, Wanted};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Size {
    runs: usize,
    seconds: f64,
    warm_up: f64,
    saturation_runs: usize,
    strings: usize,
    pub lag_us_max: u64,
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

/// Times that a run may be done again.
const RETRIES: usize = 2;

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
    let daemon = Daemon::start(&Wanted { binary: &setting.verdictd, snapshot: Served::Bytes(&urls.snapshot), cpu, limits: "" })?;
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

/// One server at one rate: a value a round, and all rounds together.
struct Percentiles {
    name: String,
    us: [Vec<f64>; QUANTILES.len()],
    all: Histogram<u64>,
}

const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p999")];

impl Percentiles {
    fn new(name: &str) -> Self {
        let all = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("these bounds are valid");
        Percentiles { name: name.to_owned(), us: Default::default(), all }
    }

    fn note(&mut self, outcome: &Outcome) -> io::Result<()> {
        for (us, (quantile, _)) in self.us.iter_mut().zip(QUANTILES) {
            us.push(outcome.latency.value_at_quantile(quantile) as f64 / 1e3);
        }
        self.all.add(&outcome.latency).map_err(io::Error::other)
    }

    fn figure(&self, at: usize) -> Figure {
        let name = format!("{}_{}_us", self.name, QUANTILES[at].1);
        Figure::new(name, "us", How::Measured, &self.name, self.us[at].clone())
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

    /// Frames a second that verdictd answers when it is asked for as many as it can: the median.
    fn saturation(&mut self, daemon: &Daemon) -> io::Result<f64> {
        let mut samples = Vec::new();
        for _ in 0..self.size.saturation_runs {
            let mut plan = self.plan(daemon.address, Pace::Closed { in_flight: self.case.in_flight });
            plan.duration = plan.duration.mul_f64(0.5);
            let outcome = fleet::run(&plan, &self.pool, &Binary)?;
            samples.push(outcome.answered as f64 / outcome.elapsed.as_secs_f64());
        }
        let figure = Figure::new("saturation_frames", "frames/s", How::Measured, "", samples);
        let median = figure.median;
        self.figures.push(figure);
        Ok(median)
    }

    /// A run at a fixed rate, repeated a few times until the generator kept its schedule and nobody was told to come again: the least late
    /// run, and whether it counts.
    fn open(&mut self, plan: &Plan, run: impl Fn(&Plan) -> io::Result<Outcome>) -> io::Result<(Outcome, bool)> {
        let mut best: Option<Outcome> = None;
        for _ in 0..=RETRIES {
            let outcome = run(plan)?;
            if outcome.tally.odd > 0 || outcome.tally.wrong > outcome.tally.overloaded {
                return Err(unexpected(
                    &format!("{:?}; the known share", outcome.tally),
                    outcome.tally.known as f64 / outcome.checked_keys as f64,
                ));
            }
            self.lag_us.push(late_ns(&outcome) as f64 / 1e3);
            if outcome.lagged_beyond(self.size.lag_us_max * 1_000) {
                self.discarded.generator_lagged += 1;
            } else if outcome.tally.overloaded > 0 || outcome.behind {
                self.discarded.overloaded += 1;
            } else {
                return Ok((outcome, true));
            }
            if best.as_ref().is_none_or(|best| late_ns(&outcome) < late_ns(best)) {
                best = Some(outcome);
            }
        }
        best.map(|best| (best, false)).ok_or_else(|| io::Error::other("there was no run"))
    }

    fn beside_null_servers(&mut self, daemon: &Daemon, per_second: f64) -> io::Result<()> {
        let nulls = Twin::ALL.map(|twin| Peer::null_server(&self.setting.verdict_perf, twin, self.cpu).map(|peer| (twin, peer)));
        let nulls = nulls.into_iter().collect::<io::Result<Vec<_>>>()?;
        let mut found = vec![Percentiles::new("verdictd")];
        found.extend(nulls.iter().map(|(twin, _)| Percentiles::new(&format!("null_{}", twin.name()))));
        let pool = self.pool.clone();
        let mut rounds = Vec::new();
        for round in 0..self.runs() {
            let mut outcomes: Vec<Option<(Outcome, bool)>> = vec![None; found.len()];
            for turn in 0..found.len() {
                let at = (round + turn) % found.len();
                let address = if at == 0 { daemon.address } else { nulls[at - 1].1.address };
                let plan = self.plan(address, Pace::Open { per_second });
                outcomes[at] = Some(match at {
                    0 => self.open(&plan, |plan| fleet::run(plan, &pool, &Binary))?,
                    _ => self.open(&plan, |plan| fleet::run(plan, &pool, &Nothing))?,
                });
            }
            rounds.push(outcomes.into_iter().flatten().collect::<Vec<_>>());
        }
        for round in self.counted(rounds) {
            found.iter_mut().zip(&round).try_for_each(|(found, (outcome, _))| found.note(outcome))?;
        }
        for (at, (_, quantile)) in QUANTILES.iter().enumerate() {
            let figures: Vec<Figure> = found.iter().map(|percentiles| percentiles.figure(at)).collect();
            let (ours, nulls) = figures.split_at(1);
            let ratio = |null: &Figure, name: String| Figure::ratio(name, &null.peer, &ours[0], null);
            let quickest = nulls.iter().min_by(|a, b| a.median.total_cmp(&b.median));
            self.figures.extend(quickest.map(|null| ratio(null, format!("{quantile}_vs_echo"))));
            self.figures.extend(nulls.iter().map(|null| ratio(null, format!("{quantile}_vs_{}", null.peer))));
            self.figures.extend(figures);
        }
        self.curves.extend(found.iter().map(|percentiles| percentiles.curve("half of saturation")));
        Ok(())
    }

    /// A round counts whole or not at all: ratios are of neighbours in time. Where none does, the least late one stands for them, and the record says so.
    fn counted(&mut self, mut rounds: Vec<Vec<(Outcome, bool)>>) -> Vec<Vec<(Outcome, bool)>> {
        let late = |round: &Vec<(Outcome, bool)>| round.iter().map(|(outcome, _)| late_ns(outcome)).max().unwrap_or(0);
        let all = rounds.len();
        rounds.sort_by_key(|round| (!round.iter().all(|(_, counts)| *counts), late(round)));
        let good = rounds.iter().take_while(|round| round.iter().all(|(_, counts)| *counts)).count();
        if good == 0 {
            let us = rounds.first().map_or(0, late) / 1_000;
            self.notes.push(format!("UNSOUND: the generator kept its schedule in none of {all} rounds; in the least late one, which is shown, it was {us} us late (p99.9)"));
        }
        rounds.truncate(good.max(1));
        rounds
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
        self.notes.extend(seen.note);
        self.figures.extend(seen.figures);
        self.curves.extend(seen.curves);
        Ok(())
    }
}
