//! The places of a mask as lengths of messages, longest first: for backends that go through them one after the other.
//!
//! ```text
//! host   a.b.example.com       dots     .1.1...........     lengths 15 13 11     after the whole, after each dot, from the left
//! text   /1/2.html?p           slashes  1.1........         lengths 11 9 3 1     the whole, the exact path, through each slash, from the right
//! ```

use crate::HASHES;

/// At most [`HASHES`] of them; the door has counted.
pub struct Lengths {
    at: [u32; HASHES],
    count: usize,
}

impl Lengths {
    /// Of a host and the suffixes after its dots.
    #[inline(always)]
    pub fn of_suffixes(bytes: usize, mut dots: u64) -> Self {
        let mut lengths = Self::of_whole(bytes);
        while dots != 0 {
            lengths.push(bytes.saturating_sub(dots.trailing_zeros() as usize + 1));
            dots &= dots - 1;
        }
        lengths
    }

    /// Of a text, its exact part and the prefixes through its slashes.
    #[inline(always)]
    pub fn of_prefixes(bytes: usize, exact: usize, mut slashes: u64) -> Self {
        let mut lengths = Self::of_whole(bytes);
        if exact < bytes {
            lengths.push(exact);
        }
        while slashes != 0 {
            let highest = 63 - slashes.leading_zeros();
            lengths.push(bytes.min(highest as usize + 1));
            slashes &= !(1 << highest);
        }
        lengths
    }

    /// Longest first.
    #[inline(always)]
    pub fn as_slice(&self) -> &[u32] {
        &self.at[..self.count]
    }

    #[inline(always)]
    fn of_whole(bytes: usize) -> Self {
        let mut at = [0; HASHES];
        at[0] = bytes as u32;
        Self { at, count: 1 }
    }

    #[inline(always)]
    fn push(&mut self, length: usize) {
        self.at[self.count] = length as u32;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_above_are_right() {
        assert_eq!(Lengths::of_suffixes(15, 0b1010).as_slice(), [15, 13, 11]);
        assert_eq!(Lengths::of_prefixes(11, 9, 0b101).as_slice(), [11, 9, 3, 1]);
        assert_eq!(Lengths::of_prefixes(9, 9, 0b101).as_slice(), [9, 3, 1]);
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        assert_eq!(Lengths::of_suffixes(3, 1 << 63 | 1 << 2).as_slice(), [3, 0, 0]);
        assert_eq!(Lengths::of_prefixes(3, 9, 1 << 63).as_slice(), [3, 3]);
    }
}
