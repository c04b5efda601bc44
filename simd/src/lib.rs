//! Vector kernels: URL byte classification, the persisted keyed hash, bucket probes.
//!
//! ```text
//!   URL bytes ──classify_url──► bit masks ──(keys)──► host, path ──hash_host_suffixes, hash_prefixes──► Hash128
//!                                                              ──pair, seal──► Key128 ──prefetch──► probe ──► slots
//! ```
//! One trait, [`Backend`], with few and coarse methods; three implementations that give equal results: `Neon` (the design target),
//! `Avx2` and [`Portable`]. A value of a backend is the proof that this machine has its instructions: only detection makes one.
//! What the hash *is* stands in `hash.rs`, in plain arithmetic; the backends are only faster ways to the same bits.
//!
//! Nothing here knows hosts, snapshots or protocols. Nothing allocates after start, except [`available`].

mod field;
mod hash;
mod kernel;
mod portable;
mod prefetch;
mod select;
mod short;

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    pub mod neon;
}
#[cfg(target_arch = "x86_64")]
mod x86_64 {
    pub mod avx2;
}

#[cfg(target_arch = "aarch64")]
pub use aarch64::neon::Neon;
pub use hash::{BLOCK_BYTES, Domain, Hash128, HashKey, HashSchedule, Key128, seal};
pub use kernel::Kernel;
pub use portable::Portable;
pub use prefetch::prefetch;
pub use select::{BackendUnavailable, Selected, WithBackend, available, detect};
#[cfg(target_arch = "x86_64")]
pub use x86_64::avx2::Avx2;

use bytemuck::{Pod, Zeroable};

#[cfg(target_endian = "big")]
compile_error!("hash elements, buckets and snapshots are used in place: little-endian machines only");

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

const _: () = assert!(size_of::<Bucket>() == 64 && align_of::<Bucket>() == 64);

/// The kernels. A value of a backend is the proof that this machine has its instructions.
///
/// All backends give the same results for all inputs. Lengths that disagree, an index out of range and checkpoints out of order are
/// bugs of the caller and panic; no *content* of a buffer can.
pub trait Backend: Copy + Send + Sync + 'static {
    /// `neon`, `avx2` or `portable`.
    fn name(self) -> &'static str;
    /// `blocks.len() == bytes.len().div_ceil(64)`; bits past the end are zero.
    fn classify_url(self, bytes: &[u8], blocks: &mut [UrlBlock]);
    /// One-shot hash. For `Domain::Host` the bytes are taken last first.
    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128;
    /// `hashes[i] = hash(domain, &bytes[..ends[i]])` in one pass; `ends` ascend (equal neighbours are allowed). Not for `Domain::Host`,
    /// whose checkpoints are suffixes: that panics.
    fn hash_prefixes(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8], ends: &[u32], hashes: &mut [Hash128]);
    /// `hashes[i] = hash(Domain::Host, &bytes[starts[i]..])` in one pass from the right; `starts` descend (equal neighbours are allowed).
    fn hash_host_suffixes(self, schedule: &HashSchedule, bytes: &[u8], starts: &[u32], hashes: &mut [Hash128]);
    /// `keys[i] = seal(host * K + paths[i])`: the key of the expression (host, path).
    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]);
    /// Bit `s` of `hits[i]` is set where `buckets[at[i]].tags[s] == tags[i]`. An empty slot may match: its ref is 0. Bits 5..8 are zero.
    fn probe(self, buckets: &[Bucket], at: &[u32], tags: &[u64], hits: &mut [u8]);
    /// Runs `kernel`, compiled with this backend's instructions.
    #[inline]
    fn compiled<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run()
    }
}

/// The contracts that every backend asserts at its door, in one place.
pub(crate) mod door {
    use crate::{Domain, Hash128};

    /// One mask block per 64 bytes.
    #[inline]
    pub fn classify(bytes: usize, blocks: usize) {
        assert!(blocks == bytes.div_ceil(64), "classify_url: one block per 64 bytes");
    }

    /// Ends ascend within the bytes; not for hosts.
    #[inline]
    pub fn prefixes(domain: Domain, bytes: &[u8], ends: &[u32], hashes: &[Hash128]) {
        assert!(!matches!(domain, Domain::Host), "hash_prefixes: the checkpoints of a host are suffixes");
        assert!(ends.len() == hashes.len(), "hash_prefixes: one hash per end");
        let mut least = 0;
        for &end in ends {
            assert!(least <= end && end as usize <= bytes.len(), "hash_prefixes: ends ascend within the bytes");
            least = end;
        }
    }

    /// Starts descend within the bytes.
    #[inline]
    pub fn suffixes(bytes: &[u8], starts: &[u32], hashes: &[Hash128]) {
        assert!(starts.len() == hashes.len(), "hash_host_suffixes: one hash per start");
        let mut most = bytes.len();
        for &start in starts {
            assert!(start as usize <= most, "hash_host_suffixes: starts descend within the bytes");
            most = start as usize;
        }
    }

    /// One key per path.
    #[inline]
    pub fn pair(paths: usize, keys: usize) {
        assert!(paths == keys, "pair: one key per path");
    }

    /// One bucket, one tag and one mask of hits per probe.
    #[inline]
    pub fn probe(at: usize, tags: usize, hits: usize) {
        assert!(at == tags && tags == hits, "probe: one bucket, one tag, one mask each");
    }
}
