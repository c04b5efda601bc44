//! NEON with PMULL: every ARM server core since Neoverse N1 and before; the design target.
//!
//! ```text
//!   hash      sum over runs of up to 16 blocks:  x = lo hi,  power H^n = lo hi               2 pmull + 1 pmull2 a block (Karatsuba)
//!               low  ^= x.lo * h.lo    high ^= x.hi * h.hi    middle ^= (x.lo ^ x.hi) * (h.lo ^ h.hi)
//!             reduce once: two pmull by c2 00 .. 00, each clearing 64 bits from below (field.rs has the same in integers)
//!   probe     one bucket = three cmeq of two tags (slots 01 23 34), weighed 1 2, 4 8, 0 16, or-ed, one addp: the hit bits
//!   classify  low nibble and high nibble through two tables; a class is their common bits. Masks: and with 1 2 4 .. 128, addp three times
//! ```
//! Seen in the release build for neoverse-n1 (the step `asm` holds it against `asm.toml`): everything inlined, only panics are called. A whole hash of
//! 49 bytes: 12 products and 2 for its one reduction; a checkpoint: 5 pmull. Probe: 3 loads of a pair, 3 cmeq, 1 addp
//! a bucket. Classify: 8 tbl, 8 cmeq, 4 cmhi and 40 and/addp for the five masks of 64 bytes. Pair: 4 mul + 4 umulh a path.
//!
//! Departures from portable.rs: runs share a reduction; the block that only pads is a constant of the schedule. No load leaves the slice:
//! a short end is loaded as the 16 bytes that end (or begin) there and looked up into place (`tbl` makes zeros of indices past 15), and
//! slices below 16 bytes go through `short`.

use crate::{
    BLOCK_BYTES, Backend, Bucket, Domain, GROUP, HASHES, Hash128, HashSchedule, Key128, UrlBlock, WithBackend, door,
    hash::{PAD, POWERS},
    portable::CLASS,
    probe::{bucket, word},
    seal,
    short::short,
};
use std::arch::{aarch64::*, is_aarch64_feature_detected};

/// NEON and PMULL are there: only [`Neon::detect`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// Asks the kernel (AT_HWCAP), through the standard library's cache.
    pub fn detect() -> Option<Self> {
        let all = is_aarch64_feature_detected!("neon") && is_aarch64_feature_detected!("aes") && is_aarch64_feature_detected!("pmull");
        all.then_some(Self(()))
    }
}

impl Backend for Neon {
    #[inline]
    fn name(self) -> &'static str {
        "neon"
    }

    #[inline]
    fn run<W: WithBackend>(self, work: W) -> W::Output {
        // SAFETY: `self` exists, so its `detect` has seen every feature that `run` enables.
        unsafe { run(self, work) }
    }

    #[inline]
    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        // SAFETY: `self` exists, so `Neon::detect` has seen every feature that the kernel enables.
        unsafe { classify_block(bytes, at) }
    }

    #[inline]
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        // SAFETY: `self` exists, so `Neon::detect` has seen every feature that the kernels enable.
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
        // SAFETY: `self` exists, so `Neon::detect` has seen every feature that the kernel enables.
        unsafe { pair(schedule, host, paths, keys) }
    }

    #[inline]
    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
        // SAFETY: `self` exists, so `Neon::detect` has seen every feature that the kernel enables.
        unsafe { probe(buckets, at, tags, hits, words) }
    }
}

#[target_feature(enable = "neon,aes")]
fn run<B: Backend, W: WithBackend>(backend: B, work: W) -> W::Output {
    work.run(backend)
}

// ---- hash ----

