//! The entries as a shard asks them: hashed by the keys of one generation, immutable, small.
//!
//! ```text
//! Web item      exact host ─► slot: an entry, or "URLs of this host have some" ─► pair(host, path?query), pair(host, path) ─► slots
//!               its address ─► addresses
//! digest, clients' key of an exact expression ─► slot
//! ```
//! It is asked after the tables, over all answers of a turn; where there are no entries it is not there, and that is one branch. An unlisted host costs
//! one probe of a table that lies in L1 or L2. What decides is a number, as in the tables: an unblock before a block, then the more specific one.

use super::Entry;
use std::sync::Arc;
use verdict_keys::{Address, Batch, Form, Item, Kind};
use verdict_simd::{Backend, HashSchedule, Key128, WithBackend};
use verdict_tables::{On, Snapshot, Verdict};

/// How specific a match is; an unblock stands above all blocks.
mod rank {
    pub const ADDRESS: u8 = 1;
    pub const HOST: u8 = 2;
    pub const PATH: u8 = 3;
    pub const PATH_QUERY: u8 = 4;
    pub const KEY: u8 = 5;
    pub const UNBLOCK: u8 = 8;
}

/// Slots by key: open addressing, at most half full.
#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    key: Key128,
    /// 0: free.
    value: u32,
}

/// Of a slot: entries of URLs on this host exist.
const URLS: u32 = 1 << 31;
/// Of a slot: the entry, counted from 1; 0 for none.
const ENTRY: u32 = URLS - 1;

impl Slots {
    fn with_room(entries: usize) -> Self {
        if entries == 0 {
            return Slots::default();
        }
        Slots { slots: vec![Slot::default(); (2 * entries).next_power_of_two().max(8)] }
    }

    /// The slot of the key, or the free one where it would be. Not for a table without slots.
    #[inline(always)]
    fn place(&self, key: Key128) -> usize {
        let mask = self.slots.len() - 1;
        // Addresses are no hashes.
        let mixed = (key.lo ^ key.hi.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut place = (mixed >> 32) as usize & mask;
        while self.slots[place].value != 0 && self.slots[place].key != key {
            place = (place + 1) & mask;
        }
        place
    }

    #[inline(always)]
    fn get(&self, key: Key128) -> u32 {
        if self.slots.is_empty() { 0 } else { self.slots[self.place(key)].value }
    }

    fn add(&mut self, key: Key128, value: u32) {
        let place = self.place(key);
        let known = self.slots[place].value;
        let entry = if value & ENTRY != 0 { value & ENTRY } else { known & ENTRY };
        self.slots[place] = Slot { key, value: entry | (known | value) & URLS };
    }
}

/// One that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    entry: u32,
    rank: u8,
    /// What of the question it is about.
    pub on: On,
}

/// All entries, for one generation.
#[derive(Debug)]
pub struct Overlay {
    generation: u64,
    keys: Slots,
    addresses: Slots,
    verdicts: Vec<Verdict>,
    entries: Vec<Arc<Entry>>,
}

fn of_address(address: Address) -> Option<Key128> {
    match address {
        Address::None => None,
        // As ::ffff:a.b.c.d, which `keys` never leaves an IPv6 address.
        Address::V4(v4) => Some(Key128 { lo: 0xFFFF << 32 | u64::from(v4), hi: 0 }),
        Address::V6(v6) => Some(Key128 { lo: v6 as u64, hi: (v6 >> 64) as u64 }),
    }
}

