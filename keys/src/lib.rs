//! The one place where a URL, host, address or hash becomes keys.

use std::net::IpAddr;
use verdict_simd::{Backend, Hash128, HashSchedule, Key128};

/// What a question or a rule is about. Values are those of the wire protocol.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Url = 1,
    Host = 2,
    Ipv4 = 3,
    Ipv6 = 4,
    Sha256 = 5,
    Sha1 = 6,
    Md5 = 7,
}

/// Which expressions a URL is asked by; stored in the snapshot header, so that compile and query agree.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Safe Browsing v4: the exact host and up to four suffixes of its last five labels; exact paths and up to four prefixes.
    GsbV4 = 1,
    /// Every host suffix and every path prefix, as far as the rules of the snapshot reach.
    Full = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub scheme: Scheme,
    /// A suffix of more labels than this is not asked for (the exact host always is). 2..=HOST_LABELS_MAX
    pub host_labels_max: u8,
    /// Path prefixes asked for, the root first. 1..=PATH_PREFIXES_MAX
    pub path_prefixes_max: u8,
}

pub const HOST_LABELS_MAX: usize = 16;
pub const PATH_PREFIXES_MAX: usize = 16;
/// Longer URLs are unparseable, as a result of its own.
pub const URL_BYTES_MAX: usize = 8192;

/// Why bytes are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unparseable {
    #[error("empty")]
    Empty,
}

/// Canonical host of a URL or host question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// Lower-case ASCII, punycode where needed, no leading, trailing or doubled dots.
    Name(&'a str),
    /// Any spelling of an address; mapped and NAT64 IPv6 are IPv4.
    Address(IpAddr),
}

/// A canonical URL, borrowed from the `Canonicalizer` that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanonicalUrl<'a> {
    pub host: Host<'a>,
    /// The host as expressions spell it: a name, `192.0.2.1`, or `[2001:db8::1]`.
    pub host_text: &'a str,
    /// Canonical path, and `?query` where there is one.
    pub path_query: &'a str,
    /// Length of the path within `path_query`.
    pub path_bytes: usize,
}

/// Reusable buffers; allocates nothing once warm.
pub struct Canonicalizer {
    _todo: (),
}

impl Canonicalizer {
    pub fn new() -> Self {
        todo!()
    }
    pub fn url<'s>(&'s mut self, _raw: &[u8]) -> Result<CanonicalUrl<'s>, Unparseable> {
        todo!()
    }
    pub fn host<'s>(&'s mut self, _raw: &[u8]) -> Result<(Host<'s>, &'s str), Unparseable> {
        todo!()
    }
}

/// A file digest in binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    Sha256([u8; 32]),
    Sha1([u8; 20]),
    Md5([u8; 16]),
}

impl Digest {
    /// Hexadecimal of any case; the length tells the kind.
    pub fn parse(_text: &str) -> Result<Self, Unparseable> {
        todo!()
    }
    pub fn hash<B: Backend>(&self, _backend: B, _schedule: &HashSchedule) -> Hash128 {
        todo!()
    }
}

/// How an item of a batch is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A URL or host: suffixes, then path expressions where a matched host entry says that they exist; its address, if it is one.
    Web,
    /// One exact key: a digest, or a client's own hash of an exact expression.
    Exact,
    /// One exact key of a suffix or prefix expression: only rules that reach below match.
    Parent,
    /// An address only.
    Address,
    Unparseable,
    Unsupported,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    pub at: u32,
    pub len: u32,
}

/// An address to look up, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    None,
    V4(u32),
    V6(u128),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub form: Form,
    /// How many of `paths` are the exact path (with query, without query); the others are prefixes, longest first.
    pub full_paths: u8,
    /// Into `Batch::keys` and `Batch::hosts`: the exact host first, then suffixes, longest first.
    pub hosts: Span,
    /// Into `Batch::paths`. Empty for a host question.
    pub paths: Span,
    pub address: Address,
}

/// N questions in, flat arrays of keys out. Reused: allocates nothing once warm.
pub struct Batch {
    pub items: Vec<Item>,
    /// First-wave keys of all items.
    pub keys: Vec<Key128>,
    /// The unsealed host hash of each first-wave key (unused for Exact and Parent).
    pub hosts: Vec<Hash128>,
    pub paths: Vec<Hash128>,
}

impl Batch {
    /// Room for `items` questions.
    pub fn with_capacity(_items: usize) -> Self {
        todo!()
    }
    pub fn clear(&mut self) {
        todo!()
    }
    /// One question by kind; wrong lengths are unparseable, never an error.
    pub fn push<B: Backend>(&mut self, _backend: B, _schedule: &HashSchedule, _profile: &Profile, _kind: Kind, _bytes: &[u8]) {
        todo!()
    }
    /// A client's own key.
    pub fn push_hashed(&mut self, _key: Key128, _parent: bool) {
        todo!()
    }
    pub fn push_unsupported(&mut self) {
        todo!()
    }
}
