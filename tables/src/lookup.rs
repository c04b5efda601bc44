//! Questions to verdicts, a whole batch at a time.
//!
//! ```text
//! wave 1   the exact host and its suffixes, digests, clients' keys ── all keys of a block probed together
//! LPM      all addresses of the block together
//! wave 2   only under hosts whose slot says that paths exist: pair(host, path) ── probed together
//! text     where signatures could still win, and the sieve admits the text (`signatures`)
//! each     match becomes a weight; the heaviest of an item wins; its template is the answer
//! ```
//!
//! Lines touched: one bucket per key, seldom two (`table`, `wave`); one template per hit. A URL whose hosts are unlisted
//! costs its host suffixes and nothing more. Batches of nothing but digests, or of nothing but clients' keys, are one wave from end to end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use verdict_keys::{Address, Batch, Item, Text, Texts};
use verdict_simd::{Backend, CHUNK, HashSchedule, Kernel, Key128, WithBackend, prefetch};

use crate::flat::Flat;
use crate::layout::slot;
use crate::lpm::gather::Addresses;
use crate::signatures::{Place, Signatures};
use crate::snapshot::Snapshot;
use crate::verdict::{Status, Verdict};
use crate::view::View;
use crate::wave::{Sink, Wave};
use crate::weight::{Rank, Weight, first_wave_weight, paths_to_ask, second_wave_weight};

/// Items whose probes overlap; bounds the second wave's memory: at most BLOCK * 17 hosts * 18 paths.
const BLOCK: usize = 256;

/// Working space of one shard; allocates nothing once warm.
#[derive(Default)]
pub struct Scratch {
    probes: Probes,
    addresses: Addresses,
    legs: Legs,
    /// The heaviest match of each item of a block.
    best: Vec<Weight>,
    admitted: Vec<u32>,
}

/// The paths of one item under one of its hosts, in the second wave.
#[derive(Clone, Copy, Default)]
struct Leg {
    /// Within the block.
    item: u32,
    /// Place among the item's hosts.
    host: u32,
    /// Place of its first path in the wave's keys.
    first: u32,
    /// How many.
    paths: u32,
}

/// The second wave.
#[derive(Default)]
struct Legs {
    legs: Vec<Leg>,
    keys: Vec<Key128>,
    /// The leg of each key.
    owners: Vec<u32>,
    /// Of `keys` and `owners`, in use.
    used: usize,
}

/// One verdict per item of the batch, in order.
///
/// Panics if `verdicts` is not as long as the batch, or if the batch was not told to keep the texts that the snapshot reads: bugs of the
/// caller, never of a peer.
pub fn lookup<B: Backend>(backend: B, snapshot: &Snapshot, batch: &Batch, scratch: &mut Scratch, verdicts: &mut [Verdict]) {
    assert_eq!(batch.items().len(), verdicts.len());
    backend.run(Lookup { snapshot, batch, scratch, verdicts });
}

/// One verdict per item, compiled for the backend's instructions.
struct Lookup<'a> {
    snapshot: &'a Snapshot,
    batch: &'a Batch,
    scratch: &'a mut Scratch,
    verdicts: &'a mut [Verdict],
}

impl WithBackend for Lookup<'_> {
    type Output = ();

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) {
        let Self { snapshot, batch, scratch, verdicts } = self;
        let view = snapshot.view();
        if let Some(form) = batch.single_keys() {
            let mut flat = Flat::new(&view, batch.keys(), form, verdicts);
            return scratch.probes.wave.run(backend, view.table, batch.keys(), &mut flat);
        }
        assert!(!snapshot.reads_texts() || batch.texts().kept(), "Batch::keep_texts, where Snapshot::reads_texts");
        let mut heaviest = std::mem::take(&mut scratch.best);
        heaviest.resize(BLOCK, Weight::NONE);
        for (number, verdicts) in verdicts.chunks_mut(BLOCK).enumerate() {
            let block = number * BLOCK..number * BLOCK + verdicts.len();
            let best = &mut heaviest[..block.len()];
            best.fill(Weight::NONE);
            match_block(backend, snapshot, &view, batch, block.clone(), scratch, |item, weight| best[item] = best[item].max(weight));
            if let Some(signatures) = snapshot.signatures() {
                match_signatures(backend, signatures, &view, batch, block, &mut scratch.admitted, best);
            }
            for (verdict, best) in verdicts.iter_mut().zip(best) {
                *verdict = view.templates[best.id() as usize];
            }
        }
        scratch.best = heaviest;
        for item in batch.unparseable() {
            verdicts[item] = Verdict::of_status(Status::Unparseable);
        }
        for item in batch.unsupported() {
            verdicts[item] = Verdict::of_status(Status::Unsupported);
        }
    }
}

