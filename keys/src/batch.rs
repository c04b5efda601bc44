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

use crate::canonical::{Parts, fast};
use crate::expressions::{host_lengths, near_prefixes, near_suffixes, path_lengths};
use crate::text::Texts;
use crate::{Canonicalizer, Digest, Kind, Profile, Unparseable, fold_ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use verdict_simd::{Backend, Domain, HASHES, Hash128, HashSchedule, Key128, WithBackend, seal};

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
    /// Into `Batch::keys()` and `Batch::hosts()`: the exact host first, then suffixes, longest first.
    pub hosts: Span,
    /// Into `Batch::paths()`. Empty for a host question.
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
    arrays: Arrays,
    refused: Vec<(u32, Unparseable)>,
    fast_count: usize,
    canonicalizer: Canonicalizer,
}

/// What is handed out. Hashes are written in place, so their vectors are longer than what is in use: by room for any question.
#[derive(Debug, Default)]
struct Arrays {
    items: Vec<Item>,
    /// Items of one key and of the form of the first item.
    singles: usize,
    keys: Vec<Key128>,
    hosts: Vec<Hash128>,
    paths: Vec<Hash128>,
    /// Of `keys` and `hosts`, in use.
    keys_used: usize,
    /// Of `keys`, made from `hosts`: see [`Batch::finish`].
    sealed: usize,
    paths_used: usize,
    texts: Texts,
}

impl Batch {
    /// Room for `items` questions of usual size.
    pub fn with_capacity(items: usize) -> Self {
        const HOSTS_USUAL: usize = 4;
        const PATHS_USUAL: usize = 6;
        let mut batch = Self::default();
        batch.arrays.items.reserve(items);
        batch.arrays.grow(items * HOSTS_USUAL, items * PATHS_USUAL);
        batch.refused.reserve(items);
        batch
    }

    /// Forgets all questions, keeps all memory.
    pub fn clear(&mut self) {
        self.arrays.items.clear();
        self.arrays.singles = 0;
        self.arrays.keys_used = 0;
        self.arrays.sealed = 0;
        self.arrays.paths_used = 0;
        self.arrays.texts.clear();
        self.refused.clear();
        self.fast_count = 0;
    }

    /// Forgets all questions; keeps the canonical texts of the next ones if `keep`: for tables that look into them (`Snapshot::reads_texts`).
    pub fn keep_texts(&mut self, keep: bool) {
        self.clear();
        self.arrays.texts.keep(keep);
    }

    /// One per question, in order.
    pub fn items(&self) -> &[Item] {
        &self.arrays.items
    }

    /// Ends the questions: makes the keys of all hosts at once, since the four multiplications of a key wait for each other and those of
    /// many keys do not.
    pub fn finish(&mut self) {
        self.arrays.seal();
    }

    /// The form of all items, if all are of one form that has one key each: then item `i` is key `i`.
    pub fn single_keys(&self) -> Option<Form> {
        let form = self.items().first()?.form;
        (self.arrays.singles == self.items().len()).then_some(form)
    }

    /// First-wave keys of all items. Panics if a question came after [`Batch::finish`]: a bug of the caller, never of a peer.
    pub fn keys(&self) -> &[Key128] {
        assert!(self.arrays.sealed == self.arrays.keys_used, "Batch::finish before the keys are read");
        &self.arrays.keys[..self.arrays.keys_used]
    }

    /// The unsealed host hash of each first-wave key (unused for Exact and Hashed).
    pub fn hosts(&self) -> &[Hash128] {
        &self.arrays.hosts[..self.arrays.keys_used]
    }

    /// Unsealed path hashes of all items.
    pub fn paths(&self) -> &[Hash128] {
        &self.arrays.paths[..self.arrays.paths_used]
    }

    /// Canonical texts, where [`Batch::keep_texts`] asked for them.
    pub fn texts(&self) -> &Texts {
        &self.arrays.texts
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
            self.refused.push((self.arrays.items.len() as u32, reason));
            self.arrays.items.push(Item::without_keys(Form::Unparseable));
        }
    }

    /// A client's own key; `suffix` and `prefix` as in [`Form::Hashed`].
    pub fn push_hashed(&mut self, key: Key128, suffix: bool, prefix: bool) {
        self.push_exact(Form::Hashed { suffix, prefix }, key);
    }

    /// A question of a kind that is not known: it gets an answer all the same.
    pub fn push_unsupported(&mut self) {
        self.arrays.items.push(Item::without_keys(Form::Unsupported));
    }

    fn push_url<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> Result<(), Unparseable> {
        if self.arrays.push_fast::<true, B>(backend, schedule, profile, bytes) {
            self.fast_count += 1;
            return Ok(());
        }
        let parts = self.canonicalizer.url_parts(bytes)?;
        self.arrays.push_far(backend, schedule, profile, &parts);
        Ok(())
    }

    fn push_host<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> Result<(), Unparseable> {
        if self.arrays.push_fast::<false, B>(backend, schedule, profile, bytes) {
            self.fast_count += 1;
            return Ok(());
        }
        let parts = self.canonicalizer.host_parts(bytes)?;
        self.arrays.push_far(backend, schedule, profile, &parts);
        Ok(())
    }

    fn push_address(&mut self, address: IpAddr) {
        self.arrays.items.push(Item { address: address.into(), ..Item::without_keys(Form::Address) });
    }

    fn push_exact(&mut self, form: Form, key: Key128) {
        self.arrays.push_exact(form, key);
    }
}

