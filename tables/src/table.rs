//! Where a key lives in the exact table: the arithmetic shared by builder and query.
//!
//! ```text
//! hi 63..32 ──× shards──► shard ─┐
//! hi 31..0  ──× buckets of a shard, or the same of hi·K──► home, other ─┴─► one 64-byte line: 5 tags, 5 refs, a filter
//! lo ─────────────────────────────────────────────────────► compared with the 5 tags; 2 of its bits asked of the filter
//! ```
//!
//! An entry is at home, or in its other bucket; then two bits of the home's filter say that something went away. So a miss costs 1.004
//! lines and a hit 1.17 at a load of 0.92, and there is nothing to read but lines of the table. A shard has its own range of buckets, both
//! homes of a key lie in it: it is placed alone, in cache, in parallel.
//!
//! Rejected: seeds by which no entry ever leaves its bucket (version 2). One line for a hit then, and one byte of 25 MB for 100 M entries: a second
//! line from the last cache at best, 1.7 ns beside the 4.0 of a line from memory (perf/investigations/probe.md). 48-bit tags (5 / 2^48 a
//! probe: at 10^11 probes a day one false hit in 560 days, for each site).

pub use verdict_simd::away_bits;
use verdict_simd::{Bucket, Key128};

/// Entries of one bucket.
pub const SLOTS: usize = 5;
/// Shards of one table.
pub const SHARDS_MAX: u32 = 1 << 16;
/// Bytes of a bucket.
const LINE: u64 = size_of::<Bucket>() as u64;
/// Odd: the golden ratio of 32 bits (Knuth, TAOCP 6.4).
const OTHER: u32 = 0x9E37_79B1;

/// The shape of an exact table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// 1 to `SHARDS_MAX`.
    pub shards: u32,
    /// Buckets of each shard, at least 1.
    pub shard_buckets: u32,
}

impl Geometry {
    /// Shard of a key; ascends with `hi`.
    #[inline(always)]
    pub const fn shard(&self, hi: u64) -> u32 {
        scale((hi >> 32) as u32, self.shards)
    }

    /// Where a key is looked for first, from the start of its shard.
    #[inline(always)]
    pub const fn home_in_shard(&self, hi: u64) -> u32 {
        scale(hi as u32, self.shard_buckets)
    }

    /// Where it is kept when there was no room, from the start of its shard.
    #[inline(always)]
    pub const fn other_in_shard(&self, hi: u64) -> u32 {
        // In 64 bits: vector units have products of 32 by 32 bits, and the lower half is the wrapped one.
        scale((hi as u32 as u64 * OTHER as u64) as u32, self.shard_buckets)
    }

    /// The bucket of a key; below shards times `shard_buckets`.
    #[inline(always)]
    pub const fn home(&self, hi: u64) -> u32 {
        self.shard(hi) * self.shard_buckets + self.home_in_shard(hi)
    }

    /// The other bucket of a key.
    #[inline(always)]
    pub const fn other(&self, hi: u64) -> u32 {
        self.shard(hi) * self.shard_buckets + self.other_in_shard(hi)
    }

    /// Byte offsets of both. In 64 bits, so that vectors need no other products than those of `scale`.
    #[inline(always)]
    pub const fn offsets(&self, hi: u64) -> [u64; 2] {
        let first = self.shard(hi) as u64 * self.shard_buckets as u64;
        [(first + self.home_in_shard(hi) as u64) * LINE, (first + self.other_in_shard(hi) as u64) * LINE]
    }
}

/// Maps a uniform 32-bit number to 0..n without a division. 32 bits, so that vector units without 64-bit products can do it.
#[inline(always)]
const fn scale(a: u32, n: u32) -> u32 {
    ((a as u64 * n as u64) >> 32) as u32
}

/// A verified exact table.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    pub(crate) geometry: Geometry,
    /// All shards, one after the other.
    pub(crate) buckets: &'a [Bucket],
}

impl Table<'_> {
    /// Hands over the ref of every used slot of a key: cold, for the few keys that are more than one entry.
    #[cold]
    pub(crate) fn each(&self, key: Key128, mut found: impl FnMut(u32)) {
        for at in [self.geometry.home(key.hi), self.geometry.other(key.hi)] {
            let bucket = &self.buckets[at as usize];
            let slots = bucket.tags.iter().zip(&bucket.refs);
            let mut any = false;
            for (_, reference) in slots.filter(|(tag, reference)| **tag == key.lo && **reference != 0) {
                any = true;
                found(*reference);
            }
            if any || bucket.away & away_bits(key.lo) != away_bits(key.lo) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_and_buckets_stay_in_range_at_the_ends() {
        for shards in [1, 2, 7, SHARDS_MAX] {
            let geometry = Geometry { shards, shard_buckets: 3 };
            for hi in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                assert!(geometry.shard(hi) < shards && geometry.home_in_shard(hi) < 3 && geometry.other_in_shard(hi) < 3);
                assert!(geometry.home(hi) / 3 == geometry.shard(hi) && geometry.other(hi) / 3 == geometry.shard(hi));
            }
        }
        assert_eq!(Geometry { shards: 1, shard_buckets: u32::MAX }.home(u64::MAX), u32::MAX - 1);
    }

    #[test]
    fn placement_is_pinned() {
        // Part of the format: these numbers may only change with VERSION.
        let geometry = Geometry { shards: 1000, shard_buckets: 1_000_000 };
        let hi = 0x0123_4567_89AB_CDEF;
        assert_eq!(geometry.shard(hi), 0x0123_4567u64.wrapping_mul(1000).wrapping_shr(32) as u32);
        assert_eq!(geometry.home(hi), 4 * 1_000_000 + ((0x89AB_CDEFu64 * 1_000_000) >> 32) as u32);
        let product = 0x89AB_CDEFu64 * 2_654_435_761 % (1 << 32);
        assert_eq!(geometry.other(hi), 4 * 1_000_000 + ((product * 1_000_000) >> 32) as u32);
        assert_eq!(geometry.offsets(hi), [64 * u64::from(geometry.home(hi)), 64 * u64::from(geometry.other(hi))]);
        assert_eq!(away_bits(0), 1);
        assert_eq!(away_bits(31 << 5 | 7), 1 << 31 | 1 << 7);
    }
}