/// Signatures, where they could still win and the sieve admits the text.
#[inline(never)]
fn match_signatures<B: Backend>(
    backend: B,
    signatures: &Signatures,
    view: &View<'_>,
    batch: &Batch,
    block: Range<usize>,
    admitted: &mut Vec<u32>,
    best: &mut [Weight],
) {
    let (texts, first) = (batch.texts(), block.start);
    admitted.clear();
    backend.compiled(Sift { signatures, texts, range: texts.before(first)..texts.before(block.end), best, first, admitted });
    for index in &*admitted {
        let text = texts.get(*index as usize);
        let best = &mut best[text.item - first];
        *best = (*best).max(search(signatures, view, &text));
    }
}

/// Everything that matches one item of a batch, the winner first and what is switched off last: for explaining. Of nested address prefixes only the
/// winner is told, and the one that is switched off and would win.
///
/// Panics if there is no such item.
pub fn matches<B: Backend>(backend: B, snapshot: &Snapshot, batch: &Batch, item: usize, scratch: &mut Scratch) -> Vec<Match> {
    let view = snapshot.view();
    let mut weights = Vec::new();
    match_block(backend, snapshot, &view, batch, item..item + 1, scratch, |_, weight| weights.push(weight));
    weights.sort_unstable();
    weights.dedup();
    let some = weights.iter().filter(|weight| **weight != Weight::NONE);
    let mut found: Vec<(Weight, On)> = some.map(|weight| (*weight, on(*weight, snapshot, &batch.items()[item]))).collect();
    if let (Some(signatures), Some(text)) = (snapshot.signatures(), batch.texts().iter().find(|text| text.item == item)) {
        let mut places: Vec<Place> = Vec::new();
        signatures.search(view.signatures, &text, |place| places.push(place));
        // One place of each, its first; and then the last in order first, so that among equals the first one comes out first.
        places.sort_unstable_by_key(|place| (place.entry, place.at));
        places.dedup_by_key(|place| place.entry);
        found.extend(places.iter().rev().map(|place| {
            let entry = &view.signatures[place.entry as usize];
            (Weight::signature(&view, entry), On::Signature { index: place.entry, at: place.at, bytes: entry.bytes })
        }));
    }
    found.sort_by_key(|(weight, _)| weight.order());
    found.reverse();
    let given = |(weight, on): &(Weight, On)| {
        let verdict = view.templates[weight.id() as usize];
        (verdict.verdict_id() != 0).then_some(Match { verdict, on: *on, off: false })
    };
    let mut told: Vec<Match> = found.iter().filter_map(given).collect();
    if snapshot.answers().is_some() {
        let all_on = snapshot.with(None);
        let gone = |(weight, on): &(Weight, On)| {
            let verdict = all_on.view().templates[weight.id() as usize];
            let on = if matches!(on, On::Network { .. }) { network(&all_on, batch.items()[item].address) } else { *on };
            snapshot.is_off(&verdict).then_some(Match { verdict, on, off: true })
        };
        told.extend(found.iter().filter_map(gone));
    }
    told
}

/// Which texts of a block must be searched: those where a signature could still win, and that the sieve lets through.
struct Sift<'a> {
    signatures: &'a Signatures,
    texts: &'a Texts,
    range: Range<usize>,
    best: &'a [Weight],
    first: usize,
    admitted: &'a mut Vec<u32>,
}

impl Kernel for Sift<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for index in self.range {
            let text = self.texts.get(index);
            let known = self.best[text.item - self.first];
            let open = known == Weight::NONE || known.rank() < self.signatures.rank_max();
            if open && self.signatures.admits(&text) {
                self.admitted.push(index as u32);
            }
        }
    }
}

/// The best signature of a text.
fn search(signatures: &Signatures, view: &View<'_>, text: &Text<'_>) -> Weight {
    let (mut best, mut best_entry) = (Weight::NONE, u32::MAX);
    signatures.search(view.signatures, text, |Place { entry, .. }| {
        let weight = Weight::signature(view, &view.signatures[entry as usize]);
        // Of equals the first in order wins.
        if (weight.order(), std::cmp::Reverse(entry)) > (best.order(), std::cmp::Reverse(best_entry)) {
            (best, best_entry) = (weight, entry);
        }
    });
    best
}

