//! The first bits of a mask, from either end: `pdep` where there is a fast one, else one after the other.
//!
//! How many bits a mask has nobody can predict, how many are wanted is the same for every mask of a profile: few are counted out, without a branch
//! on the mask.

/// So many are counted out rather than asked whether there are more.
const FEW: u32 = 4;

#[inline(always)]
pub(crate) fn lowest(mask: u64, most: u32) -> u64 {
    kept(mask, most, |rest| rest & rest.wrapping_neg())
}

#[inline(always)]
pub(crate) fn highest(mask: u64, most: u32) -> u64 {
    // Of none: the place of bit 63, which is not set.
    kept(mask, most, |rest| rest & (1 << 63) >> (rest.leading_zeros() & 63))
}

#[inline(always)]
fn kept(mask: u64, most: u32, next: impl Fn(u64) -> u64) -> u64 {
    if most > FEW && mask.count_ones() <= most {
        return mask;
    }
    let (mut kept, mut rest) = (0, mask);
    for _ in 0..most {
        let bit = next(rest);
        (kept, rest) = (kept | bit, rest ^ bit);
    }
    kept
}

#[cfg(test)]
mod tests {
    use crate::{Backend, available};

    #[test]
    fn as_many_as_wanted_from_either_end_on_every_backend() {
        let mut state = 7u64;
        for round in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mask = [0, u64::MAX, 1, 1 << 63, state & state.rotate_left(17), state & state >> 9 & state << 11][round % 6];
            let most = (state >> 40) as u32 % 20;
            let bits: Vec<u32> = (0..64).filter(|bit| mask >> bit & 1 == 1).collect();
            let taken = bits.len().min(most as usize);
            let sum = |bits: &[u32]| bits.iter().fold(0u64, |sum, bit| sum | 1 << bit);
            for backend in available() {
                assert_eq!(backend.lowest(mask, most), sum(&bits[..taken]), "{} {mask:x} {most}", backend.name());
                assert_eq!(backend.highest(mask, most), sum(&bits[bits.len() - taken..]), "{} {mask:x} {most}", backend.name());
            }
        }
    }
}
