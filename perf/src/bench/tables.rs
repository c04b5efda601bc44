//! Suite `tables`: probes of the exact table in process, hit and miss, beside hashbrown and the machine's own limit.
//!
//! ```text
//! limit     │ prefetch line i+distance, read line i │   random lines of the very memory that the table lies in; the best distance
//! ours      │ batch of ready keys ─► lookup ─► answers │
//! hashbrown │ get, get, get │                            u64 → u32, identity hasher, as many slots as fill a GiB
//! ```
//! All three take turns in each run. 99 of 100 keys are listed, or 1 of 100: nobody may bet on either.

use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::io;
use std::ops::Deref;
use std::time::Duration;

use memmap2::{Advice, MmapMut};
use serde::Deserialize;
use verdict_keys::Batch;
use verdict_simd::{Backend, Key128, Selected, WithBackend, prefetch};
use verdict_tables::{Scratch, Snapshot, Verdict, lookup};

use super::large::Large;
use super::{Definition, Results, Setting, definition, timed, unexpected};
use crate::report::{Figure, How};
use crate::seed::Rng;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    entries: u64,
    hashbrown_entries: u64,
    probes: usize,
    batch: usize,
    batch_short: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    known_of_hits: f64,
    known_of_misses: f64,
}

type Map = hashbrown::HashMap<u64, u32, BuildHasherDefault<Identity>>;

/// Indices that are asked for, and how many of them are listed.
struct Asked {
    indices: Vec<u64>,
    known: usize,
}

impl Asked {
    /// Of a table of so many entries.
    fn new(probes: usize, entries: u64, share: f64, rng: &mut Rng) -> Self {
        let mut known = 0;
        let mut index = || {
            let listed = (rng.bits() >> 11) as f64 / (1u64 << 53) as f64 <= share;
            known += usize::from(listed);
            rng.below(entries as usize) as u64 + if listed { 0 } else { 1 << 40 }
        };
        let indices = (0..probes).map(|_| index()).collect();
        Self { indices, known }
    }
}

