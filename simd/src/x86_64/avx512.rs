//! AVX-512 with VBMI and VPCLMULQDQ: server cores since Ice Lake (2021) and Zen 4 (2022).
//!
//! ```text
//!   hash       up to 127 bytes are two registers:  x0 .. x7 times H^n .. H, 0 ..   4 or 8 vpclmulqdq, one sum, one reduction
//!   suffixes,  a text up to 63 bytes is one register, the states before its four blocks another; vpcompressb makes lengths of the mask;
//!   prefixes   a lane is a checkpoint: its block and its state by vpermb, times H: 5 vpclmulqdq for four
//!   classify   one vpermi2b looks the classes of 64 bytes up in 128 entries, one vptestmb a mask
//!   probe      a bucket is a register: one compare; what follows from it sixteen keys at a time (lines.rs)
//! ```
//! Departures from portable.rs: nothing is done block after block. A message of n blocks takes the powers that begin at `8 - n` of
//! `H^8 .. H, 0 ..`, so absent blocks meet a zero and lengths cost the same: what the other hashes lose at real URLs is not their multiplications but
//! the branches on lengths that nobody can predict. Loads and stores are masked and touch nothing outside the slice.

use super::{
    avx2::{self, element, into_hash},
    lines, sealed,
};
use crate::{
    BLOCK_BYTES, Backend, Bucket, Domain, HASHES, Hash128, HashSchedule, Kernel, Key128, UrlBlock, WithBackend, door,
    hash::{LANES, PAD},
    places::Lengths,
    portable::CLASS,
};
use std::arch::x86_64::*;

/// Bytes of a register.
const CHUNK: usize = 64;
/// Checkpoints that share a reduction.
const GROUP: usize = 4;

/// All that the kernels enable is there: only [`Avx512::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// Asks the CPU, through the standard library's cache.
    pub fn detect() -> Option<Self> {
        let vectors = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512dq");
        let more = is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vbmi2")
            && is_x86_feature_detected!("vpclmulqdq");
        let less = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq");
        let bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
        let counts = is_x86_feature_detected!("lzcnt") && is_x86_feature_detected!("popcnt");
        (vectors && more && less && bits && counts).then_some(Self(()))
    }
}

