//! Finds the seeds: every slot into a bucket of five, nothing ever spills.
//!
//! ```text
//! for each shard, alone:  groups, largest first
//!                           seed 0, 1, 2, ...: do all slots of the group still fit into the buckets this seed sends them to?
//!                           the first that fits stays
//! ```
//!
//! Large groups go first, while the table is empty; at the end come groups of one or two, which find a hole with nearly any seed.
//! Where a shard fails, the whole table is tried again with more buckets: the result depends on slots and loads only, not on threads.
//!
//! Highest load at which 300 to 400 shards of random keys all succeeded, by slots per group (40 M slots; 5 and more: 6 M):
//! 3 slots 0.975, 13.6 bytes a slot; 4 slots 0.95, 13.85; 5 slots 0.91, 14.3; 6 slots 0.90, 14.5; 7 slots 0.85, 15.3.
//! Four it is: seeds take a quarter byte a slot, so those of 100 M slots still fit a last-level cache.

use std::sync::atomic::{AtomicBool, Ordering};
use verdict_simd::Bucket;

use super::parallel;
use crate::table::{Geometry, ONE_SHARD_SHIFT, SHARD_SHIFT, SLOTS};

/// One entry of the exact table. Sorted by (hi, lo); slots of one key are neighbours and differ in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) hi: u64,
    pub(super) lo: u64,
    pub(super) reference: u32,
}

/// Slots per seed group on average.
const GROUP_SLOTS: usize = 4;
/// Used slots per thousand, of the fullest shard; the first that succeeds stays.
const LOADS: [usize; 12] = [945, 935, 920, 900, 880, 850, 800, 750, 650, 500, 350, 200];

/// A finished exact table.
pub(super) struct Placement {
    pub(super) geometry: Geometry,
    pub(super) seeds: Vec<u8>,
    pub(super) buckets: Vec<Bucket>,
}

/// Places all slots, or says how many layouts were tried in vain.
pub(super) fn place(slots: &[Slot], threads: usize, progress: &mut dyn FnMut(u64)) -> Result<Placement, u32> {
    let groups = slots.len().div_ceil(GROUP_SLOTS).max(1);
    let shards = groups.div_ceil(1 << SHARD_SHIFT);
    let (groups, shard_shift) = if shards == 1 { (groups, ONE_SHARD_SHIFT) } else { (shards << SHARD_SHIFT, SHARD_SHIFT) };
    let mut geometry = Geometry { groups: groups as u32, shard_shift, shard_buckets: 1 };
    let bounds = shard_bounds(slots, geometry, shards);
    let fullest = bounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    for load in LOADS {
        geometry.shard_buckets = (fullest * 1000).div_ceil(SLOTS * load).max(1) as u32;
        if let Some((seeds, buckets)) = try_place(slots, &bounds, geometry, threads, progress) {
            return Ok(Placement { geometry, seeds, buckets });
        }
    }
    Err(LOADS.len() as u32)
}

/// Where each shard's slots begin, and the end.
fn shard_bounds(slots: &[Slot], geometry: Geometry, shards: usize) -> Vec<usize> {
    (0..=shards).map(|shard| slots.partition_point(|slot| (geometry.shard(geometry.group(slot.hi)) as usize) < shard)).collect()
}

fn try_place(
    slots: &[Slot],
    bounds: &[usize],
    geometry: Geometry,
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Option<(Vec<u8>, Vec<Bucket>)> {
    let shards = bounds.len() - 1;
    let shard_groups = geometry.groups as usize / shards;
    let mut seeds = vec![0; geometry.groups as usize];
    let mut buckets = vec![Bucket::default(); shards * geometry.shard_buckets as usize];
    let failed = AtomicBool::new(false);
    let jobs: Vec<_> = seeds
        .chunks_mut(shard_groups)
        .zip(buckets.chunks_mut(geometry.shard_buckets as usize))
        .enumerate()
        .map(|(shard, (seeds, buckets))| Shard {
            slots: &slots[bounds[shard]..bounds[shard + 1]],
            first_group: (shard * shard_groups) as u32,
            geometry,
            seeds,
            buckets,
        })
        .collect();
    parallel::each(
        jobs,
        threads,
        |shard| {
            let slots = shard.slots.len();
            // A failed shard dooms the try: the others need not finish it.
            if !failed.load(Ordering::Relaxed) && !shard.place() {
                failed.store(true, Ordering::Relaxed);
            }
            slots as u64
        },
        progress,
    );
    (!failed.into_inner()).then_some((seeds, buckets))
}

/// One shard being placed.
struct Shard<'a> {
    slots: &'a [Slot],
    first_group: u32,
    geometry: Geometry,
    seeds: &'a mut [u8],
    buckets: &'a mut [Bucket],
}