/// A URL, or a host alone, on the fast path, compiled as one function for the backend's instructions. Whether it was one.
struct Fast<'a, const URL: bool> {
    arrays: &'a mut Arrays,
    schedule: &'a HashSchedule,
    profile: &'a Profile,
    bytes: &'a [u8],
}

impl<const URL: bool> WithBackend for Fast<'_, URL> {
    type Output = bool;

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) -> bool {
        let found = if URL { fast::url(backend, self.bytes) } else { fast::host_alone(backend, self.bytes) };
        let Some(found) = found else { return false };
        let slashes = if URL { near_prefixes(found.slashes, found.parts.path_bytes, self.profile) } else { Some(0) };
        match slashes {
            Some(slashes) if found.host_is_near && self.profile.suffixes.is_none() => {
                self.arrays.push_near(backend, self.schedule, self.profile, &found.parts, found.dots, slashes);
            }
            _ => self.arrays.push_far(backend, self.schedule, self.profile, &found.parts),
        }
        true
    }
}

impl Arrays {
    #[inline]
    fn push_fast<const URL: bool, B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> bool {
        backend.run(Fast::<URL> { arrays: self, schedule, profile, bytes })
    }

    /// The expressions of a URL or host whose places are known as masks: hashed where they will stay, longest first.
    #[inline(always)]
    fn push_near<B: Backend>(
        &mut self,
        backend: B,
        schedule: &HashSchedule,
        profile: &Profile,
        parts: &Parts<'_>,
        dots: u64,
        slashes: u64,
    ) {
        self.make_room();
        let Some((hosts, paths)) = self.room() else { return }; // it was made
        let suffixes = near_suffixes(dots, profile);
        backend.hash_suffixes(schedule, parts.host, suffixes, hosts);
        let host_count = 1 + suffixes.count_ones() as usize;
        let (mut exact, mut path_count) = (0, 0);
        if !parts.path_query.is_empty() {
            backend.hash_prefixes(schedule, Domain::Path, parts.path_query, parts.path_bytes, slashes, paths);
            exact = 1 + usize::from(parts.path_bytes < parts.path_query.len());
            path_count = exact + slashes.count_ones() as usize;
        }
        self.push_item(parts, host_count, path_count, exact);
    }

    /// The same where a text is long, or is no part of the question as written.
    #[inline(never)]
    fn push_far<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, parts: &Parts<'_>) {
        self.make_room();
        let Some((hosts, paths)) = self.room() else { return }; // it was made
        let lengths = host_lengths(parts.host, parts.address.is_some(), profile);
        let host_count = lengths.len();
        backend.hash_lengths(schedule, Domain::Host, parts.host, &lengths, hosts);
        let (mut exact, mut path_count) = (0, 0);
        if !parts.path_query.is_empty() {
            let lengths;
            (lengths, exact) = path_lengths(parts.path_query, parts.path_bytes, profile);
            path_count = lengths.len();
            backend.hash_lengths(schedule, Domain::Path, parts.path_query, &lengths, paths);
        }
        self.push_item(parts, host_count, path_count, exact);
    }

    /// Where the next question's host hashes and path hashes will stand.
    #[inline(always)]
    fn room(&mut self) -> Option<(&mut [Hash128; HASHES], &mut [Hash128; HASHES])> {
        let hosts = self.hosts.get_mut(self.keys_used..)?.first_chunk_mut()?;
        Some((hosts, self.paths.get_mut(self.paths_used..)?.first_chunk_mut()?))
    }

    /// Makes the keys of hosts that have none yet.
    fn seal(&mut self) {
        let fresh = self.sealed..self.keys_used;
        for (key, hash) in self.keys[fresh.clone()].iter_mut().zip(&self.hosts[fresh]) {
            *key = seal(*hash);
        }
        self.sealed = self.keys_used;
    }

    #[inline(always)]
    fn push_item(&mut self, parts: &Parts<'_>, hosts: usize, paths: usize, exact: usize) {
        if self.texts.kept() {
            self.texts.push(self.items.len(), parts);
        }
        let address = parts.address.map_or(Address::None, Address::from);
        let item = Item {
            form: Form::Web,
            full_paths: exact as u8,
            hosts: Span { at: self.keys_used as u32, len: hosts as u32 },
            paths: Span { at: self.paths_used as u32, len: paths as u32 },
            address,
        };
        self.items.push(item);
        self.keys_used += hosts;
        self.paths_used += paths;
    }

    fn push_exact(&mut self, form: Form, key: Key128) {
        self.make_room();
        if self.sealed != self.keys_used {
            self.seal(); // this one is a key already
        }
        let hosts = Span { at: self.keys_used as u32, len: 1 };
        self.keys[self.keys_used] = key;
        self.hosts[self.keys_used] = Hash128::default();
        self.keys_used += 1;
        self.sealed = self.keys_used;
        self.singles += usize::from(self.items.first().is_none_or(|first| first.form == form));
        self.items.push(Item { hosts, ..Item::without_keys(form) });
    }

    /// Room for any one question.
    #[inline(always)]
    fn make_room(&mut self) {
        if self.keys.len() < self.keys_used + HASHES || self.paths.len() < self.paths_used + HASHES {
            self.grow(self.keys.len(), self.paths.len());
        }
    }

    /// Room for `keys` and `paths` more, and for any one question beside them.
    #[cold]
    fn grow(&mut self, keys: usize, paths: usize) {
        self.keys.resize(self.keys_used + keys + HASHES, Key128::default());
        self.hosts.resize(self.keys_used + keys + HASHES, Hash128::default());
        self.paths.resize(self.paths_used + paths + HASHES, Hash128::default());
    }
}