#[inline]
#[target_feature(enable = "neon,aes")]
fn hash(schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
    one_shot::<FromLeft>(schedule, schedule.start(domain), bytes)
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn hash_host(schedule: &HashSchedule, bytes: &[u8]) -> Hash128 {
    one_shot::<FromRight>(schedule, schedule.start(Domain::Host), bytes)
}

/// All blocks but the padding in runs that share a reduction; the last run takes the tail with it.
#[inline]
#[target_feature(enable = "neon,aes")]
fn one_shot<O: Order>(schedule: &HashSchedule, start: u128, bytes: &[u8]) -> Hash128 {
    let (blocks, tail_bytes) = (bytes.len() / BLOCK_BYTES, bytes.len() % BLOCK_BYTES);
    let (mut state, mut done) = (element(start), 0);
    while blocks - done >= POWERS {
        state = absorb::<O>(schedule, state, bytes, done, done + POWERS);
        done += POWERS;
    }
    if done == blocks {
        let tail = if tail_bytes == 0 { element(PAD) } else { padded(tail::<O>(bytes), tail_bytes) };
        return into_hash(dot_h(schedule, veorq_u8(state, tail)));
    }
    let mut sum = Sum::zero();
    sum.add(schedule, blocks - done, veorq_u8(state, block::<O>(bytes, done)));
    for i in done + 1..blocks {
        sum.add(schedule, blocks - i, block::<O>(bytes, i));
    }
    if tail_bytes == 0 {
        return into_hash(veorq_u8(sum.reduce(), element(schedule.pad)));
    }
    sum.add(schedule, 0, padded(tail::<O>(bytes), tail_bytes));
    into_hash(sum.reduce())
}

/// The hash of each length: one product on top of the state of the block it ends in. Shortest last is one pass; else it begins anew.
#[inline]
#[target_feature(enable = "neon,aes")]
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
        *hash = into_hash(dot_h(schedule, veorq_u8(state, padded(current, length % BLOCK_BYTES))));
    }
}

/// The state after blocks `from..to`; 1..=POWERS of them.
#[inline]
#[target_feature(enable = "neon,aes")]
fn absorb<O: Order>(schedule: &HashSchedule, state: uint8x16_t, bytes: &[u8], from: usize, to: usize) -> uint8x16_t {
    let mut sum = Sum::zero();
    sum.add(schedule, to - from - 1, veorq_u8(state, block::<O>(bytes, from)));
    for i in from + 1..to {
        sum.add(schedule, to - i - 1, block::<O>(bytes, i));
    }
    sum.reduce()
}

/// dot(x, H).
#[inline]
#[target_feature(enable = "neon,aes")]
fn dot_h(schedule: &HashSchedule, x: uint8x16_t) -> uint8x16_t {
    let mut sum = Sum::zero();
    sum.add(schedule, 0, x);
    sum.reduce()
}

/// A sum of 256-bit products, in Karatsuba's three parts, not yet reduced.
#[derive(Clone, Copy)]
struct Sum {
    low: uint8x16_t,
    middle: uint8x16_t,
    high: uint8x16_t,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "neon,aes")]
    fn zero() -> Self {
        let zero = vdupq_n_u8(0);
        Self { low: zero, middle: zero, high: zero }
    }

    /// Adds x * H^(power + 1).
    #[inline]
    #[target_feature(enable = "neon,aes")]
    fn add(&mut self, schedule: &HashSchedule, power: usize, x: uint8x16_t) {
        let folded = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(schedule.folded[power]), vcreate_u64(0)));
        self.add_product(x, element(schedule.powers[power]), folded);
    }

    #[inline]
    #[target_feature(enable = "neon,aes")]
    fn add_product(&mut self, x: uint8x16_t, y: uint8x16_t, y_folded: uint8x16_t) {
        let x_folded = veorq_u8(x, swap(x));
        self.low = veorq_u8(self.low, product_low(x, y));
        self.high = veorq_u8(self.high, product_high(x, y));
        self.middle = veorq_u8(self.middle, product_low(x_folded, y_folded));
    }

    #[inline]
    #[target_feature(enable = "neon,aes")]
    fn reduce(self) -> uint8x16_t {
        let zero = vdupq_n_u8(0);
        let middle = veorq_u8(self.middle, veorq_u8(self.low, self.high));
        let low = veorq_u8(self.low, vextq_u8::<8>(zero, middle));
        let high = veorq_u8(self.high, vextq_u8::<8>(middle, zero));
        let modulus = vreinterpretq_u8_u64(vdupq_n_u64(0xc200_0000_0000_0000)); // x^57 + x^62 + x^63; swap() is the x^64
        let low = veorq_u8(swap(low), product_low(low, modulus));
        let low = veorq_u8(swap(low), product_low(low, modulus));
        veorq_u8(high, low)
    }
}

/// x.lo * y.lo
#[inline]
#[target_feature(enable = "neon,aes")]
fn product_low(x: uint8x16_t, y: uint8x16_t) -> uint8x16_t {
    let [x, y] = [x, y].map(|v| vgetq_lane_p64::<0>(vreinterpretq_p64_u8(v)));
    vreinterpretq_u8_p128(vmull_p64(x, y))
}

