//! Finds a bucket for every slot: at home, or where that is full in the other bucket of its key.
//!
//! ```text
//! for each shard, alone:  every key to its home, those of several slots first; then the others
//!                         for each bucket of more than five slots: the shortest way to a bucket with room, breadth first
//!                           bucket ──a key goes to its other bucket──► full ──a key of it goes to *its* other bucket──► room
//!                         who went away and finds room at home after all returns
//! ```
//!
//! Of a bucket that is home to x slots, x - 5 must go away: at a load of 0.92 a seventh of all, whatever the method. With two buckets of five a key,
//! tables can be filled to 0.98 (Dietzfelbinger, Weidling, "Balanced allocation and dictionaries with tightly packed constant size
//! bins", 2007); at 0.93 the ways are short. Where a shard fails, the whole table is tried again with more buckets: the result
//! depends on slots and loads only, not on threads.

use std::sync::atomic::{AtomicBool, Ordering};
use verdict_simd::Bucket;

use super::parallel;
use crate::table::{Geometry, SHARDS_MAX, SLOTS, away_bits};

/// One entry of the exact table. Sorted by (hi, lo); slots of one key are neighbours and differ in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) hi: u64,
    pub(super) lo: u64,
    pub(super) reference: u32,
}

/// Slots of one shard on average, where there is more than one.
const SHARD_SLOTS: usize = 1 << 17;
/// Used slots per thousand, of the fullest shard; the first that succeeds stays.
const LOADS: [usize; 11] = [930, 920, 900, 880, 850, 800, 750, 650, 500, 350, 200];
/// Buckets looked at for one with room.
const LOOKED_AT_MAX: usize = 1 << 12;

/// A finished exact table.
pub(super) struct Placement {
    pub(super) geometry: Geometry,
    pub(super) buckets: Vec<Bucket>,
}

/// Places all slots, or says how many layouts were tried in vain.
#[cfg(test)]
fn place(slots: &[Slot], threads: usize, progress: &mut dyn FnMut(u64)) -> Result<Placement, u32> {
    place_by_steps(slots, false, threads, progress)
}

/// The same. `steady`: the number of buckets goes by steps of up to 1/64, so that few more slots do not send every key elsewhere.
pub(super) fn place_by_steps(slots: &[Slot], steady: bool, threads: usize, progress: &mut dyn FnMut(u64)) -> Result<Placement, u32> {
    let shards = slots.len().div_ceil(SHARD_SLOTS).clamp(1, SHARDS_MAX as usize);
    let mut geometry = Geometry { shards: shards as u32, shard_buckets: 1 };
    let bounds = shard_bounds(slots, geometry);
    let fullest = bounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    for load in LOADS {
        geometry.shard_buckets = (fullest * 1000).div_ceil(SLOTS * load).max(1) as u32;
        if steady {
            let step = (geometry.shard_buckets.next_power_of_two() / 128).max(1);
            geometry.shard_buckets = geometry.shard_buckets.next_multiple_of(step);
        }
        if let Some(buckets) = try_place(slots, &bounds, geometry, threads, progress) {
            return Ok(Placement { geometry, buckets });
        }
    }
    Err(LOADS.len() as u32)
}

/// Where each shard's slots begin, and the end.
fn shard_bounds(slots: &[Slot], geometry: Geometry) -> Vec<usize> {
    (0..=geometry.shards).map(|shard| slots.partition_point(|slot| geometry.shard(slot.hi) < shard)).collect()
}

fn try_place(slots: &[Slot], bounds: &[usize], geometry: Geometry, threads: usize, progress: &mut dyn FnMut(u64)) -> Option<Vec<Bucket>> {
    let shard_buckets = geometry.shard_buckets as usize;
    let mut buckets = vec![Bucket::default(); (bounds.len() - 1) * shard_buckets];
    let failed = AtomicBool::new(false);
    let jobs: Vec<_> = bounds.windows(2).zip(buckets.chunks_mut(shard_buckets)).collect();
    parallel::each(
        jobs,
        threads,
        |(bounds, buckets)| {
            let slots = &slots[bounds[0]..bounds[1]];
            // A failed shard dooms the try: the others need not finish it.
            if !failed.load(Ordering::Relaxed) && !Shard::new(slots, geometry).is_some_and(|shard| shard.store(buckets)) {
                failed.store(true, Ordering::Relaxed);
            }
            slots.len() as u64
        },
        progress,
    );
    (!failed.into_inner()).then_some(buckets)
}

/// All slots of one key: they stay together.
#[derive(Clone, Copy)]
struct Key {
    /// The first of its slots.
    first: u32,
    /// How many they are.
    slots: u8,
    /// It is in its other bucket.
    away: bool,
    /// Its two buckets.
    places: [u32; 2],
    /// The next key of its bucket.
    next: u32,
}

impl Key {
    fn place(&self) -> u32 {
        self.places[usize::from(self.away)]
    }

    fn elsewhere(&self) -> u32 {
        self.places[usize::from(!self.away)]
    }
}

