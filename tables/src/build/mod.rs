//! Rules and votes in, a snapshot out.
//!
//! ```text
//! add ──► arena ──► digest, sort ──► merge votes ──► intern records ──► flatten ──► hash ──► sort ──► place ──► header, checksums
//!                    │ identity of each rule          ids by content      prefixes  ▲ key drawn from the digests and the secret
//!                    └──────────────────────────────────────────────────────────────┘
//! ```
//!
//! Every order that could show in the bytes is an order of contents: SHA-256 of rules, names of sources, records, keys.
//! So neither the order of `add`, nor repetition, nor threads, nor the architecture can show.

mod arena;
mod image;
mod lpm;
mod merge;
mod normal;
mod parallel;
mod phase;
mod place;
mod prepared;
mod records;
mod revoke;
mod seed;
mod signatures;
mod slots;
pub(crate) mod tree6;
pub(crate) mod trie4;

use std::path::Path;
use std::sync::Arc;

use bytemuck::Zeroable;
use hashbrown::HashMap;
use verdict_keys::{Profile, Scheme, SuffixList};
use verdict_simd::{Backend, HashSchedule};

use crate::combine::combine;
use crate::error::Error;
use crate::layout::{Header, MAGIC, PAGE, SourceEntry, VERSION};
use crate::rule::{Rule, RuleKind, Source, Vote};
use crate::verdict::{VERDICTS_MAX, category};
use arena::{Arena, Encoded};
pub use image::Pending;
use image::{Image, Sections};
use lpm::{Nodes, Prefix};
use normal::{normal_form, reach};
pub use phase::{Phase, Progress};
pub use prepared::{Prepared, TracedVote, fingerprint};
use records::{Interned, Interner, Records};

/// Sources a vote can name.
pub const SOURCES_MAX: u32 = 1 << 16;
/// (rule, vote) pairs of one build.
pub const VOTES_MAX: u64 = u32::MAX as u64;
/// Hash keys tried before giving up.
const SALTS: u32 = 4;

/// Makes a snapshot. Same set of (rule, vote), in any order, however often: same bytes.
pub struct Builder {
    scheme: Scheme,
    /// What questions can reach at most; unknown until gsb-v5 has its list.
    widest: Option<Profile>,
    secret: Vec<u8>,
    as_of_s: u64,
    arena: Arena,
    sources: Vec<(String, String)>,
    source_numbers: HashMap<(String, String), u16>,
    too_many_sources: bool,
    host_labels: usize,
    path_prefixes: usize,
    threads: usize,
    tag_mask: u64,
    steady: bool,
    traced: Option<Vec<TracedVote>>,
    progress: Progress,
    /// Some entries of the arena take others back.
    revokes: bool,
}

/// A snapshot in memory.
pub struct Built {
    /// What a file would hold.
    pub bytes: Vec<u8>,
    /// Its name: first 8 bytes of its digest, never 0.
    pub generation: u64,
}

/// A distinct rule: an entry that holds it, and the temporary number of its verdict.
#[derive(Clone, Copy, Default)]
struct RuleVerdict {
    entry: u32,
    number: u32,
}

impl Builder {
    /// `secret` is mixed into the hash key; may be empty. `as_of_s`: unix seconds the data describes, 0 if unknown.
    pub fn new(scheme: Scheme, secret: &[u8], as_of_s: u64) -> Self {
        Self {
            scheme,
            widest: match scheme {
                Scheme::GsbV4 => Some(Profile::GSB_V4),
                Scheme::Full => Some(Profile::FULL_MAX),
                Scheme::Exact => Some(Profile::EXACT),
                Scheme::GsbV5 => None,
            },
            secret: secret.to_vec(),
            as_of_s,
            arena: Arena::default(),
            sources: Vec::new(),
            source_numbers: HashMap::new(),
            too_many_sources: false,
            host_labels: 0,
            path_prefixes: 0,
            threads: parallel::threads(),
            tag_mask: u64::MAX,
            steady: false,
            traced: None,
            progress: Box::new(|_, _, _| ()),
            revokes: false,
        }
    }

    /// The list by which gsb-v5 finds registrable names; to be set before the first rule. Other schemes ask without it.
    pub fn public_suffixes(&mut self, suffixes: Arc<SuffixList>) {
        if self.scheme == Scheme::GsbV5 {
            self.widest = Some(Profile::gsb_v5(suffixes));
        }
    }

