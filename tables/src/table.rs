//! Where a key lives in the exact table: the arithmetic shared by builder and query.
//!
//! ```text
//! key.hi ──mulhi groups──► group ──► seeds[group] ─┐           one byte, in L2 or L3
//!    │                       └─ >> shift ─► shard ──┤
//!    └──────────── mix(hi, seed), mulhi ────────────┴─► bucket  one 64-byte line: 5 tags, 5 refs
//! key.lo ───────────────────────────────────────────────► compared with the 5 tags
//! ```
//!
//! The builder picks each group's seed so that no bucket overflows; so hit and miss cost the same one line, and there is no
//! chain to follow. A shard is a run of 2^15 groups with its own range of buckets: it is placed alone, in cache, in parallel.
//!
//! Rejected: one bucket range for all groups (placing is then a cache miss per try: 96 ns a key in a prototype of 100 M keys, against 38 here);
//! 48-bit tags (5 / 2^48 a probe: at 10^11 probes a day one false hit in 560 days, for each site).

use verdict_simd::{Bucket, Key128};

/// Entries of one bucket.
pub const SLOTS: usize = 5;
/// Groups of one shard as a power of two, where there is more than one shard.
pub const SHARD_SHIFT: u8 = 15;
/// `shard_shift` where there is one shard only: every group number shifts to 0.
pub const ONE_SHARD_SHIFT: u8 = 31;

/// The shape of an exact table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Seed groups, 1..2^31.
    pub groups: u32,
    /// Group number to shard.
    pub shard_shift: u8,
    /// Buckets of each shard, at least 1.
    pub shard_buckets: u32,
}

impl Geometry {
    /// The seed group of a key; below `groups`.
    #[inline(always)]
    pub const fn group(&self, hi: u64) -> u32 {
        mulhi(hi, self.groups as u64) as u32
    }

    /// Shard of a group.
    #[inline(always)]
    pub const fn shard(&self, group: u32) -> u32 {
        group >> self.shard_shift
    }

    /// The bucket of a key whose group has this seed; below shards times `shard_buckets`.
    #[inline(always)]
    pub const fn bucket(&self, hi: u64, group: u32, seed: u8) -> u32 {
        self.shard(group) * self.shard_buckets + self.bucket_in_shard(hi, seed)
    }

    /// The same, from the start of the shard.
    #[inline(always)]
    pub const fn bucket_in_shard(&self, hi: u64, seed: u8) -> u32 {
        mulhi(mix(hi, seed), self.shard_buckets as u64) as u32
    }
}

/// Keys of one group agree in their upper bits, so all of `hi` must reach the upper bits of the result, differently for each seed.
#[inline(always)]
const fn mix(hi: u64, seed: u8) -> u64 {
    // Odd constants of MurmurHash3's 64-bit finaliser and the golden ratio (Knuth, TAOCP 6.4).
    let spread = (hi ^ (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    (spread ^ spread >> 32).wrapping_mul(0xC4CE_B9FE_1A85_EC53)
}

/// Upper half of the product: maps a uniform 64-bit number to 0..n without a division.
#[inline(always)]
const fn mulhi(a: u64, n: u64) -> u64 {
    ((a as u128 * n as u128) >> 64) as u64
}

/// A verified exact table.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    pub(crate) geometry: Geometry,
    /// One per group.
    pub(crate) seeds: &'a [u8],
    /// All shards, one after the other.
    pub(crate) buckets: &'a [Bucket],
}

impl Table<'_> {
    /// The bucket that holds the key, if any does. Touches one byte of `seeds`.
    #[inline(always)]
    pub(crate) fn locate(&self, key: Key128) -> u32 {
        let group = self.geometry.group(key.hi);
        self.geometry.bucket(key.hi, group, self.seeds[group as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_buckets_stay_in_range_at_the_ends() {
        for groups in [1, 2, 7, 1 << 15, (1 << 31) - 1] {
            let geometry = Geometry { groups, shard_shift: SHARD_SHIFT, shard_buckets: 3 };
            for hi in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
                assert!(geometry.group(hi) < groups);
                for seed in 0..=255 {
                    assert!(geometry.bucket_in_shard(hi, seed) < 3);
                }
            }
        }
    }

    #[test]
    fn one_shard_is_shard_zero() {
        let geometry = Geometry { groups: (1 << 31) - 1, shard_shift: ONE_SHARD_SHIFT, shard_buckets: 1 };
        assert_eq!(geometry.shard(geometry.group(u64::MAX)), 0);
    }

    #[test]
    fn placement_is_pinned() {
        // Part of the format: these numbers may only change with VERSION.
        assert_eq!(mix(0, 0), 0);
        let geometry = Geometry { groups: 1000, shard_shift: ONE_SHARD_SHIFT, shard_buckets: 1_000_000 };
        let hi = 0x0123_4567_89AB_CDEF;
        assert_eq!(geometry.group(hi), 4);
        let expected = |seed: u64| {
            let a = u128::from(hi ^ seed.wrapping_mul(11400714819323198485)) * 18397679294719823053 % (1 << 64);
            let b = (a ^ a >> 32) * 14181476777654086739 % (1 << 64);
            ((b * 1_000_000) >> 64) as u32
        };
        for seed in 0..=255 {
            assert_eq!(geometry.bucket_in_shard(hi, seed), expected(u64::from(seed)));
        }
    }
}
