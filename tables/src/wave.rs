//! One wave: every key to its bucket, every bucket compared; a chunk of 64 keys at a time.
//!
//! ```text
//! step      1              2                   3                 4                   5              6
//! chunk 0   ask for its    compare             settle: refs;     compare             take over      hand over
//!           lines   \     │                   ask for the other those               what was
//!                    eight by eight            line of a few                         found
//! chunk 1                  ask for its lines   compare           settle ...
//! ```
//! Asking and comparing alternate every eight keys, about 30 instructions a key in all. A prefetch holds its place in the core until its line
//! is on its way, so a core overlaps as many lines as fit into its window (448 instructions on Zen 5); what was saved beyond about 30 a key
//! gained nothing more (perf/investigations/probe.md). Hence arithmetic on small arrays that stay in L1, no branch that depends on one key, one compilation per backend.
//!
//! Hence, too, the six steps: a vector that is loaded over narrow stores waits until these have left the core, behind all prefetches before
//! them. What one step stores as scalars the next one loads as vectors.

use std::hint::black_box;
use std::ops::Range;

use verdict_simd::{Backend, Bucket, CHUNK, GROUP, Key128, SEVERAL, WithBackend, prefetch, prefetch_bucket};

use crate::table::Table;

/// Keys between asking for the keys themselves and needing them.
const KEYS_AHEAD: usize = 4 * CHUNK;
/// Chunks on their way.
const RING: usize = 8;

/// Who wants what a wave finds.
pub(crate) trait Sink {
    /// What is known of keys `first..first + refs.len()`, at most 64: the ref of their slot, or 0; `Wave::is_several` says where it is more than
    /// that. Nobody reads them afterwards.
    fn take<B: Backend>(&mut self, backend: B, first: usize, refs: &mut [u32]);
}

/// Working space of a wave.
#[derive(Default)]
pub(crate) struct Wave {
    chunks: [Chunk; RING],
}

impl Wave {
    /// Hands what the table has of each key to `sink`, in order.
    #[inline]
    pub(crate) fn run<B: Backend, S: Sink>(&mut self, backend: B, table: Table<'_>, keys: &[Key128], sink: &mut S) {
        backend.run(Work { wave: self, table, keys, sink });
    }

    /// Whether a ref stands for more than one: `Table::each` knows them.
    #[inline(always)]
    pub(crate) const fn is_several(reference: u32) -> bool {
        reference & SEVERAL != 0
    }
}

struct Work<'a, 'b, S> {
    wave: &'a mut Wave,
    table: Table<'b>,
    keys: &'a [Key128],
    sink: &'a mut S,
}

impl<S: Sink> WithBackend for Work<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) {
        let Work { wave: Wave { chunks }, table, keys, sink } = self;
        let count = keys.len().div_ceil(CHUNK);
        let range = |chunk: usize| (chunk * CHUNK).min(keys.len())..((chunk + 1) * CHUNK).min(keys.len());
        for step in 0..if count == 0 { 0 } else { count + 5 } {
            // The chunk of so many steps ago, and its keys.
            let aged = |steps: usize| step.checked_sub(steps).filter(|step| *step < count).map(|step| (step % RING, range(step)));
            let Ok([asked, compared]) = chunks.get_disjoint_mut([step % RING, (step + RING - 1) % RING]) else { return }; // two of eight
            ask_and_compare(backend, &table, keys, range(step), asked, compared, aged(1).map_or(0, |(_, range)| range.len()));
            if let Some((at, _)) = aged(3) {
                chunks[at].pending.compare(backend, table.buckets);
            }
            if let Some((at, range)) = aged(2) {
                chunks[at].settle(backend, table.buckets, range.len());
            }
            if let Some((at, range)) = aged(5) {
                sink.take(backend, range.start, &mut chunks[at].words[..range.len()]);
            }
            if let Some((at, _)) = aged(4) {
                chunks[at].finish(backend);
            }
        }
    }
}

