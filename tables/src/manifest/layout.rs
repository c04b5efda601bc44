//! The bytes of a manifest, version 1. FORMAT.md tells the same with all meanings.
//!
//! ```text
//! 0      152                152 + 40 parts                    body_bytes                       end
//! +------+------------------+---------------------------------+--------------------------------+
//! | Head | Part, Part, ...  | canary, canary, ...             | key id, signature; 72 bytes each |
//! +------+------------------+---------------------------------+--------------------------------+
//! |<--------------------- what is signed ------------------->|   1 to 4 of them, ids ascending
//! ```
//! There is one right encoding of each manifest, so equal ones have equal bytes: no optional fields, no padding, nothing after the end.

use bytemuck::{Pod, Zeroable};

/// First bytes of a manifest; the line feed catches text-mode copies. They also keep a signature of a manifest from being one of anything else.
pub const MAGIC: [u8; 8] = *b"VDTRUST\n";
/// Version of everything in this file.
pub const VERSION: u32 = 1;
/// `Head::flags`: an operator put an older snapshot back, knowing that it is older.
pub const ROLLBACK: u64 = 1;

/// A manifest's bytes at most; more is not read. As many parts as allowed take 2.6 MB.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// A snapshot's parts at most.
pub const PARTS_MAX: usize = 1 << 16;
/// Bytes of one part at most.
pub const PART_BYTES_MAX: u64 = 1 << 28;
/// Bytes of one snapshot at most: the memory that a daemon may be asked for.
pub const SNAPSHOT_BYTES_MAX: u64 = 1 << 38;
/// Questions with known answers at most.
pub const CANARIES_MAX: usize = 4096;
/// Bytes of all of them at most.
pub const CANARY_BYTES_MAX: usize = 1 << 20;
/// Signatures at most: two while a key is replaced, and two more.
pub const SIGNATURES_MAX: usize = 4;

const _: () =
    assert!(size_of::<Head>() + PARTS_MAX * PART_BYTES + CANARY_BYTES_MAX + SIGNATURES_MAX * SIGNATURE_BYTES <= MANIFEST_BYTES_MAX);

/// Start of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Head {
    /// `MAGIC`.
    pub magic: [u8; 8],
    /// `VERSION`.
    pub version: u32,
    /// Size of this struct.
    pub head_bytes: u32,
    /// Head, parts and canaries: what is signed.
    pub body_bytes: u64,
    /// `ROLLBACK` or nothing; unknown bits are refused.
    pub flags: u64,
    /// Rises with every manifest of a publisher, at least 1.
    pub epoch: u64,
    /// Unix seconds of the signing.
    pub created_s: u64,
    /// Unix seconds after which it is adopted no more, and what is served is called stale.
    pub expires_s: u64,
    /// Of the snapshot.
    pub generation: u64,
    /// Rules of the snapshot, at least 1.
    pub rules: u64,
    /// All parts together.
    pub snapshot_bytes: u64,
    /// Oldest snapshot format of a reader for which this is meant.
    pub format_min: u32,
    /// Newest one.
    pub format_max: u32,
    /// How many parts follow.
    pub part_count: u32,
    /// How many canaries follow them.
    pub canary_count: u32,
    /// Their bytes.
    pub canary_bytes: u32,
    /// Nodes that take it, in percent, 1 to 100.
    pub stage: u32,
    /// Draws which nodes these are.
    pub salt: [u8; 16],
    /// The snapshot's own SHA-256, as its header has it: of every byte of the file.
    pub sha256: [u8; 32],
}

const _: () = assert!(size_of::<Head>() == 152 && std::mem::offset_of!(Head, sha256) == 120);

/// Bytes of a part's line: SHA-256, then its size as u64.
pub const PART_BYTES: usize = 40;
/// Bytes of a canary before its key: kind u8, expected classes u8, key bytes u16.
pub const CANARY_HEAD_BYTES: usize = 4;
/// Bytes of a signature with the id of its key.
pub const SIGNATURE_BYTES: usize = 72;
