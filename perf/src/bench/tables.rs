//! Suite `tables`: probes of the exact table in process, hit and miss, beside hashbrown and the machine's own limit.
//!
//! ```text
//! limit     │ prefetch line i+64, read line i │       random lines of an array of the table's size, huge pages
//! ours      │ batch of 256 ready keys ─► lookup ─► 256 answers │
//! hashbrown │ get, get, get │                      u64 → u32, identity hasher
//! ```

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::io;
use std::time::Duration;

use memmap2::{Advice, MmapMut};
use serde::Deserialize;
use verdict_keys::{Batch, Digest, Scheme};
use verdict_simd::{Backend, Key128, Selected, WithBackend, prefetch, seal};
use verdict_tables::{Builder, Class, Rule, Scratch, Snapshot, Source, Verdict, lookup};

use super::{Definition, Results, Setting, definition, timed, unexpected};
use crate::data::vote;
use crate::report::{Figure, How};
use crate::seed::Rng;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    entries: usize,
    probes: usize,
    batch: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    known_of_hits: f64,
    known_of_misses: f64,
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected> = definition(include_str!("../../definitions/tables.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut rng = setting.rng.fork("tables");
    let digests: Vec<[u8; 16]> = (0..size.entries).map(|_| random16(&mut rng)).collect();
    let (snapshot, file_bytes) = table_of(backend, &digests)?;
    let keys: Vec<Key128> = digests.iter().map(|digest| seal(Digest::Md5(*digest).hash(backend, snapshot.schedule()))).collect();
    drop(digests);
    let hits: Vec<Key128> = (0..size.probes).map(|_| *rng.pick(&keys)).collect();
    let misses: Vec<Key128> = (0..size.probes).map(|_| Key128 { lo: rng.bits(), hi: rng.bits() }).collect();
    let map: hashbrown::HashMap<u64, u32, BuildHasherDefault<Identity>> = keys.iter().zip(0..).map(|(key, at)| (key.lo, at)).collect();
    let map_bytes = map.allocation_size();
    drop(keys);
    let lines = Lines::new(file_bytes, &mut rng, size.probes)?;
    let batches = [batches(&hits, size.batch), batches(&misses, size.batch)];

    let mut samples: [Vec<f64>; 5] = Default::default();
    for _ in 0..setting.runs.unwrap_or(size.runs) {
        for (side, (batches, expected)) in
            batches.iter().zip([definition.expected.known_of_hits, definition.expected.known_of_misses]).enumerate()
        {
            let (known, elapsed) = ask_all(backend, &snapshot, batches);
            let share = known as f64 / size.probes as f64;
            if share != expected {
                return Err(unexpected("the known share", share));
            }
            samples[side].push(per_second(size.probes, elapsed));
            let keys = if side == 0 { &hits } else { &misses };
            let (found, elapsed) = timed(|| keys.iter().filter(|key| black_box(map.get(&key.lo)).is_some()).count());
            if found as f64 / size.probes as f64 != expected {
                return Err(unexpected("hashbrown's known share", found as f64 / size.probes as f64));
            }
            samples[2 + side].push(per_second(size.probes, elapsed));
        }
        let ((), elapsed) = timed(|| lines.read_all());
        samples[4].push(per_second(size.probes, elapsed));
    }
    let [hit, miss, map_hit, map_miss, limit] = samples;
    let figure = |name, peer, samples| Figure::new(name, "M probes/s", How::Measured, peer, samples);
    let (hit, miss) = (figure("probe_hit", "", hit), figure("probe_miss", "", miss));
    let (map_hit, map_miss) = (figure("hashbrown_hit", "hashbrown 0.17", map_hit), figure("hashbrown_miss", "hashbrown 0.17", map_miss));
    let limit = figure("random_line_limit", "this machine", limit);
    let per_entry = |bytes: usize| vec![bytes as f64 / size.entries as f64];
    let figures = vec![
        Figure::new("entries", "entries", How::Counted, "", vec![size.entries as f64]),
        Figure::new("bytes_per_entry", "bytes", How::Counted, "", per_entry(file_bytes)),
        Figure::new("hashbrown_bytes_per_entry", "bytes", How::Counted, "hashbrown 0.17", per_entry(map_bytes)),
        Figure::ratio("probe_vs_hashbrown", "hashbrown 0.17, hits", &hit, &map_hit),
        Figure::ratio("probe_vs_hashbrown_miss", "hashbrown 0.17, misses", &miss, &map_miss),
        Figure::ratio("probe_vs_limit_hit", "random lines", &hit, &limit),
        Figure::ratio("probe_vs_limit_miss", "random lines", &miss, &limit),
        hit,
        miss,
        map_hit,
        map_miss,
        limit,
    ];
    let notes = vec![format!("table of {file_bytes} bytes; below a GiB part of it stays in the caches of a large machine")];
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64() / 1e6
}

fn random16(rng: &mut Rng) -> [u8; 16] {
    (u128::from(rng.bits()) << 64 | u128::from(rng.bits())).to_le_bytes()
}

fn table_of(backend: Selected, digests: &[[u8; 16]]) -> io::Result<(Snapshot, usize)> {
    let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
    let source = builder.source(Source { name: "made-up files", licence: "none" });
    for digest in digests {
        builder.add(Rule::File(Digest::Md5(*digest)), vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    let built = builder.build(backend).map_err(io::Error::other)?;
    Ok((Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?, built.bytes.len()))
}

fn batches(keys: &[Key128], size: usize) -> Vec<Batch> {
    let batch_of = |keys: &[Key128]| {
        let mut batch = Batch::with_capacity(keys.len());
        keys.iter().for_each(|key| batch.push_hashed(*key, false, false));
        batch
    };
    keys.chunks(size).map(batch_of).collect()
}

/// How many are known, and how long it took.
fn ask_all(backend: Selected, snapshot: &Snapshot, batches: &[Batch]) -> (usize, Duration) {
    struct Work<'a>(&'a Snapshot, &'a [Batch]);
    impl WithBackend for Work<'_> {
        type Output = (usize, Duration);
        fn run<B: Backend>(self, backend: B) -> (usize, Duration) {
            let Work(snapshot, batches) = self;
            let mut scratch = Scratch::default();
            let mut verdicts = vec![Verdict::default(); batches.iter().map(|batch| batch.items().len()).max().unwrap_or(0)];
            timed(|| {
                let mut known = 0;
                for batch in batches {
                    let verdicts = &mut verdicts[..batch.items().len()];
                    lookup(backend, snapshot, batch, &mut scratch, verdicts);
                    known += verdicts.iter().filter(|verdict| verdict.outcome != 0).count();
                }
                known
            })
        }
    }
    backend.with(Work(snapshot, batches))
}

/// A key that is uniform already needs no hashing.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

/// Independent random reads of one line each: what a table with one line per probe cannot beat.
pub(super) struct Lines {
    memory: MmapMut,
    at: Vec<u32>,
}

/// How far ahead a line is asked for.
const AHEAD: usize = 64;
const LINE: usize = 64;

impl Lines {
    pub(super) fn new(bytes: usize, rng: &mut Rng, probes: usize) -> io::Result<Self> {
        let count = bytes.div_ceil(LINE).max(1);
        let mut memory = MmapMut::map_anon(count * LINE)?;
        // Refused where the kernel has no huge pages; the limit is then that of small ones.
        let _ = memory.advise(Advice::HugePage);
        memory.iter_mut().step_by(LINE).for_each(|byte| *byte = 1);
        Ok(Lines { memory, at: (0..probes).map(|_| rng.below(count) as u32).collect() })
    }

    pub(super) fn read_all(&self) {
        let lines = self.memory.as_chunks::<LINE>().0;
        let mut sum = 0u64;
        for (step, at) in self.at.iter().enumerate() {
            if let Some(ahead) = self.at.get(step + AHEAD) {
                prefetch(lines, *ahead as usize);
            }
            sum += u64::from(lines[*at as usize][0]);
        }
        assert_eq!(black_box(sum), self.at.len() as u64, "every line holds a one");
    }
}
