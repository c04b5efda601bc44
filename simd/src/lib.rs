//! Vector kernels: URL byte classification, the persisted keyed hash, bucket probes.
//!
//! ```text
//!   URL bytes ──classify_block──► bit masks ──(keys)──► host, path ──hash_suffixes, hash_prefixes──► Hash128
//!                                                              ──pair, seal──► Key128 ──prefetch──► probe ──► slots
//! ```
//! One trait, [`Backend`]; four implementations that give equal results: `Neon` (the design target), `Avx512`, `Avx2` and [`Portable`].
//! A value of a backend is the proof that this machine has its instructions: only detection makes one. [`Backend::run`] compiles a caller's
//! own loop for them, so that kernels inline into it.
//! What the hash *is* stands in `hash.rs`, in plain arithmetic; the backends are only faster ways to the same bits.
//!
//! Nothing here knows hosts, snapshots or protocols. Nothing allocates after start, except [`available`].

mod bits;
mod field;
mod hash;
mod kernel;
mod places;
mod portable;
mod prefetch;
mod probe;
mod select;
mod short;

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    pub mod neon;
}
#[cfg(target_arch = "x86_64")]
mod x86_64 {
    pub mod avx2;
    pub mod avx512;
    mod lines;
    mod sealed;
}

#[cfg(target_arch = "aarch64")]
pub use aarch64::neon::Neon;
pub use hash::{BLOCK_BYTES, Domain, Hash128, HashKey, HashSchedule, Key128, seal};
pub use kernel::Kernel;
pub use portable::Portable;
pub use prefetch::{prefetch, prefetch_bucket};
pub use probe::{CHUNK, GROUP, SEVERAL, away_bits};
pub use select::{BackendUnavailable, Selected, WithBackend, available, detect};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{avx2::Avx2, avx512::Avx512};

use bytemuck::{Pod, Zeroable};
use places::Lengths;

#[cfg(target_endian = "big")]
compile_error!("hash elements, buckets and snapshots are used in place: little-endian machines only");

/// Where each class of byte stands in one 64-byte block of a URL: bit `i` belongs to byte `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlBlock {
    /// `/`
    pub slash: u64,
    /// `.`
    pub dot: u64,
    /// `?`
    pub question: u64,
    /// `#`
    pub hash: u64,
    /// `%`
    pub percent: u64,
    /// `:` `@` `[` `]`
    pub delimiter: u64,
    /// `A..=Z`
    pub upper: u64,
    /// Bytes that the fast path cannot take: controls and space (0x00..=0x20), 0x7F..=0xFF, `\`.
    pub odd: u64,
}

impl UrlBlock {
    /// The same change to every mask.
    #[inline(always)]
    pub(crate) fn each(self, change: impl Fn(u64) -> u64) -> Self {
        Self {
            slash: change(self.slash),
            dot: change(self.dot),
            question: change(self.question),
            hash: change(self.hash),
            percent: change(self.percent),
            delimiter: change(self.delimiter),
            upper: change(self.upper),
            odd: change(self.odd),
        }
    }
}

/// One cache line of an exact table: five entries.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Bucket {
    /// `Key128::lo` of each entry.
    pub tags: [u64; 5],
    /// What each entry refers to; 0 marks an empty slot.
    pub refs: [u32; 5],
    /// Two bits of each entry that would be at home here and is kept elsewhere; see FORMAT.md.
    pub away: u32,
}

const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);

/// Room for the hashes of all expressions of one question (at most 16 suffixes or 16 prefixes and two whole texts), and for those that a kernel
/// writes without asking whether they are wanted.
pub const HASHES: usize = 24;

