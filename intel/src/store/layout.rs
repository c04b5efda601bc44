//! The bytes of an explain store.
//!
//! ```text
//! 0        4096                                                        file_bytes
//! +--------+-------+--------+------------+---------+-------+---------+
//! | header | votes | shapes | references | records | feeds | strings |
//! +--------+-------+--------+------------+---------+-------+---------+
//!          └──────────── in pages ───────────────┘
//! page     4080 bytes of elements, unused ones zero │ checksum, 16 bytes
//! vote     fingerprint u64 │ line u32 │ shape u32
//! reference  number of its vote u32 │ place of its text among the records u32; records are in `references.rs`
//! shape    ttl_s u32 │ feed u16 │ categories u16 │ first_seen_day u16 │ last_seen_day u16 │ standing u8 │ score u8 │ confidence u8 │ kind u8
//! ```
//! Little-endian. A page's checksum is the first half of SHA-256 over the snapshot's SHA-256, the page's number and its elements, so that no page
//! of another store, and no other page of this one, can stand in its place.

use bytemuck::{Pod, Zeroable};
use sha2::{Digest as _, Sha256};

pub(super) const MAGIC: [u8; 8] = *b"VEXPLAIN";
/// The version that is written.
pub const STORE_VERSION: u32 = 3;
/// The oldest that is read: the same without references, and zeros where their counts stand.
pub const STORE_VERSION_LEAST: u32 = 2;
pub(super) const PAGE: usize = 4096;
pub(super) const ELEMENT: usize = 16;
/// Bytes of a page before its checksum.
pub(super) const CHECKSUM_AT: usize = PAGE - 16;
/// Feeds of one store: their numbers are 16 bits wide.
pub const FEEDS_MAX: u32 = 1 << 16;
/// Bytes of all names and paths of feeds: 1 KiB for each of 65536.
pub const STRINGS_BYTES_MAX: u64 = 64 << 20;
/// Bytes of all records: what a compilation may hold of strangers' references. Two million distinct ones of 30 bytes.
pub const RECORDS_BYTES_MAX: u64 = 64 << 20;

/// The first page, of which the rest is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Header {
    pub magic: [u8; 8],
    pub version: u32,
    pub page_bytes: u32,
    pub file_bytes: u64,
    pub generation: u64,
    pub snapshot_sha256: [u8; 32],
    /// The moment that the data describes, unix seconds; 0 if not stated.
    pub as_of_s: u64,
    pub votes: u64,
    pub shapes: u64,
    pub feeds: u32,
    pub zero: u32,
    pub strings_bytes: u64,
    /// Of feeds and strings.
    pub tail_sha256: [u8; 32],
    /// Of this page, with this field as zeros.
    pub sha256: [u8; 32],
    /// Votes whose rows say where to read about them.
    pub references: u64,
    pub records_bytes: u64,
    /// Votes whose rows say so too, beyond what the records may take.
    pub references_left_out: u64,
}

pub(super) const SHA256_AT: usize = 136;
const _: () = assert!(std::mem::offset_of!(Header, sha256) == SHA256_AT && size_of::<Header>() == SHA256_AT + 32 + 24);

/// Numbers of the first pages of votes, shapes, references and records, and of the first behind them all.
pub(super) struct Places {
    pub votes: u64,
    pub shapes: u64,
    pub references: u64,
    pub records: u64,
    pub tail: u64,
}

impl Header {
    pub(super) fn places(&self) -> Places {
        let after = |first: u64, elements: u64, bytes: usize| first.saturating_add(pages(elements, bytes));
        let votes = 1;
        let shapes = after(votes, self.votes, ELEMENT);
        let references = after(shapes, self.shapes, ELEMENT);
        let records = after(references, self.references, size_of::<Reference>());
        Places { votes, shapes, references, records, tail: after(records, self.records_bytes, 1) }
    }
}