/// What is asked of our table, cut in batches.
struct Ours {
    known: usize,
    long: Vec<Batch>,
    short: Vec<Batch>,
}

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected> = definition(include_str!("../../definitions/tables.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut rng = setting.rng.fork("tables");
    let large = Large::get(backend, size.entries)?;
    let snapshot = Snapshot::load(&large.path).map_err(io::Error::other)?;
    let shares = [definition.expected.known_of_hits, definition.expected.known_of_misses];
    let ours = shares.map(|share| {
        let asked = Asked::new(size.probes, size.entries, share, &mut rng);
        let keys: Vec<Key128> = asked.indices.iter().map(|index| Large::key(backend, snapshot.schedule(), *index)).collect();
        Ours { known: asked.known, long: batches(&keys, size.batch), short: batches(&keys, size.batch_short) }
    });
    let mut map = Map::with_capacity_and_hasher(size.hashbrown_entries as usize, BuildHasherDefault::default());
    map.extend((0..size.hashbrown_entries).map(|index| (super::large::word(index), index as u32)));
    let theirs = shares.map(|share| {
        let Asked { mut indices, known } = Asked::new(size.probes, size.hashbrown_entries, share, &mut rng);
        indices.iter_mut().for_each(|index| *index = super::large::word(*index));
        Asked { indices, known }
    });
    let lines = Lines::new(snapshot.as_bytes(), &mut rng, size.probes);

    let mut samples: [Vec<f64>; 7] = Default::default();
    for _ in 0..setting.runs.unwrap_or(size.runs) {
        for side in 0..2 {
            samples[side].push(rate(size.probes, ours[side].known, || ask_all(backend, &snapshot, &ours[side].long))?);
            samples[2 + side].push(rate(size.probes, ours[side].known, || ask_all(backend, &snapshot, &ours[side].short))?);
            samples[4 + side].push(rate(size.probes, theirs[side].known, || ask_map(&map, &theirs[side].indices))?);
        }
        samples[6].push(per_second(size.probes, timed(|| lines.read_all()).1));
    }
    let mut figures = vec![
        Figure::new("entries", "entries", How::Counted, "", vec![size.entries as f64]),
        Figure::new("bytes_per_entry", "bytes", How::Counted, "", vec![snapshot.as_bytes().len() as f64 / size.entries as f64]),
        Figure::new(
            "hashbrown_bytes_per_entry",
            "bytes",
            How::Counted,
            "hashbrown 0.17",
            vec![map.allocation_size() as f64 / size.hashbrown_entries as f64],
        ),
    ];
    figures.extend(ratios(samples));
    let notes = vec![
        format!(
            "table of {} bytes, {} verdicts; hashbrown's {} bytes",
            snapshot.as_bytes().len(),
            snapshot.stats().verdicts,
            map.allocation_size()
        ),
        format!("limit: lines asked for {} ahead, the best of {DISTANCES:?}", lines.ahead),
        format!("huge pages of this process: {}", huge_pages()),
    ];
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

fn ratios(samples: [Vec<f64>; 7]) -> Vec<Figure> {
    let figure = |name, peer, samples| Figure::new(name, "M probes/s", How::Measured, peer, samples);
    let [hit, miss, hit_short, miss_short, map_hit, map_miss, limit] = samples;
    let (hit, miss) = (figure("probe_hit", "", hit), figure("probe_miss", "", miss));
    let (hit_short, miss_short) = (figure("probe_hit_b256", "", hit_short), figure("probe_miss_b256", "", miss_short));
    let (map_hit, map_miss) = (figure("hashbrown_hit", "hashbrown 0.17", map_hit), figure("hashbrown_miss", "hashbrown 0.17", map_miss));
    let limit = figure("random_line_limit", "this machine", limit);
    vec![
        Figure::ratio("probe_vs_hashbrown", "hashbrown 0.17, hits", &hit, &map_hit),
        Figure::ratio("probe_vs_hashbrown_miss", "hashbrown 0.17, misses", &miss, &map_miss),
        Figure::ratio("probe_vs_limit_hit", "random lines", &hit, &limit),
        Figure::ratio("probe_vs_limit_miss", "random lines", &miss, &limit),
        Figure::ratio("probe_b256_vs_limit_hit", "random lines", &hit_short, &limit),
        Figure::ratio("probe_b256_vs_limit_miss", "random lines", &miss_short, &limit),
        hit,
        miss,
        hit_short,
        miss_short,
        map_hit,
        map_miss,
        limit,
    ]
}

/// Million probes a second, if as many are known as should be.
fn rate(probes: usize, known: usize, work: impl FnOnce() -> (usize, Duration)) -> io::Result<f64> {
    let (found, elapsed) = work();
    if found != known {
        return Err(unexpected("the known share", found as f64 / probes as f64));
    }
    Ok(per_second(probes, elapsed))
}

fn per_second(count: usize, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64() / 1e6
}

fn batches(keys: &[Key128], size: usize) -> Vec<Batch> {
    let batch_of = |keys: &[Key128]| {
        let mut batch = Batch::with_capacity(1);
        keys.iter().for_each(|key| batch.push_hashed(*key, false, false));
        batch
    };
    keys.chunks(size).map(batch_of).collect()
}

/// How many are known, and how long it took. Answers are counted a batch at a time, in the time of the lookup.
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
    backend.run(Work(snapshot, batches))
}

fn ask_map(map: &Map, words: &[u64]) -> (usize, Duration) {
    timed(|| words.iter().filter(|word| black_box(map.get(*word)).is_some()).count())
}

/// `AnonHugePages` of all mappings, as the kernel counts them.
fn huge_pages() -> String {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:"));
    line.map_or("not told".to_owned(), |line| line.trim().to_owned())
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
pub(super) struct Lines<M> {
    memory: M,
    at: Vec<u32>,
    sum: u64,
    ahead: usize,
}

/// How far ahead a line may be asked for; the best is taken.
const DISTANCES: [usize; 6] = [16, 32, 64, 96, 128, 192];
const LINE: usize = 64;

/// Memory as a snapshot's, written once.
pub(super) fn huge(bytes: usize) -> io::Result<MmapMut> {
    let mut memory = MmapMut::map_anon(bytes.next_multiple_of(LINE).max(LINE))?;
    // Refused where the kernel has no huge pages; the limit is then that of small ones.
    let _ = memory.advise(Advice::HugePage);
    memory.iter_mut().step_by(LINE).for_each(|byte| *byte = 1);
    Ok(memory)
}

impl<M: Deref<Target = [u8]>> Lines<M> {
    /// Lines of memory that is there; the distance is the one that does best here and now.
    pub(super) fn new(memory: M, rng: &mut Rng, probes: usize) -> Self {
        let lines = memory.as_chunks::<LINE>().0;
        let at: Vec<u32> = (0..probes).map(|_| rng.below(lines.len()) as u32).collect();
        let sum = at.iter().map(|at| u64::from(lines[*at as usize][0])).sum();
        let mut limit = Lines { memory, at, sum, ahead: 0 };
        let mut best = (Duration::MAX, 0);
        for _ in 0..3 {
            for ahead in DISTANCES {
                limit.ahead = ahead;
                best = best.min((timed(|| limit.read_all()).1, ahead));
            }
        }
        limit.ahead = best.1;
        limit
    }

    pub(super) fn read_all(&self) {
        let (lines, mut sum) = (self.memory.as_chunks::<LINE>().0, 0u64);
        // The last ones have nobody to ask for: what they ask for is asked for again, so that the loop needs no branch.
        let ahead = self.at[self.ahead.min(self.at.len())..].iter().chain(std::iter::repeat_n(&0, self.ahead));
        for (at, ahead) in self.at.iter().zip(ahead) {
            prefetch(lines, *ahead as usize);
            sum += u64::from(lines[*at as usize][0]);
        }
        assert_eq!(black_box(sum), self.sum, "the same lines, the same bytes");
    }
}
