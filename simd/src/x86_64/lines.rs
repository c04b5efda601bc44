//! The probe of AVX-512: a bucket is one cache line, and a cache line is one register.
//!
//! ```text
//! lanes  0      1      2      3      4      5..8
//!        tag 0  tag 1  tag 2  tag 3  tag 4  refs, away: masked out
//! ```

use std::arch::x86_64::*;

use crate::{Bucket, door};

/// A whole line in one compare; what is not a tag is masked out.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn probe(buckets: &[Bucket], at: &[u32], tags: &[u64], hits: &mut [u8]) {
    door::probe(at.len(), tags.len(), hits.len());
    for ((&at, &tag), hits) in at.iter().zip(tags).zip(hits) {
        let line = std::ptr::from_ref(&buckets[at as usize]);
        // SAFETY: a bucket is 64 bytes, all of them initialised.
        let line = unsafe { _mm512_loadu_si512(line.cast()) };
        *hits = _mm512_mask_cmpeq_epi64_mask(0b1_1111, line, _mm512_set1_epi64(tag as i64));
    }
}