/// Asks for the lines of the keys in `range`, and compares those of the `count` keys that were asked for a step ago.
#[inline(always)]
fn ask_and_compare<B: Backend>(
    backend: B,
    table: &Table<'_>,
    keys: &[Key128],
    range: Range<usize>,
    asked: &mut Chunk,
    compared: &mut Chunk,
    count: usize,
) {
    let ahead = keys.get(range.start + KEYS_AHEAD..).and_then(|keys| keys.first_chunk());
    if let (Ok(keys), CHUNK) = (<&[Key128; CHUNK]>::try_from(&keys[range.clone()]), count) {
        let ahead = ahead.unwrap_or(keys);
        for (number, (keys, ahead)) in keys.as_chunks().0.iter().zip(ahead.as_chunks::<GROUP>().0).enumerate() {
            // Eight keys are two lines.
            prefetch(ahead, 0);
            prefetch(ahead, GROUP / 2);
            asked.ask(backend, table, keys, number);
            compared.compare(backend, table.buckets, number);
        }
        return;
    }
    let (whole, rest) = keys[range].as_chunks();
    for (number, keys) in whole.iter().enumerate() {
        asked.ask(backend, table, keys, number);
    }
    if !rest.is_empty() {
        let mut some = [Key128::default(); GROUP];
        some.iter_mut().zip(rest).for_each(|(some, key)| *some = *key);
        asked.ask(backend, table, &some, whole.len());
    }
    for number in 0..count.div_ceil(GROUP) {
        compared.compare(backend, table.buckets, number);
    }
}

/// Some keys, and what is known of them.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Chunk {
    /// Where they are at home, and where else they may be.
    at: [u64; CHUNK],
    others: [u64; CHUNK],
    tags: [u64; CHUNK],
    /// What the buckets say; in the end refs.
    words: [u32; CHUNK],
    hits: [u8; CHUNK],
    pending: Pending,
}

/// Keys whose other line is on its way.
#[derive(Clone, Copy)]
struct Pending {
    /// Whole groups of them: the last is filled up with the first key, which does no harm.
    groups: usize,
    /// Within their chunk.
    of: [u8; CHUNK],
    at: [u64; CHUNK],
    tags: [u64; CHUNK],
    words: [u32; CHUNK],
    hits: [u8; CHUNK],
}

impl Default for Chunk {
    fn default() -> Self {
        let pending = Pending { groups: 0, of: [0; CHUNK], at: [0; CHUNK], tags: [0; CHUNK], words: [0; CHUNK], hits: [0; CHUNK] };
        Self { at: [0; CHUNK], others: [0; CHUNK], tags: [0; CHUNK], words: [0; CHUNK], hits: [0; CHUNK], pending }
    }
}

/// The elements of a group.
#[inline(always)]
const fn group<T>(of: &mut [T; CHUNK], number: usize) -> &mut [T; GROUP] {
    &mut of.as_chunks_mut().0[number]
}

impl Chunk {
    /// Asks for the home lines of eight keys; they are group `number`.
    #[inline(always)]
    fn ask<B: Backend>(&mut self, backend: B, table: &Table<'_>, keys: &[Key128; GROUP], number: usize) {
        let [tags, places] = backend.halves(keys);
        let (at, others) = (group(&mut self.at, number), group(&mut self.others, number));
        for lane in 0..GROUP {
            [at[lane], others[lane]] = table.geometry.offsets(places[lane]);
        }
        *group(&mut self.tags, number) = tags;
        // From memory again: taken out of a vector register each offset would be three instructions more.
        for at in black_box(at) {
            prefetch_bucket(table.buckets, *at);
        }
    }

    #[inline(always)]
    fn compare<B: Backend>(&mut self, backend: B, buckets: &[Bucket], number: usize) {
        let Self { at, tags, words, hits, .. } = self;
        backend.probe(buckets, group(at, number), group(tags, number), group(hits, number), group(words, number));
    }

