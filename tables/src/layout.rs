//! The bytes of a snapshot file. FORMAT.md tells the same with all meanings.
//!
//! ```text
//! 0        256                1280        4096                         multiple of 4096
//! +--------+------------------+--- 0 ... --+----------+-----+----------+----
//! | Header | 16 SectionEntry  |            | section  | 0.. | section  | ...
//! +--------+------------------+------------+----------+-----+----------+----
//!   |        kind, element size, offset,     ^ each starts at a multiple of 4096, in the order of its kind;
//!   |        bytes, count, SHA-256             between them zeros
//!   SHA-256 of these first 4096 bytes (that field as zeros); its first 8 bytes are the generation
//! ```
//!
//! All integers are little-endian, all structs plain: this build of the crate refuses to compile on a big-endian machine.

use bytemuck::{Pod, Zeroable};
use verdict_simd::{Bucket, HashKey};

use crate::rule::RuleKind;
use crate::verdict::Verdict;

const _: () = assert!(cfg!(target_endian = "little"), "snapshots are viewed in place, little-endian");

/// First bytes of a snapshot; the line feed catches text-mode copies.
pub const MAGIC: [u8; 8] = *b"VERDICT\n";
/// Version of everything in this file.
pub const VERSION: u32 = 4;
/// Size of the header page and alignment of sections, in bytes. Fixed by the format, not by the machine.
pub const PAGE: usize = 4096;

/// Start of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Header {
    /// `MAGIC`.
    pub magic: [u8; 8],
    /// `VERSION`.
    pub version: u32,
    /// `PAGE`.
    pub header_bytes: u32,
    /// Whole file; a multiple of `PAGE`.
    pub file_bytes: u64,
    /// None are known: anything else than 0 is refused.
    pub flags: u64,
    /// Unix seconds the data describes; 0 if unknown.
    pub as_of_s: u64,
    /// `verdict_keys::Scheme`.
    pub scheme: u8,
    /// Bound of the profile.
    pub host_labels_max: u8,
    /// Bound of the profile.
    pub path_prefixes_max: u8,
    /// Zero.
    pub zero: u8,
    /// Entries of the section table.
    pub section_count: u32,
    /// Key of the persisted hash; neither half is zero.
    pub hash_key: HashKey,
    /// Shards of the exact table, at least 1.
    pub shards: u32,
    /// Buckets of each shard, at least 1.
    pub shard_buckets: u32,
    /// Slots of the exact table that are not empty.
    pub slots: u64,
    /// Rules by `RuleKind`; element 0 is zero.
    pub rules: [u64; 16],
    /// Of the first `PAGE` bytes with this field as zeros.
    pub sha256: [u8; 32],
}

const _: () = assert!(size_of::<Header>() == 256 && size_of::<HashKey>() == 32);
const _: () = assert!(std::mem::offset_of!(Header, hash_key) == 48 && std::mem::offset_of!(Header, rules) == 96);
const _: () = assert!(std::mem::offset_of!(Header, sha256) == SHA256_AT && SHA256_AT == 224);

/// Where the header's own checksum stands.
pub const SHA256_AT: usize = 224;

/// One line of the section table, which follows the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SectionEntry {
    /// `Section`.
    pub kind: u32,
    /// Size of one element.
    pub element_bytes: u32,
    /// From the start of the file; a multiple of `PAGE`.
    pub offset: u64,
    /// `element_bytes * count`; padding is not part of it.
    pub bytes: u64,
    /// How many elements.
    pub count: u64,
    /// Of exactly these bytes.
    pub sha256: [u8; 32],
}

const _: () = assert!(size_of::<SectionEntry>() == 64);
const _: () = assert!(size_of::<Header>() + Section::ALL.len() * size_of::<SectionEntry>() <= PAGE);

