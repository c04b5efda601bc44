//! The snapshot file: build, verify, view, probe.

use std::net::IpAddr;
use verdict_keys::{Digest, Profile};
use verdict_simd::{Backend, HashSchedule};

/// The 8 bytes of an answer, as PROTOCOL.md lays them out:
/// byte 0 status (low nibble) and class (high nibble), 1 score 0-100, 2..4 categories (u16 LE), 4 flags, 5..8 verdict id (u24 LE).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Verdict {
    pub outcome: u8,
    pub score: u8,
    pub categories: u16,
    pub flags: u8,
    pub id: [u8; 3],
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    Unknown = 0,
    Clean = 1,
    Suspicious = 2,
    Malicious = 3,
}

/// One indicator as a rule over canonical forms (see verdict-keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule<'a> {
    /// A host, and with `subdomains` all names below it.
    Host {
        host: &'a str,
        subdomains: bool,
    },
    /// A URL: exactly this path (any query, if the rule has none), or with `prefix` every path below it (then it ends in `/`).
    Url {
        host: &'a str,
        path_query: &'a str,
        prefix: bool,
        subdomains: bool,
    },
    /// An address prefix; host bits are zero.
    Net {
        network: IpAddr,
        bits: u8,
    },
    File(Digest),
}

/// What one source says of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    pub source: u16,
    pub class: Class,
    /// An allow rule: beats malicious.
    pub allow: bool,
    /// An operator's own rule: beats everything.
    pub overrides: bool,
    pub score: u8,
    pub confidence: u8,
    pub categories: u16,
    /// Days since 1970-01-01; 0 where the feed has no date.
    pub first_seen_day: u16,
    pub last_seen_day: u16,
    /// Seconds a caller may keep the verdict.
    pub ttl_s: u32,
}

/// Makes a snapshot. Same set of (rule, vote), in any order, however often: same bytes.
pub struct Builder {
    _todo: (),
}

#[derive(Clone, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub licence: &'a str,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

pub struct Built {
    pub bytes: Vec<u8>,
    pub generation: u64,
}

impl Builder {
    /// `secret` is mixed into the hash key; may be empty. `as_of_s`: unix seconds the data describes, 0 if unknown.
    pub fn new(_scheme: verdict_keys::Scheme, _secret: &[u8], _as_of_s: u64) -> Self {
        todo!()
    }
    pub fn source(&mut self, _source: Source<'_>) -> u16 {
        todo!()
    }
    pub fn add(&mut self, _rule: Rule<'_>, _vote: Vote) -> Result<(), Error> {
        todo!()
    }
    pub fn build<B: Backend>(self, _backend: B) -> Result<Built, Error> {
        todo!()
    }
}

/// A verified snapshot in memory of our own.
pub struct Snapshot {
    _todo: (),
}

impl Snapshot {
    pub fn load(_path: &std::path::Path) -> Result<Self, Error> {
        todo!()
    }
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, Error> {
        todo!()
    }
    pub fn generation(&self) -> u64 {
        todo!()
    }
    pub fn profile(&self) -> &Profile {
        todo!()
    }
    pub fn schedule(&self) -> &HashSchedule {
        todo!()
    }
    pub fn hash_key(&self) -> &verdict_simd::HashKey {
        todo!()
    }
}

/// Working space of one shard; allocates nothing once warm.
#[derive(Default)]
pub struct Scratch {
    _todo: (),
}

/// One verdict per item of the batch, in order.
pub fn lookup<B: Backend>(
    _backend: B,
    _snapshot: &Snapshot,
    _batch: &verdict_keys::Batch,
    _scratch: &mut Scratch,
    _verdicts: &mut [Verdict],
) {
    todo!()
}
