//! Suite `peers`: keys per second of the server's own CPU time; verdictd beside memcached and Redis, which hold the same keys.
//!
//! ```text
//! filling    memcached on CPU 0, Redis on CPU 1, at once
//! measuring  CPU 0: the server of the moment        CPU 1: this process, one thread, closed loop
//! round 1: verdictd, memcached, Redis │ round 2: memcached, Redis, verdictd │ ...      all three running, two of them idle
//! ```

use std::io;
use std::net::TcpStream;

use serde::Deserialize;
use verdict_tables::Snapshot;

use super::cost::{self, Demand, Discarded, Side, Times};
use super::large::Large;
use super::material::{self, Expected, Hashed, Keys, Shares, Urls};
use super::servers::{Peer, memcached_version, part_cpus, redis_version};
use super::{Definition, Findings, Results, Setting, definition, memcached, redis};
use crate::fleet::{Binary, Pool};
use crate::process;
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    times: Times,
    strings: usize,
    entries: u64,
    peer_entries: u64,
    asked: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    keys: Keys,
    batch: usize,
    peer_batch: usize,
    demand: Demand,
}

/// Bytes that memcached and Redis take for a key, as measured with keys of 16 bytes and values of 8; with room for what the allocator keeps.
const PEER_BYTES: [u64; 2] = [100, 110];
/// Left to everybody else.
const RESERVE_BYTES: u64 = 2 << 30;

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Expected, Case> = definition(include_str!("../../definitions/peers.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let mut notes = Vec::new();
    let cpu = part_cpus(&mut notes)?;
    notes.push(memcached_version().unwrap_or_else(|| "SKIPPED: memcached is not installed, there are no figures beside it".to_owned()));
    notes.push(redis_version().unwrap_or_else(|| "SKIPPED: Redis is not installed, there are no figures beside it".to_owned()));
    let mut bench = Bench { setting, size, cpu, figures: Vec::new(), discarded: Discarded::default() };
    let cases = |keys| definition.case.iter().filter(move |case: &&Case| case.keys == keys);
    bench.urls(&definition.expected.url, cases(Keys::Url))?;
    bench.hashed(&definition.expected.hashed, cases(Keys::Hashed), &mut notes)?;
    let Bench { figures, discarded, .. } = bench;
    let results = Results { name: definition.name, bias: definition.bias, figures, notes };
    Ok(Findings { results, curves: Vec::new(), discarded })
}

struct Bench<'a> {
    setting: &'a Setting,
    size: &'a Size,
    cpu: Option<usize>,
    figures: Vec<Figure>,
    discarded: Discarded,
}

/// Peers that are filled.
struct Peers {
    memcached: Option<Peer>,
    redis: Option<Peer>,
}

/// What a case asks: our frames, and a peer's requests written in its own way.
trait Material {
    fn frames(&self, batch: usize) -> Pool;
    fn peer_requests(&self, batch: usize, encode: fn(&mut Vec<u8>, &[&[u8]])) -> Pool;
}

impl Material for Urls {
    fn frames(&self, batch: usize) -> Pool {
        self.frames(batch)
    }
    fn peer_requests(&self, batch: usize, encode: fn(&mut Vec<u8>, &[&[u8]])) -> Pool {
        self.peer_requests(batch, encode)
    }
}

impl Material for Hashed {
    fn frames(&self, batch: usize) -> Pool {
        self.frames(batch)
    }
    fn peer_requests(&self, batch: usize, encode: fn(&mut Vec<u8>, &[&[u8]])) -> Pool {
        self.peer_requests(batch, encode)
    }
}

