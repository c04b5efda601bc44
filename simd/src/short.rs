//! Fewer than 16 bytes as one little-endian number: a few overlapping loads instead of a copy of variable length.

/// `bytes.len() < 16`; zeros above. Overlapping loads see equal bytes, so they may be or-ed.
#[inline]
pub fn short(bytes: &[u8]) -> (u64, u64) {
    let length = bytes.len();
    debug_assert!(length < 16);
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let shift = 8 * (length - 8);
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last) >> 1 >> (63 - shift)) // shift may be 0: not `>> 64`
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        (u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << (8 * (length - 4)), 0)
    } else if let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) {
        let middle = length / 2;
        (first as u64 | (bytes[middle] as u64) << (8 * middle) | (last as u64) << (8 * (length - 1)), 0)
    } else {
        (0, 0)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_keeps_its_bytes_and_zeros_the_rest() {
        let bytes: [u8; 15] = core::array::from_fn(|i| 0xf1 ^ i as u8);
        for length in 0..16 {
            let mut expected = [0; 16];
            expected[..length].copy_from_slice(&bytes[..length]);
            let (lo, hi) = super::short(&bytes[..length]);
            assert_eq!(lo as u128 | (hi as u128) << 64, u128::from_le_bytes(expected), "{length}");
        }
    }
}