/// No key.
const NONE: u32 = u32::MAX;

/// One shard being placed.
struct Shard<'a> {
    slots: &'a [Slot],
    keys: Vec<Key>,
    /// The first key of each bucket.
    heads: Vec<u32>,
    /// Used slots of each bucket.
    used: Vec<u16>,
}

/// A bucket on the way to one with room, and the key whose move leads there.
#[derive(Clone, Copy)]
struct Step {
    bucket: u32,
    /// Place of the bucket before it in the list of those looked at.
    from: u32,
    /// What moves from there to here.
    key: u32,
}

impl<'a> Shard<'a> {
    /// Everything has its place; or there is none.
    fn new(slots: &'a [Slot], geometry: Geometry) -> Option<Self> {
        let buckets = geometry.shard_buckets as usize;
        let mut shard = Shard { slots, keys: Vec::with_capacity(slots.len()), heads: vec![NONE; buckets], used: vec![0; buckets] };
        let mut first = 0;
        for of_key in slots.chunk_by(|a, b| (a.hi, a.lo) == (b.hi, b.lo)) {
            let hi = of_key[0].hi;
            if of_key.len() > SLOTS {
                return None;
            }
            let places = [geometry.home_in_shard(hi), geometry.other_in_shard(hi)];
            shard.keys.push(Key { first, slots: of_key.len() as u8, away: false, places, next: NONE });
            first += of_key.len() as u32;
        }
        // Keys of several slots find room for all of them at once while there is much of it: no single key can make room for two.
        let settled = shard.settle(|key| key.slots > 1) && shard.settle(|key| key.slots == 1);
        settled.then(|| {
            shard.go_home();
            shard
        })
    }

    /// These keys go home, and whoever is too many elsewhere. False where there is no way.
    fn settle(&mut self, these: impl Fn(&Key) -> bool) -> bool {
        for key in 0..self.keys.len() {
            if these(&self.keys[key]) {
                self.enter(key as u32);
            }
        }
        let buckets = self.used.len();
        // Who can go straight to a bucket with room goes first, so that few have to move twice.
        (0..buckets as u32).for_each(|bucket| self.shed(bucket));
        let (mut seen, mut steps) = (vec![NONE; buckets], Vec::new());
        for bucket in 0..buckets as u32 {
            while usize::from(self.used[bucket as usize]) > SLOTS {
                if !self.relieve(bucket, &mut seen, &mut steps) {
                    return false;
                }
            }
        }
        true
    }

    fn enter(&mut self, key: u32) {
        let bucket = self.keys[key as usize].place() as usize;
        self.keys[key as usize].next = std::mem::replace(&mut self.heads[bucket], key);
        self.used[bucket] += u16::from(self.keys[key as usize].slots);
    }

    fn leave(&mut self, key: u32) {
        let Key { slots, next, .. } = self.keys[key as usize];
        let bucket = self.keys[key as usize].place() as usize;
        self.used[bucket] -= u16::from(slots);
        if self.heads[bucket] == key {
            self.heads[bucket] = next;
            return;
        }
        let mut at = self.heads[bucket];
        while self.keys[at as usize].next != key {
            at = self.keys[at as usize].next;
        }
        self.keys[at as usize].next = next;
    }

    fn relocate(&mut self, key: u32) {
        self.leave(key);
        self.keys[key as usize].away ^= true;
        self.enter(key);
    }

    /// Moves keys of a full bucket to buckets that have room for them.
    fn shed(&mut self, bucket: u32) {
        let mut at = self.heads[bucket as usize];
        while at != NONE && usize::from(self.used[bucket as usize]) > SLOTS {
            let key = self.keys[at as usize];
            if usize::from(self.used[key.elsewhere() as usize] + u16::from(key.slots)) <= SLOTS {
                self.relocate(at);
            }
            at = key.next;
        }
    }

    /// Moves one key out of the bucket, and others out of its way. `seen` keeps who was looked at in which search: the place in it of a
    /// bucket is in `steps`, at that index.
    fn relieve(&mut self, bucket: u32, seen: &mut [u32], steps: &mut Vec<Step>) -> bool {
        steps.clear();
        steps.push(Step { bucket, from: NONE, key: NONE });
        let looked_at =
            |steps: &[Step], seen: &[u32], bucket: u32| steps.get(seen[bucket as usize] as usize).is_some_and(|step| step.bucket == bucket);
        seen[bucket as usize] = 0;
        let mut index = 0;
        while index < steps.len().min(LOOKED_AT_MAX) {
            let Step { bucket, key: arriving, .. } = steps[index];
            let arriving = if arriving == NONE { 0 } else { u16::from(self.keys[arriving as usize].slots) };
            let mut at = self.heads[bucket as usize];
            while at != NONE {
                let key = self.keys[at as usize];
                let target = key.elsewhere();
                let left = self.used[bucket as usize] - u16::from(key.slots);
                // A bucket whose turn has not come may be too full: then it does not get fuller.
                let makes_room = u16::from(key.slots) >= arriving || usize::from(left + arriving) <= SLOTS;
                if makes_room && target != bucket && !looked_at(steps, seen, target) {
                    seen[target as usize] = steps.len() as u32;
                    steps.push(Step { bucket: target, from: index as u32, key: at });
                    if usize::from(self.used[target as usize] + u16::from(key.slots)) <= SLOTS {
                        self.walk_back(steps);
                        return true;
                    }
                }
                at = key.next;
            }
            index += 1;
        }
        false
    }

