//! One wave: every key to its bucket, every bucket compared; a chunk of keys at a time, each step a loop of its own.
//!
//! ```text
//! step      1            2                  3                          4
//! chunk 0   ask for      compare, select;   compare the other
//!           its lines    ask for the other  lines; hand over
//!                        line of a few
//! chunk 1                ask for its lines  compare, select ...        ...
//! ```
//! A step asks for 64 lines in a row, because a prefetch holds its place in the core until its address is translated: with 60
//! instructions between two of them six fit in the window, and a line costs 14 to 27 ns instead of 4 (perf/investigations/probe.md). Everything
//! else is arithmetic on small arrays that stay in L1, without a branch that depends on a key; it is compiled once per backend.

use std::ops::Range;

use verdict_simd::{Backend, Bucket, Key128, WithBackend, prefetch};

use crate::table::{Geometry, Table, away_bits};

/// Keys between asking for a line and needing it. More than the line-fill buffers of any core, few enough to stay in L1; a bit each in a `u64`.
pub(crate) const CHUNK: usize = 64;
/// Instead of a ref: not at home, but perhaps in the other bucket.
const AWAY: u32 = 1 << 31;
/// Instead of a ref: more than one slot, or an empty one, has this tag.
const SEVERAL: u32 = 1 << 30;

/// Who wants what a wave finds.
pub(crate) trait Sink {
    /// What is known of keys `first..first + refs.len()`: the ref of their slot, or 0; `Wave::is_several` says where it is more than that.
    fn take(&mut self, first: usize, refs: &[u32]);
}

/// Working space of a wave.
#[derive(Default)]
pub(crate) struct Wave {
    /// Of which the lines come; of which the other lines of a few come; which is handed over.
    chunks: [Chunk; 3],
    pending: Pending,
}

/// Some keys, and what is known of them.
#[derive(Clone, Copy)]
struct Chunk {
    at: [u32; CHUNK],
    tags: [u64; CHUNK],
    refs: [u32; CHUNK],
}

impl Default for Chunk {
    fn default() -> Self {
        Self { at: [0; CHUNK], tags: [0; CHUNK], refs: [0; CHUNK] }
    }
}

/// Keys whose other line is on its way.
struct Pending {
    count: usize,
    /// Within their chunk.
    of: [u8; CHUNK],
    at: [u32; CHUNK],
    tags: [u64; CHUNK],
}

impl Default for Pending {
    fn default() -> Self {
        Self { count: 0, of: [0; CHUNK], at: [0; CHUNK], tags: [0; CHUNK] }
    }
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
        let Work { wave: Wave { chunks, pending }, table, keys, sink } = self;
        let count = keys.len().div_ceil(CHUNK);
        let range = |chunk: usize| chunk * CHUNK..keys.len().min((chunk + 1) * CHUNK);
        pending.count = 0;
        for step in 0..count + 2 {
            if step < count {
                chunks[step % 3].ask(&table, &keys[range(step)]);
            }
            if step >= 2 {
                let Range { start, end } = range(step - 2);
                let refs = &mut chunks[(step - 2) % 3].refs[..end - start];
                pending.finish(backend, table.buckets, refs);
                sink.take(start, refs);
            }
            if (1..=count).contains(&step) {
                let keys = &keys[range(step - 1)];
                let open = chunks[(step - 1) % 3].settle(backend, table.buckets, keys.len());
                pending.ask(&table, keys, open);
            }
        }
    }
}

impl Chunk {
    /// Where the keys are at home; asks for those lines.
    #[inline(always)]
    fn ask(&mut self, table: &Table<'_>, keys: &[Key128]) {
        // Nearly all chunks are whole: a length that is known makes whole vectors of the loop.
        match keys.first_chunk::<CHUNK>() {
            Some(keys) => self.locate(table.geometry, keys),
            None => self.locate(table.geometry, keys),
        }
        for at in &self.at[..keys.len()] {
            prefetch(table.buckets, *at as usize);
        }
    }

