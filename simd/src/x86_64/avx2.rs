//! AVX2 with PCLMULQDQ: what every x86-64 server since 2013 (Intel) and 2015 (AMD) has.
//!
//! ```text
//!   hash   sum over runs of up to 16 blocks:  x = lo hi,  power H^n = lo hi            3 pclmulqdq a block (Karatsuba)
//!            low  ^= x.lo * h.lo    high ^= x.hi * h.hi    middle ^= (x.lo ^ x.hi) * (h.lo ^ h.hi)
//!          reduce once: two pclmulqdq by c2 00 .. 00, each clearing 64 bits from below (field.rs has the same in integers)
//!   probe  one bucket = two overlapping 32-byte compares: tags 0..4, tags 1..5
//! ```
//! Seen in the release build (`asm.toml` lists what was read): everything inlined, only panics are called. A whole hash of 49 bytes: 12
//! products and 2 for its one reduction; the last run is unrolled by LLVM. A checkpoint: 5 pclmulqdq. Probe: 2 vpcmpeqq and 2 vmovmskpd in a loop
//! of 20 instructions. Classify: 10 vpmovmskb for 64 bytes. Pair: 4 multiplications a path.
//!
//! Departures from portable.rs: runs share a reduction; the block that only pads is a constant of the schedule. No load leaves the slice:
//! a short end is loaded as the 16 bytes that end (or begin) there and shuffled into place, and slices below 16 bytes go through `short`.

use crate::{
    BLOCK_BYTES, Backend, Bucket, Domain, GROUP, HASHES, Hash128, HashSchedule, Kernel, Key128, UrlBlock, WithBackend, door,
    hash::{PAD, POWERS},
    probe::{bucket, word},
    seal,
    short::short,
};
use std::arch::x86_64::*;

/// AVX2 and PCLMULQDQ are there: only [`Avx2::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// Asks the CPU, through the standard library's cache.
    pub fn detect() -> Option<Self> {
        let vectors = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("pclmulqdq");
        let bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
        let counts = is_x86_feature_detected!("lzcnt") && is_x86_feature_detected!("popcnt");
        (vectors && bits && counts).then_some(Self(()))
    }
}