    /// Called now and then while building, on the thread that builds.
    pub fn on_progress(&mut self, progress: Progress) {
        self.progress = progress;
    }

    /// How many threads may work; all CPUs of the process by default. Cannot show in the bytes.
    pub fn threads(&mut self, threads: usize) {
        self.threads = threads.max(1);
    }

    /// Keeps only these bits of each tag, so that a test can measure the false-positive rate against its formula.
    #[doc(hidden)]
    pub fn mask_tags(&mut self, mask: u64) {
        self.tag_mask = mask;
    }

    /// The number to vote with. The same name and licence get the same number. Sources without votes leave no trace in the snapshot.
    pub fn source(&mut self, source: Source<'_>) -> u16 {
        let named = (source.name.to_owned(), source.licence.to_owned());
        if let Some(number) = self.source_numbers.get(&named) {
            return *number;
        }
        let Ok(number) = u16::try_from(self.sources.len()) else {
            self.too_many_sources = true; // the next add() and build() say so
            return u16::MAX;
        };
        self.sources.push(named.clone());
        self.source_numbers.insert(named, number);
        number
    }

    /// Keeps, for `Prepared::votes`, which call of `add` was about which rule.
    pub fn trace(&mut self) {
        self.traced = Some(Vec::new());
    }

    /// How many (rule, vote) pairs were added.
    pub fn votes(&self) -> u64 {
        self.arena.entries.len() as u64
    }

    /// Adds what one source says of one rule. A refused rule leaves the builder as it was.
    pub fn add(&mut self, rule: Rule<'_>, vote: Vote) -> Result<(), Error> {
        self.check_vote(&vote)?;
        let rule = normal_form(rule)?;
        let (labels, depth) = reach(&rule, self.widest.as_ref().ok_or(Error::NoSuffixList)?).map_err(Error::Unreachable)?;
        if self.votes() >= VOTES_MAX {
            return Err(Error::TooManyRules { max: VOTES_MAX });
        }
        self.host_labels = self.host_labels.max(labels);
        self.path_prefixes = self.path_prefixes.max(depth);
        self.arena.push(&rule, &vote);
        Ok(())
    }

    fn check_source(&self, source: u16) -> Result<(), Error> {
        if self.too_many_sources {
            return Err(Error::TooManySources { max: SOURCES_MAX });
        }
        if usize::from(source) < self.sources.len() { Ok(()) } else { Err(Error::MalformedVote("its source was never registered")) }
    }

    fn check_vote(&self, vote: &Vote) -> Result<(), Error> {
        self.check_source(vote.source)?;
        let problem = if vote.score > 100 {
            "a score above 100"
        } else if vote.confidence > 100 {
            "a confidence above 100"
        } else if vote.categories & !category::ALL != 0 {
            "a reserved category"
        } else {
            return Ok(());
        };
        Err(Error::MalformedVote(problem))
    }

    /// The hash key stays while the secret does, whatever the rules are, and the table grows by steps: an update of few rules changes few parts of the
    /// file. The price: whoever is told the key (HELLO) knows that of the next snapshots as well. FORMAT.md, "Whose hash key".
    pub fn steady_hash_key(&mut self) {
        self.steady = true;
    }

    /// The snapshot, in memory.
    pub fn build<B: Backend>(self, backend: B) -> Result<Built, Error> {
        let image = self.prepare(backend)?.image;
        let mut bytes = Vec::with_capacity(image.file_bytes as usize);
        image.write_to(&mut bytes)?;
        Ok(Built { bytes, generation: image.generation })
    }

    /// The snapshot, in a file: written beside it, synced, and renamed, so that no partial file is ever seen under `path`. Returns its generation.
    pub fn build_to<B: Backend>(self, backend: B, path: &Path) -> Result<u64, Error> {
        let prepared = self.prepare(backend)?;
        prepared.write_file(path)?;
        Ok(prepared.generation())
    }

    /// The snapshot, with what there is to know of it before it is written.
    pub fn prepare<B: Backend>(mut self, backend: B) -> Result<Prepared, Error> {
        let image = self.image(backend)?;
        Ok(Prepared { image, votes: self.traced.unwrap_or_default() })
    }

