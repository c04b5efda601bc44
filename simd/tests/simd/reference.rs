//! The oracle: each contract of `Backend` again, as a reader of FORMAT.md would write it, sharing no code with the crate.
//! Bits and naive iterators; field elements are multiplied one coefficient at a time. Its own tests hold it against RFC 8452.

use verdict_simd::{Bucket, Domain, Hash128, HashKey, Key128, UrlBlock};

/// `a * b * x^-128`: RFC 8452 section 3 gives x^-128 = x^127 + x^124 + x^121 + x^114 + 1.
pub fn dot(a: [u8; 16], b: [u8; 16]) -> [u8; 16] {
    let inverse = (1 << 127) | (1 << 124) | (1 << 121) | (1 << 114) | 1;
    times(times(u128::from_le_bytes(a), u128::from_le_bytes(b)), inverse).to_le_bytes()
}

/// Schoolbook: modulo x^128 + x^127 + x^126 + x^121 + 1.
fn times(a: u128, b: u128) -> u128 {
    let (mut product, mut shifted) = (0, a);
    for bit in 0..128 {
        if b >> bit & 1 == 1 {
            product ^= shifted;
        }
        let carry = shifted >> 127;
        shifted = (shifted << 1) ^ (carry * ((1 << 127) | (1 << 126) | (1 << 121) | 1));
    }
    product
}

/// RFC 8452 section 3: S_0 = 0, S_j = dot(S_j-1 + X_j, H).
pub fn polyval(h: [u8; 16], message: &[u8]) -> [u8; 16] {
    message.chunks_exact(16).fold([0; 16], |state, block| {
        let sum = std::array::from_fn(|i| state[i] ^ block[i]);
        dot(sum, h)
    })
}

/// POLYVAL over the domain block, the bytes (a host's backwards), 0x80 and zeros.
pub fn hash(key: &HashKey, domain: Domain, bytes: &[u8]) -> Hash128 {
    let mut message = vec![domain as u8];
    message.resize(16, 0);
    match domain {
        Domain::Host => message.extend(bytes.iter().rev()),
        _ => message.extend(bytes),
    }
    message.push(0x80);
    message.resize(message.len().next_multiple_of(16), 0);
    halves(polyval(key.h, &message))
}

/// The sealed sum of dot(host, K) and path.
pub fn pair(key: &HashKey, host: Hash128, path: Hash128) -> Key128 {
    let host = halves(dot(joined(host), key.k));
    seal(Hash128 { lo: host.lo ^ path.lo, hi: host.hi ^ path.hi })
}

/// Pi's hexadecimal fraction.
const PI: [u64; 8] = [
    0x243F6A8885A308D3,
    0x13198A2E03707344,
    0xA4093822299F31D0,
    0x082EFA98EC4E6C89,
    0x452821E638D01377,
    0xBE5466CF34E90C6C,
    0xC0AC29B7C97C50DD,
    0x3F84D5B5B5470917,
];

fn round(x: u64, i: usize) -> u64 {
    let swapped = (x >> 32) + (x % (1 << 32)) * (1 << 32);
    let product = u128::from(x ^ PI[2 * i]) * u128::from(swapped ^ PI[2 * i + 1]);
    (product % (1 << 64)) as u64 ^ (product / (1 << 64)) as u64
}

/// Four Feistel rounds.
pub fn seal(hash: Hash128) -> Key128 {
    let (mut lo, mut hi) = (hash.lo, hash.hi);
    lo ^= round(hi, 0);
    hi ^= round(lo, 1);
    lo ^= round(hi, 2);
    hi ^= round(lo, 3);
    Key128 { lo, hi }
}

/// The same rounds, last first.
pub fn unseal(key: Key128) -> Hash128 {
    let (mut lo, mut hi) = (key.lo, key.hi);
    hi ^= round(lo, 3);
    lo ^= round(hi, 2);
    hi ^= round(lo, 1);
    lo ^= round(hi, 0);
    Hash128 { lo, hi }
}

