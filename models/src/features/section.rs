//! One part of a text, with what marks its ends, and its grams and words.
//!
//! ```text
//! . e x a m p l e . t e s t ␠ 0 0 0 0 0 0 0 0        host: a dot before, a space after, zeros so that five bytes can be read anywhere
//! [ word ][ word ] …                                 a gram of up to four bytes: the little-endian word there, masked, times its multiplier
//! ```
//! One loop a length, without branches: the compiler makes vectors of it.

use super::{HASHED, HOST_BYTES, MULTIPLIERS, Of, REST_BYTES, Rows};

/// Zeros after a section.
pub const PAD: usize = 8;
/// What the fifth byte of a gram is multiplied with.
const FIFTH: u32 = 0x9E37_79B1;
/// What each byte of a word is multiplied with once more than the one before it.
const WORD: u32 = 0x0100_0193;

/// `POWERS[k]` is `WORD` to the power of `k`.
const POWERS: [u32; REST_BYTES + 8] = {
    let (mut powers, mut at) = ([1u32; REST_BYTES + 8], 1);
    while at < powers.len() {
        powers[at] = powers[at - 1].wrapping_mul(WORD);
        at += 1;
    }
    powers
};

/// `N` is its size with padding.
pub struct Section<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Section<N> {
    /// The end of a host, between a dot and a space.
    #[inline(always)]
    pub fn of_host(host: &[u8]) -> Self {
        let tail = &host[host.len().saturating_sub(HOST_BYTES)..];
        Self::between(b'.', tail)
    }

    /// The beginning of a path and query, the slash before them included, and a space.
    #[inline(always)]
    pub fn of_rest(rest: &[u8]) -> Self {
        Self::between(b'/', &rest[..rest.len().min(REST_BYTES - 1)])
    }

    #[inline(always)]
    fn between(first: u8, text: &[u8]) -> Self {
        let mut bytes = [0; N];
        bytes[0] = first;
        bytes[1..=text.len()].copy_from_slice(text);
        bytes[text.len() + 1] = b' ';
        Self { bytes, used: text.len() + 2 }
    }

    /// Its bytes with both ends.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// The rows of its grams.
    #[inline(always)]
    pub fn grams(&self, lengths: u8, of: Of, bits: u32, rows: &mut Rows) {
        for length in 1..=5 {
            let count = (self.used + 1).saturating_sub(length);
            if lengths & 1 << length != 0 && count > 0 {
                self.grams_of(length, MULTIPLIERS[of as usize + length - 1], 32 - bits, rows.extend(count));
            }
        }
    }

    #[inline(always)]
    fn grams_of(&self, length: usize, multiplier: u32, shift: u32, rows: &mut [u32]) {
        let mask = if length >= 4 { u32::MAX } else { (1 << (8 * length)) - 1 };
        let fifth = if length == 5 { FIFTH } else { 0 };
        for (row, bytes) in rows.iter_mut().zip(self.bytes.windows(5)) {
            let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) & mask;
            let mixed = word.wrapping_mul(multiplier).wrapping_add(u32::from(bytes[4]).wrapping_mul(fifth));
            *row = HASHED + (mixed >> shift);
        }
    }

    /// The row of the word `bytes[begin..end]`.
    #[inline(always)]
    pub fn word(&self, begin: usize, end: usize, multiplier: u32, bits: u32) -> u32 {
        let bytes = self.bytes.get(begin..end).unwrap_or_default();
        let sum = bytes.iter().zip(&POWERS).fold(0u32, |sum, (&byte, power)| sum.wrapping_add(u32::from(byte).wrapping_mul(*power)));
        HASHED + ((sum ^ sum >> 15).wrapping_mul(multiplier) >> (32 - bits))
    }
}