impl Backend for Avx512 {
    #[inline]
    fn name(self) -> &'static str {
        "avx512"
    }

    #[inline]
    fn run<W: WithBackend>(self, work: W) -> W::Output {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that `run` enables.
        unsafe { run(self, work) }
    }

    #[inline]
    fn compiled<K: Kernel>(self, kernel: K) -> K::Output {
        // With AVX-512 LLVM makes a counting loop over 64 bytes three times slower than with AVX2: perf/investigations/lpm.md.
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that `compiled` enables.
        unsafe { avx2::compiled(kernel) }
    }

    #[inline]
    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { classify_block(bytes, at) }
    }

    #[inline]
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernels enable.
        unsafe {
            if matches!(domain, Domain::Host) {
                one_shot::<FromRight>(schedule, domain, bytes)
            } else {
                one_shot::<FromLeft>(schedule, domain, bytes)
            }
        }
    }

    #[inline]
    fn hash_suffixes(self, schedule: &HashSchedule, host: &[u8], dots: u64, hashes: &mut [Hash128; HASHES]) {
        door::suffixes(host.len(), dots);
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { hash_suffixes(schedule, host, dots, hashes) }
    }

    #[inline]
    fn hash_prefixes(
        self,
        schedule: &HashSchedule,
        domain: Domain,
        text: &[u8],
        exact: usize,
        slashes: u64,
        hashes: &mut [Hash128; HASHES],
    ) {
        door::prefixes(domain, text.len(), exact, slashes);
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { hash_prefixes(schedule, domain, text, exact, slashes, hashes) }
    }

    #[inline]
    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
        door::lengths(lengths.len());
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernels enable.
        unsafe {
            if matches!(domain, Domain::Host) {
                far_checkpoints::<FromRight>(schedule, domain, text, lengths, hashes);
            } else {
                far_checkpoints::<FromLeft>(schedule, domain, text, lengths, hashes);
            }
        }
    }

    #[inline]
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { avx2::pair(schedule, host, paths, keys) }
    }

    #[inline]
    fn seal_all(self, hashes: &[Hash128], keys: &mut [Key128]) {
        door::pair(hashes.len(), keys.len());
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { sealed::seal_all(hashes, keys) }
    }

    #[inline(always)]
    fn lowest(self, mask: u64, most: u32) -> u64 {
        // SAFETY: `self` exists, so `Avx512::detect` has seen BMI2. Cores with AVX-512 have a fast `pdep`.
        unsafe { lowest(mask, most) }
    }

    #[inline(always)]
    fn highest(self, mask: u64, most: u32) -> u64 {
        // SAFETY: as above.
        unsafe { highest(mask, most) }
    }

    #[inline]
    fn halves(self, keys: &[Key128; crate::GROUP]) -> [[u64; crate::GROUP]; 2] {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { lines::halves(keys) }
    }

    #[inline]
    fn probe(
        self,
        buckets: &[Bucket],
        at: &[u64; crate::GROUP],
        tags: &[u64; crate::GROUP],
        hits: &mut [u8; crate::GROUP],
        words: &mut [u32; crate::GROUP],
    ) {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { lines::probe(buckets, at, tags, hits, words) }
    }

    #[inline]
    fn settle(self, tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
        door::settle(tags.len(), hits.len(), words.len());
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { lines::settle(tags, hits, words) }
    }

    #[inline]
    fn pick<T: bytemuck::Pod>(self, from: &[T], at: &[u32; crate::CHUNK], to: &mut [T; crate::CHUNK]) {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { lines::pick(from, at, to) }
    }

    #[inline]
    fn places(self, bits: u64) -> [u8; crate::CHUNK] {
        // SAFETY: `self` exists, so `Avx512::detect` has seen every feature that the kernel enables.
        unsafe { lines::places(bits) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run<B: Backend, W: WithBackend>(backend: B, work: W) -> W::Output {
    work.run(backend)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn lowest(mask: u64, most: u32) -> u64 {
    _pdep_u64(_bzhi_u64(u64::MAX, most), mask)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn highest(mask: u64, most: u32) -> u64 {
    // 64 and more that are too many: nothing is wanted.
    _pdep_u64(u64::MAX.checked_shl(mask.count_ones().saturating_sub(most)).unwrap_or(0), mask)
}

// ---- hash ----

/// Whole chunks first, in a loop that most URLs never enter; then what is left, at most 127 bytes and the padding: one register or two.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn one_shot<O: Order>(schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
    let mut state = _mm512_zextsi128_si512(element(schedule.start(domain)));
    let mut rest = bytes;
    while rest.len() >= 2 * CHUNK {
        let (chunk, after) = O::split(rest, CHUNK);
        state = after_chunk::<O>(schedule, state, chunk);
        rest = after;
    }
    let blocks = rest.len() / BLOCK_BYTES + 1;
    if rest.len() < CHUNK {
        let x = xor3(load::<O>(rest), pad(rest.len()), state);
        return into_hash(Product::of(x, powers(schedule, blocks, 0)).reduce_sum());
    }
    let (first, second) = O::split(rest, CHUNK);
    let x = _mm512_xor_si512(load::<O>(first), state);
    let y = _mm512_xor_si512(load::<O>(second), pad(second.len()));
    let (near, far) = (Product::of(x, powers(schedule, blocks, 0)), Product::of(y, powers(schedule, blocks, 1)));
    into_hash(near.plus(far).reduce_sum())
}

/// The state after 64 more bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn after_chunk<O: Order>(schedule: &HashSchedule, state: __m512i, chunk: &[u8]) -> __m512i {
    let x = _mm512_xor_si512(load::<O>(chunk), state);
    _mm512_zextsi128_si512(Product::of(x, powers(schedule, CHUNK / BLOCK_BYTES, 0)).reduce_sum())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn hash_suffixes(schedule: &HashSchedule, host: &[u8], dots: u64, hashes: &mut [Hash128; HASHES]) {
    let bytes = host.len();
    if bytes >= CHUNK {
        return far_checkpoints::<FromRight>(schedule, Domain::Host, host, Lengths::of_suffixes(bytes, dots).as_slice(), hashes);
    }
    let starts = dots << 1 | 1;
    let from_left = _mm512_maskz_compress_epi8(starts, iota());
    let (message, states) = message_and_states::<FromRight>(schedule, Domain::Host, host);
    let count = starts.count_ones() as usize;
    for (turn, four) in hashes.as_chunks_mut().0.iter_mut().enumerate() {
        // Beyond the count stands a 0: the whole host again.
        let starts = _mm512_permutexvar_epi8(lanes_from(turn), from_left);
        *four = checkpoints(schedule, message, states, _mm512_sub_epi8(broadcast(bytes), starts));
        if (turn + 1) * GROUP >= count {
            break;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn hash_prefixes(schedule: &HashSchedule, domain: Domain, text: &[u8], exact: usize, slashes: u64, hashes: &mut [Hash128; HASHES]) {
    let bytes = text.len();
    if bytes >= CHUNK {
        return far_checkpoints::<FromLeft>(schedule, domain, text, Lengths::of_prefixes(bytes, exact, slashes).as_slice(), hashes);
    }
    let ends = slashes << 1 | 1 << exact.min(bytes) | 1 << bytes;
    let from_left = _mm512_maskz_compress_epi8(ends, iota());
    let (message, states) = message_and_states::<FromLeft>(schedule, domain, text);
    let count = ends.count_ones() as usize;
    for (turn, four) in hashes.as_chunks_mut().0.iter_mut().enumerate() {
        // Before the first stands the last of 64, a 0: the empty text.
        let from_right = _mm512_sub_epi8(broadcast(count.wrapping_sub(1)), lanes_from(turn));
        *four = checkpoints(schedule, message, states, _mm512_permutexvar_epi8(from_right, from_left));
        if (turn + 1) * GROUP >= count {
            break;
        }
    }
}

/// A text of fewer than 64 bytes in the order of the message, and the state before each of its four blocks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn message_and_states<O: Order>(schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> (__m512i, __m512i) {
    let (message, start, h) = (load::<O>(bytes), element(schedule.start(domain)), powers_of_h(schedule));
    let dot_h = |x| _mm512_castsi512_si128(Product::of(_mm512_zextsi128_si512(x), h).reduce());
    let first = dot_h(_mm_xor_si128(start, _mm512_castsi512_si128(message)));
    let states = _mm512_inserti32x4::<1>(_mm512_zextsi128_si512(start), first);
    // Whether they are wanted or not: a text of 32 bytes and more is what nobody can predict.
    let second = dot_h(_mm_xor_si128(first, _mm512_extracti32x4_epi32::<1>(message)));
    let third = dot_h(_mm_xor_si128(second, _mm512_extracti32x4_epi32::<2>(message)));
    (message, _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(states, second), third))
}

/// Four hashes of one message, lane k that of the length that fills lane k of `lengths`.
///
/// ```text
/// length 21   places  10 11 12 13 14 15 16 ..      of its last block, whole or not: the block from the message, the state before it from the states
///             keep     x  x  x  x  x  .  .          below 21 = 0x15
///             pad      .  .  .  .  . 80  .          at 21
/// ```
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn checkpoints(schedule: &HashSchedule, message: __m512i, states: __m512i, lengths: __m512i) -> [Hash128; GROUP] {
    let in_block = _mm512_broadcast_i32x4(_mm512_castsi512_si128(iota()));
    let places = _mm512_ternarylogic_epi64::<0xea>(lengths, broadcast(0x30), in_block); // lengths & 30 | in_block
    let kept = _mm512_maskz_permutexvar_epi8(_mm512_cmplt_epu8_mask(places, lengths), places, message);
    let padded = _mm512_mask_mov_epi8(kept, _mm512_cmpeq_epi8_mask(places, lengths), broadcast(PAD as usize));
    let x = _mm512_xor_si512(padded, _mm512_permutexvar_epi8(places, states));
    bytemuck::cast(stored(Product::of(x, powers_of_h(schedule)).reduce()))
}

/// Lane k is full of the number 4 * turn + k.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn lanes_from(turn: usize) -> __m512i {
    const LANES: [u8; CHUNK] = {
        let mut bytes = [0; CHUNK];
        let mut i = 0;
        while i < CHUNK {
            bytes[i] = (i / BLOCK_BYTES) as u8;
            i += 1;
        }
        bytes
    };
    _mm512_add_epi8(load64(&LANES), broadcast(GROUP * turn))
}

/// The low byte, everywhere.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn broadcast(byte: usize) -> __m512i {
    _mm512_set1_epi8(byte as i8)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn stored(x: __m512i) -> [u8; CHUNK] {
    let mut bytes = [0; CHUNK];
    // SAFETY: the array has 64 bytes; the store has no alignment.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), x) };
    bytes
}

/// Texts of 64 bytes and more, one length after the other; each chunk is taken once where lengths descend.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn far_checkpoints<O: Order>(schedule: &HashSchedule, domain: Domain, bytes: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
    let start = _mm512_zextsi128_si512(element(schedule.start(domain)));
    let (mut state, mut rest, mut done) = (start, bytes, 0);
    for (&length, hash) in lengths.iter().zip(hashes).rev() {
        let length = bytes.len().min(length as usize);
        if length / CHUNK < done {
            (state, rest, done) = (start, bytes, 0);
        }
        while done < length / CHUNK {
            let (chunk, after) = O::split(rest, CHUNK);
            state = after_chunk::<O>(schedule, state, chunk);
            (rest, done) = (after, done + 1);
        }
        *hash = into_hash(checkpoint::<O>(schedule, state, rest, length % CHUNK).reduce_sum());
    }
}

/// The products of the first `length` < 64 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn checkpoint<O: Order>(schedule: &HashSchedule, state: __m512i, bytes: &[u8], length: usize) -> Product {
    let length = length % CHUNK;
    let x = xor3(load::<O>(O::split(bytes, length).0), pad(length), state);
    Product::of(x, powers(schedule, length / BLOCK_BYTES + 1, 0))
}

/// A multiplier by halves, in each of four lanes: see `HashSchedule::low_halves`.
#[derive(Clone, Copy)]
struct Powers {
    low: __m512i,
    high: __m512i,
}

/// Four products of 192 bits side by side, less their factor x^-64: low + high * x^64.
#[derive(Clone, Copy)]
struct Product {
    low: __m512i,
    high: __m512i,
}

impl Product {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn of(x: __m512i, power: Powers) -> Self {
        let both = |y| _mm512_xor_si512(_mm512_clmulepi64_epi128::<0x00>(x, y), _mm512_clmulepi64_epi128::<0x11>(x, y));
        Self { low: both(power.low), high: both(power.high) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn plus(self, other: Self) -> Self {
        Self { low: _mm512_xor_si512(self.low, other.low), high: _mm512_xor_si512(self.high, other.high) }
    }

    /// Each lane for itself: x^57 + x^62 + x^63 is what the lowest 64 bits become 64 places higher; the exchange of halves is the x^64.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn reduce(self) -> __m512i {
        let modulus = _mm512_set1_epi64(0xc200_0000_0000_0000_u64 as i64);
        let swapped = _mm512_shuffle_epi32::<0b01_00_11_10>(self.low);
        xor3(self.high, swapped, _mm512_clmulepi64_epi128::<0x00>(self.low, modulus))
    }

    /// The sum of all four.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn reduce_sum(self) -> __m128i {
        let (low, high) = (lanes(self.low), lanes(self.high));
        let modulus = _mm_set1_epi64x(0xc200_0000_0000_0000_u64 as i64);
        let swapped = _mm_shuffle_epi32::<0b01_00_11_10>(low);
        _mm_xor_si128(_mm_xor_si128(high, swapped), _mm_clmulepi64_si128::<0x00>(low, modulus))
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn lanes(x: __m512i) -> __m128i {
    let half = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64::<1>(x));
    _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi64::<0x96>(a, b, c)
}

/// What the `register`-th four of `blocks` (1..=8) blocks are multiplied with.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn powers(schedule: &HashSchedule, blocks: usize, register: usize) -> Powers {
    let from = LANES - blocks + GROUP * register;
    let four = |halves: &[u128; 2 * LANES]| load64(bytemuck::cast_ref(halves[from..].first_chunk::<GROUP>().unwrap_or(&[0; GROUP])));
    Powers { low: four(&schedule.low_halves), high: four(&schedule.high_halves) }
}

/// H in every lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn powers_of_h(schedule: &HashSchedule) -> Powers {
    let four = |halves: &[u128; 2 * LANES]| _mm512_broadcast_i32x4(element(halves[LANES - 1]));
    Powers { low: four(&schedule.low_halves), high: four(&schedule.high_halves) }
}

