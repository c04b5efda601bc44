//! Suite `echo`: what verdicts cost beside the moving of their bytes. The null server's CPU time a key over ours, same frames, same number of answer bytes.
//!
//! ```text
//! CPU 0: verdictd │ null (blocking) │ null (epoll) │ null (io_uring), one at a time        CPU 1: the generator, closed loop
//! echo_cpu_ratio_b100 = CPU of the cheapest null server ÷ ours         1 would mean that verdicts are free
//! ```

use std::io;

use serde::Deserialize;
use verdict_tables::Snapshot;

use super::cost::{self, Demand, Discarded, Side, Times};
use super::large::Large;
use super::material::{self, Expected, Hashed, Keys, Urls};
use super::servers::{Peer, part_cpus};
use super::{Curve, Definition, Findings, Results, Setting, definition};
use crate::fleet::{Binary, Nothing, Pool};
use crate::null_server::Twin;
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    times: Times,
    strings: usize,
    entries: u64,
    asked: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    keys: Keys,
    batch: usize,
    demand: Demand,
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Expected, Case> = definition(include_str!("../../definitions/echo.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    let nulls = Twin::ALL.map(|twin| Peer::null_server(&setting.verdict_perf, twin, cpu).map(|peer| (twin, peer)));
    let nulls = nulls.into_iter().collect::<io::Result<Vec<_>>>()?;
    let mut found = Found::default();
    for keys in [Keys::Url, Keys::Hashed] {
        let (snapshot, frames) = material(setting, size, &definition.expected, keys)?;
        let daemon =
            Daemon::start(&Wanted { binary: &setting.verdictd, driver: AUTO, snapshot: Served::Bytes(&snapshot), cpu, limits: "" })?;
        for case in definition.case.iter().filter(|case| case.keys == keys) {
            let pool = frames(case.batch);
            let mut sides = vec![Side::new("verdictd", daemon.address, daemon.pid(), pool.clone(), Binary)];
            sides.extend(nulls.iter().map(|(twin, peer)| Side::new(twin.name(), peer.address, peer.pid(), pool.clone(), Nothing)));
            let (costs, discarded) = cost::rounds(&sides, case.demand, size.times, setting.runs.unwrap_or(size.runs))?;
            found.discarded = found.discarded.and(discarded);
            found.note(case, &sides, &costs);
        }
        daemon.stop()?;
    }
    let curves = found.curves();
    let results = Results { name: definition.name, bias: definition.bias, figures: found.figures, notes };
    Ok(Findings { results, curves, discarded: found.discarded })
}

type Frames = Box<dyn Fn(usize) -> Pool>;

fn material(setting: &Setting, size: &Size, expected: &Expected, keys: Keys) -> io::Result<(Vec<u8>, Frames)> {
    Ok(match keys {
        Keys::Url => {
            let mut urls = Urls::new(setting, &expected.url, size.strings)?;
            (std::mem::take(&mut urls.snapshot), Box::new(move |batch| urls.frames(batch)))
        }
        Keys::Hashed => {
            let bytes = std::fs::read(Large::get(material::backend()?, size.entries)?.path)?;
            let snapshot = Snapshot::from_bytes(&bytes).map_err(io::Error::other)?;
            let hashed = Hashed::new(&snapshot, setting, &expected.hashed, [size.entries, size.entries, size.asked])?;
            (bytes, Box::new(move |batch| hashed.frames(batch)))
        }
    })
}

#[derive(Default)]
struct Found {
    figures: Vec<Figure>,
    discarded: Discarded,
    /// Kind of keys, server, batch, nanoseconds a key.
    costs: Vec<(Keys, String, usize, f64)>,
}

impl Found {
    fn note(&mut self, case: &Case, sides: &[Side<'_>], costs: &[cost::Costs]) {
        let name = &case.name;
        let figures: Vec<Figure> = sides
            .iter()
            .zip(costs)
            .map(|(side, costs)| {
                let ns = costs.keys_per_cpu_s.iter().map(|rate| 1e9 / rate).collect();
                Figure::new(format!("echo_{}_ns_{name}", side.name), "CPU-ns/key", How::Measured, side.name, ns)
            })
            .collect();
        let (ours, nulls) = figures.split_at(1);
        let ratio = |null: &Figure, name: String| Figure::ratio(name, &format!("null server, {}", null.peer), null, &ours[0]);
        let cheapest = nulls.iter().min_by(|a, b| a.median.total_cmp(&b.median));
        self.figures.extend(cheapest.map(|null| ratio(null, format!("echo_cpu_ratio_{name}"))));
        self.figures.extend(nulls.iter().map(|null| ratio(null, format!("echo_cpu_ratio_{name}_{}", null.peer))));
        let share = costs[0].cpu_share.clone();
        self.figures.push(Figure::new(format!("echo_cpu_share_{name}"), "of wall clock", How::Measured, "", share));
        self.costs.extend(figures.iter().map(|figure| (case.keys, figure.peer.clone(), case.batch, figure.median)));
        self.figures.extend(figures);
    }

    /// Nanoseconds a key by batch, one curve a kind of keys and server.
    fn curves(&self) -> Vec<Curve> {
        let mut curves: Vec<Curve> = Vec::new();
        for (keys, server, batch, ns) in &self.costs {
            let group = if *keys == Keys::Url { "URLs" } else { "hashed keys" };
            let name = if server == "verdictd" { server.clone() } else { format!("null, {server}") };
            let point = (*batch as f64, *ns);
            match curves.iter_mut().find(|curve| curve.group == group && curve.name == name) {
                Some(curve) => curve.points.push(point),
                None => curves.push(Curve { plot: "cost_by_batch".into(), group: group.into(), name, points: vec![point] }),
            }
        }
        curves
    }
}
