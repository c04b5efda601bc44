//! N questions in, flat arrays of keys out: what the daemon hands to the tables.
//!
//! ```text
//! items   [Web hosts 0..3 paths 0..4] [Exact hosts 3..4] [Address] [Unparseable] …
//! keys    a.b.c │ b.c │ …                   first wave: every host text, sealed; digests
//! hosts   the same, unsealed                second wave pairs these …
//! paths   /1/2?q │ /1/2 │ /1/ │ / │ …       … with these, where a host entry says that path rules exist
//! ```
//! Hosts are hashed in one pass from the right, paths in one pass from the left; no expression is hashed again. Text is kept
//! only where rules look into it ([`Texts`]).

use crate::canonical::fast;
use crate::expressions::{HOSTS_MAX, PATHS_MAX, host_starts, host_starts_of_mask, path_ends, path_ends_of_mask};
use crate::text::Texts;
use crate::{Canonicalizer, Digest, Kind, Profile, Unparseable, fold_ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_simd::{Backend, Domain, Hash128, HashSchedule, Key128, seal};

/// How an item of a batch is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A URL or host: suffixes, then path expressions where a matched host entry says that they exist; its address, if it is one.
    Web,
    /// One exact key: a digest.
    Exact,
    /// A client's own hash of one expression.
    Hashed {
        /// Its host is a suffix of the question's: only rules on names below it match.
        suffix: bool,
        /// Its path is a prefix of the question's: only rules on paths below it match.
        prefix: bool,
    },
    /// An address only.
    Address,
    /// Bytes that are no key; `Batch::reason` says why.
    Unparseable,
    /// A kind of key that this version does not know.
    Unsupported,
}

/// A piece of one of the batch's arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// Index of the first element.
    pub at: u32,
    /// How many.
    pub len: u32,
}

impl Span {
    /// As an index range.
    pub fn range(self) -> std::ops::Range<usize> {
        self.at as usize..(self.at + self.len) as usize
    }
}

/// An address to look up, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The question is about no address.
    None,
    /// Most significant byte first as written: 192.0.2.1 is `0xC000_0201`.
    V4(u32),
    /// Never mapped or NAT64: those are `V4`.
    V6(u128),
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6(v6.to_bits()),
        }
    }
}

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// How it is looked up.
    pub form: Form,
    /// How many of `paths` are the exact path (with query, without query); the others are prefixes, longest first.
    pub full_paths: u8,
    /// Into `Batch::keys` and `Batch::hosts`: the exact host first, then suffixes, longest first.
    pub hosts: Span,
    /// Into `Batch::paths`. Empty for a host question.
    pub paths: Span,
    /// To ask the address tables as well.
    pub address: Address,
}

impl Item {
    fn without_keys(form: Form) -> Self {
        Self { form, full_paths: 0, hosts: Span::default(), paths: Span::default(), address: Address::None }
    }
}

/// N questions in, flat arrays of keys out. Reused: allocates nothing once warm.
#[derive(Debug, Default)]
pub struct Batch {
    /// One per question, in order.
    pub items: Vec<Item>,
    /// First-wave keys of all items.
    pub keys: Vec<Key128>,
    /// The unsealed host hash of each first-wave key (unused for Exact and Hashed).
    pub hosts: Vec<Hash128>,
    /// Unsealed path hashes of all items.
    pub paths: Vec<Hash128>,
    /// Canonical texts, where [`Batch::keep_texts`] asked for them.
    pub texts: Texts,
    refused: Vec<(u32, Unparseable)>,
    fast_count: usize,
    canonicalizer: Canonicalizer,
}

impl Batch {
    /// Room for `items` questions of usual size.
    pub fn with_capacity(items: usize) -> Self {
        const HOSTS_USUAL: usize = 4;
        const PATHS_USUAL: usize = 6;
        Self {
            items: Vec::with_capacity(items),
            keys: Vec::with_capacity(items * HOSTS_USUAL),
            hosts: Vec::with_capacity(items * HOSTS_USUAL),
            paths: Vec::with_capacity(items * PATHS_USUAL),
            texts: Texts::default(),
            refused: Vec::with_capacity(items),
            fast_count: 0,
            canonicalizer: Canonicalizer::new(),
        }
    }

    /// Forgets all questions, keeps all memory.
    pub fn clear(&mut self) {
        self.items.clear();
        self.keys.clear();
        self.hosts.clear();
        self.paths.clear();
        self.texts.clear();
        self.refused.clear();
        self.fast_count = 0;
    }

    /// Forgets all questions; keeps the canonical texts of the next ones if `keep`: for tables that look into them (`Snapshot::reads_texts`).
    pub fn keep_texts(&mut self, keep: bool) {
        self.clear();
        self.texts.keep(keep);
    }

    /// Why the item at `index` is unparseable, if it is.
    pub fn reason(&self, index: usize) -> Option<Unparseable> {
        let found = self.refused.binary_search_by_key(&index, |&(item, _)| item as usize).ok()?;
        Some(self.refused[found].1)
    }

    /// How many URLs and hosts were canonical as written, and cost one classification instead of a copy.
    pub fn fast_count(&self) -> usize {
        self.fast_count
    }