    fn image<B: Backend>(&mut self, backend: B) -> Result<Image, Error> {
        if self.too_many_sources {
            return Err(Error::TooManySources { max: SOURCES_MAX });
        }
        let profile = self.profile()?;
        let Merged { root, rules, records, flat, sources } = self.merge_votes()?;
        for salt in 0..SALTS {
            let hash_key = seed::hash_key(&root, salt);
            let schedule = HashSchedule::new(&hash_key);
            let total = rules.len() as u64;
            let report = &mut |done| (self.progress)(Phase::Hash, done, total);
            let Ok(mut keyed) = slots::key_all(backend, &schedule, &self.arena, &rules, &records.ids, self.threads, report) else {
                continue;
            };
            if self.tag_mask != u64::MAX {
                keyed.slots.iter_mut().for_each(|slot| slot.lo &= self.tag_mask);
                keyed.slots.sort_unstable();
            }
            let total = keyed.slots.len() as u64;
            let report = &mut |done| (self.progress)(Phase::Place, done, total);
            let Ok(placement) = place::place_by_steps(&keyed.slots, self.steady, self.threads, report) else {
                continue;
            };
            let header = Header {
                hash_key,
                shards: placement.geometry.shards,
                shard_buckets: placement.geometry.shard_buckets,
                slots: total,
                rules: self.count_by_kind(&rules),
                ..self.header(&profile)
            };
            (self.progress)(Phase::Write, 0, 1);
            let (v4, v6) = (trie4::pack(&flat[0])?, tree6::pack(&flat[1]));
            let Records { records, templates, votes, .. } = records;
            let (sources, strings) = sources;
            let suffixes = profile.suffixes.map_or(Vec::new(), |list| list.text().into());
            let (signatures, signature_text) = signatures::lay_out(keyed.signatures)?;
            let sections = Sections {
                buckets: placement.buckets,
                templates,
                records,
                votes,
                sources,
                strings,
                suffixes,
                signatures,
                signature_text,
                v4,
                v6,
            };
            let image = Image::new(header, sections);
            (self.progress)(Phase::Write, 1, 1);
            return Ok(image);
        }
        Err(Error::Unplaceable { slots: rules.len(), tries: SALTS })
    }

    /// As far as the rules reach, where the scheme leaves that open.
    fn profile(&self) -> Result<Profile, Error> {
        match (self.scheme, &self.widest) {
            (Scheme::Full, _) => Ok(Profile::full(self.host_labels, self.path_prefixes)),
            (_, Some(widest)) => Ok(widest.clone()),
            (_, None) => Err(Error::NoSuffixList),
        }
    }

    /// The part of the header that does not depend on where things lie.
    fn header(&self, profile: &Profile) -> Header {
        Header {
            magic: MAGIC,
            version: VERSION,
            header_bytes: PAGE as u32,
            as_of_s: self.as_of_s,
            scheme: profile.scheme as u8,
            host_labels_max: profile.host_labels_max,
            path_prefixes_max: profile.path_prefixes_max,
            ..Header::zeroed()
        }
    }

    fn count_by_kind(&self, rules: &[RuleVerdict]) -> [u64; 16] {
        let mut counts = [0; 16];
        for rule in rules {
            counts[arena::kind(self.arena.encoding(rule.entry)) as usize] += 1;
        }
        counts
    }

    /// Groups equal rules, merges their votes and interns the results.
    fn merge_votes(&mut self) -> Result<Merged, Error> {
        let mut entries = self.digests();
        if let Some(traced) = &mut self.traced {
            let kind = |entry: u32| arena::kind(self.arena.encoding(entry));
            traced.extend(entries.iter().map(|(digest, entry)| TracedVote::new(digest, *entry, kind(*entry))));
        }
        if self.revokes {
            entries = revoke::without_revoked(&self.arena, &entries);
        }
        let (numbers, sources) = self.sort_sources(&entries);
        let distinct = || entries.chunk_by(|a, b| a.0 == b.0);
        let count = distinct().count();
        let root = match self.steady {
            true => seed::steady_root(&self.secret),
            false => seed::root(&self.secret, count as u64, distinct().map(|group| &group[0].0)),
        };
        let mut interner = Interner::new(VERDICTS_MAX);
        let mut rules = Vec::with_capacity(count);
        let (mut votes, mut voters) = (Vec::new(), Vec::new());
        let mut prefixes = [Vec::new(), Vec::new()];
        let mut ahead = 0;
        for group in distinct() {
            ahead += group.len();
            self.arena.prefetch(entries.get(ahead..).unwrap_or_default().iter().map(|(_, entry)| *entry));
            votes.clear();
            votes.extend(group.iter().map(|(_, entry)| {
                let vote = self.arena.entries[*entry as usize].vote;
                arena::PackedVote { source: numbers[usize::from(vote.source)], ..vote }
            }));
            let entry = group[0].1;
            merge::merge(&mut votes, &mut voters);
            let encoding = self.arena.encoding(entry);
            let number = interner.intern(combine(arena::kind(encoding), &voters), &voters)?;
            match arena::decode(encoding) {
                Encoded::Net4 { network, bits } => prefixes[0].push(Prefix { first: network.into(), bits, number }),
                Encoded::Net6 { network, bits } => prefixes[1].push(Prefix { first: network, bits, number }),
                _ => (),
            }
            rules.push(RuleVerdict { entry, number });
            if rules.len() % (1 << 20) == 0 {
                (self.progress)(Phase::Merge, rules.len() as u64, count as u64);
            }
        }
        let (records, flat) = lay_out(interner.finish(), prefixes)?;
        (self.progress)(Phase::Merge, count as u64, count as u64);
        Ok(Merged { root, rules, records, flat, sources })
    }