/// The sections, each present exactly once and in this order; empty ones have count 0.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// `Bucket`s of the exact table. Number 1 was that of version 2's seeds.
    Buckets = 2,
    /// `Verdict` by id; element 0 is all zero.
    Templates = 3,
    /// `Record` by id; element 0 is all zero.
    Records = 4,
    /// `VoteEntry` of rules that several sources vote on; records own spans of it. Up to version 3 the sources of all records, without what they said.
    Votes = 5,
    /// `SourceEntry`.
    Sources = 6,
    /// UTF-8; sources own spans of it.
    Strings = 7,
    /// The public suffix list in normal form; empty unless the scheme asks by it.
    PublicSuffixes = 8,
    /// `SignatureEntry` by text, then kind.
    Signatures = 9,
    /// Their distinct texts, one after the other.
    SignatureText = 10,
    /// `u32` entries of the IPv4 trie's root: 256 or 65,536; an id, or a node.
    Root4 = 11,
    /// `u32` words: the nodes of the IPv4 trie.
    Nodes4 = 12,
    /// `[u64; 8]`: the nodes of the IPv6 tree over the upper 64 bits, the root first.
    Tree6 = 13,
    /// `u32` verdict id of each IPv6 interval, or the block that divides it.
    Verdicts6 = 14,
    /// `u32` first interval of each block, and the end of the last.
    Blocks6 = 15,
    /// `u64` lower half of the last address of each interval of the blocks.
    LongEnds6 = 16,
    /// `u32` verdict id of each interval of the blocks.
    LongVerdicts6 = 17,
}

impl Section {
    /// All of them, in file order.
    pub const ALL: [Self; 16] = [
        Self::Buckets,
        Self::Templates,
        Self::Records,
        Self::Votes,
        Self::Sources,
        Self::Strings,
        Self::PublicSuffixes,
        Self::Signatures,
        Self::SignatureText,
        Self::Root4,
        Self::Nodes4,
        Self::Tree6,
        Self::Verdicts6,
        Self::Blocks6,
        Self::LongEnds6,
        Self::LongVerdicts6,
    ];

    /// Place in `ALL`.
    pub const fn index(self) -> usize {
        self as usize - 2
    }

    /// Size of one element in bytes.
    pub const fn element_bytes(self) -> usize {
        match self {
            Self::Strings | Self::PublicSuffixes | Self::SignatureText => 1,
            Self::Root4 | Self::Nodes4 | Self::Verdicts6 | Self::Blocks6 | Self::LongVerdicts6 => 4,
            Self::LongEnds6 => 8,
            Self::Tree6 => 64,
            Self::Signatures => size_of::<SignatureEntry>(),
            Self::Templates => size_of::<Verdict>(),
            Self::Sources => size_of::<SourceEntry>(),
            Self::Records => size_of::<Record>(),
            Self::Votes => size_of::<VoteEntry>(),
            Self::Buckets => size_of::<Bucket>(),
        }
    }

    /// As errors and the inspector call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buckets => "buckets",
            Self::Templates => "templates",
            Self::Records => "records",
            Self::Votes => "votes",
            Self::Sources => "sources",
            Self::Strings => "strings",
            Self::PublicSuffixes => "public suffixes",
            Self::Signatures => "signatures",
            Self::SignatureText => "signature text",
            Self::Root4 => "ipv4 root",
            Self::Nodes4 => "ipv4 nodes",
            Self::Tree6 => "ipv6 tree",
            Self::Verdicts6 => "ipv6 verdicts",
            Self::Blocks6 => "ipv6 blocks",
            Self::LongEnds6 => "ipv6 long ends",
            Self::LongVerdicts6 => "ipv6 long verdicts",
        }
    }
}

/// What DESCRIBE tells of a rule's verdict: everything that the 8 bytes of an answer leave out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Record {
    /// The number of its source; of several: the first of their votes in `Votes`.
    pub sources_at: u32,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
    /// How many sources voted.
    pub source_count: u16,
    /// Bit set of `category`.
    pub categories: u16,
    /// Days since 1970-01-01; 0 if unknown.
    pub first_seen_day: u16,
    /// Days since 1970-01-01; 0 if unknown.
    pub last_seen_day: u16,
    /// `Class`.
    pub class: u8,
    /// 0 to 100.
    pub score: u8,
    /// 0 to 100.
    pub confidence: u8,
    /// `RuleKind`.
    pub rule_kind: u8,
    /// `flag::ALLOWLISTED` and `flag::OVERRIDDEN`, no others.
    pub flags: u8,
    /// Id of the record that an address has without this one: of the longest prefix around that could be its answer while something is switched
    /// off. Below its own id; 0 where there is none, and of all that are no prefixes.
    pub behind: [u8; 3],
}