/// What the tables are asked for one item, host by host: for explaining. Digests and clients' own keys have one "host", addresses none.
///
/// Panics if there is no such item.
pub fn asked<B: Backend>(backend: B, snapshot: &Snapshot, batch: &Batch, item: usize, scratch: &mut Scratch) -> Vec<Asked> {
    let view = snapshot.view();
    let item = &batch.items()[item];
    scratch.probes.run(backend, &view, &batch.keys()[item.hosts.range()]);
    let mut asked = vec![Asked::default(); item.hosts.len as usize];
    for hit in &scratch.probes.found {
        let host = hit.key as usize;
        let paths = paths_to_ask(item, host, hit.reference);
        asked[host] = Asked { listed: true, paths: paths.max(asked[host].paths) };
    }
    asked
}

/// What was asked under one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The tables have an entry of this host, be it only that URL rules exist under it.
    pub listed: bool,
    /// So many of the item's paths, the first ones, are asked for under it.
    pub paths: usize,
}

/// One rule that matches a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// What the rule says; `Snapshot::describe` expands its id.
    pub verdict: Verdict,
    /// The part of the question that it is about.
    pub on: On,
    /// It is switched off, and would say that if it were not.
    pub off: bool,
}

/// What a rule matched, as places among the expressions of the question (`verdict_keys::Item`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// A host rule.
    Host {
        /// Place among the hosts; 0 is the exact one.
        host: u8,
        /// The rule is not about names below the host.
        own: bool,
    },
    /// A URL rule.
    Url {
        /// Place among the hosts; 0 is the exact one.
        host: u8,
        /// Place among the paths; the full ones come first.
        path: u8,
        /// The rule covers the paths below.
        prefix: bool,
        /// The rule is not about names below the host.
        own: bool,
    },
    /// An address rule.
    Network {
        /// First address of the interval that has this answer.
        first: IpAddr,
        /// Last address of it.
        last: IpAddr,
    },
    /// A file rule, or whatever a client's own key stands for.
    Key,
    /// A signature.
    Signature {
        /// Which; `Snapshot::signature` has its text.
        index: u32,
        /// Where it first stands in the canonical `host/path?query`, in bytes.
        at: u32,
        /// How long it is.
        bytes: u16,
    },
}

/// Finds all matches of the items and hands them to `found` with the item's place; what matches nothing in the end is handed over as `Weight::NONE`.
#[inline(always)]
fn match_block<B: Backend>(
    backend: B,
    snapshot: &Snapshot,
    view: &View<'_>,
    batch: &Batch,
    block: Range<usize>,
    scratch: &mut Scratch,
    mut found: impl FnMut(usize, Weight),
) {
    let Scratch { probes, addresses, legs, .. } = scratch;
    let items = &batch.items()[block.clone()];
    addresses.run(backend, view, items, |item, id| found(item, Weight::new(view, id, Rank::Address, 0, 0)));
    let wave = key_range(items);
    probes.run(backend, view, &batch.keys()[wave.clone()]);
    let owners = &batch.owners()[wave.clone()];
    legs.legs.clear();
    legs.legs.resize(probes.found.len(), Leg::default());
    let mut count = 0;
    for hit in &probes.found {
        let index = owners[hit.key as usize] as usize - block.start;
        let item = &items[index];
        let host = hit.key as usize + wave.start - item.hosts.at as usize;
        found(index, first_wave_weight(view, item, host, hit.reference));
        let paths = paths_to_ask(item, host, hit.reference);
        // Written whether it is one or not: which it is nobody can predict.
        legs.legs[count] = Leg { item: index as u32, host: host as u32, first: 0, paths: paths as u32 };
        count += usize::from(paths != 0);
    }
    legs.legs.truncate(count);
    if count == 0 {
        return;
    }
    legs.pair(backend, snapshot.schedule(), batch, items);
    probes.run(backend, view, &legs.keys[..legs.used]);
    for hit in &probes.found {
        let Leg { item, host, first, .. } = legs.legs[legs.owners[hit.key as usize] as usize];
        found(item as usize, second_wave_weight(view, &items[item as usize], host as usize, (hit.key - first) as usize, hit.reference));
    }
}

impl Legs {
    /// The keys of all legs, one leg after the other.
    #[inline(always)]
    fn pair<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, batch: &Batch, items: &[Item]) {
        let Self { legs, keys, owners, used } = self;
        let (hosts, paths) = (batch.hosts(), batch.paths());
        let mut first = 0;
        for leg in &mut *legs {
            leg.first = first;
            first += leg.paths;
        }
        // They only grow, so that nothing is filled with zeros first.
        if keys.len() < first as usize {
            keys.resize(first as usize, Key128::default());
            owners.resize(first as usize, 0);
        }
        *used = first as usize;
        for (number, leg) in legs.iter().enumerate() {
            let item = &items[leg.item as usize];
            let (at, range) = (item.paths.at as usize, leg.first as usize..(leg.first + leg.paths) as usize);
            owners[range.clone()].fill(number as u32);
            let host = hosts[(item.hosts.at + leg.host) as usize];
            backend.pair(schedule, host, &paths[at..at + leg.paths as usize], &mut keys[range]);
        }
    }
}

