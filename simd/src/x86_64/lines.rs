//! The probe of AVX-512: a bucket is one cache line, and a cache line is one register.
//!
//! ```text
//! probe    lanes  0      1      2      3      4      5..8
//!                 tag 0  tag 1  tag 2  tag 3  tag 4  refs, away: compared too, and not looked at
//! settle   lanes  sixteen keys: bits of the tag, hits and word; three masks
//! places   lanes  0 1 2 .. 63, compressed by the bits: one vpcompressb
//! ```
//! Ten instructions a key in `probe`: all else that could be done there is done sixteen at a time in `settle`.

use bytemuck::Pod;
use std::arch::{asm, x86_64::*};

use super::avx512::IOTA;
use crate::{Bucket, CHUNK, GROUP, Key128, SEVERAL};

/// Two shuffles; LLVM makes a gather of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn halves(keys: &[Key128; GROUP]) -> [[u64; GROUP]; 2] {
    let [first, second]: &[[Key128; GROUP / 2]; 2] = bytemuck::cast_ref(keys);
    let [first, second] = [load(first), load(second)];
    let even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    let odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
    let halves = [even, odd].map(|lanes| _mm512_permutex2var_epi64(first, lanes, second));
    // SAFETY: a register is eight numbers.
    halves.map(|half| unsafe { std::mem::transmute::<__m512i, [u64; GROUP]>(half) })
}

/// A whole line in one compare. Offsets are checked eight at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn probe(buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
    // What is no multiple of a line becomes a number beyond all buckets.
    let indices = _mm512_ror_epi64::<6>(load(at));
    if _mm512_cmplt_epu64_mask(indices, _mm512_set1_epi64(buckets.len() as i64)) != !0 {
        outside();
    }
    for lane in 0..GROUP {
        let line: *const u8 = buckets.as_ptr().cast::<u8>().wrapping_add(at[lane] as usize);
        // SAFETY: the offset is that of a bucket, as has just been seen: 64 bytes, all of them initialised.
        let whole = unsafe { _mm512_loadu_si512(line.cast()) };
        let equal = _mm512_cmpeq_epi64_mask(whole, _mm512_set1_epi64(tags[lane] as i64));
        hits[lane] = equal;
        // Slot 5 stands for none, so the place is at most 5. Bit 8 is there because LLVM would make eight bits of it and then widen them.
        let place = (u32::from(equal) | 1 << 8 | 1 << 5).trailing_zeros() as usize;
        // SAFETY: of the same bucket, its word 10 to 15 of 16.
        words[lane] = unsafe { line.cast::<u32>().wrapping_add(10 + place).read() };
    }
}

#[cold]
#[inline(never)]
fn outside() -> ! {
    panic!("an index or an offset lies outside of its slice");
}

/// Sixteen keys at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn settle(tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
    let (one, low) = (_mm512_set1_epi32(1), _mm512_set1_epi32(31));
    let mut open = 0;
    let lanes = tags.as_chunks::<16>().0.iter().zip(hits.as_chunks::<16>().0).zip(words.as_chunks_mut::<16>().0);
    for (turn, ((tags, hits), words)) in lanes.enumerate() {
        let tags = low_halves(tags);
        // SAFETY: the array has 16 bytes.
        let hits = _mm512_and_si512(_mm512_cvtepu8_epi32(unsafe { _mm_loadu_si128(hits.as_ptr().cast()) }), low);
        let word = load(words);
        // Rotations look at five bits only.
        let [first, second] = [tags, _mm512_srli_epi32::<5>(tags)].map(|place| _mm512_rolv_epi32(one, place));
        let lacking = _mm512_andnot_si512(word, _mm512_or_si512(first, second));
        let absent = _mm512_testn_epi32_mask(hits, hits);
        let two = _mm512_test_epi32_mask(hits, _mm512_sub_epi32(hits, one));
        let several = two | _mm512_mask_testn_epi32_mask(!absent, word, word);
        open |= u64::from(_mm512_mask_testn_epi32_mask(absent, lacking, lacking)) << (16 * turn);
        let found = _mm512_maskz_mov_epi32(!absent, word);
        let found = _mm512_mask_mov_epi32(found, several, _mm512_set1_epi32(SEVERAL as i32));
        // SAFETY: the array has 16 words of 4 bytes; the store has no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), found) };
    }
    open
}

/// The lower half of each of sixteen words.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn low_halves(words: &[u64; 16]) -> __m512i {
    let even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    let halves: &[[u64; GROUP]; 2] = bytemuck::cast_ref(words);
    _mm512_permutex2var_epi32(load(&halves[0]), even, load(&halves[1]))
}

/// Indices are checked sixteen at a time; then two loads and a store a key, which LLVM would make a gather of that takes twice as long.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn pick<T: Pod>(from: &[T], at: &[u32; CHUNK], to: &mut [T; CHUNK]) {
    const { assert!(size_of::<T>() == 8) };
    let bound = _mm512_set1_epi32(u32::try_from(from.len()).unwrap_or(u32::MAX) as i32);
    let beyond = at.as_chunks::<16>().0.iter().fold(0, |beyond, at| beyond | _mm512_cmpge_epu32_mask(load(at), bound));
    if beyond != 0 {
        outside();
    }
    // Eight in a row: a loop around two instructions is longer than they are.
    for (at, to) in at.as_chunks::<GROUP>().0.iter().zip(to.as_chunks_mut::<GROUP>().0) {
        for lane in 0..GROUP {
            let word: u64;
            // SAFETY: reads eight bytes, element `at` of the slice: it is below the length, as has just been seen.
            unsafe {
                asm!("mov {word}, [{from} + 8 * {at}]", word = lateout(reg) word, from = in(reg) from.as_ptr(), at = in(reg) u64::from(at[lane]),
                    options(pure, readonly, nostack, preserves_flags));
            }
            to[lane] = bytemuck::cast(word);
        }
    }
}

/// One instruction where others loop: it is the loop's unpredictable end that costs.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub fn places(bits: u64) -> [u8; CHUNK] {
    let lowest = _mm512_set1_epi8((bits.trailing_zeros() % 64) as i8);
    let compressed = _mm512_mask_compress_epi8(lowest, bits, load(&IOTA));
    let mut places = [0; CHUNK];
    // SAFETY: the array has 64 bytes; the store has no alignment.
    unsafe { _mm512_storeu_si512(places.as_mut_ptr().cast(), compressed) };
    places
}

/// A register's worth of numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load<T: Pod, const N: usize>(numbers: &[T; N]) -> __m512i {
    const { assert!(size_of::<[T; N]>() == 64) };
    // SAFETY: the reference makes 64 bytes readable, of numbers; the load has no alignment.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}