const _: () = assert!(size_of::<Record>() == 24 && std::mem::offset_of!(Record, class) == 16);

impl Record {
    /// The answer that stands for this record.
    pub const fn template(&self, id: u32) -> Verdict {
        let [low, middle, high, _] = id.to_le_bytes();
        Verdict { outcome: self.class << 4, score: self.score, categories: self.categories, flags: self.flags, id: [low, middle, high] }
    }

    /// Id of the record behind it.
    pub const fn behind(&self) -> u32 {
        u32::from_le_bytes([self.behind[0], self.behind[1], self.behind[2], 0])
    }
}

/// What one source says of a rule on which several vote: all that its own votes of the highest standing come to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct VoteEntry {
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
    /// Number of the source.
    pub source: u16,
    /// Bit set of `category`.
    pub categories: u16,
    /// Days since 1970-01-01; 0 if unknown.
    pub first_seen_day: u16,
    /// Days since 1970-01-01; 0 if unknown.
    pub last_seen_day: u16,
    /// `Class`.
    pub class: u8,
    /// 0 to 100.
    pub score: u8,
    /// 0 to 100.
    pub confidence: u8,
    /// `flag::ALLOWLISTED` and `flag::OVERRIDDEN`, no others.
    pub flags: u8,
}

const _: () = assert!(size_of::<VoteEntry>() == 16 && std::mem::offset_of!(VoteEntry, class) == 12);

/// Name and licence of a source, as spans of `Strings`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SourceEntry {
    /// First byte.
    pub name_at: u32,
    /// Length in bytes.
    pub name_bytes: u32,
    /// First byte.
    pub licence_at: u32,
    /// Length in bytes.
    pub licence_bytes: u32,
}

const _: () = assert!(size_of::<SourceEntry>() == 16);

/// A signature: where its text stands in `SignatureText`, and what it says.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SignatureEntry {
    /// First byte of the text.
    pub at: u32,
    /// Verdict id, never 0.
    pub verdict: u32,
    /// Length of the text.
    pub bytes: u16,
    /// `RuleKind`, one of the signatures'.
    pub rule_kind: u8,
    /// Zero.
    pub zero: u8,
}

const _: () = assert!(size_of::<SignatureEntry>() == 12);

impl SignatureEntry {
    /// Its kind; of a verified entry it is one of the signatures'.
    pub const fn kind(&self) -> RuleKind {
        const KINDS: [RuleKind; 4] = [RuleKind::HostSubstring, RuleKind::UrlSubstring, RuleKind::HostToken, RuleKind::UrlToken];
        KINDS[(self.rule_kind & 3) as usize]
    }
}

const _: () = assert!(RuleKind::HostSubstring as u8 == 12 && RuleKind::UrlToken as u8 == 15);

/// The upper 8 bits of a slot's `u32`; the lower 24 are a verdict id, 0 where the slot only says that paths exist.
pub mod slot {
    /// The verdict is of this very host only, not of names below it.
    pub const SELF: u32 = 1 << 24;
    /// URL entries: this very path only, not paths below it.
    pub const LEAF: u32 = 1 << 25;
    /// Host entries: URL entries exist under this host text.
    pub const PATHS: u32 = 1 << 26;
    /// Host entries: some of those URL entries are prefixes.
    pub const PREFIXES: u32 = 1 << 27;
    /// Host entries: some of those URL entries apply to names below this host.
    pub const PATHS_BELOW: u32 = 1 << 28;

    /// Flags with a meaning.
    pub const KNOWN: u32 = SELF | LEAF | PATHS | PREFIXES | PATHS_BELOW;
    /// Mask of the verdict id.
    pub const ID: u32 = (1 << 24) - 1;
}
