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

use crate::canonical::{
    Parts,
    fast::{self, Fast},
};
use crate::expressions::{host_lengths, near_prefixes, near_suffixes, path_lengths};
use crate::spelling::Spellings;
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
    unsupported: Vec<u32>,
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
    owners: Vec<u32>,
    paths: Vec<Hash128>,
    /// Of `keys`, `hosts` and `owners`, in use.
    keys_used: usize,
    paths_used: usize,
    texts: Texts,
    spellings: Spellings,
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
        batch.unsupported.reserve(items);
        batch
    }

    /// Forgets all questions, keeps all memory.
    pub fn clear(&mut self) {
        self.arrays.items.clear();
        self.arrays.singles = 0;
        self.arrays.keys_used = 0;
        self.arrays.paths_used = 0;
        self.arrays.texts.clear();
        self.arrays.spellings.clear();
        self.refused.clear();
        self.unsupported.clear();
        self.fast_count = 0;
    }

    /// Forgets all questions; keeps the canonical texts of the next ones if `keep`: for tables that look into them (`Snapshot::reads_texts`).
    pub fn keep_texts(&mut self, keep: bool) {
        self.clear();
        self.arrays.texts.keep(keep);
    }

    /// Forgets all questions; keeps the canonical texts of the next ones as they are spelt if `keep`: for models ([`Batch::spellings`]).
    pub fn keep_spellings(&mut self, keep: bool) {
        self.clear();
        self.arrays.spellings.keep(keep);
    }

    /// One per question, in order.
    pub fn items(&self) -> &[Item] {
        &self.arrays.items
    }

    /// The form of all items, if all are of one form that has one key each: then item `i` is key `i`.
    pub fn single_keys(&self) -> Option<Form> {
        let form = self.items().first()?.form;
        (self.arrays.singles == self.items().len()).then_some(form)
    }

    /// First-wave keys of all items.
    pub fn keys(&self) -> &[Key128] {
        &self.arrays.keys[..self.arrays.keys_used]
    }

    /// The unsealed host hash of each first-wave key (unused for Exact and Hashed).
    pub fn hosts(&self) -> &[Hash128] {
        &self.arrays.hosts[..self.arrays.keys_used]
    }

    /// The item of each first-wave key, ascending.
    pub fn owners(&self) -> &[u32] {
        &self.arrays.owners[..self.arrays.keys_used]
    }

    /// Unsealed path hashes of all items.
    pub fn paths(&self) -> &[Hash128] {
        &self.arrays.paths[..self.arrays.paths_used]
    }

    /// Canonical texts, where [`Batch::keep_texts`] asked for them.
    pub fn texts(&self) -> &Texts {
        &self.arrays.texts
    }

    /// Canonical texts as they are spelt, where [`Batch::keep_spellings`] asked for them.
    pub fn spellings(&self) -> &Spellings {
        &self.arrays.spellings
    }

    /// The items that are unparseable, ascending.
    pub fn unparseable(&self) -> impl Iterator<Item = usize> {
        self.refused.iter().map(|&(item, _)| item as usize)
    }

    /// The items of a kind that is not known, ascending.
    pub fn unsupported(&self) -> impl Iterator<Item = usize> {
        self.unsupported.iter().map(|&item| item as usize)
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
        self.push_all(backend, schedule, profile, std::iter::once((Some(kind), bytes)));
    }

    /// Questions by kind, in one loop that is compiled for the backend; a kind that is not known gets an answer all the same.
    #[inline]
    pub fn push_all<'q, B: Backend>(
        &mut self,
        backend: B,
        schedule: &HashSchedule,
        profile: &Profile,
        questions: impl Iterator<Item = (Option<Kind>, &'q [u8])>,
    ) {
        backend.run(All { batch: self, schedule, profile, questions });
    }

    /// Whatever the fast path leaves.
    #[inline(never)]
    fn push_slowly<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, kind: Option<Kind>, bytes: &[u8]) {
        let Some(kind) = kind else { return self.push_unsupported() };
        let pushed = match kind {
            Kind::Url => self.push_url(backend, schedule, profile, bytes),
            Kind::Host => self.canonicalizer.host_parts(bytes).map(|parts| self.arrays.push_far(backend, schedule, profile, &parts)),
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
        self.unsupported.push(self.arrays.items.len() as u32);
        self.arrays.items.push(Item::without_keys(Form::Unsupported));
    }

    fn push_url<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, bytes: &[u8]) -> Result<(), Unparseable> {
        if let Some(far) = fast::far_url(backend, bytes) {
            self.fast_count += 1;
            self.arrays.push_far(backend, schedule, profile, &far);
            return Ok(());
        }
        let parts = self.canonicalizer.url_parts(bytes)?;
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

/// Questions, compiled as one function for the backend's instructions; most are URLs that are canonical as written.
struct All<'a, I> {
    batch: &'a mut Batch,
    schedule: &'a HashSchedule,
    profile: &'a Profile,
    questions: I,
}

