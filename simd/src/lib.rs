//! Vector kernels: URL byte classification, the persisted keyed hash, bucket probes.

use bytemuck::{Pod, Zeroable};

/// Where each class of byte stands in one 64-byte block of a URL: bit `i` belongs to byte `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UrlBlock {
    /// `/`
    pub slash: u64,
    /// `.`
    pub dot: u64,
    /// `:` `@` `?` `#` `[` `]`
    pub delimiter: u64,
    /// `A..=Z`
    pub upper: u64,
    /// Bytes that the fast path cannot take: controls and space (0x00..=0x20), 0x7F..=0xFF, `%`, `\`.
    pub odd: u64,
}

/// The two secret elements of GF(2^128) behind the keyed hash of one table generation (POLYVAL representation, RFC 8452 section 3).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct HashKey {
    /// Multiplier of the polynomial; never zero.
    pub h: [u8; 16],
    /// Multiplier that pairs a host with a path; never zero.
    pub k: [u8; 16],
}

/// What is precomputed once from a `HashKey`: powers of `h`, `k`, and each domain's starting state.
#[derive(Clone)]
pub struct HashSchedule {
    _todo: (),
}

impl HashSchedule {
    /// Portable arithmetic; cold.
    pub fn new(_key: &HashKey) -> Self {
        todo!()
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

/// A polynomial value: may be paired, is not yet a key.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Hash128 {
    /// Bytes 0..8, little-endian.
    pub lo: u64,
    /// Bytes 8..16, little-endian.
    pub hi: u64,
}

/// A table key: a sealed hash. `hi` places it, `lo` is its tag.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Key128 {
    /// The tag kept in the table.
    pub lo: u64,
    /// Chooses seed group and bucket.
    pub hi: u64,
}

/// A bijective, non-linear finish: spreads a polynomial value over all 128 bits without adding a collision.
pub fn seal(_hash: Hash128) -> Key128 {
    todo!()
}

/// One cache line of an exact table: five entries.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Bucket {
    /// `Key128::lo` of each entry.
    pub tags: [u64; 5],
    /// What each entry refers to; 0 marks an empty slot.
    pub refs: [u32; 5],
    /// Always zero.
    pub spare: u32,
}

/// The kernels. A value of a backend is the proof that this machine has its instructions.
pub trait Backend: Copy + Send + Sync + 'static {
    /// `neon`, `avx2` or `portable`.
    fn name(self) -> &'static str;
    /// `blocks.len() == bytes.len().div_ceil(64)`; bits past the end are zero.
    fn classify_url(self, bytes: &[u8], blocks: &mut [UrlBlock]);
    /// One-shot hash. For `Domain::Host` the bytes are taken last first.
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128;
    /// `hashes[i] = hash(domain, &bytes[..ends[i]])` in one pass; `ends` ascend.
    fn hash_prefixes(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8], ends: &[u32], hashes: &mut [Hash128]);
    /// `hashes[i] = hash(Domain::Host, &bytes[starts[i]..])` in one pass from the right; `starts` descend.
    fn hash_host_suffixes(self, schedule: &HashSchedule, bytes: &[u8], starts: &[u32], hashes: &mut [Hash128]);
    /// `keys[i] = seal(host * K + paths[i])`: the key of the expression (host, path).
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]);
    /// Bit `s` of `hits[i]` is set where `buckets[at[i]].tags[s] == tags[i]`. An empty slot may match: its ref is 0.
    fn probe(self, buckets: &[Bucket], at: &[u32], tags: &[u64], hits: &mut [u8]);
}

/// Asks for the cache line of `slice[index]`; out of range is ignored.
#[inline(always)]
pub fn prefetch<T>(_slice: &[T], _index: usize) {
    todo!()
}

/// The backend chosen at start: one branch per coarse kernel call. `detect()` makes it.
#[derive(Clone, Copy, Debug)]
pub struct Selected {
    _todo: (),
}

/// The best backend of this machine, or the one that `VERDICT_BACKEND` names.
pub fn detect() -> Result<Selected, BackendUnavailable> {
    todo!()
}

/// `VERDICT_BACKEND` names a backend that does not exist or that this machine cannot run.
#[derive(Clone, Debug)]
pub struct BackendUnavailable {
    /// What was asked for.
    pub asked: String,
    /// What could be had.
    pub available: Vec<&'static str>,
}