    #[inline(always)]
    fn locate(&mut self, geometry: Geometry, keys: &[Key128]) {
        for ((key, at), tag) in keys.iter().zip(&mut self.at).zip(&mut self.tags) {
            *at = geometry.home(key.hi);
            *tag = key.lo;
        }
    }

    /// Compares the lines of the first `count` keys. A bit for each key that is not at home and perhaps away.
    #[inline(always)]
    fn settle<B: Backend>(&mut self, backend: B, buckets: &[Bucket], count: usize) -> u64 {
        let Self { at, tags, refs } = self;
        select(backend, buckets, &at[..count], &tags[..count], &mut refs[..count]);
        // Of a short chunk the rest is what the last one left.
        refs[count..].fill(0);
        if refs.iter().fold(0, |all, reference| all | reference) < AWAY {
            return 0;
        }
        let mut open = 0;
        for (index, reference) in refs.iter_mut().enumerate() {
            open |= u64::from(*reference >> 31) << index;
            *reference &= !AWAY;
        }
        open
    }
}

impl Pending {
    /// Asks for the other lines of the keys whose bits are set.
    #[inline(always)]
    fn ask(&mut self, table: &Table<'_>, keys: &[Key128], mut open: u64) {
        self.count = 0;
        while open != 0 {
            let of = open.trailing_zeros();
            open &= open - 1;
            let Some(key) = keys.get(of as usize) else { return }; // a bit is that of a key
            let at = table.geometry.other(key.hi);
            prefetch(table.buckets, at as usize);
            let slot = self.count % CHUNK;
            (self.of[slot], self.at[slot], self.tags[slot]) = (of as u8, at, key.lo);
            self.count += 1;
        }
    }

    /// Compares them. What is not in its other bucket either is nowhere.
    #[inline(always)]
    fn finish<B: Backend>(&mut self, backend: B, buckets: &[Bucket], refs: &mut [u32]) {
        if self.count == 0 {
            return;
        }
        let count = std::mem::take(&mut self.count).min(CHUNK);
        let mut found = [0; CHUNK];
        select(backend, buckets, &self.at[..count], &self.tags[..count], &mut found[..count]);
        for (of, found) in self.of[..count].iter().zip(found) {
            // `AWAY` again would be about others that are at home there.
            refs[usize::from(*of)] = if found & AWAY == 0 { found } else { 0 };
        }
    }
}

/// The ref of the slot with this tag; `AWAY`, `SEVERAL` or 0 where it is not one.
#[inline(always)]
fn select<B: Backend>(backend: B, buckets: &[Bucket], at: &[u32], tags: &[u64], refs: &mut [u32]) {
    let mut hits = [0u8; CHUNK];
    let hits = &mut hits[..at.len()];
    backend.probe(buckets, at, tags, hits);
    // Slot 5 stands for none, and its word is what went away: the words behind the tags are one array.
    for ((at, hits), reference) in at.iter().zip(&*hits).zip(&mut *refs) {
        let words: &[u32; 16] = bytemuck::cast_ref(&buckets[*at as usize]);
        let slot = (u32::from(*hits) | 1 << 5).trailing_zeros() as usize;
        *reference = words[10 + slot];
    }
    for ((tag, hits), reference) in tags.iter().zip(&*hits).zip(refs) {
        *reference = outcome(u32::from(*hits), *reference, away_bits(*tag));
    }
}

const _: () = assert!(std::mem::offset_of!(Bucket, refs) == 40 && std::mem::offset_of!(Bucket, away) == 60);

/// Selections, not branches: all three are usual.
#[inline(always)]
const fn outcome(hits: u32, word: u32, bits: u32) -> u32 {
    let absent = if word & bits == bits { AWAY } else { 0 };
    let odd = hits & hits.wrapping_sub(1) != 0 || word == 0;
    let present = if odd { SEVERAL } else { word };
    if hits == 0 { absent } else { present }
}

#[cfg(test)]
mod tests {
    use super::*;
    use verdict_simd::available;

    struct All(Vec<u32>);

    impl Sink for All {
        fn take(&mut self, first: usize, refs: &[u32]) {
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