/// x.hi * y.hi
#[inline]
#[target_feature(enable = "neon,aes")]
fn product_high(x: uint8x16_t, y: uint8x16_t) -> uint8x16_t {
    vreinterpretq_u8_p128(vmull_high_p64(vreinterpretq_p64_u8(x), vreinterpretq_p64_u8(y)))
}

/// The halves exchanged.
#[inline]
#[target_feature(enable = "neon,aes")]
fn swap(x: uint8x16_t) -> uint8x16_t {
    vextq_u8::<8>(x, x)
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn element(element: u128) -> uint8x16_t {
    load16(&element.to_le_bytes())
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn into_hash(x: uint8x16_t) -> Hash128 {
    let x = vreinterpretq_u64_u8(x);
    Hash128 { lo: vgetq_lane_u64::<0>(x), hi: vgetq_lane_u64::<1>(x) }
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
#[target_feature(enable = "neon,aes")]
fn block<O: Order>(bytes: &[u8], i: usize) -> uint8x16_t {
    if O::REVERSED {
        let blocks = bytes.as_rchunks().1;
        swap(vrev64q_u8(load16(&blocks[blocks.len() - 1 - i])))
    } else {
        load16(&bytes.as_chunks().0[i])
    }
}

/// The `i`-th block, which may be the one that is not whole.
#[inline]
#[target_feature(enable = "neon,aes")]
fn block_or_tail<O: Order>(bytes: &[u8], i: usize) -> uint8x16_t {
    if i < bytes.len() / BLOCK_BYTES { block::<O>(bytes, i) } else { tail::<O>(bytes) }
}

/// What remains after the whole blocks, `bytes.len() % 16` bytes, zeros above.
///
/// Left to right, r = 3: the last 16 bytes `.. x y z` by the indices `0d 0e 0f 10 11 ..`: `x y z 0 ..`.
/// Right to left: the first 16 bytes `x y z ..` by `02 01 00 ff fe ..`: `z y x 0 ..`. An index above 15 makes a zero.
#[inline]
#[target_feature(enable = "neon,aes")]
fn tail<O: Order>(bytes: &[u8]) -> uint8x16_t {
    let tail_bytes = (bytes.len() % BLOCK_BYTES) as u8;
    if O::REVERSED {
        let loaded = bytes.first_chunk().map_or_else(|| load_short(bytes), |first| load16(first));
        vqtbl1q_u8(loaded, vsubq_u8(vdupq_n_u8(tail_bytes.wrapping_sub(1)), iota()))
    } else {
        let in_place = vaddq_u8(vdupq_n_u8(16 - tail_bytes), iota());
        bytes.last_chunk().map_or_else(|| load_short(bytes), |last| vqtbl1q_u8(load16(last), in_place))
    }
}

/// Keeps `length` < 16 bytes, puts 0x80 after them.
#[inline]
#[target_feature(enable = "neon,aes")]
fn padded(x: uint8x16_t, length: usize) -> uint8x16_t {
    let length = vdupq_n_u8(length as u8);
    let kept = vandq_u8(x, vcgtq_u8(length, iota()));
    let pad = vandq_u8(vceqq_u8(length, iota()), vdupq_n_u8(PAD as u8));
    vorrq_u8(kept, pad)
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn iota() -> uint8x16_t {
    load16(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn load16(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the reference makes 16 bytes readable; the load has no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

/// Fewer than 16 bytes, zeros above.
#[inline]
#[target_feature(enable = "neon,aes")]
fn load_short(bytes: &[u8]) -> uint8x16_t {
    let (lo, hi) = short(bytes);
    vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(lo), vcreate_u64(hi)))
}

// ---- pair ----

#[inline]
#[target_feature(enable = "neon,aes")]
fn pair(schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
    door::pair(paths.len(), keys.len());
    let k = element(schedule.k);
    let mut product = Sum::zero();
    product.add_product(element(host.element()), k, veorq_u8(k, swap(k)));
    let host = into_hash(product.reduce());
    for (path, key) in paths.iter().zip(keys) {
        *key = seal(Hash128 { lo: host.lo ^ path.lo, hi: host.hi ^ path.hi });
    }
}

// ---- probe ----

#[inline]
#[target_feature(enable = "neon,aes")]
fn probe(buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
    let weights = |first, second| vcombine_u64(vcreate_u64(first), vcreate_u64(second));
    for lane in 0..GROUP {
        let bucket = bucket(buckets, at[lane]);
        let equal = |first: usize| vceqq_u64(load2(&bucket.tags, first), vdupq_n_u64(tags[lane]));
        let low = vandq_u64(equal(0), weights(1, 2));
        let middle = vandq_u64(equal(2), weights(4, 8));
        let last = vandq_u64(equal(3), weights(0, 16));
        hits[lane] = vaddvq_u64(vorrq_u64(vorrq_u64(low, middle), last)) as u8;
        words[lane] = word(bucket, hits[lane]);
    }
}

/// Slots `first` and `first + 1`.
#[inline]
#[target_feature(enable = "neon,aes")]
fn load2(slots: &[u64; 5], first: usize) -> uint64x2_t {
    let pair = &slots[first..first + 2];
    // SAFETY: the slice makes two words readable.
    unsafe { vld1q_u64(pair.as_ptr()) }
}

// ---- classify ----

/// A short end is seen as part of the 64 bytes that end there, where there are so many.
#[inline]
#[target_feature(enable = "neon,aes")]
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
#[target_feature(enable = "neon,aes")]
fn classify_64(bytes: &[u8; 64]) -> UrlBlock {
    let vectors = bytes.as_chunks().0;
    classify(core::array::from_fn(|i| load16(&vectors[i])))
}

/// Fewer than 64 bytes: whole vectors, then the tail, then zeros; a zero byte is odd, and nothing else.
#[inline]
#[target_feature(enable = "neon,aes")]
fn classify_short(bytes: &[u8]) -> UrlBlock {
    let whole = bytes.as_chunks().0;
    let tail = tail::<FromLeft>(bytes);
    let vector = |i: usize| match i.cmp(&whole.len()) {
        std::cmp::Ordering::Less => load16(&whole[i]),
        std::cmp::Ordering::Equal => tail,
        std::cmp::Ordering::Greater => vdupq_n_u8(0),
    };
    let mut block = classify([vector(0), vector(1), vector(2), vector(3)]);
    block.odd &= (1 << bytes.len()) - 1;
    block
}

#[inline]
#[target_feature(enable = "neon,aes")]
fn classify(x: [uint8x16_t; 4]) -> UrlBlock {
    let (first, second) = (table(0), table(1));
    let classes = x.map(|x| classes(x, first, second));
    let of = |bit: u32| mask(classes.map(|classes| vtstq_u8(classes, vdupq_n_u8(1 << bit))));
    UrlBlock { slash: of(0), dot: of(1), question: of(2), hash: of(3), percent: of(4), delimiter: of(5), upper: of(6), odd: of(7) }
}

/// Two looks into 64 entries each: an index past the first table gives 0, one past the second leaves what is there. From 0x80 on all is odd.
#[inline]
#[target_feature(enable = "neon,aes")]
fn classes(x: uint8x16_t, first: uint8x16x4_t, second: uint8x16x4_t) -> uint8x16_t {
    let ascii = vqtbx4q_u8(vqtbl4q_u8(first, x), second, vsubq_u8(x, vdupq_n_u8(64)));
    vorrq_u8(ascii, vandq_u8(x, vdupq_n_u8(0x80)))
}

/// Classes of the byte values from `64 * half`.
#[inline]
#[target_feature(enable = "neon,aes")]
fn table(half: usize) -> uint8x16x4_t {
    let entries = &CLASS[64 * half..64 * half + 64];
    // SAFETY: the slice makes 64 bytes readable.
    unsafe { vld1q_u8_x4(entries.as_ptr()) }
}

/// One bit per lane: lanes weighed 1, 2, 4, .. 128, then pairs added until eight lanes are one byte.
#[inline]
#[target_feature(enable = "neon,aes")]
fn mask(lanes: [uint8x16_t; 4]) -> u64 {
    let weights = load16(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    let [a, b, c, d] = lanes.map(|lanes| vandq_u8(lanes, weights));
    let eighths = add_pairs(add_pairs(a, b), add_pairs(c, d));
    vgetq_lane_u64::<0>(vreinterpretq_u64_u8(add_pairs(eighths, eighths)))
}

/// `addp`. Not `vpaddq_u8`: LLVM proves that no carry is possible, makes the addition an `orr`, and then needs `uzp1` and `uzp2` as well:
/// three instructions for one, twenty times for 64 bytes.
#[inline]
#[target_feature(enable = "neon,aes")]
fn add_pairs(a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    let sums;
    // SAFETY: one NEON instruction between registers, and NEON is enabled here.
    unsafe {
        std::arch::asm!("addp {sums:v}.16b, {a:v}.16b, {b:v}.16b", sums = lateout(vreg) sums, a = in(vreg) a, b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}