impl<'q, I: Iterator<Item = (Option<Kind>, &'q [u8])>> WithBackend for All<'_, I> {
    type Output = ();

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) {
        let Self { batch, schedule, profile, questions } = self;
        let mut open = batch.arrays.keys_used;
        for (kind, bytes) in questions {
            let found = match kind {
                Some(Kind::Url) => fast::url(backend, bytes),
                Some(Kind::Host) => fast::host_alone(backend, bytes),
                _ => None,
            };
            match found {
                Some(found) => {
                    batch.arrays.push_fast(backend, schedule, profile, &found);
                    batch.fast_count += 1;
                }
                None => {
                    // What comes now may be a key already.
                    batch.arrays.seal(backend, open);
                    batch.push_slowly(backend, schedule, profile, kind, bytes);
                    open = batch.arrays.keys_used;
                }
            }
        }
        batch.arrays.seal(backend, open);
    }
}

impl Arrays {
    #[inline(always)]
    fn push_fast<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, profile: &Profile, found: &Fast<'_>) {
        let parts = &found.parts;
        // Of a host alone: no bytes, no slashes.
        match near_prefixes(backend, found.slashes, parts.path_bytes, profile) {
            Some(slashes) if profile.suffixes.is_none() => self.push_near(backend, schedule, profile, parts, found.dots, slashes),
            _ => self.push_far(backend, schedule, profile, parts),
        }
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
        let suffixes = near_suffixes(backend, dots, profile);
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
        let open = self.keys_used;
        self.push_item(parts, host_count, path_count, exact);
        self.seal(backend, open);
    }

    /// Where the next question's host hashes and path hashes will stand.
    #[inline(always)]
    fn room(&mut self) -> Option<(&mut [Hash128; HASHES], &mut [Hash128; HASHES])> {
        let hosts = self.hosts.get_mut(self.keys_used..)?.first_chunk_mut()?;
        Some((hosts, self.paths.get_mut(self.paths_used..)?.first_chunk_mut()?))
    }

    /// Makes the keys of the hosts from `open` on: many at once, since the four multiplications of a key wait for each other and those of many do not.
    #[inline(always)]
    fn seal<B: Backend>(&mut self, backend: B, open: usize) {
        let open = open..self.keys_used;
        backend.seal_all(&self.hosts[open.clone()], &mut self.keys[open]);
    }

    #[inline(always)]
    fn push_item(&mut self, parts: &Parts<'_>, hosts: usize, paths: usize, exact: usize) {
        if self.texts.kept() {
            self.texts.push(self.items.len(), parts);
        }
        if self.spellings.kept() {
            self.spellings.push(self.items.len(), parts);
        }
        let address = parts.address.map_or(Address::None, Address::from);
        let item = Item {
            form: Form::Web,
            full_paths: exact as u8,
            hosts: Span { at: self.keys_used as u32, len: hosts as u32 },
            paths: Span { at: self.paths_used as u32, len: paths as u32 },
            address,
        };
        // More than are wanted, but of a length that is known; `make_room` has made it.
        if let Some(owners) = self.owners.get_mut(self.keys_used..).and_then(<[u32]>::first_chunk_mut::<HASHES>) {
            *owners = [self.items.len() as u32; HASHES];
        }
        self.items.push(item);
        self.keys_used += hosts;
        self.paths_used += paths;
    }

    fn push_exact(&mut self, form: Form, key: Key128) {
        self.make_room();
        let hosts = Span { at: self.keys_used as u32, len: 1 };
        self.keys[self.keys_used] = key;
        self.hosts[self.keys_used] = Hash128::default();
        self.owners[self.keys_used] = self.items.len() as u32;
        self.keys_used += 1;
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
        self.owners.resize(self.keys_used + keys + HASHES, 0);
        self.paths.resize(self.paths_used + paths + HASHES, Hash128::default());
    }
}