/// One line's word on one rule.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Vote {
    pub fingerprint: u64,
    /// From 1; `u32::MAX` for that line and all after it.
    pub line: u32,
    pub shape: u32,
}

/// What votes have in common that differ in rule and line only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub(super) struct Shape {
    pub ttl_s: u32,
    pub feed: u16,
    pub categories: u16,
    pub first_seen_day: u16,
    pub last_seen_day: u16,
    /// Bit 4 alone: takes back. Bit 3 override, bit 2 allow, bits 0 and 1 the class that the feed wrote.
    pub standing: u8,
    pub score: u8,
    pub confidence: u8,
    /// `RuleKind` of the rule.
    pub kind: u8,
}

/// What the row of one vote says of where to read about it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Reference {
    /// Place of the vote in the store; references ascend by it.
    pub vote: u32,
    /// Place of the text among the records.
    pub record: u32,
}

/// `Shape::standing` of a revocation.
pub(super) const REVOKES: u8 = 1 << 4;

/// A text among the strings.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct Text {
    pub at: u32,
    pub bytes: u32,
}

/// One feed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(super) struct FeedEntry {
    pub name: Text,
    pub file: Text,
    pub licence: Text,
    pub region: Text,
    pub reference: Text,
    pub file_bytes: u64,
    pub rows: u64,
    pub kept: u64,
    pub rejected: u64,
    pub expired: u64,
    pub revoked: u64,
    /// Distinct rules with a vote of this feed that was not taken back.
    pub rules: u64,
    /// Of those, the ones that no other feed has.
    pub unique: u64,
    /// The latest last_seen of its votes.
    pub newest_day: u16,
    /// 0 not stated, else 1 + the colour.
    pub tlp: u8,
    pub trust: u8,
    pub zero: u32,
    pub sha256: [u8; 32],
}

const _: () = assert!(size_of::<Vote>() == ELEMENT && size_of::<Shape>() == ELEMENT && size_of::<FeedEntry>() == 144);
const _: () = assert!(CHECKSUM_AT.is_multiple_of(ELEMENT) && CHECKSUM_AT.is_multiple_of(size_of::<Reference>()));

/// Pages that `elements` of so many bytes take; none straddles two.
const fn pages(elements: u64, bytes: usize) -> u64 {
    elements.div_ceil((CHECKSUM_AT / bytes) as u64)
}

/// The checksum of a page's elements.
pub(super) fn checksum(snapshot_sha256: &[u8; 32], page: u64, elements: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update(snapshot_sha256);
    hasher.update(page.to_le_bytes());
    hasher.update(elements);
    let whole: [u8; 32] = hasher.finalize().into();
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

/// Puts every checksum right, as far as the sizes in the header allow: so that tests and fuzzers get behind them.
#[doc(hidden)]
pub fn reseal(bytes: &mut [u8]) {
    let Some(head) = bytes.get(..size_of::<Header>()) else { return };
    let mut header: Header = bytemuck::pod_read_unaligned(head);
    let tail = header.places().tail;
    for number in 1..tail.min((bytes.len() / PAGE) as u64 + 1) {
        let Some(page) = bytes.get_mut(number as usize * PAGE..).and_then(|rest| rest.get_mut(..PAGE)) else { break };
        let (elements, sum) = page.split_at_mut(CHECKSUM_AT);
        sum.copy_from_slice(&checksum(&header.snapshot_sha256, number, elements));
    }
    let tail_at = usize::try_from(tail.saturating_mul(PAGE as u64)).unwrap_or(usize::MAX);
    header.tail_sha256 = Sha256::digest(bytes.get(tail_at..).unwrap_or_default()).into();
    header.sha256 = [0; 32];
    bytes[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
    let sum: [u8; 32] = Sha256::digest(&bytes[..bytes.len().min(PAGE)]).into();
    bytes[SHA256_AT..SHA256_AT + 32].copy_from_slice(&sum);
}
