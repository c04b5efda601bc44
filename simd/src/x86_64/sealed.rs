//! The seal of AVX-512: eight keys at a time, the 128-bit products put together from 32-bit halves.
//!
//! ```text
//! x * y        ll = xl * yl   lh = xl * yh   hl = xh * yl   hh = xh * yh
//! low half     ll + (lh + hl << 32)          high half     hh + carries
//! ```
//! Four multiplications where the scalar unit has one, but of eight keys: 13 instructions a key instead of 45 where a compiler may not use `mulx`.

use std::arch::x86_64::*;

use crate::hash::SEAL;
use crate::{Hash128, Key128, seal};

/// Keys in two registers of low and high halves.
const KEYS: usize = 8;

/// As [`seal`], one for one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn seal_all(hashes: &[Hash128], keys: &mut [Key128]) {
    let (eights, rest) = hashes.as_chunks::<KEYS>();
    let (sealed, sealed_rest) = keys.as_chunks_mut::<KEYS>();
    for (hashes, keys) in eights.iter().zip(sealed) {
        *keys = eight(hashes);
    }
    for (hash, key) in rest.iter().zip(sealed_rest) {
        *key = seal(*hash);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn eight(hashes: &[Hash128; KEYS]) -> [Key128; KEYS] {
    let [first, second]: [[u8; 64]; 2] = bytemuck::cast(*hashes);
    // SAFETY: an array has 64 bytes; the loads have no alignment.
    let (first, second) = unsafe { (_mm512_loadu_si512(first.as_ptr().cast()), _mm512_loadu_si512(second.as_ptr().cast())) };
    let (mut lo, mut hi) = (_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    lo = _mm512_xor_si512(lo, fold(hi, SEAL[0]));
    hi = _mm512_xor_si512(hi, fold(lo, SEAL[1]));
    lo = _mm512_xor_si512(lo, fold(hi, SEAL[2]));
    hi = _mm512_xor_si512(hi, fold(lo, SEAL[3]));
    let mut sealed = [[0u8; 64]; 2];
    let [first, second] = &mut sealed;
    // SAFETY: an array has 64 bytes; the stores have no alignment.
    unsafe {
        _mm512_storeu_si512(first.as_mut_ptr().cast(), _mm512_unpacklo_epi64(lo, hi));
        _mm512_storeu_si512(second.as_mut_ptr().cast(), _mm512_unpackhi_epi64(lo, hi));
    }
    bytemuck::cast(sealed)
}

/// `(x ^ a) * (swap(x) ^ b)`, its halves xored.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn fold(x: __m512i, (a, b): (u64, u64)) -> __m512i {
    let high = |x| _mm512_srli_epi64::<32>(x);
    let low = |x| _mm512_and_si512(x, _mm512_set1_epi64(0xFFFF_FFFF));
    let (x, y) =
        (_mm512_xor_si512(x, _mm512_set1_epi64(a as i64)), _mm512_xor_si512(_mm512_rol_epi64::<32>(x), _mm512_set1_epi64(b as i64)));
    let (xh, yh) = (high(x), high(y));
    let (ll, lh, hl, hh) = (_mm512_mul_epu32(x, y), _mm512_mul_epu32(x, yh), _mm512_mul_epu32(xh, y), _mm512_mul_epu32(xh, yh));
    let middle = _mm512_add_epi64(_mm512_add_epi64(high(ll), low(lh)), low(hl)); // three of 32 bits
    let low = _mm512_mask_blend_epi32(0xAAAA, ll, _mm512_slli_epi64::<32>(middle));
    let carried = _mm512_add_epi64(_mm512_add_epi64(high(lh), high(hl)), high(middle));
    _mm512_xor_si512(low, _mm512_add_epi64(hh, carried))
}
