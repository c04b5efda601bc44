//! Suite `peers`: keys per second of the server's own CPU time; verdictd, memcached, and a server that only moves the bytes.
//!
//! ```text
//! CPU 0: the server of the moment        CPU 1: this process, one thread, closed loop
//! run 1: verdictd, null, memcached │ run 2: verdictd, null, memcached │ ...      all three running, two of them idle
//! ```

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use serde::Deserialize;
use verdict_keys::{Digest, Scheme};
use verdict_simd::{Selected, seal};
use verdict_tables::{Builder, Class, Rule, Snapshot, Source};

use super::servers::{Peer, memcached_version};
use super::{Definition, Results, Setting, definition, memcached, unexpected};
use crate::data::{Corpus, Indicator, Meant, vote};
use crate::fleet::{self, Binary, Dialect, Outcome, Pace, Plan, Pool};
use crate::report::{Figure, How};
use crate::rules::RuleSet;
use crate::spawn::{Daemon, Wanted};
use crate::workload::UrlStrings;
use crate::{frame, process};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    seconds: f64,
    warm_up: f64,
    strings: usize,
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
    keys: Keys,
    batch: usize,
    connections: usize,
    in_flight: usize,
    peer_batch: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Keys {
    Url,
    Hashed,
}

/// What one kind of key is asked with: the snapshot, our requests by batch, the peer's keys.
struct Material {
    snapshot: Vec<u8>,
    listed: Vec<String>,
    asked: Vec<String>,
    /// Beside `asked`, for hashed keys.
    keys: Vec<[u8; 16]>,
    generation: u64,
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected, Case> = definition(include_str!("../../definitions/peers.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let cpus = process::cpus();
    let (server_cpu, mut notes) = match cpus[..] {
        [server, client, ..] => {
            process::pin(None, client)?;
            (Some(server), vec![format!("server on CPU {server}, client on CPU {client}")])
        }
        _ => (None, vec!["one CPU only: server and client share it".to_owned()]),
    };
    notes.extend(memcached_version().or(Some("memcached is not installed: no figures beside it".to_owned())));
    let mut figures = Vec::new();
    for keys in [Keys::Url, Keys::Hashed] {
        let material = match keys {
            Keys::Url => urls(setting, size)?,
            Keys::Hashed => hashed(setting, size)?,
        };
        let bench = Bench::start(setting, size, &definition.expected, server_cpu, &material)?;
        for case in definition.case.iter().filter(|case| case.keys == keys) {
            figures.extend(bench.case(case)?);
        }
        bench.daemon.stop()?;
    }
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

struct Bench<'a> {
    setting: &'a Setting,
    size: &'a Size,
    expected: &'a Expected,
    material: &'a Material,
    daemon: Daemon,
    null: Peer,
    memcached: Option<Peer>,
}

impl<'a> Bench<'a> {
    fn start(setting: &'a Setting, size: &'a Size, expected: &'a Expected, cpu: Option<usize>, material: &'a Material) -> io::Result<Self> {
        let daemon = Daemon::start(&Wanted { binary: &setting.verdictd, snapshot: &material.snapshot, cpu, limits: "" })?;
        let null = Peer::null_server(&setting.verdict_perf, cpu)?;
        let memcached = Peer::memcached(cpu, if setting.small { 64 } else { 4_096 })?;
        if let Some(memcached) = &memcached {
            memcached::fill(&TcpStream::connect(memcached.address)?, material.listed.iter().map(String::as_str))?;
        }
        Ok(Bench { setting, size, expected, material, daemon, null, memcached })
    }

    fn case(&self, case: &Case) -> io::Result<Vec<Figure>> {
        let requests = self.requests(case.batch);
        let asked: Vec<&str> = self.material.asked.iter().map(String::as_str).collect();
        let peer_requests = memcached::requests(&asked, case.peer_batch);
        let (mut ours, mut null, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        let mut client_bound = Vec::new();
        for _ in 0..self.setting.runs.unwrap_or(self.size.runs) {
            let outcome = self.measure(case, self.daemon.address, self.daemon.pid(), &requests, &Binary)?;
            self.check(&outcome, self.expected.known_min, self.expected.known_max)?;
            ours.push(per_cpu_second(&outcome));
            client_bound.push(utilization(&outcome));
            null.push(per_cpu_second(&self.measure(case, self.null.address, self.null.pid(), &requests, &Binary)?));
            if let Some(memcached) = &self.memcached {
                let outcome = self.measure(case, memcached.address, memcached.pid(), &peer_requests, &memcached::Text)?;
                self.check(&outcome, 0.49, 0.51)?;
                theirs.push(per_cpu_second(&outcome));
            }
        }
        let name = &case.name;
        let figure = |of: &str, peer: &str, samples| Figure::new(format!("{name}_{of}"), "keys/CPU-s", How::Measured, peer, samples);
        let (ours, null) = (figure("verdictd", "", ours), figure("null", "null server", null));
        let mut figures = vec![Figure::ratio(format!("{name}_vs_null"), "null server, same bytes", &ours, &null)];
        figures.push(Figure::new(format!("{name}_cpu_share"), "of wall clock", How::Measured, "", client_bound));
        if !theirs.is_empty() {
            let theirs = figure("memcached", "memcached", theirs);
            let peer = format!("memcached get of {}", case.peer_batch);
            figures.insert(0, Figure::ratio(format!("{name}_vs_memcached"), &peer, &ours, &theirs));
            figures.push(theirs);
        }
        figures.extend([ours, null]);
        Ok(figures)
    }

    fn requests(&self, batch: usize) -> Pool {
        let mut pool = Pool::default();
        let material = self.material;
        if material.keys.is_empty() {
            for asked in material.asked.chunks_exact(batch) {
                pool.push(batch, |out| frame::lookup(out, 0, asked.iter().map(|url| (verdict_keys::Kind::Url as u8, url.as_bytes()))));
            }
        } else {
            for keys in material.keys.chunks_exact(batch) {
                pool.push(batch, |out| frame::lookup_hashed(out, 0, material.generation, 0, keys));
            }
        }
        pool
    }

    fn measure<D: Dialect>(&self, case: &Case, address: std::net::SocketAddr, pid: u32, pool: &Pool, dialect: &D) -> io::Result<Outcome> {
        let mut plan = Plan {
            address,
            connections: case.connections,
            pace: Pace::Closed { in_flight: case.in_flight },
            in_flight_max: 64,
            warm_up: Duration::from_secs_f64(self.size.warm_up),
            duration: Duration::from_secs_f64(self.size.seconds),
            server_pid: Some(pid),
        };
        // On a busy machine a short run may end before the server's clock ticks: a longer one then.
        for _ in 0..4 {
            let outcome = fleet::run(&plan, pool, dialect)?;
            if outcome.server_cpu.is_some_and(|cpu| !cpu.is_zero()) {
                return Ok(outcome);
            }
            plan.duration *= 2;
        }
        Err(io::Error::other("the run was too short for the server's clock"))
    }

    fn check(&self, outcome: &Outcome, least: f64, most: f64) -> io::Result<()> {
        let known = outcome.tally.known as f64 / outcome.checked_keys.max(1) as f64;
        // A short run asks only the first requests, whose share of listed keys may lie anywhere near a half.
        let slack = if self.setting.small { 0.1 } else { 0.0 };
        if outcome.tally.overloaded + outcome.tally.odd > 0 || !(least - slack..=most + slack).contains(&known) {
            return Err(unexpected(&format!("{:?}; the known share", outcome.tally), known));
        }
        Ok(())
    }
}

fn per_cpu_second(outcome: &Outcome) -> f64 {
    outcome.keys as f64 / outcome.server_cpu.unwrap_or_default().as_secs_f64()
}

/// The server's CPU time as a share of the wall clock: well below one, the client was the slower end.
fn utilization(outcome: &Outcome) -> f64 {
    outcome.server_cpu.unwrap_or_default().as_secs_f64() / outcome.elapsed.as_secs_f64()
}

fn backend() -> io::Result<Selected> {
    verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))
}

fn urls(setting: &Setting, size: &Size) -> io::Result<Material> {
    let corpus = Corpus::real_or_generated(if setting.small { 20_000 } else { 0 }, &setting.rng)?;
    let strings = UrlStrings::of(&corpus);
    let mut table = Corpus { sources: vec![("listed".into(), "unknown".into())], ..Corpus::default() };
    let said = vote(0, Class::Malicious, 90, 1);
    table.indicators.extend(strings.listed.iter().map(|text| Indicator { text: text.clone(), meant: Meant::Url, vote: said }));
    let built = RuleSet::from_corpus(&table).compile(backend()?, Scheme::Full).map_err(io::Error::other)?;
    let asked = strings.mixed(size.strings, &mut setting.rng.fork("peers"));
    Ok(Material {
        snapshot: built.bytes,
        generation: built.generation,
        asked: asked.into_iter().map(str::to_owned).collect(),
        listed: strings.listed.iter().map(|text| text.to_string()).collect(),
        keys: Vec::new(),
    })
}

/// Digests made up from numbers; the peer's key is the number in 16 hexadecimal digits.
fn hashed(setting: &Setting, size: &Size) -> io::Result<Material> {
    let backend = backend()?;
    let mut rng = setting.rng.fork("hashed keys");
    let digest = |number: u64| Digest::Md5(u128::from(number).to_le_bytes());
    let listed: Vec<u64> = (0..size.entries).map(|_| rng.bits()).collect();
    let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
    let source = builder.source(Source { name: "made-up files", licence: "none" });
    for number in &listed {
        builder.add(Rule::File(digest(*number)), vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    let built = builder.build(backend).map_err(io::Error::other)?;
    let snapshot = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?;
    let asked: Vec<u64> = (0..size.strings.max(256 * 64)).map(|_| if rng.one_in(2) { *rng.pick(&listed) } else { rng.bits() }).collect();
    let key = |number: &u64| {
        let key = seal(digest(*number).hash(backend, snapshot.schedule()));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.lo.to_le_bytes());
        bytes[8..].copy_from_slice(&key.hi.to_le_bytes());
        bytes
    };
    Ok(Material {
        keys: asked.iter().map(key).collect(),
        generation: built.generation,
        snapshot: built.bytes,
        listed: listed.iter().map(|number| format!("{number:016x}")).collect(),
        asked: asked.iter().map(|number| format!("{number:016x}")).collect(),
    })
}