    /// Every key on the way to the last step moves one on, the last first.
    fn walk_back(&mut self, steps: &[Step]) {
        let mut index = steps.len() - 1;
        while steps[index].key != NONE {
            self.relocate(steps[index].key);
            index = steps[index].from as usize;
        }
    }

    fn go_home(&mut self) {
        for key in 0..self.keys.len() as u32 {
            let Key { away, slots, .. } = self.keys[key as usize];
            let home = self.keys[key as usize].elsewhere();
            if away && usize::from(self.used[home as usize] + u16::from(slots)) <= SLOTS {
                self.relocate(key);
            }
        }
    }

    /// Writes the buckets. False where a key would find another's entry: two of equal tag in one bucket (2^-64 a pair).
    fn store(&self, buckets: &mut [Bucket]) -> bool {
        let mut used = vec![0u8; buckets.len()];
        for key in &self.keys {
            let slots = &self.slots[key.first as usize..][..usize::from(key.slots)];
            let bucket = &mut buckets[key.place() as usize];
            let used = &mut used[key.place() as usize];
            if bucket.tags[..usize::from(*used)].contains(&slots[0].lo) {
                return false;
            }
            for slot in slots {
                bucket.tags[usize::from(*used)] = slot.lo;
                bucket.refs[usize::from(*used)] = slot.reference;
                *used += 1;
            }
        }
        self.keys.iter().filter(|key| key.away).all(|key| {
            let tag = self.slots[key.first as usize].lo;
            let home = key.places[0] as usize;
            buckets[home].away |= away_bits(tag);
            !buckets[home].tags[..usize::from(used[home])].contains(&tag)
        })
    }
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
        let table = Table { geometry: placement.geometry, buckets: &placement.buckets };
        let mut found = 0;
        table.each(Key128 { lo: slot.lo, hi: slot.hi }, |reference| found += usize::from(reference == slot.reference));
        found
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

    /// One key in fourteen with a second scope, as where feeds disagree about names below a host.
    #[test]
    fn keys_of_two_slots_cost_no_room() {
        let mut all = slots(300_000, 2);
        let more: Vec<Slot> = all.iter().step_by(14).map(|slot| Slot { reference: slot.reference | 1 << 24, ..*slot }).collect();
        all.extend(more);
        all.sort_unstable();
        let placement = place(&all, 2, &mut |_| ()).unwrap();
        assert!(all.iter().all(|slot| find(&placement, slot) == 1));
        let load = all.len() as f64 / (placement.buckets.len() * SLOTS) as f64;
        assert!(load > 0.9, "{load}");
    }

    #[test]
    fn different_keys_of_equal_tag_never_share_a_bucket() {
        let placed = |lo: u64| {
            let all = [Slot { hi: 1 << 40, lo: 7, reference: 1 }, Slot { hi: 1 << 40 | 1, lo, reference: 2 }];
            place(&all, 1, &mut |_| ()).map(|_| ())
        };
        assert_eq!(placed(8), Ok(()));
        assert_eq!(placed(7), Err(LOADS.len() as u32));
    }

    #[test]
    fn about_a_sixth_is_away_from_home() {
        let slots = slots(450_000, 9);
        let placement = place(&slots, 2, &mut |_| ()).unwrap();
        let geometry = placement.geometry;
        assert_eq!(geometry.shard_buckets as usize * geometry.shards as usize, placement.buckets.len());
        let at_home = |slot: &&Slot| placement.buckets[geometry.home(slot.hi) as usize].tags.contains(&slot.lo);
        let away = 1.0 - slots.iter().filter(at_home).count() as f64 / slots.len() as f64;
        let load = slots.len() as f64 / (placement.buckets.len() * SLOTS) as f64;
        println!("load {load:.4}, away {away:.4}");
        assert!(load > 0.91 && away < 0.18, "{load} {away}");
    }

    #[test]
    fn threads_do_not_show_in_the_bytes() {
        let slots = slots(450_000, 3);
        let (one, four) = (place(&slots, 1, &mut |_| ()).unwrap(), place(&slots, 4, &mut |_| ()).unwrap());
        assert!(one.geometry == four.geometry && one.buckets == four.buckets);
    }

    #[test]
    fn six_equal_keys_are_refused_after_every_load() {
        let all = [Slot { hi: 5, lo: 5, reference: 1 }; 6];
        assert_eq!(place(&all, 1, &mut |_| ()).map(|_| ()), Err(LOADS.len() as u32));
    }
}
