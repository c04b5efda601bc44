//! GF(2^128) as POLYVAL sees it (RFC 8452 section 3), in integer arithmetic.
//!
//! An element is a `u128`: bit `i` is the coefficient of x^i; in memory little-endian. The modulus is x^128 + x^127 + x^126 + x^121 + 1.
//! `dot(a, b) = a * b * x^-128`: the product (256 bits) is reduced from below, as Montgomery does, 64 bits at a time: adding
//! `v * modulus` clears the 64 lowest bits, because the modulus ends in ...0001. No tables, no branches: constant time.

/// `a * b * x^-128` in GF(2^128).
#[inline]
pub fn dot(a: u128, b: u128) -> u128 {
    reduce(wide(a, b))
}

/// The unreduced product as (low, high); sums of products may be reduced together.
#[inline]
pub fn wide(a: u128, b: u128) -> (u128, u128) {
    let (a0, a1, b0, b1) = (a as u64, (a >> 64) as u64, b as u64, (b >> 64) as u64);
    let low = carryless(a0, b0);
    let high = carryless(a1, b1);
    let middle = carryless(a0 ^ a1, b0 ^ b1) ^ low ^ high; // Karatsuba
    (low ^ (middle << 64), high ^ (middle >> 64))
}

/// `(low + high * x^128) * x^-128`.
#[inline]
pub fn reduce((low, high): (u128, u128)) -> u128 {
    let fold = |v: u64| {
        let v = v as u128;
        (v << 57) ^ (v << 62) ^ (v << 63) ^ (v << 64) // v * (x^121 + x^126 + x^127 + x^128), seen from bit 64
    };
    let low_words = (low >> 64) ^ fold(low as u64);
    high ^ (low_words >> 64) ^ fold(low_words as u64)
}

/// Polynomial product of two 64-bit values: 127 bits.
#[inline]
fn carryless(a: u64, b: u64) -> u128 {
    let low = carryless_low(a, b);
    let high = carryless_low(a.reverse_bits(), b.reverse_bits()).reverse_bits() >> 1;
    low as u128 | (high as u128) << 64
}

/// The low 64 bits of the polynomial product, by integer products with holes: of every four bits only one is kept, so that a sum of up to
/// 15 ones cannot reach the next kept bit. 16 ones meet only at bit 60, whose carry leaves the word. (Pornin, BearSSL, `ghash_ctmul64`.)
#[inline]
fn carryless_low(a: u64, b: u64) -> u64 {
    const KEPT: u64 = 0x1111_1111_1111_1111;
    let a: [u64; 4] = core::array::from_fn(|i| a & (KEPT << i));
    let b: [u64; 4] = core::array::from_fn(|i| b & (KEPT << i));
    let mut product = 0;
    for class in 0..4 {
        let mut sum = 0;
        for i in 0..4 {
            sum ^= a[i].wrapping_mul(b[(class + 4 - i) % 4]);
        }
        product |= sum & (KEPT << class);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(hex: &str) -> u128 {
        u128::from_str_radix(hex, 16).unwrap().swap_bytes()
    }

    /// RFC 8452 section 7, "Field Operation Examples".
    #[test]
    fn dot_is_that_of_the_rfc() {
        let a = element("66e94bd4ef8a2c3b884cfa59ca342b2e");
        let b = element("ff000000000000000000000000000000");
        assert_eq!(dot(a, b), element("ebe563401e7e91ea3ad6426b8140c394"));
    }

    #[test]
    fn carryless_product_of_ones_overflows_no_hole() {
        for (a, b) in [(u64::MAX, u64::MAX), (0x1111_1111_1111_1111, u64::MAX), (1 << 63, u64::MAX), (u64::MAX, 3)] {
            let mut expected = 0u128;
            for i in 0..64 {
                if b >> i & 1 == 1 {
                    expected ^= (a as u128) << i;
                }
            }
            assert_eq!(carryless(a, b), expected, "{a:x} * {b:x}");
        }
    }
}