impl Overlay {
    /// By the keys of this snapshot. `None` of no entries.
    pub fn of<B: Backend>(backend: B, snapshot: &Snapshot, entries: Vec<Arc<Entry>>) -> Option<Self> {
        let count = entries.len();
        let (mut keys, mut addresses) = (Slots::with_room(2 * count), Slots::with_room(count));
        let mut batch = Batch::with_capacity(count);
        for (index, entry) in entries.iter().enumerate() {
            batch.clear();
            batch.push(backend, snapshot.schedule(), snapshot.profile(), entry.key.kind(), entry.key.bytes());
            let (item, value) = (&batch.items()[0], index as u32 + 1);
            match (entry.key.kind(), of_address(item.address)) {
                (Kind::Ipv4 | Kind::Ipv6, Some(address)) => addresses.add(address, value),
                (Kind::Url, _) if item.paths.len > 0 => {
                    let host = item.hosts.at as usize;
                    let mut pair = [Key128::default()];
                    let path = &batch.paths()[item.paths.at as usize..][..1];
                    backend.pair(snapshot.schedule(), batch.hosts()[host], path, &mut pair);
                    keys.add(batch.keys()[host], URLS);
                    keys.add(pair[0], value);
                }
                (Kind::Host | Kind::Sha256 | Kind::Sha1 | Kind::Md5, _) if item.hosts.len > 0 => {
                    keys.add(batch.keys()[item.hosts.at as usize], value);
                }
                // An entry is canonical, so this is not reached; it would match nothing.
                _ => tracing::error!(key = %entry.key, "an entry of the overlay is no key: a defect, please report it"),
            }
        }
        let verdicts = entries.iter().map(|entry| entry.verdict()).collect();
        (count > 0).then_some(Overlay { generation: snapshot.generation(), keys, addresses, verdicts, entries })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Never; see `of`.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whose keys it knows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The entry of a hit.
    pub fn entry(&self, hit: &Hit) -> &Entry {
        &self.entries[hit.entry as usize]
    }

    /// Puts its answers over those of the tables, which were found for the same batch and generation. How many.
    pub fn decide<B: Backend>(&self, backend: B, schedule: &HashSchedule, batch: &Batch, verdicts: &mut [Verdict]) -> u64 {
        backend.run(Decide { overlay: self, schedule, batch, verdicts })
    }

    /// Everything that matches one item, the winner first: for explaining.
    pub fn matches<B: Backend>(&self, backend: B, schedule: &HashSchedule, batch: &Batch, item: usize) -> Vec<Hit> {
        let mut hits = Vec::new();
        self.each(backend, schedule, batch, &batch.items()[item], |hit| hits.push(hit));
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.rank));
        hits
    }

    #[inline(always)]
    fn hit(&self, value: u32, rank: u8, on: On, found: &mut impl FnMut(Hit)) {
        if let Some(entry) = (value & ENTRY).checked_sub(1) {
            let unblock = if self.entries[entry as usize].is_unblock() { rank::UNBLOCK } else { 0 };
            found(Hit { entry, rank: rank | unblock, on });
        }
    }

    #[inline(always)]
    fn each<B: Backend>(&self, backend: B, schedule: &HashSchedule, batch: &Batch, item: &Item, mut found: impl FnMut(Hit)) {
        if let Some(address) = of_address(item.address) {
            let alone = || match item.address {
                Address::V4(v4) => {
                    On::Network { first: std::net::Ipv4Addr::from_bits(v4).into(), last: std::net::Ipv4Addr::from_bits(v4).into() }
                }
                Address::V6(v6) => {
                    On::Network { first: std::net::Ipv6Addr::from_bits(v6).into(), last: std::net::Ipv6Addr::from_bits(v6).into() }
                }
                Address::None => On::Key, // not reached: it has one
            };
            let value = self.addresses.get(address);
            if value != 0 {
                self.hit(value, rank::ADDRESS, alone(), &mut found);
            }
        }
        if item.hosts.len == 0 {
            return;
        }
        let host = item.hosts.at as usize;
        let value = self.keys.get(batch.keys()[host]);
        if value == 0 {
            return;
        }
        match item.form {
            Form::Web => {
                self.hit(value, rank::HOST, On::Host { host: 0, own: true }, &mut found);
                if value & URLS != 0 && item.paths.len > 0 {
                    self.each_url(backend, schedule, batch, item, &mut found);
                }
            }
            Form::Exact | Form::Hashed { suffix: false, prefix: false } => self.hit(value, rank::KEY, On::Key, &mut found),
            Form::Hashed { .. } | Form::Address | Form::Unparseable | Form::Unsupported => {}
        }
    }

    /// The exact path, with query and without.
    #[inline(never)]
    fn each_url<B: Backend>(&self, backend: B, schedule: &HashSchedule, batch: &Batch, item: &Item, found: &mut impl FnMut(Hit)) {
        const EXACT_MAX: usize = 2;
        let exact = usize::from(item.full_paths).min(EXACT_MAX).min(item.paths.len as usize);
        let paths = &batch.paths()[item.paths.at as usize..][..exact];
        let mut keys = [Key128::default(); EXACT_MAX];
        backend.pair(schedule, batch.hosts()[item.hosts.at as usize], paths, &mut keys[..exact]);
        for (place, key) in keys[..exact].iter().enumerate() {
            let rank = if place + 1 < exact { rank::PATH_QUERY } else { rank::PATH };
            self.hit(self.keys.get(*key), rank, On::Url { host: 0, path: place as u8, prefix: false, own: true }, found);
        }
    }
}

/// Compiled for the backend's instructions.
struct Decide<'a> {
    overlay: &'a Overlay,
    schedule: &'a HashSchedule,
    batch: &'a Batch,
    verdicts: &'a mut [Verdict],
}

impl WithBackend for Decide<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) -> u64 {
        let Self { overlay, schedule, batch, verdicts } = self;
        let mut decided = 0;
        for (item, verdict) in batch.items().iter().zip(verdicts) {
            let (mut best, mut entry) = (0, 0);
            overlay.each(backend, schedule, batch, item, |hit| {
                if hit.rank > best {
                    (best, entry) = (hit.rank, hit.entry);
                }
            });
            if best != 0 {
                *verdict = overlay.verdicts[entry as usize];
                decided += 1;
            }
        }
        decided
    }
}
