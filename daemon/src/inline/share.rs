//! How much of its CPU a shard gives a model: a bucket of nanoseconds, filled by the clock, emptied by what scoring took.
//!
//! ```text
//! cpu_percent × time ──► bucket, at most cpu_percent × BURST ──► rows that it affords, by what a row took lately
//! ```
//! A bucket may be overdrawn by one batch, since what a batch takes is known afterwards; then it is empty for longer.

use std::time::Duration;

/// A model that was asked nothing for so long has all it can save up: a burst of a second's share would keep others waiting.
const BURST: Duration = Duration::from_millis(50);
/// Before anything was measured; about what a URL takes.
const ROW_NS_FIRST: u32 = 3_000;
/// What somebody else's program took meanwhile is no cost of a row.
const ROW_NS_MAX: u32 = 100_000;

/// Of one model, on one shard.
#[derive(Clone, Debug)]
pub struct Share {
    nanoseconds: i64,
    most: i64,
    /// In thousandths of a percent.
    rate: u32,
    filled_ns: u64,
    row_ns: u32,
}

impl Share {
    /// Full, at this time of the shard's clock. `rate` in thousandths of a percent.
    pub fn new(rate: u32, now_ns: u64) -> Self {
        let most = (BURST.as_nanos() as u64 * u64::from(rate) / 100_000) as i64;
        Self { nanoseconds: most, most, rate, filled_ns: now_ns, row_ns: ROW_NS_FIRST }
    }

    /// Adds what time has brought.
    #[inline]
    pub fn fill(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.filled_ns).min(BURST.as_nanos() as u64);
        self.filled_ns = now_ns;
        self.nanoseconds = (self.nanoseconds + (passed * u64::from(self.rate) / 100_000) as i64).min(self.most);
    }

    /// How many rows the bucket affords.
    #[inline]
    pub fn rows(&self) -> usize {
        // One row whenever anything is left, else a small share would never get one.
        if self.nanoseconds <= 0 { 0 } else { (self.nanoseconds as u64).div_ceil(u64::from(self.row_ns)) as usize }
    }

    /// How many it will have afforded by the end of this time.
    #[inline]
    pub fn rows_within(&self, time_ns: u64) -> usize {
        let more = (time_ns.min(1 << 40) * u64::from(self.rate) / 100_000) as i64;
        (self.nanoseconds + more).max(0) as usize / self.row_ns as usize
    }

    /// What a row took lately.
    #[inline]
    pub fn row_ns(&self) -> u64 {
        self.row_ns.into()
    }

    /// So many rows took so long; at least one.
    #[inline]
    pub fn spend(&mut self, rows: usize, took_ns: u64) {
        self.nanoseconds -= took_ns as i64;
        let row = (took_ns / rows.max(1) as u64).clamp(50, ROW_NS_MAX.into()) as u32;
        self.row_ns = self.row_ns - self.row_ns / 8 + row / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_spends_its_share_of_the_time_and_not_more() {
        let (mut share, mut now, mut spent) = (Share::new(10_000, 0), 0, 0u64);
        while now < SECOND {
            now += 100_000;
            share.fill(now);
            let rows = share.rows().min(128);
            if rows > 0 {
                let took = rows as u64 * 2_000;
                share.spend(rows, took);
                spent += took;
            }
        }
        assert!((100_000_000..=110_000_000).contains(&spent), "{spent} ns of a second at 10 percent");
    }

    #[test]
    fn what_was_saved_up_is_bounded() {
        let mut share = Share::new(10_000, 0);
        share.spend(1, 5_000_000);
        assert_eq!(share.rows(), 0);
        share.fill(3600 * SECOND);
        assert!(share.nanoseconds <= 5_000_000 && share.rows() > 0);
    }

    #[test]
    fn the_smallest_share_gets_a_row_now_and_then() {
        let mut share = Share::new(1, 0);
        share.spend(1, 1_000);
        assert_eq!(share.rows(), 0);
        share.fill(60_000_000);
        share.fill(120_000_000);
        assert!(share.rows() > 0);
    }

    #[test]
    fn a_row_costs_what_rows_took_lately() {
        let mut share = Share::new(100_000, 0);
        (0..200).for_each(|_| share.spend(100, 80_000));
        assert!((700..=900).contains(&share.row_ns()), "{}", share.row_ns());
        share.spend(1, SECOND);
        assert!(share.row_ns() <= 15_000, "one interruption is not the cost of a row: {}", share.row_ns());
    }
}
