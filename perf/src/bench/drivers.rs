//! Suite `drivers`: what a frame and a key cost the daemon, by the driver that moves its bytes.
//!
//! ```text
//! CPU 0: three daemons, one a driver; one works, two are idle        CPU 1: this process, closed loop
//! case: run 1: ring, streams, epoll │ run 2: ring, streams, epoll │ ...  ─► ns a frame, ns a key, calls a frame, ring and streams beside epoll
//! ```
//! Pre-hashed keys against a small table: the least that a question can cost beside its transport.

use std::io;
use std::time::Duration;

use serde::Deserialize;
use verdict_keys::{Digest, Scheme};
use verdict_simd::seal;
use verdict_tables::{Builder, Class, Rule, Snapshot, Source};

use super::servers::part_cpus;
use super::{Definition, Results, Setting, definition, unexpected};
use crate::data::vote;
use crate::fleet::{self, Binary, Outcome, Pace, Plan, Pool};
use crate::frame;
use crate::report::{Figure, How};
use crate::spawn::{Daemon, Served, Wanted};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    seconds: f64,
    warm_up: f64,
    entries: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    known_min: f64,
    known_max: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    batch: usize,
    connections: usize,
    in_flight: usize,
}

/// The control is the last: the others are set beside it.
const DRIVERS: [&str; 3] = ["ring", "streams", "epoll"];

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected, Case> = definition(include_str!("../../definitions/drivers.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    let (snapshot, generation, keys) = material(setting, size)?;
    let mut daemons = Vec::new();
    for driver in DRIVERS {
        match Daemon::start(&Wanted { binary: &setting.verdictd, driver, snapshot: Served::Bytes(&snapshot), cpu, limits: "" }) {
            Ok(daemon) => daemons.push((driver, daemon)),
            Err(error) => notes.push(format!("{driver} is not to be had here: {error}")),
        }
    }
    let mut figures = Vec::new();
    for case in &definition.case {
        let mut pool = Pool::default();
        for keys in keys.chunks_exact(case.batch) {
            pool.push(case.batch, |out| frame::lookup_hashed(out, 0, generation, 0, keys));
        }
        figures.extend(measure_case(setting, size, &definition.expected, case, &pool, &daemons)?);
    }
    for (_, daemon) in daemons {
        daemon.stop()?;
    }
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

fn measure_case(
    setting: &Setting,
    size: &Size,
    expected: &Expected,
    case: &Case,
    pool: &Pool,
    daemons: &[(&str, Daemon)],
) -> io::Result<Vec<Figure>> {
    let mut samples = vec![(Vec::new(), Vec::new()); daemons.len()];
    for _ in 0..setting.runs.unwrap_or(size.runs) {
        for ((_, daemon), (ns, calls)) in daemons.iter().zip(&mut samples) {
            let before = (daemon.counter("verdictd_system_calls_total")?, daemon.counter("verdictd_frames_total")?);
            let outcome = measure(size, case, daemon, pool)?;
            let after = (daemon.counter("verdictd_system_calls_total")?, daemon.counter("verdictd_frames_total")?);
            let known = outcome.tally.known as f64 / outcome.checked_keys.max(1) as f64;
            if outcome.tally.overloaded + outcome.tally.odd > 0 || !(expected.known_min..=expected.known_max).contains(&known) {
                return Err(unexpected(&format!("{:?}; the known share", outcome.tally), known));
            }
            ns.push(outcome.server_cpu.unwrap_or_default().as_nanos() as f64 / outcome.answered as f64);
            calls.push((after.0 - before.0) / (after.1 - before.1).max(1.0));
        }
    }
    let mut figures = Vec::new();
    let name = &case.name;
    let frames: Vec<Figure> = daemons
        .iter()
        .zip(&samples)
        .map(|((driver, _), (ns, _))| Figure::new(format!("{name}_{driver}_frame_ns"), "CPU ns/frame", How::Measured, "", ns.clone()))
        .collect();
    for (figure, ((driver, _), (ns, calls))) in frames.iter().zip(daemons.iter().zip(&samples)) {
        figures.push(figure.clone());
        let per_key = ns.iter().map(|ns| ns / case.batch as f64).collect();
        figures.push(Figure::new(format!("{name}_{driver}_key_ns"), "CPU ns/key", How::Measured, "", per_key));
        if *driver != "streams" {
            figures.push(Figure::new(format!("{name}_{driver}_calls"), "calls/frame", How::Counted, "", calls.clone()));
        }
        if let (Some(control), Some((last, _))) = (frames.last(), daemons.last())
            && last != driver
        {
            figures.push(Figure::ratio(format!("{name}_{driver}_vs_{last}"), &format!("{last}, CPU of {last} over ours"), control, figure));
        }
    }
    Ok(figures)
}

fn measure(size: &Size, case: &Case, daemon: &Daemon, pool: &Pool) -> io::Result<Outcome> {
    let mut plan = Plan {
        address: daemon.address,
        connections: case.connections,
        pace: Pace::Closed { in_flight: case.in_flight },
        in_flight_max: 64,
        warm_up: Duration::from_secs_f64(size.warm_up),
        duration: Duration::from_secs_f64(size.seconds),
        server_pid: Some(daemon.pid()),
        first: 0,
        trust: None,
        gives_up: false,
        spins: false,
    };
    // On a busy machine a short run may end before the server's clock ticks: a longer one then.
    for _ in 0..4 {
        let outcome = fleet::run(&plan, pool, &Binary)?;
        if outcome.server_cpu.is_some_and(|cpu| !cpu.is_zero()) {
            return Ok(outcome);
        }
        plan.duration *= 2;
    }
    Err(io::Error::other("the run was too short for the server's clock"))
}

/// A snapshot of digests made up from numbers, its generation, and keys of which half are listed.
fn material(setting: &Setting, size: &Size) -> io::Result<(Vec<u8>, u64, Vec<[u8; 16]>)> {
    let backend = verdict_simd::detect().map_err(io::Error::other)?;
    let mut rng = setting.rng.fork("drivers");
    let digest = |number: u64| Digest::Md5(u128::from(number).to_le_bytes());
    let listed: Vec<u64> = (0..size.entries).map(|_| rng.bits()).collect();
    let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
    let source = builder.source(Source { name: "made-up files", licence: "none" });
    for number in &listed {
        builder.add(Rule::File(digest(*number)), vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    let built = builder.build(backend).map_err(io::Error::other)?;
    let snapshot = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?;
    let keys = (0..64 * 1024).map(|_| {
        let number = if rng.one_in(2) { *rng.pick(&listed) } else { rng.bits() };
        let key = seal(digest(number).hash(backend, snapshot.schedule()));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.lo.to_le_bytes());
        bytes[8..].copy_from_slice(&key.hi.to_le_bytes());
        bytes
    });
    Ok((built.bytes, built.generation, keys.collect()))
}
