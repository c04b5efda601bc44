//! What several tests need: seeded numbers, owned rules, and questions asked in bulk.
#![allow(dead_code)] // each test file uses its own part

pub mod oracle;

use std::net::IpAddr;
use std::sync::Arc;

use verdict_keys::{Batch, Digest, Kind, Scheme, SuffixList};
use verdict_simd::{Selected, detect};
use verdict_tables::{Builder, Class, Part, Rule, Scratch, Snapshot, Source, Verdict, Vote, category, lookup};

pub fn backend() -> Selected {
    detect().expect("VERDICT_BACKEND names a backend of this machine")
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// A rule that owns its text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OwnedRule {
    Host { host: String, subdomains: bool },
    Url { host: String, path_query: String, prefix: bool, subdomains: bool },
    Net { network: IpAddr, bits: u8 },
    File(Digest),
    Signature { text: String, part: Part, token: bool },
}

impl OwnedRule {
    pub fn borrow(&self) -> Rule<'_> {
        match self {
            Self::Host { host, subdomains } => Rule::Host { host, subdomains: *subdomains },
            Self::Url { host, path_query, prefix, subdomains } => Rule::Url { host, path_query, prefix: *prefix, subdomains: *subdomains },
            Self::Net { network, bits } => Rule::Net { network: *network, bits: *bits },
            Self::File(digest) => Rule::File(*digest),
            Self::Signature { text, part, token } => Rule::Signature { text, part: *part, token: *token },
        }
    }
}

pub const SOURCES: [Source<'static>; 5] = [
    Source { name: "alpha", licence: "CC0-1.0" },
    Source { name: "beta", licence: "CC-BY-4.0" },
    Source { name: "gamma", licence: "" },
    Source { name: "operator", licence: "own" },
    Source { name: "δelta", licence: "ODbL-1.0" },
];

/// A vote by one of `SOURCES`.
pub fn random_vote(random: &mut Random) -> Vote {
    let first_seen_day = if random.one_in(4) { 0 } else { 19_000 + random.below(5) as u16 };
    Vote {
        source: random.below(SOURCES.len()) as u16,
        class: *random.pick(&[Class::Malicious, Class::Malicious, Class::Malicious, Class::Suspicious, Class::Clean, Class::Unknown]),
        allow: random.one_in(8),
        overrides: random.one_in(16),
        score: random.below(11) as u8 * 10,
        confidence: random.below(5) as u8 * 25,
        categories: 1 << random.below(12) & category::ALL,
        first_seen_day,
        last_seen_day: if random.one_in(4) { 0 } else { 19_010 + random.below(5) as u16 },
        ttl_s: *random.pick(&[60, 300, 3600, 86_400]),
    }
}

/// The plainest one: malicious, by this source.
pub fn vote(source: u16) -> Vote {
    Vote {
        source,
        class: Class::Malicious,
        allow: false,
        overrides: false,
        score: 90,
        confidence: 80,
        categories: 1,
        first_seen_day: 0,
        last_seen_day: 0,
        ttl_s: 60,
    }
}

/// Under which the hosts of the tests fall in every way: rules of one, two and three labels, a wildcard and an exception.
pub fn suffixes() -> Arc<SuffixList> {
    Arc::new(SuffixList::from_normal("!l1.d1.test\n*.d1.test\nd0.test\nl0.d2.test\ntest\n").expect("a list in normal form"))
}

pub fn builder(scheme: Scheme, votes: &[(OwnedRule, Vote)]) -> Builder {
    let mut builder = Builder::new(scheme, b"test secret", 1_700_000_000);
    builder.public_suffixes(suffixes());
    for source in SOURCES {
        builder.source(source);
    }
    for (rule, vote) in votes {
        builder.add(rule.borrow(), *vote).unwrap_or_else(|error| panic!("{rule:?}: {error}"));
    }
    builder
}

pub fn snapshot(scheme: Scheme, votes: &[(OwnedRule, Vote)]) -> Snapshot {
    let built = builder(scheme, votes).build(backend()).unwrap();
    let snapshot = Snapshot::from_bytes(&built.bytes).unwrap();
    assert_eq!(snapshot.generation(), built.generation);
    snapshot
}

/// One verdict per question, asked in batches of many sizes.
pub fn ask<Q: AsRef<[u8]>>(snapshot: &Snapshot, questions: &[(Kind, Q)]) -> Vec<Verdict> {
    let mut verdicts = vec![Verdict::default(); questions.len()];
    let mut scratch = Scratch::default();
    let mut batch = Batch::with_capacity(0);
    let mut from = 0;
    for size in [1, 2, 3, 63, 64, 65, 255, 256, 257, 1000, 4096].into_iter().cycle() {
        if from == questions.len() {
            break;
        }
        let to = questions.len().min(from + size);
        batch.keep_texts(snapshot.reads_texts());
        for (kind, bytes) in &questions[from..to] {
            batch.push(backend(), snapshot.schedule(), snapshot.profile(), *kind, bytes.as_ref());
        }
        lookup(backend(), snapshot, &batch, &mut scratch, &mut verdicts[from..to]);
        from = to;
    }
    verdicts
}