impl Backend for Avx2 {
    #[inline]
    fn name(self) -> &'static str {
        "avx2"
    }

    #[inline]
    fn run<W: WithBackend>(self, work: W) -> W::Output {
        // SAFETY: `self` exists, so its `detect` has seen every feature that `run` enables.
        unsafe { run(self, work) }
    }

    #[inline]
    fn compiled<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` exists, so `Avx2::detect` has seen every feature that `compiled` enables.
        unsafe { compiled(kernel) }
    }

    #[inline]
    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        // SAFETY: `self` exists, so `Avx2::detect` has seen every feature that the kernel enables.
        unsafe { classify_block(bytes, at) }
    }

    #[inline]
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        // SAFETY: `self` exists, so `Avx2::detect` has seen every feature that the kernels enable.
        unsafe { if matches!(domain, Domain::Host) { hash_host(schedule, bytes) } else { hash(schedule, domain, bytes) } }
    }

    #[inline]
    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
        door::lengths(lengths.len());
        // SAFETY: `self` exists, so its `detect` has seen every feature that the kernels enable.
        unsafe {
            if matches!(domain, Domain::Host) {
                checkpoints::<FromRight>(schedule, domain, text, lengths, hashes);
            } else {
                checkpoints::<FromLeft>(schedule, domain, text, lengths, hashes);
            }
        }
    }

    #[inline]
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        // SAFETY: `self` exists, so `Avx2::detect` has seen every feature that the kernel enables.
        unsafe { pair(schedule, host, paths, keys) }
    }

    #[inline]
    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
        // SAFETY: `self` exists, so `Avx2::detect` has seen every feature that the kernel enables.
        unsafe { probe(buckets, at, tags, hits, words) }
    }
}

#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn run<B: Backend, W: WithBackend>(backend: B, work: W) -> W::Output {
    work.run(backend)
}

/// A call of its own: inlined into a function with AVX-512 it would be vectorised for that.
#[inline(never)]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn compiled<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

// ---- hash ----

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn hash(schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
    one_shot::<FromLeft>(schedule, schedule.start(domain), bytes)
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn hash_host(schedule: &HashSchedule, bytes: &[u8]) -> Hash128 {
    one_shot::<FromRight>(schedule, schedule.start(Domain::Host), bytes)
}

/// All blocks but the padding in runs that share a reduction; the last run takes the tail with it.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn one_shot<O: Order>(schedule: &HashSchedule, start: u128, bytes: &[u8]) -> Hash128 {
    let (blocks, tail_bytes) = (bytes.len() / BLOCK_BYTES, bytes.len() % BLOCK_BYTES);
    let (mut state, mut done) = (element(start), 0);
    while blocks - done >= POWERS {
        state = absorb::<O>(schedule, state, bytes, done, done + POWERS);
        done += POWERS;
    }
    if done == blocks {
        let tail = if tail_bytes == 0 { element(PAD) } else { padded(tail::<O>(bytes), tail_bytes) };
        return into_hash(dot_h(schedule, _mm_xor_si128(state, tail)));
    }
    let mut sum = Sum::zero();
    sum.add(schedule, blocks - done, _mm_xor_si128(state, block::<O>(bytes, done)));
    for i in done + 1..blocks {
        sum.add(schedule, blocks - i, block::<O>(bytes, i));
    }
    if tail_bytes == 0 {
        return into_hash(_mm_xor_si128(sum.reduce(), element(schedule.pad)));
    }
    sum.add(schedule, 0, padded(tail::<O>(bytes), tail_bytes));
    into_hash(sum.reduce())
}

/// The hash of each length: one product on top of the state of the block it ends in. Shortest last is one pass; else it begins anew.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn checkpoints<O: Order>(schedule: &HashSchedule, domain: Domain, bytes: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
    let start = schedule.start(domain);
    let (mut state, mut done) = (element(start), 0);
    let mut current = block_or_tail::<O>(bytes, 0);
    for (&length, hash) in lengths.iter().zip(hashes).rev() {
        let length = bytes.len().min(length as usize);
        let wanted = length / BLOCK_BYTES;
        if done != wanted {
            if wanted < done {
                (state, done) = (element(start), 0);
            }
            while done < wanted {
                let to = wanted.min(done + POWERS);
                state = absorb::<O>(schedule, state, bytes, done, to);
                done = to;
            }
            current = block_or_tail::<O>(bytes, done);
        }
        *hash = into_hash(dot_h(schedule, _mm_xor_si128(state, padded(current, length % BLOCK_BYTES))));
    }
}

/// The state after blocks `from..to`; 1..=POWERS of them.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn absorb<O: Order>(schedule: &HashSchedule, state: __m128i, bytes: &[u8], from: usize, to: usize) -> __m128i {
    let mut sum = Sum::zero();
    sum.add(schedule, to - from - 1, _mm_xor_si128(state, block::<O>(bytes, from)));
    for i in from + 1..to {
        sum.add(schedule, to - i - 1, block::<O>(bytes, i));
    }
    sum.reduce()
}

/// dot(x, H).
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn dot_h(schedule: &HashSchedule, x: __m128i) -> __m128i {
    let mut sum = Sum::zero();
    sum.add(schedule, 0, x);
    sum.reduce()
}

/// A sum of 256-bit products, in Karatsuba's three parts, not yet reduced.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    pub(super) low: __m128i,
    pub(super) middle: __m128i,
    pub(super) high: __m128i,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn zero() -> Self {
        let zero = _mm_setzero_si128();
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds x * H^(power + 1).
    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn add(&mut self, schedule: &HashSchedule, power: usize, x: __m128i) {
        let folded = _mm_cvtsi64_si128(schedule.folded[power] as i64);
        self.add_product(x, element(schedule.powers[power]), folded);
    }

    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    fn add_product(&mut self, x: __m128i, y: __m128i, y_folded: __m128i) {
        let x_folded = _mm_xor_si128(x, swap(x));
        self.low = _mm_xor_si128(self.low, _mm_clmulepi64_si128::<0x00>(x, y));
        self.high = _mm_xor_si128(self.high, _mm_clmulepi64_si128::<0x11>(x, y));
        self.middle = _mm_xor_si128(self.middle, _mm_clmulepi64_si128::<0x00>(x_folded, y_folded));
    }

    #[inline]
    #[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn reduce(self) -> __m128i {
        let middle = _mm_xor_si128(self.middle, _mm_xor_si128(self.low, self.high));
        let low = _mm_xor_si128(self.low, _mm_slli_si128::<8>(middle));
        let high = _mm_xor_si128(self.high, _mm_srli_si128::<8>(middle));
        let modulus = _mm_set_epi64x(0, 0xc200_0000_0000_0000_u64 as i64); // x^57 + x^62 + x^63; swap() is the x^64
        let low = _mm_xor_si128(swap(low), _mm_clmulepi64_si128::<0x00>(low, modulus));
        let low = _mm_xor_si128(swap(low), _mm_clmulepi64_si128::<0x00>(low, modulus));
        _mm_xor_si128(high, low)
    }
}

/// The halves exchanged.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn swap(x: __m128i) -> __m128i {
    _mm_shuffle_epi32::<0b01_00_11_10>(x)
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn element(element: u128) -> __m128i {
    load16(&element.to_le_bytes())
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn into_hash(x: __m128i) -> Hash128 {
    Hash128 { lo: _mm_cvtsi128_si64(x) as u64, hi: _mm_extract_epi64::<1>(x) as u64 }
}

// ---- the order in which bytes are read ----

/// Left to right, or right to left.
trait Order {
    const REVERSED: bool;
}

struct FromLeft;
impl Order for FromLeft {
    const REVERSED: bool = false;
}

struct FromRight;
impl Order for FromRight {
    const REVERSED: bool = true;
}

/// The `i`-th whole block of the message.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn block<O: Order>(bytes: &[u8], i: usize) -> __m128i {
    if O::REVERSED {
        let blocks = bytes.as_rchunks().1;
        let reverse = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        _mm_shuffle_epi8(load16(&blocks[blocks.len() - 1 - i]), reverse)
    } else {
        load16(&bytes.as_chunks().0[i])
    }
}

/// The `i`-th block, which may be the one that is not whole.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn block_or_tail<O: Order>(bytes: &[u8], i: usize) -> __m128i {
    if i < bytes.len() / BLOCK_BYTES { block::<O>(bytes, i) } else { tail::<O>(bytes) }
}

/// What remains after the whole blocks, `bytes.len() % 16` bytes, zeros above.
///
/// Left to right, r = 3: the last 16 bytes `.. x y z` by the indices `0d 0e 0f 80 81 ..`: `x y z 0 ..`.
/// Right to left: the first 16 bytes `x y z ..` by `02 01 00 ff fe ..`: `z y x 0 ..`. An index of 0x80 and above makes a zero.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn tail<O: Order>(bytes: &[u8]) -> __m128i {
    let tail_bytes = (bytes.len() % BLOCK_BYTES) as i8;
    let reversed = _mm_sub_epi8(_mm_set1_epi8(tail_bytes - 1), iota());
    if O::REVERSED {
        let loaded = bytes.first_chunk().map_or_else(|| load_short(bytes), |first| load16(first));
        _mm_shuffle_epi8(loaded, reversed)
    } else {
        let in_place = _mm_add_epi8(_mm_set1_epi8((0x80_u8.wrapping_sub(tail_bytes as u8)) as i8), iota());
        bytes.last_chunk().map_or_else(|| load_short(bytes), |last| _mm_shuffle_epi8(load16(last), in_place))
    }
}

/// Keeps `length` < 16 bytes, puts 0x80 after them.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn padded(x: __m128i, length: usize) -> __m128i {
    let length = _mm_set1_epi8(length as i8);
    let kept = _mm_and_si128(x, _mm_cmpgt_epi8(length, iota()));
    let pad = _mm_and_si128(_mm_cmpeq_epi8(length, iota()), _mm_set1_epi8(PAD as i8));
    _mm_or_si128(kept, pad)
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn iota() -> __m128i {
    _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference makes 16 bytes readable; the load has no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load32(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference makes 32 bytes readable; the load has no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

/// Fewer than 16 bytes, zeros above.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn load_short(bytes: &[u8]) -> __m128i {
    let (lo, hi) = short(bytes);
    _mm_set_epi64x(hi as i64, lo as i64)
}

// ---- pair ----

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn pair(schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
    door::pair(paths.len(), keys.len());
    let k = element(schedule.k);
    let mut product = Sum::zero();
    product.add_product(element(host.element()), k, _mm_xor_si128(k, swap(k)));
    let host = into_hash(product.reduce());
    for (path, key) in paths.iter().zip(keys) {
        *key = seal(Hash128 { lo: host.lo ^ path.lo, hi: host.hi ^ path.hi });
    }
}

// ---- probe ----

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn probe(buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
    for lane in 0..GROUP {
        let bucket = bucket(buckets, at[lane]);
        let slots: &[u8; 40] = bytemuck::cast_ref(&bucket.tags);
        let tag = _mm256_set1_epi64x(tags[lane] as i64);
        let [first, last] = [slots.first_chunk(), slots.last_chunk()].map(|slots: Option<&[u8; 32]>| match slots {
            Some(slots) => _mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(load32(slots), tag))),
            None => 0, // 40 > 32: not compiled
        });
        hits[lane] = (first | last << 1) as u8; // the overlap, slots 1..4, is in both at the same bits
        words[lane] = word(bucket, hits[lane]);
    }
}

// ---- classify ----

/// A short end is seen as part of the 64 bytes that end there, where there are so many.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify_block(bytes: &[u8], at: usize) -> UrlBlock {
    let rest = &bytes[at..];
    if let Some(block) = rest.first_chunk() {
        classify_64(block)
    } else if let (Some(last), false) = (bytes.last_chunk(), rest.is_empty()) {
        classify_64(last).each(|mask| mask >> (64 - rest.len()))
    } else {
        classify_short(rest)
    }
}

#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify_64(bytes: &[u8; 64]) -> UrlBlock {
    match bytes.as_chunks().0 {
        [low, high] => both(classify_32(load32(low)), classify_32(load32(high)), 32),
        _ => UrlBlock::default(), // 64 = 2 * 32: not compiled
    }
}

/// Fewer than 64 bytes, as two loads that overlap: the first and the last, each as large as fits.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify_short(bytes: &[u8]) -> UrlBlock {
    let length = bytes.len();
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        both(classify_32(load32(first)), classify_32(load32(last)), length - 32)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let lanes = classify_32(_mm256_set_m128i(load16(last), load16(first)));
        lanes.each(|mask| mask & 0xffff | mask >> 16 << (length - 16))
    } else {
        let zeros_above = classify_32(_mm256_zextsi128_si256(load_short(bytes)));
        zeros_above.each(|mask| mask & ((1 << length) - 1))
    }
}

/// Bits 0..32 of each mask. Plain compares: a nibble table needs as many instructions, because x86 has movemask.
#[inline]
#[target_feature(enable = "avx2,pclmulqdq,bmi1,bmi2,lzcnt,popcnt")]
fn classify_32(x: __m256i) -> UrlBlock {
    let is = |byte: u8| _mm256_cmpeq_epi8(x, _mm256_set1_epi8(byte as i8));
    let above = |byte: u8| _mm256_cmpgt_epi8(x, _mm256_set1_epi8(byte as i8)); // signed: 0x80..=0xff are negative
    let below = |byte: u8| _mm256_cmpgt_epi8(_mm256_set1_epi8(byte as i8), x);
    let or = |a, b| _mm256_or_si256(a, b);
    let mask = |lanes| _mm256_movemask_epi8(lanes) as u32 as u64;
    UrlBlock {
        slash: mask(is(b'/')),
        dot: mask(is(b'.')),
        question: mask(is(b'?')),
        hash: mask(is(b'#')),
        percent: mask(is(b'%')),
        delimiter: mask(or(or(is(b':'), is(b'@')), or(is(b'['), is(b']')))),
        upper: mask(_mm256_and_si256(above(b'A' - 1), below(b'Z' + 1))),
        odd: mask(or(or(below(0x21), is(0x7f)), is(b'\\'))),
    }
}

/// Masks of two pieces, the second `shift` bytes after the first. Where they overlap they agree.
#[inline(always)]
fn both(first: UrlBlock, second: UrlBlock, shift: usize) -> UrlBlock {
    UrlBlock {
        slash: first.slash | second.slash << shift,
        dot: first.dot | second.dot << shift,
        question: first.question | second.question << shift,
        hash: first.hash | second.hash << shift,
        percent: first.percent | second.percent << shift,
        delimiter: first.delimiter | second.delimiter << shift,
        upper: first.upper | second.upper << shift,
        odd: first.odd | second.odd << shift,
    }
}