/// 0x80 at byte `length`; nothing at 64.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn pad(length: usize) -> __m512i {
    static SLIDING: [u8; 2 * CHUNK] = {
        let mut bytes = [0; 2 * CHUNK];
        bytes[CHUNK] = PAD as u8;
        bytes
    };
    let from = CHUNK - length;
    load64(SLIDING[from..].first_chunk().unwrap_or(&[0; CHUNK])) // it has 64
}

/// Up to 64 bytes in the order of the message, zeros above.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load<O: Order>(bytes: &[u8]) -> __m512i {
    let loaded = load_up_to_64(bytes);
    if !O::REVERSED {
        return loaded;
    }
    // 5 bytes: the places 04 03 02 01 00 ff fe ..; from 5 on they are masked.
    let places = _mm512_sub_epi8(_mm512_set1_epi8((bytes.len() as i8).wrapping_sub(1)), iota());
    _mm512_maskz_permutexvar_epi8(first(bytes.len()), places, loaded)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn iota() -> __m512i {
    load64(&IOTA)
}

/// 0, 1, 2 ...
pub(super) const IOTA: [u8; CHUNK] = {
    let mut bytes = [0; CHUNK];
    let mut i = 0;
    while i < CHUNK {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// A bit for each of the first `count` lanes; all for 64 and more.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn first(count: usize) -> __mmask64 {
    _bzhi_u64(!0, count.min(CHUNK) as u32)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load_up_to_64(bytes: &[u8]) -> __m512i {
    let loaded;
    // SAFETY: a masked load reads the lanes of its mask only, and those are bytes of the slice. Not by `_mm512_maskz_loadu_epi8`: where a masked
    // `vpermb` follows, LLVM 22.1 makes one `vpermb` with a memory operand of the two, which reads all 64 bytes. (Seen in a release build; the pages
    // that fault found it.)
    unsafe {
        std::arch::asm!("vmovdqu8 {loaded}{{{mask}}}{{z}}, [{bytes}]", loaded = lateout(zmm_reg) loaded, mask = in(kreg) first(bytes.len()),
            bytes = in(reg) bytes.as_ptr(), options(pure, readonly, nostack, preserves_flags));
    }
    loaded
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load64(bytes: &[u8; CHUNK]) -> __m512i {
    // SAFETY: the reference makes 64 bytes readable; the load has no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

// ---- the order in which bytes are read ----

/// Left to right, or right to left.
trait Order {
    const REVERSED: bool;
    /// The bytes of the message's first `count`, and the others.
    fn split(bytes: &[u8], count: usize) -> (&[u8], &[u8]);
}

struct FromLeft;
impl Order for FromLeft {
    const REVERSED: bool = false;
    #[inline(always)]
    fn split(bytes: &[u8], count: usize) -> (&[u8], &[u8]) {
        bytes.split_at(count)
    }
}

struct FromRight;
impl Order for FromRight {
    const REVERSED: bool = true;
    #[inline(always)]
    fn split(bytes: &[u8], count: usize) -> (&[u8], &[u8]) {
        let (left, right) = bytes.split_at(bytes.len() - count);
        (right, left)
    }
}

// ---- classify ----

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify_block(bytes: &[u8], at: usize) -> UrlBlock {
    let rest = &bytes[at..];
    classify(load_up_to_64(rest)).each(|mask| mask & first(rest.len()))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,vpclmulqdq,avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify(x: __m512i) -> UrlBlock {
    let (low, high) = CLASS.split_at(CHUNK);
    let table = |half: &[u8]| load_up_to_64(half);
    let ascii = _mm512_permutex2var_epi8(table(low), x, table(high));
    let odd = _mm512_set1_epi8(i8::MIN);
    let classes = _mm512_mask_mov_epi8(ascii, _mm512_movepi8_mask(x), odd);
    let of = |bit: u32| _mm512_test_epi8_mask(classes, _mm512_set1_epi8(1 << bit));
    UrlBlock {
        slash: of(0),
        dot: of(1),
        question: of(2),
        hash: of(3),
        percent: of(4),
        delimiter: of(5),
        upper: of(6),
        odd: _mm512_movepi8_mask(classes),
    }
}