/// First-wave keys of a block: `Batch` lays out the keys of its items in order, without gaps, so they are one range.
#[inline(always)]
fn key_range(items: &[Item]) -> Range<usize> {
    let has_keys = |item: &&Item| item.hosts.len != 0;
    let Some(first) = items.iter().find(has_keys) else { return 0..0 };
    let end = items.iter().rev().find(has_keys).map_or(0, |last| last.hosts.range().end);
    first.hosts.range().start..end
}

/// What a weight says that was matched.
fn on(weight: Weight, snapshot: &Snapshot, item: &Item) -> On {
    let byte = |shift: u32| (weight.bits() >> shift) as u8;
    let (path, host, own) = (255 - byte(40), 255 - byte(32), weight.bits() >> 31 & 1 == 1);
    match byte(48) {
        form if form == Rank::Host as u8 => On::Host { host, own },
        form if form == Rank::Prefix as u8 => On::Url { host, path, prefix: true, own },
        form if form == Rank::Path as u8 || form == Rank::PathQuery as u8 => On::Url { host, path, prefix: false, own },
        form if form == Rank::Address as u8 => network(snapshot, item.address),
        _ => On::Key,
    }
}

/// The addresses around that have the same answer, whatever is behind it.
fn network(snapshot: &Snapshot, address: Address) -> On {
    let view = snapshot.view();
    let said = |id: u32| snapshot.describe(view.templates[id as usize].verdict_id());
    let same = |id: u32, other: u32| id == other || said(id).zip(said(other)).is_some_and(|(one, other)| one.says_as(&other));
    match address {
        Address::V4(address) => {
            let (first, last) = view.lpm4.around(address, same);
            On::Network { first: Ipv4Addr::from_bits(first).into(), last: Ipv4Addr::from_bits(last).into() }
        }
        Address::V6(address) => {
            let (first, last) = view.lpm6.around(address, same);
            On::Network { first: Ipv6Addr::from_bits(first).into(), last: Ipv6Addr::from_bits(last).into() }
        }
        Address::None => On::Key, // not reached: an address match needs an address
    }
}

/// A slot that answers to one of the keys of a wave.
#[derive(Clone, Copy, Default)]
struct Found {
    key: u32,
    reference: u32,
}

/// A wave whose hits are wanted as a list.
#[derive(Default)]
struct Probes {
    wave: Wave,
    /// In the order of the keys.
    found: Vec<Found>,
}

impl Probes {
    /// Leaves in `found` every used slot whose tag is that of a key.
    fn run<B: Backend>(&mut self, backend: B, view: &View<'_>, keys: &[Key128]) {
        self.found.clear();
        self.wave.run(backend, view.table, keys, &mut List { view, keys, found: &mut self.found });
    }
}

struct List<'a, 'b> {
    view: &'a View<'b>,
    keys: &'a [Key128],
    found: &'a mut Vec<Found>,
}

impl Sink for List<'_, '_> {
    #[inline(always)]
    fn take<B: Backend>(&mut self, _: B, first: usize, refs: &mut [u32]) {
        if refs.iter().fold(0, |all, reference| all | reference) != 0 {
            self.take_some(first, refs);
        }
    }
}

impl List<'_, '_> {
    /// Each is written behind the last one that counts, whether it counts or not: no branch asks which keys are listed.
    #[inline(always)]
    fn take_some(&mut self, first: usize, refs: &[u32]) {
        let mut found = [Found::default(); CHUNK];
        let (mut count, mut several) = (0, 0);
        for (key, reference) in (first as u32..).zip(refs) {
            found[count % CHUNK] = Found { key, reference: *reference };
            count += usize::from(*reference != 0);
            several |= *reference;
        }
        if Wave::is_several(several) {
            return self.take_each(first, refs);
        }
        let found = &found[..count.min(CHUNK)];
        self.found.extend_from_slice(found);
        for hit in found {
            prefetch(self.view.templates, (hit.reference & slot::ID) as usize);
        }
    }

    /// The same where a key has several refs.
    #[cold]
    fn take_each(&mut self, first: usize, refs: &[u32]) {
        for (key, reference) in (first as u32..).zip(refs).filter(|(_, reference)| **reference != 0) {
            if Wave::is_several(*reference) {
                self.view.table.each(self.keys[key as usize], |reference| self.found.push(Found { key, reference }));
            } else {
                self.found.push(Found { key, reference: *reference });
            }
        }
    }
}
