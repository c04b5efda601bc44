//! How often something took how long: counts by upper bound, one writer, nothing allocated.
//!
//! ```text
//! bounds (us)   5    10    20    50   100   ...  200000
//! counts      [ 3 | 812 | 4096 | 77 |  1  | ... |  0   | 0 beyond ]      one load and store a note, beside one of the sum
//! ```
//! A note finds its place by halves: four or five compares, beside a turn of many microseconds. Shown cumulatively, as Prometheus wants it.

use crate::metrics::Count;

/// Durations: from a turn that found one frame to a wait of a whole tick. In nanoseconds; shown in seconds.
pub const DURATIONS_NS: [u64; 15] = {
    const US: u64 = 1_000;
    const MS: u64 = 1_000_000;
    [5 * US, 10 * US, 20 * US, 50 * US, 100 * US, 200 * US, 500 * US, MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 250 * MS]
};

/// Keys of a turn, up to `TURN_KEYS_MAX`.
pub const KEYS: [u64; 8] = [0, 1, 10, 100, 500, 1_000, 4_096, crate::limits::TURN_KEYS_MAX as u64];

const PLACES: usize = if DURATIONS_NS.len() > KEYS.len() { DURATIONS_NS.len() } else { KEYS.len() } + 1;

/// Counts below each of some bounds, and beyond the last.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    counts: [Count; PLACES],
    sum: Count,
}

impl Histogram {
    /// Empty, with these bounds.
    pub fn new(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < PLACES, "more bounds than places");
        assert!(bounds.is_sorted(), "bounds ascend");
        Histogram { bounds, counts: Default::default(), sum: Count::default() }
    }

    /// Only ever called by the owning shard.
    #[inline]
    pub fn note(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(1);
        self.sum.add(value);
    }

    /// As last written: each bound with how many values fell between it and the one before, infinity the last; the sum; the count.
    pub fn read(&self, scale: f64) -> (Vec<(f64, u64)>, f64, u64) {
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / scale).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.counts.iter().map(Count::get)).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (buckets, self.sum.get() as f64 / scale, count)
    }
}

/// The same of several with equal bounds, as of one; of none there is nothing to show.
pub fn summed<'h>(all: impl Iterator<Item = &'h Histogram>, scale: f64) -> (Vec<(f64, u64)>, f64, u64) {
    let add = |(mut into, sum, count): (Vec<(f64, u64)>, f64, u64), (buckets, more, many): (Vec<(f64, u64)>, f64, u64)| {
        into.iter_mut().zip(buckets).for_each(|(place, (_, count))| place.1 += count);
        (into, sum + more, count + many)
    };
    all.map(|one| one.read(scale)).reduce(add).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_at_the_first_bound_that_is_not_below_it() {
        let histogram = Histogram::new(&DURATIONS_NS);
        for ns in [0, 5_000, 5_001, 250_000_000, 250_000_001, u64::MAX >> 8] {
            histogram.note(ns);
        }
        let (buckets, sum, count) = histogram.read(1e9);
        assert_eq!(buckets[0], (0.000_005, 2));
        assert_eq!(buckets[1], (0.000_01, 1));
        assert_eq!(buckets[DURATIONS_NS.len() - 1], (0.25, 1));
        assert_eq!(buckets[DURATIONS_NS.len()], (f64::INFINITY, 2));
        assert_eq!(count, 6);
        assert!(sum > 0.5);
    }

    #[test]
    fn a_turn_without_keys_has_a_place_of_its_own() {
        let histogram = Histogram::new(&KEYS);
        histogram.note(0);
        histogram.note(1);
        let (buckets, ..) = histogram.read(1.0);
        assert_eq!(&buckets[..2], [(0.0, 1), (1.0, 1)]);
    }
}