/// The kernels. A value of a backend is the proof that this machine has its instructions.
///
/// All backends give the same results for all inputs. Lengths that disagree and an index out of range are bugs of the caller and panic; no
/// *content* of a buffer can.
pub trait Backend: Copy + Send + Sync + 'static {
    /// `neon`, `avx512`, `avx2` or `portable`.
    fn name(self) -> &'static str;
    /// Does the work inside a function that may use this backend's instructions: kernels and bit tricks inline into it, as far as
    /// `WithBackend::run` and what it calls are `#[inline]`. The result is the same without.
    fn run<W: WithBackend>(self, work: W) -> W::Output;
    /// Runs `kernel`, compiled with this backend's instructions.
    #[inline]
    fn compiled<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(kernel::Alone(kernel))
    }
    /// The classes of `bytes[at..]`, at most 64 of them; bits past the end are zero. `at <= bytes.len()`.
    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock;
    /// One-shot hash. For `Domain::Host` the bytes are taken last first.
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128;
    /// The host whole, then after each of `dots` (bit `i` is `host[i]`), lowest first: its suffixes, longest first, in one pass. What is left in
    /// `hashes` beyond `1 + dots.count_ones()` is anything.
    #[inline]
    fn hash_suffixes(self, schedule: &HashSchedule, host: &[u8], dots: u64, hashes: &mut [Hash128; HASHES]) {
        door::suffixes(host.len(), dots);
        self.hash_lengths(schedule, Domain::Host, host, Lengths::of_suffixes(host.len(), dots).as_slice(), hashes);
    }
    /// The text whole, its first `exact` bytes if that is less, then through each of `slashes` (bit `i` is `text[i]`), highest first: its
    /// prefixes, longest first, in one pass. The slashes stand before the last byte of the exact text. Otherwise as `hash_suffixes`. Not for `Domain::Host`, which is read from the right: that panics.
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
        self.hash_lengths(schedule, domain, text, Lengths::of_prefixes(text.len(), exact, slashes).as_slice(), hashes);
    }
    /// `hashes[i] = hash(domain, ..)` of the first (for `Domain::Host`: last) `lengths[i]` bytes, in one pass where `lengths` descend: for places
    /// beyond 64. A length past the end is the whole.
    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]);
    /// `keys[i] = seal(host * K + paths[i])`: the key of the expression (host, path).
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]);
    /// `keys[i] = seal(hashes[i])`, many at once: the multiplications of one wait for each other.
    #[inline]
    fn seal_all(self, hashes: &[Hash128], keys: &mut [Key128]) {
        door::pair(hashes.len(), keys.len());
        for (hash, key) in hashes.iter().zip(keys) {
            *key = seal(*hash);
        }
    }
    /// The lowest `most` bits that are set in `mask`, or all if there are fewer.
    #[inline(always)]
    fn lowest(self, mask: u64, most: u32) -> u64 {
        bits::lowest(mask, most)
    }
    /// The highest `most` bits that are set in `mask`, or all if there are fewer.
    #[inline(always)]
    fn highest(self, mask: u64, most: u32) -> u64 {
        bits::highest(mask, most)
    }
    /// The lower and the upper halves of the keys.
    #[inline]
    fn halves(self, keys: &[Key128; GROUP]) -> [[u64; GROUP]; 2] {
        [keys.map(|key| key.lo), keys.map(|key| key.hi)]
    }
    /// Bit `s` of `hits[i]` is set where slot `s` of the bucket at byte offset `at[i]` has the tag `tags[i]`; bits 5..8 are anything. An empty slot
    /// may match: its ref is 0. `words[i]` is the ref of the lowest such slot, the bucket's `away` where there is none. An offset
    /// that is not that of a bucket panics.
    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]);
    /// Makes of what `probe` found the ref of each key: 0 where no slot has it, `SEVERAL` where more than one or an empty one has it. Bit `i` is set
    /// where key `i` is absent and both of its `away_bits` are set. Whole sixteens of keys, as many of each, at most 64.
    #[inline]
    fn settle(self, tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
        door::settle(tags.len(), hits.len(), words.len());
        probe::settle(tags, hits, words)
    }
    /// `to[i] = from[at[i]]`, of elements of eight bytes. An index out of range panics.
    #[inline]
    fn pick<T: Pod>(self, from: &[T], at: &[u32; CHUNK], to: &mut [T; CHUNK]) {
        for (at, to) in at.iter().zip(to) {
            *to = from[*at as usize];
        }
    }
    /// The places of the set bits, lowest first, and the lowest again (0 where there is none) in all the rest.
    #[inline]
    fn places(self, bits: u64) -> [u8; CHUNK] {
        probe::places(bits)
    }
}

/// The contracts that every backend asserts at its door, in one place.
pub(crate) mod door {
    use crate::{CHUNK, Domain, HASHES};

    /// Not for hosts; slashes before the last byte of the exact text, as many as there is room for.
    #[inline]
    pub fn prefixes(domain: Domain, bytes: usize, exact: usize, slashes: u64) {
        assert!(!matches!(domain, Domain::Host), "hash_prefixes: the checkpoints of a host are suffixes");
        suffixes(bytes.min(exact).saturating_sub(1), slashes);
    }

    /// Dots within the text, as many as there is room for.
    #[inline(always)]
    pub fn suffixes(bytes: usize, dots: u64) {
        assert!(bytes >= 64 || dots >> bytes == 0, "checkpoints lie within the text");
        assert!(dots.count_ones() as usize + 2 <= HASHES, "no question has so many expressions");
    }

    /// As many lengths as there is room for.
    #[inline]
    pub fn lengths(lengths: usize) {
        assert!(lengths <= HASHES, "no question has so many expressions");
    }

    /// Whole sixteens, a bit each.
    #[inline]
    pub fn settle(tags: usize, hits: usize, words: usize) {
        assert!(tags == hits && tags == words && tags.is_multiple_of(16) && tags <= CHUNK, "settle: sixteens of keys, at most 64");
    }

    /// One key per path.
    #[inline]
    pub fn pair(paths: usize, keys: usize) {
        assert!(paths == keys, "pair: one key per path");
    }
}