impl Bench<'_> {
    fn urls<'c>(&mut self, shares: &Shares, cases: impl Iterator<Item = &'c Case>) -> io::Result<()> {
        let urls = Urls::new(self.setting, shares, self.size.strings)?;
        let peers = self.fill(urls.listed.len() as u64, || urls.listed.iter().map(|text| text.as_bytes()))?;
        self.cases(&urls, &peers, Served::Bytes(&urls.snapshot), cases)
    }

    fn hashed<'c>(&mut self, shares: &Shares, cases: impl Iterator<Item = &'c Case>, notes: &mut Vec<String>) -> io::Result<()> {
        let entries = self.size.entries;
        let table = Large::get(material::backend()?, entries)?;
        let given = self.size.peer_entries.min(fitting()).min(entries);
        notes.push(format!("hashed keys: {entries} entries in verdictd, the first {given} of them in each peer"));
        self.figures.push(Figure::new("hash_entries", "entries", How::Counted, "verdictd", vec![entries as f64]));
        self.figures.push(Figure::new("hash_peer_entries", "entries", How::Counted, "memcached, Redis", vec![given as f64]));
        // Only for its key: the daemon has memory of its own for it.
        let snapshot = Snapshot::load(&table.path).map_err(io::Error::other)?;
        let hashed = Hashed::new(&snapshot, self.setting, shares, [entries, given, self.size.asked])?;
        drop(snapshot);
        let peers = self.fill(given, || (0..given).map(material::text))?;
        for (peer, name) in [(&peers.memcached, "memcached"), (&peers.redis, "redis")] {
            if let Some(peer) = peer {
                let bytes = process::resident_bytes(peer.pid())? as f64 / given as f64;
                self.figures.push(Figure::new(format!("hash_{name}_bytes_per_entry"), "bytes", How::Measured, name, vec![bytes]));
            }
        }
        self.cases(&hashed, &peers, Served::File(&table.path), cases)
    }

    /// Both at once, each on a CPU of its own; then both on the servers' CPU.
    fn fill<K: AsRef<[u8]>, I: Iterator<Item = K>>(&self, count: u64, keys: impl Fn() -> I + Sync) -> io::Result<Peers> {
        let peers = Peers { memcached: Peer::memcached(None, count)?, redis: Peer::redis(None)? };
        let [first, second] = match process::cpus() {
            [first, second, ..] => [Some(*first), Some(*second)],
            _ => [None; 2],
        };
        let pin = |peer: &Option<Peer>, cpu: Option<usize>| match (peer, cpu) {
            (Some(peer), Some(cpu)) => process::pin(peer.pid(), cpu),
            _ => Ok(()),
        };
        pin(&peers.memcached, first)?;
        pin(&peers.redis, second)?;
        eprintln!("filling memcached and Redis with {count} keys each ...");
        std::thread::scope(|scope| {
            let redis = peers.redis.as_ref().map(|redis| scope.spawn(|| redis::fill(&TcpStream::connect(redis.address)?, keys())));
            if let Some(memcached) = &peers.memcached {
                memcached::fill(&TcpStream::connect(memcached.address)?, keys())?;
            }
            redis.map_or(Ok(()), |redis| redis.join().map_err(|_| io::Error::other("filling Redis panicked"))?)
        })?;
        pin(&peers.redis, first)?;
        Ok(peers)
    }

    fn cases<'c>(
        &mut self,
        material: &impl Material,
        peers: &Peers,
        served: Served<'_>,
        cases: impl Iterator<Item = &'c Case>,
    ) -> io::Result<()> {
        let daemon = Daemon::start(&Wanted { binary: &self.setting.verdictd, driver: AUTO, snapshot: served, cpu: self.cpu, limits: "" })?;
        for case in cases {
            let mut sides = vec![Side::new("verdictd", daemon.address, daemon.pid(), material.frames(case.batch), Binary)];
            if let Some(peer) = &peers.memcached {
                let pool = material.peer_requests(case.peer_batch, memcached::encode);
                sides.push(Side::new("memcached", peer.address, peer.pid(), pool, memcached::Text));
            }
            if let Some(peer) = &peers.redis {
                let pool = material.peer_requests(case.peer_batch, redis::encode);
                sides.push(Side::new("redis", peer.address, peer.pid(), pool, redis::Resp));
            }
            let (costs, discarded) = cost::rounds(&sides, case.demand, self.size.times, self.setting.runs.unwrap_or(self.size.runs))?;
            self.discarded = self.discarded.and(discarded);
            self.note(case, &sides, &costs);
        }
        daemon.stop()
    }

    fn note(&mut self, case: &Case, sides: &[Side<'_>], costs: &[cost::Costs]) {
        let name = &case.name;
        let figures: Vec<Figure> = sides
            .iter()
            .zip(costs)
            .map(|(side, costs)| {
                let peer = if side.name == "verdictd" { "" } else { side.name };
                Figure::new(format!("{name}_{}", side.name), "keys/CPU-s", How::Measured, peer, costs.keys_per_cpu_s.clone())
            })
            .collect();
        for theirs in &figures[1..] {
            let peer = format!("{} get of {}", theirs.peer, case.peer_batch);
            self.figures.push(Figure::ratio(format!("{name}_vs_{}", theirs.peer), &peer, &figures[0], theirs));
        }
        for (side, costs) in sides.iter().zip(costs) {
            let share = costs.cpu_share.clone();
            self.figures.push(Figure::new(format!("{name}_{}_cpu_share", side.name), "of wall clock", How::Measured, "", share));
        }
        self.figures.extend(figures);
    }
}

/// How many keys both peers can hold beside what runs already.
fn fitting() -> u64 {
    process::available_bytes().saturating_sub(RESERVE_BYTES) / PEER_BYTES.iter().sum::<u64>()
}