    /// Identity and number of every entry, equal rules side by side.
    fn digests(&mut self) -> Vec<(seed::RuleDigest, u32)> {
        let total = self.arena.entries.len();
        let mut entries = vec![([0; 32], 0); total];
        let (arena, progress) = (&self.arena, &mut self.progress);
        parallel::fill(&mut entries, self.threads, |entry| (seed::rule_digest(arena.encoding(entry as u32)), entry as u32), &mut |done| {
            progress(Phase::Digest, done, total as u64)
        });
        parallel::sort(&mut entries, self.threads);
        entries
    }

    /// Sources that voted, sorted by name and licence; and the old number of each to its new one.
    fn sort_sources(&self, entries: &[(seed::RuleDigest, u32)]) -> (Vec<u16>, SourceSections) {
        let mut voted = vec![false; self.sources.len()];
        if self.revokes {
            entries.iter().for_each(|(_, entry)| voted[usize::from(self.arena.entries[*entry as usize].vote.source)] = true);
        } else {
            // In the order of the arena: `entries` would go through it at random.
            self.arena.entries.iter().for_each(|entry| voted[usize::from(entry.vote.source)] = true);
        }
        let mut order: Vec<usize> = (0..self.sources.len()).filter(|number| voted[*number]).collect();
        order.sort_unstable_by_key(|number| &self.sources[*number]);
        let mut numbers = vec![0; self.sources.len()];
        let (mut entries, mut strings) = (Vec::new(), Vec::new());
        for (place, number) in order.into_iter().enumerate() {
            numbers[number] = place as u16;
            let (name, licence) = &self.sources[number];
            let (name_at, name_bytes) = append(&mut strings, name);
            let (licence_at, licence_bytes) = append(&mut strings, licence);
            entries.push(SourceEntry { name_at, name_bytes, licence_at, licence_bytes });
        }
        (numbers, (entries, strings))
    }
}

type SourceSections = (Vec<SourceEntry>, Vec<u8>);

/// Intervals of addresses: where each begins, and the id of its verdict, or its node.
type Flat = Vec<(u128, u32)>;

/// What the rules and votes come to, before there is a hash key.
struct Merged {
    root: seed::RuleDigest,
    rules: Vec<RuleVerdict>,
    records: Records,
    /// Of IPv4 and of IPv6.
    flat: [Flat; 2],
    sources: SourceSections,
}

/// Ids of all verdicts, those of nested prefixes among them.
fn lay_out(interned: Interned, prefixes: [Vec<Prefix>; 2]) -> Result<(Records, [Flat; 2]), Error> {
    let mut nodes = Nodes::default();
    let [v4, v6] = prefixes;
    let mut flat = [lpm::flatten(v4, 32, &interned, &mut nodes), lpm::flatten(v6, 128, &interned, &mut nodes)];
    let records = interned.lay_out(&nodes)?;
    flat.iter_mut().flatten().for_each(|(_, node)| *node = records.node_ids[*node as usize]);
    Ok((records, flat))
}

fn append(strings: &mut Vec<u8>, text: &str) -> (u32, u32) {
    let at = strings.len() as u32;
    strings.extend_from_slice(text.as_bytes());
    (at, text.len() as u32)
}

/// Kinds in the order of `Header::rules`.
const _: () = assert!(RuleKind::UrlToken as usize + 1 == 16);