    /// Makes refs of what the buckets of the first `count` keys say. Asks for the other lines of those that are not at home and perhaps away.
    #[inline(always)]
    fn settle<B: Backend>(&mut self, backend: B, buckets: &[Bucket], count: usize) {
        let Self { others, tags, words, hits, pending, .. } = self;
        // Of a short chunk the rest is what the last one left.
        let open = match count {
            CHUNK => backend.settle(tags, hits, words),
            _ => {
                let lanes = count.next_multiple_of(16).min(CHUNK);
                backend.settle(&tags[..lanes], &hits[..lanes], &mut words[..lanes])
            }
        };
        let open = open & !0 >> (CHUNK - count);
        let groups = (open.count_ones() as usize).div_ceil(GROUP);
        pending.groups = groups;
        if groups == 0 {
            return;
        }
        pending.of = backend.places(open);
        let slots = pending.of.iter().zip(&mut pending.at).zip(&mut pending.tags);
        for ((of, at), tag) in slots.take(groups * GROUP) {
            let of = usize::from(*of) % CHUNK;
            (*at, *tag) = (others[of], tags[of]);
            prefetch_bucket(buckets, *at);
        }
    }

    /// Takes over what was found in other lines. What is not there either is nowhere.
    #[inline(always)]
    fn finish<B: Backend>(&mut self, backend: B) {
        let Pending { groups, of, tags, words, hits, .. } = &mut self.pending;
        if *groups == 0 {
            return;
        }
        // Of a half the rest is what the last one left.
        let lanes = (*groups * GROUP).next_multiple_of(16).min(CHUNK);
        backend.settle(&tags[..lanes], &hits[..lanes], &mut words[..lanes]);
        for (of, word) in of.iter().zip(words).take(*groups * GROUP) {
            self.words[usize::from(*of) % CHUNK] = *word;
        }
    }
}

impl Pending {
    #[inline(always)]
    fn compare<B: Backend>(&mut self, backend: B, buckets: &[Bucket]) {
        let Self { groups, at, tags, words, hits, .. } = self;
        for number in 0..*groups {
            backend.probe(buckets, group(at, number), group(tags, number), group(hits, number), group(words, number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Geometry;
    use verdict_simd::{available, away_bits};

    struct All(Vec<u32>);

    impl Sink for All {
        fn take<B: Backend>(&mut self, _: B, first: usize, refs: &mut [u32]) {
            assert_eq!(first, self.0.len());
            self.0.extend_from_slice(refs);
        }
    }

    /// A table of four buckets in one shard; its keys are at home in bucket `hi >> 30` of the lower half.
    fn table(buckets: &[Bucket; 4]) -> Table<'_> {
        Table { geometry: Geometry { shards: 1, shard_buckets: 4 }, buckets }
    }

    #[test]
    fn home_away_several_and_nowhere() {
        let mut buckets = [Bucket::default(); 4];
        let home = |bucket: u64, tag: u64| Key128 { hi: bucket << 30 | 1, lo: tag };
        let other = |key: Key128| Geometry { shards: 1, shard_buckets: 4 }.other(key.hi) as usize;
        let (at_home, away, twice, nowhere, zero) = (home(0, 100), home(1, 200), home(2, 300), home(3, 400), home(0, 0));
        buckets[0].tags[1] = 100;
        buckets[0].refs[1] = 11;
        buckets[1].away = away_bits(200);
        buckets[other(away)].tags[4] = 200;
        buckets[other(away)].refs[4] = 22;
        buckets[2].tags[..2].copy_from_slice(&[300; 2]);
        buckets[2].refs[..2].copy_from_slice(&[33, 34]);
        let kinds = [at_home, away, twice, nowhere, zero];
        let expected = [11, 22, SEVERAL, 0, SEVERAL];
        let table = table(&buckets);
        for backend in available() {
            let mut wave = Wave::default();
            for count in [0, 1, 2, 5, 63, 64, 65, 127, 128, 129, 192, 193, 500] {
                let keys: Vec<Key128> = (0..count).map(|index| kinds[index * 7 % 5]).collect();
                let mut all = All(Vec::new());
                wave.run(backend, table, &keys, &mut all);
                assert_eq!(all.0, (0..count).map(|index| expected[index * 7 % 5]).collect::<Vec<_>>(), "{}", backend.name());
            }
        }
        let each = |key| {
            let mut refs = Vec::new();
            table.each(key, |reference| refs.push(reference));
            refs
        };
        assert_eq!(kinds.map(each), [vec![11], vec![22], vec![33, 34], vec![], vec![]]);
    }
}
