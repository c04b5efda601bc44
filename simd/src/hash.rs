//! The persisted keyed hash "VKH1": what it is. FORMAT.md says the same in words, with vectors for other languages.
//!
//! ```text
//!   hash(domain, bytes) = POLYVAL(H, [domain 0 0 .. 0] ‖ bytes ‖ 80 00 .. 00)        to the next multiple of 16; at least the 80
//!   state after j blocks  S_0 = dot([domain 0 ..], H)      S_j = dot(S_j-1 ^ block_j, H)
//!   checkpoint at byte p  dot(S_j ^ (bytes[16j..p] ‖ 80 00 ..), H)   where j = p / 16: one product, nothing is hashed again
//! ```
//! `Domain::Host` takes the bytes last first, so that the checkpoints of a host are its suffixes. H is secret and random: two different
//! inputs of at most n blocks (the domain block and the padding counted) collide with probability at most n / 2^128 over the choice of H
//! (Carter-Wegman; RFC 8452 section 6). `seal` is a bijection: it spreads, and adds no collision.

use crate::field::dot;
use bytemuck::{Pod, Zeroable};

/// A block of the polynomial.
pub const BLOCK_BYTES: usize = 16;

/// Runs of this many blocks share one reduction.
pub(crate) const POWERS: usize = 16;

/// Blocks of 128 bytes: what two 64-byte registers hold.
pub(crate) const LANES: usize = 8;

/// The padding of an empty tail, as an element.
pub(crate) const PAD: u128 = 0x80;

/// The two secret elements of GF(2^128) behind the keyed hash of one table generation (POLYVAL representation, RFC 8452 section 3).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct HashKey {
    /// Multiplier of the polynomial; never zero.
    pub h: [u8; 16],
    /// Multiplier that pairs a host with a path; never zero.
    pub k: [u8; 16],
}

impl HashKey {
    /// Neither element is zero. A zero `h` would hash everything to 0, so whoever reads a key from a file asks this first.
    pub fn is_valid(&self) -> bool {
        self.h != [0; 16] && self.k != [0; 16]
    }
}

/// What is hashed: the first block of every polynomial, so that equal bytes of different meaning never collide by construction.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// Host bytes, last byte first.
    Host = 1,
    /// Path, or path and query.
    Path = 2,
    /// A file's SHA-256, 32 bytes.
    Sha256 = 3,
    /// A file's SHA-1, 20 bytes.
    Sha1 = 4,
    /// A file's MD5, 16 bytes.
    Md5 = 5,
}

impl Domain {
    /// Every domain.
    pub const ALL: [Domain; 5] = [Domain::Host, Domain::Path, Domain::Sha256, Domain::Sha1, Domain::Md5];
}

/// A polynomial value: may be paired, is not yet a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Hash128 {
    /// Bytes 0..8, little-endian.
    pub lo: u64,
    /// Bytes 8..16, little-endian.
    pub hi: u64,
}

impl Hash128 {
    #[inline]
    pub(crate) fn from_element(element: u128) -> Self {
        Self { lo: element as u64, hi: (element >> 64) as u64 }
    }

    #[inline]
    pub(crate) fn element(self) -> u128 {
        self.lo as u128 | (self.hi as u128) << 64
    }
}

/// A table key: a sealed hash. `hi` places it, `lo` is its tag.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Key128 {
    /// The tag kept in the table.
    pub lo: u64,
    /// Chooses the shard and both buckets.
    pub hi: u64,
}

/// What is precomputed once from a `HashKey`: powers of `h`, `k`, and each domain's starting state. 1 KiB that stays in L1.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct HashSchedule {
    /// `powers[i]` = H^(i+1), powers taken with `dot`.
    pub(crate) powers: [u128; POWERS],
    /// Of H^8 .. H^1, then zeros: what a message of n blocks needs begins at `8 - n`, and zeros stand where it has no block. As a product by
    /// halves wants it, so that one reduction of 64 bits is left instead of two:
    /// ```text
    ///   G' = G * x^-64     dot(x, G) = (x0 * G' + x1 * G) * x^-64     where x = x0 + x1 * x^64
    /// ```
    /// Here the low halves of G' and G side by side, ...
    pub(crate) low_halves: [u128; 2 * LANES],
    /// ... and the high halves.
    pub(crate) high_halves: [u128; 2 * LANES],
    /// Low xor high half of each power: the third factor of Karatsuba.
    pub(crate) folded: [u64; POWERS],
    /// State after the domain block, by `Domain as usize - 1`.
    pub(crate) starts: [u128; Domain::ALL.len()],
    /// dot(80 00 .. 00, H): what the whole block of padding after a multiple of 16 bytes adds.
    pub(crate) pad: u128,
    /// Pairs a host with a path.
    pub(crate) k: u128,
}

impl HashSchedule {
    /// Portable arithmetic; cold.
    pub fn new(key: &HashKey) -> Self {
        let h = u128::from_le_bytes(key.h);
        let mut powers = [h; POWERS];
        for i in 1..POWERS {
            powers[i] = dot(powers[i - 1], h);
        }
        let crossed = |half: fn(u128) -> u128| -> [u128; 2 * LANES] {
            let both = |power: u128| half(dot(power, 1 << 64)) | half(power) << 64;
            std::array::from_fn(|i| if i < LANES { both(powers[LANES - 1 - i]) } else { 0 })
        };
        Self {
            powers,
            low_halves: crossed(|power| power as u64 as u128),
            high_halves: crossed(|power| power >> 64),
            folded: powers.map(|power| power as u64 ^ (power >> 64) as u64),
            starts: Domain::ALL.map(|domain| dot(domain as u128, h)),
            pad: dot(PAD, h),
            k: u128::from_le_bytes(key.k),
        }
    }

    /// State after the domain block.
    #[inline]
    pub(crate) fn start(&self, domain: Domain) -> u128 {
        self.starts[domain as usize - 1]
    }
}

/// Shows no secret.
impl std::fmt::Debug for HashSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashSchedule { .. }")
    }
}

/// The hexadecimal digits of pi's fraction, 16 at a time: two addends for each round of `seal`.
pub(crate) const SEAL: [(u64, u64); 4] = [
    (0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344),
    (0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89),
    (0x4528_21e6_38d0_1377, 0xbe54_66cf_34e9_0c6c),
    (0xc0ac_29b7_c97c_50dd, 0x3f84_d5b5_b547_0917),
];

/// A bijective, non-linear finish: spreads a polynomial value over all 128 bits without adding a collision.
///
/// Four Feistel rounds over the two 64-bit halves: each xors one half with a function of the other, so each undoes itself, whatever the
/// function is. The function is `fold((x ^ a) * (swap(x) ^ b))`: the 32-bit halves of x exchanged in the second factor, the 128-bit product
/// folded by xor of its halves. Four rounds, because of three one half of the result has met the function only once, and one product
/// alone is uneven (some input bits changed some output bits 99 times of 100; after four rounds all are even, which a test holds).
#[inline]
pub const fn seal(hash: Hash128) -> Key128 {
    const fn fold(x: u64, (a, b): (u64, u64)) -> u64 {
        let product = (x ^ a) as u128 * (x.rotate_left(32) ^ b) as u128;
        product as u64 ^ (product >> 64) as u64
    }
    let lo = hash.lo ^ fold(hash.hi, SEAL[0]);
    let hi = hash.hi ^ fold(lo, SEAL[1]);
    let lo = lo ^ fold(hi, SEAL[2]);
    let hi = hi ^ fold(lo, SEAL[3]);
    Key128 { lo, hi }
}