/// Byte by byte, by the documentation of `UrlBlock`.
pub fn classify(bytes: &[u8]) -> Vec<UrlBlock> {
    let mask = |bytes: &[u8], is: fn(u8) -> bool| (0..bytes.len()).filter(|&i| is(bytes[i])).map(|i| 1 << i).sum::<u64>();
    let block = |bytes: &[u8]| UrlBlock {
        slash: mask(bytes, |b| b == b'/'),
        dot: mask(bytes, |b| b == b'.'),
        question: mask(bytes, |b| b == b'?'),
        hash: mask(bytes, |b| b == b'#'),
        percent: mask(bytes, |b| b == b'%'),
        delimiter: mask(bytes, |b| b":@[]".contains(&b)),
        upper: mask(bytes, |b| b.is_ascii_uppercase()),
        odd: mask(bytes, |b| b <= 0x20 || b >= 0x7f || b == b'\\'),
    };
    bytes.chunks(64).map(block).collect()
}

/// The slots whose tag is that tag.
pub fn probe(bucket: &Bucket, tag: u64) -> u8 {
    (0..5).map(|slot| if bucket.tags[slot] == tag { 1 << slot } else { 0 }).sum()
}

/// The ref of the lowest of these slots; the filter where there is none.
pub fn word(bucket: &Bucket, hits: u8) -> u32 {
    (0..5).find(|slot| hits & 1 << slot != 0).map_or(bucket.away, |slot| bucket.refs[slot])
}

/// The ref that is known of a tag, and whether it may be in the other bucket.
pub fn settled(tag: u64, hits: u8, word: u32) -> (u32, bool) {
    match (0..5).filter(|slot| hits & 1 << slot != 0).count() {
        0 => (0, [tag % 32, tag / 32 % 32].iter().all(|bit| word & 1 << bit != 0)),
        1 if word != 0 => (word, false),
        _ => (1 << 30, false),
    }
}

fn halves(element: [u8; 16]) -> Hash128 {
    let element = u128::from_le_bytes(element);
    Hash128 { lo: element as u64, hi: (element >> 64) as u64 }
}

fn joined(hash: Hash128) -> [u8; 16] {
    (u128::from(hash.lo) | u128::from(hash.hi) << 64).to_le_bytes()
}

mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let nibbles: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        nibbles.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn element(hex: &str) -> [u8; 16] {
        bytes(hex).try_into().unwrap()
    }

    /// RFC 8452 section 7.
    #[test]
    fn field_operation_examples_of_the_rfc() {
        let (a, b) = (element("66e94bd4ef8a2c3b884cfa59ca342b2e"), element("ff000000000000000000000000000000"));
        let product = times(u128::from_le_bytes(a), u128::from_le_bytes(b)).to_le_bytes();
        assert_eq!(product, element("37856175e9dc9df26ebc6d6171aa0ae9"));
        assert_eq!(dot(a, b), element("ebe563401e7e91ea3ad6426b8140c394"));
    }

    /// RFC 8452 appendix A.
    #[test]
    fn polyval_example_of_the_rfc() {
        let h = element("25629347589242761d31f826ba4b757b");
        let x = bytes("4f4f95668c83dfb6401762bb2d01a262 d1a24ddd2721d006bbe45f20d3c9f362");
        assert_eq!(polyval(h, &x), element("f7a3b47b846119fae5b7866cf5e5b77e"));
    }

    /// RFC 8452 appendix C.1, the second: record authentication key, POLYVAL input, POLYVAL result.
    #[test]
    fn polyval_of_an_aead_case_of_the_rfc() {
        let h = element("d9b360279694941ac5dbc6987ada7377");
        let x = bytes("01000000000000000000000000000000 00000000000000004000000000000000");
        assert_eq!(polyval(h, &x), element("eb93b7740962c5e49d2a90a7dc5cec74"));
    }
}