impl Shard<'_> {
    fn place(self) -> bool {
        let starts = group_starts(self.slots, self.first_group, self.seeds.len(), self.geometry);
        // Used slots by bucket: 1 byte instead of a line for each try, so the search stays in L1.
        let mut fill = vec![0u8; self.buckets.len()];
        let mut at = Vec::new();
        largest_first(&starts).into_iter().all(|group| {
            let slots = &self.slots[starts[group as usize] as usize..starts[group as usize + 1] as usize];
            let seed = (0..=u8::MAX).find(|seed| {
                fits(slots, *seed, self.geometry, &mut fill, &mut at) && (store(slots, &at, self.buckets) || undo(&at, &mut fill))
            });
            seed.map(|seed| self.seeds[group as usize] = seed).is_some()
        })
    }
}

/// Counts the group into `fill` and leaves its buckets in `at`, or changes nothing.
#[inline]
fn fits(slots: &[Slot], seed: u8, geometry: Geometry, fill: &mut [u8], at: &mut Vec<u32>) -> bool {
    at.clear();
    for slot in slots {
        let bucket = geometry.bucket_in_shard(slot.hi, seed);
        if fill[bucket as usize] as usize == SLOTS {
            undo(at, fill);
            return false;
        }
        fill[bucket as usize] += 1;
        at.push(bucket);
    }
    true
}

/// Takes back what `fits` counted. Always false: the try has failed.
#[inline]
fn undo(at: &[u32], fill: &mut [u8]) -> bool {
    for bucket in at {
        fill[*bucket as usize] -= 1;
    }
    false
}

/// Writes the group into its buckets, or nothing where two different keys of equal tag would share a bucket (2^-64 a pair).
fn store(slots: &[Slot], at: &[u32], buckets: &mut [Bucket]) -> bool {
    for (stored, (slot, bucket)) in slots.iter().zip(at).enumerate() {
        let same_key = slots[..stored].iter().rev().take_while(|other| (other.hi, other.lo) == (slot.hi, slot.lo)).count();
        let bucket = &mut buckets[*bucket as usize];
        let used = bucket.refs.iter().take_while(|reference| **reference != 0).count();
        let equal_tags = bucket.tags[..used].iter().filter(|tag| **tag == slot.lo).count();
        if equal_tags != same_key {
            for bucket in at[..stored].iter().rev() {
                pop(&mut buckets[*bucket as usize]);
            }
            return false;
        }
        bucket.tags[used] = slot.lo;
        bucket.refs[used] = slot.reference;
    }
    true
}

fn pop(bucket: &mut Bucket) {
    let used = bucket.refs.iter().take_while(|reference| **reference != 0).count();
    bucket.tags[used - 1] = 0;
    bucket.refs[used - 1] = 0;
}

/// Where each group's slots begin, and the end.
fn group_starts(slots: &[Slot], first_group: u32, groups: usize, geometry: Geometry) -> Vec<u32> {
    let mut starts = vec![0u32; groups + 1];
    for slot in slots {
        starts[(geometry.group(slot.hi) - first_group) as usize + 1] += 1;
    }
    for group in 1..=groups {
        starts[group] += starts[group - 1];
    }
    starts
}

