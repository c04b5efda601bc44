//! What models said lately, by key: bounded, a shard's own, a guess that never decides wrongly.
//!
//! ```text
//! set   tag u64 │ word u32 │ registry u32     four of them are one cache line; the oldest turn of the wheel goes
//! ```
//! A model is a function of the text alone, so its word holds until the registry changes: then all entries are of another registry and none is found. Tags
//! are 64 bits of the key that the tables would be asked by: the host's, or the pair of host and path with query.

use super::word::Held;
use verdict_simd::Key128;

/// Entries of a set.
const WAYS: usize = 4;

#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
struct Entry {
    tag: u64,
    word: u32,
    /// Which registry; 0 for none.
    registry: u32,
}

/// Words of models, by key.
#[derive(Debug)]
pub struct Cache {
    sets: Vec<[Entry; WAYS]>,
    registry: u32,
    wheel: usize,
}

impl Cache {
    /// Of at most so many bytes, and of at least one set.
    pub fn new(bytes: usize) -> Self {
        let sets = (bytes / size_of::<[Entry; WAYS]>()).max(1);
        Self { sets: vec![[Entry::default(); WAYS]; sets], registry: 1, wheel: 0 }
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.registry = self.registry.wrapping_add(1);
        if self.registry == 0 {
            // Four billion registries later an old entry could be taken for a new one.
            self.sets.fill([Entry::default(); WAYS]);
            self.registry = 1;
        }
    }

    /// What was said of the key.
    #[inline]
    pub fn get(&self, key: Key128) -> Option<Held> {
        let set = &self.sets[self.place(key)];
        set.iter().find(|entry| entry.tag == key.lo && entry.registry == self.registry).map(|entry| Held(entry.word))
    }

    /// Keeps what was said of the key, in place of something older.
    #[inline]
    pub fn put(&mut self, key: Key128, word: Held) {
        let (place, registry) = (self.place(key), self.registry);
        let set = &mut self.sets[place];
        let way = match set.iter().position(|entry| entry.registry != registry || entry.tag == key.lo) {
            Some(way) => way,
            None => {
                self.wheel = self.wheel.wrapping_add(1);
                self.wheel % WAYS
            }
        };
        set[way] = Entry { tag: key.lo, word: word.0, registry };
    }

    /// Any number of sets: the upper half of a product, not a remainder.
    #[inline]
    fn place(&self, key: Key128) -> usize {
        ((u128::from(key.hi) * self.sets.len() as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> Key128 {
        let lo = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Key128 { lo, hi: lo.rotate_left(29).wrapping_mul(0xD6E8_FEB8_6659_FD93) }
    }

    #[test]
    fn what_was_put_is_found_until_it_is_forgotten() {
        let mut cache = Cache::new(1 << 16);
        cache.put(key(1), Held(7));
        cache.put(key(2), Held(8));
        cache.put(key(1), Held(9));
        assert_eq!([cache.get(key(1)), cache.get(key(2)), cache.get(key(3))], [Some(Held(9)), Some(Held(8)), None]);
        cache.forget();
        assert_eq!([cache.get(key(1)), cache.get(key(2))], [None, None]);
        cache.registry = u32::MAX;
        cache.forget();
        assert_eq!((cache.registry, cache.get(key(1))), (1, None), "not even after all numbers were used");
    }

    #[test]
    fn it_never_grows_and_keeps_most_of_what_fits() {
        let mut cache = Cache::new(1 << 16);
        let room = (1u64 << 16) / 16;
        (0..room / 2).for_each(|number| cache.put(key(number), Held(number as u32)));
        let kept = (0..room / 2).filter(|&number| cache.get(key(number)) == Some(Held(number as u32))).count() as u64;
        assert!(kept > room / 2 * 9 / 10, "{kept} of {}", room / 2);
        (0..10 * room).for_each(|number| cache.put(key(number), Held(number as u32)));
        assert_eq!(cache.sets.len() * size_of::<[Entry; WAYS]>(), 1 << 16);
        assert!((0..10 * room).all(|number| cache.get(key(number)).is_none_or(|word| word == Held(number as u32))));
    }

    #[test]
    fn the_smallest_has_one_set() {
        let mut cache = Cache::new(0);
        cache.put(key(1), Held(1));
        assert_eq!((cache.sets.len(), cache.get(key(1))), (1, Some(Held(1))));
    }
}
