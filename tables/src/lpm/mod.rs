//! Longest-prefix match as a search among flat intervals: the builder has already let every prefix fight it out.
//!
//! ```text
//! address ──top 16 bits──► index[h]..index[h + 1] ──binary search──► starts ──same place──► ids
//! ```
//!
//! Lines touched: one of the index (256 KiB in all), log2 of the intervals within one /16, one of the ids.

use crate::layout::Start6;

/// Intervals of one address family.
#[derive(Clone, Copy)]
pub(crate) struct Lpm<'a, S> {
    /// How many starts are below each multiple of 2^16 or 2^112; empty if there are no intervals.
    pub(crate) index: &'a [u32],
    /// First address of each interval, ascending; the first is 0.
    pub(crate) starts: &'a [S],
    /// Verdict id of each interval; 0 where nothing covers it.
    pub(crate) ids: &'a [u32],
}

impl<S> Lpm<'_, S> {
    /// Which interval holds the address whose upper 16 bits are `upper`; `reached` says whether a start is at or below it.
    #[inline(always)]
    fn interval(&self, upper: usize, reached: impl Fn(&S) -> bool) -> Option<usize> {
        if self.index.is_empty() {
            return None;
        }
        let (from, to) = (self.index[upper] as usize, self.index[upper + 1] as usize);
        // The first start is 0, so at least one start is reached.
        Some((from + self.starts[from..to].partition_point(reached)).saturating_sub(1))
    }
}

impl Lpm<'_, u32> {
    /// The winning verdict of an address; 0 if no prefix covers it.
    #[inline(always)]
    pub(crate) fn lookup(&self, address: u32) -> u32 {
        self.interval((address >> 16) as usize, |start| *start <= address).map_or(0, |at| self.ids[at])
    }

    /// First and last address that share the answer.
    pub(crate) fn around(&self, address: u32) -> (u32, u32) {
        let Some(at) = self.interval((address >> 16) as usize, |start| *start <= address) else {
            return (0, u32::MAX);
        };
        (self.starts[at], self.starts.get(at + 1).map_or(u32::MAX, |next| next - 1))
    }
}

impl Lpm<'_, Start6> {
    /// The winning verdict of an address; 0 if no prefix covers it.
    #[inline(always)]
    pub(crate) fn lookup(&self, address: u128) -> u32 {
        self.interval((address >> 112) as usize, |start| start.value() <= address).map_or(0, |at| self.ids[at])
    }

    /// First and last address that share the answer.
    pub(crate) fn around(&self, address: u128) -> (u128, u128) {
        let Some(at) = self.interval((address >> 112) as usize, |start| start.value() <= address) else {
            return (0, u128::MAX);
        };
        (self.starts[at].value(), self.starts.get(at + 1).map_or(u128::MAX, |next| next.value() - 1))
    }
}