    /// One question by kind; wrong lengths are unparseable, never an error.
    pub fn push<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, kind: Kind, bytes: &[u8]) {
        let pushed = match kind {
            Kind::Url => self.push_url(backend, schedule, profile, bytes),
            Kind::Host => self.push_host(backend, schedule, profile, bytes),
            Kind::Ipv4 => bytes
                .try_into()
                .map(|octets: [u8; 4]| self.push_address(Ipv4Addr::from(octets).into()))
                .map_err(|_| Unparseable::WrongLength),
            Kind::Ipv6 => bytes
                .try_into()
                .map(|octets: [u8; 16]| self.push_address(fold_ipv6(Ipv6Addr::from(octets))))
                .map_err(|_| Unparseable::WrongLength),
            Kind::Sha256 | Kind::Sha1 | Kind::Md5 => {
                Digest::from_bytes(kind, bytes).map(|digest| self.push_exact(Form::Exact, seal(digest.hash(backend, schedule))))
            }
        };
        if let Err(reason) = pushed {
            self.refused.push((self.items.len() as u32, reason));
            self.items.push(Item::without_keys(Form::Unparseable));
        }
    }

    /// A client's own key; `suffix` and `prefix` as in [`Form::Hashed`].
    pub fn push_hashed(&mut self, key: Key128, suffix: bool, prefix: bool) {
        self.push_exact(Form::Hashed { suffix, prefix }, key);
    }

    /// A question of a kind that is not known: it gets an answer all the same.
    pub fn push_unsupported(&mut self) {
        self.items.push(Item::without_keys(Form::Unsupported));
    }

    fn push_url<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> Result<(), Unparseable> {
        let (parts, starts, (ends, full_paths));
        if let Some(fast) = fast::url(backend, bytes) {
            self.fast_count += 1;
            parts = fast.parts;
            starts = host_starts_of_mask(parts.host, fast.dots, profile);
            (ends, full_paths) = path_ends_of_mask(fast.slashes, parts.path_query, parts.path_bytes, profile);
        } else {
            parts = self.canonicalizer.url_parts(bytes)?;
            starts = host_starts(parts.host, parts.address.is_some(), profile);
            (ends, full_paths) = path_ends(parts.path_query, parts.path_bytes, profile);
        }
        let hosts = push_hosts(backend, schedule, parts.host, &starts, &mut self.keys, &mut self.hosts);
        let paths = push_paths(backend, schedule, parts.path_query, &ends, &mut self.paths);
        self.texts.push(self.items.len(), &parts);
        self.items.push(Item { form: Form::Web, full_paths, hosts, paths, address: parts.address.map_or(Address::None, Address::from) });
        Ok(())
    }

    fn push_host<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> Result<(), Unparseable> {
        let (parts, starts);
        if let Some(fast) = fast::host_alone(backend, bytes) {
            self.fast_count += 1;
            parts = fast.parts;
            starts = host_starts_of_mask(parts.host, fast.dots, profile);
        } else {
            parts = self.canonicalizer.host_parts(bytes)?;
            starts = host_starts(parts.host, parts.address.is_some(), profile);
        }
        let hosts = push_hosts(backend, schedule, parts.host, &starts, &mut self.keys, &mut self.hosts);
        let paths = Span { at: self.paths.len() as u32, len: 0 };
        self.texts.push(self.items.len(), &parts);
        self.items.push(Item { form: Form::Web, full_paths: 0, hosts, paths, address: parts.address.map_or(Address::None, Address::from) });
        Ok(())
    }

    fn push_address(&mut self, address: IpAddr) {
        self.items.push(Item { address: address.into(), ..Item::without_keys(Form::Address) });
    }

    fn push_exact(&mut self, form: Form, key: Key128) {
        let hosts = Span { at: self.keys.len() as u32, len: 1 };
        self.keys.push(key);
        self.hosts.push(Hash128::default());
        self.items.push(Item { hosts, ..Item::without_keys(form) });
    }
}

/// The host texts of one question: hashed shortest first, stored longest first.
#[inline]
fn push_hosts<B: Backend>(
    backend: B,
    schedule: &HashSchedule,
    host: &[u8],
    starts: &[u32],
    keys: &mut Vec<Key128>,
    hosts: &mut Vec<Hash128>,
) -> Span {
    let mut hashes = [Hash128::default(); HOSTS_MAX];
    let hashes = &mut hashes[..starts.len()];
    backend.hash_host_suffixes(schedule, host, starts, hashes);
    let at = hosts.len() as u32;
    hosts.extend(hashes.iter().rev());
    keys.extend(hashes.iter().rev().map(|&hash| seal(hash)));
    Span { at, len: starts.len() as u32 }
}

/// The path texts of one question: hashed shortest first, stored longest first.
#[inline]
fn push_paths<B: Backend>(backend: B, schedule: &HashSchedule, path_query: &[u8], ends: &[u32], paths: &mut Vec<Hash128>) -> Span {
    let mut hashes = [Hash128::default(); PATHS_MAX];
    let hashes = &mut hashes[..ends.len()];
    backend.hash_prefixes(schedule, Domain::Path, path_query, ends, hashes);
    let at = paths.len() as u32;
    paths.extend(hashes.iter().rev());
    Span { at, len: ends.len() as u32 }
}