/// Groups by size, ties in their own order: a counting sort.
fn largest_first(starts: &[u32]) -> Vec<u32> {
    let size = |group: usize| (starts[group + 1] - starts[group]) as usize;
    let groups = starts.len() - 1;
    let largest = (0..groups).map(size).max().unwrap_or(0);
    let mut next = vec![0u32; largest + 2]; // of size s: begins after all larger ones
    for group in 0..groups {
        next[largest - size(group) + 1] += 1;
    }
    for rank in 1..next.len() {
        next[rank] += next[rank - 1];
    }
    let mut order = vec![0; groups];
    for group in 0..groups {
        let place = &mut next[largest - size(group)];
        order[*place as usize] = group as u32;
        *place += 1;
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use verdict_simd::Key128;

    /// SplitMix64 (Steele, Lea, Flood 2014): uniform keys without a hash.
    fn random(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn slots(count: usize, seed: u64) -> Vec<Slot> {
        let mut state = seed;
        let mut slots: Vec<Slot> =
            (0..count).map(|index| Slot { hi: random(&mut state), lo: random(&mut state), reference: index as u32 % 1000 + 1 }).collect();
        slots.sort_unstable();
        slots
    }

    fn find(placement: &Placement, slot: &Slot) -> usize {
        let table = Table { geometry: placement.geometry, seeds: &placement.seeds, buckets: &placement.buckets };
        let bucket = &table.buckets[table.locate(Key128 { lo: slot.lo, hi: slot.hi }) as usize];
        (0..SLOTS).filter(|at| (bucket.tags[*at], bucket.refs[*at]) == (slot.lo, slot.reference)).count()
    }

    #[test]
    fn every_slot_is_where_its_key_says_at_every_size() {
        for count in [0, 1, 2, 4, 5, 6, 7, 11, 30, 31, 100, 1000, 30_000, 131_072, 131_073, 450_000] {
            let slots = slots(count, count as u64);
            let placement = place(&slots, 2, &mut |_| ()).unwrap_or_else(|tries| panic!("{count} slots failed {tries} times"));
            assert!(slots.iter().all(|slot| find(&placement, slot) == 1), "{count} slots");
            let used: usize = placement.buckets.iter().flat_map(|bucket| bucket.refs).filter(|reference| *reference != 0).count();
            assert_eq!(used, count);
        }
    }

    #[test]
    fn four_scopes_of_one_key_share_its_bucket() {
        let mut all = slots(10_000, 1);
        for scope in 1..4 {
            let more: Vec<Slot> = all[..2000].iter().map(|slot| Slot { reference: slot.reference | scope << 24, ..*slot }).collect();
            all.extend(more);
        }
        all.sort_unstable();
        all.dedup();
        let placement = place(&all, 1, &mut |_| ()).unwrap();
        assert!(all.iter().all(|slot| find(&placement, slot) == 1));
    }

    #[test]
    fn different_keys_of_equal_tag_never_share_a_bucket() {
        // Narrow tags: pairs abound that would meet without the check.
        let mut all = slots(20_000, 2);
        all.iter_mut().for_each(|slot| slot.lo &= 0xFF);
        all.sort_unstable();
        let placement = place(&all, 1, &mut |_| ()).unwrap();
        for bucket in &placement.buckets {
            let tags: Vec<u64> = (0..SLOTS).filter(|at| bucket.refs[*at] != 0).map(|at| bucket.tags[at]).collect();
            assert!(tags.iter().enumerate().all(|(at, tag)| !tags[..at].contains(tag)));
        }
    }

    #[test]
    fn threads_do_not_show_in_the_bytes() {
        let slots = slots(450_000, 3);
        let (one, four) = (place(&slots, 1, &mut |_| ()).unwrap(), place(&slots, 4, &mut |_| ()).unwrap());
        assert!(one.geometry == four.geometry && one.seeds == four.seeds && one.buckets == four.buckets);
    }

    #[test]
    fn six_equal_keys_are_refused_after_every_load() {
        let all = [Slot { hi: 5, lo: 5, reference: 1 }; 6];
        assert_eq!(place(&all, 1, &mut |_| ()).map(|_| ()), Err(LOADS.len() as u32));
    }

    #[test]
    fn groups_come_largest_first_and_in_order_among_equals() {
        assert_eq!(largest_first(&[0, 1, 3, 3, 6, 8]), [3, 1, 4, 0, 2]);
        assert_eq!(largest_first(&[0, 0]), [0]);
    }
}
