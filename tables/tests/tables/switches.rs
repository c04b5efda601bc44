//! What is switched off says nothing, and everything else says what it would say if the other had never been compiled: held against the oracle, and
//! against a snapshot that was compiled without it, for every kind of rule, every feed, pairs and any sets of them, in worlds where everything nests in
//! and contradicts everything else, and several feeds vote on one rule.

use crate::common;
use crate::model::{Judged, World, around, both, explained, fewer, random_rules};
use common::oracle::{Oracle, Question};
use common::{OwnedRule, Random, SOURCES, backend, vote};
use verdict_keys::{Batch, CanonicalUrl, Canonicalizer, Digest, Expressions, Kind, Profile, Scheme};
use verdict_tables::{Builder, Class, Off, On, Part, Rule, RuleKind, Scratch, Snapshot, Source, Vote, matches};

fn off(sources: &[&str], kinds: &[RuleKind]) -> Off {
    Off { sources: sources.iter().map(|name| (*name).to_owned()).collect(), kinds: kinds.iter().copied().collect() }
}

/// By the rule's own words.
fn kind(rule: &OwnedRule) -> RuleKind {
    let either = |first: bool, yes, no| if first { yes } else { no };
    match rule.borrow() {
        Rule::Host { subdomains, .. } => either(subdomains, RuleKind::HostSubdomains, RuleKind::Host),
        Rule::Url { prefix: false, subdomains, .. } => either(subdomains, RuleKind::UrlSubdomains, RuleKind::Url),
        Rule::Url { prefix: true, subdomains, .. } => either(subdomains, RuleKind::UrlPrefixSubdomains, RuleKind::UrlPrefix),
        Rule::Net { network, .. } => either(network.is_ipv4(), RuleKind::Ipv4, RuleKind::Ipv6),
        Rule::File(Digest::Sha256(_)) => RuleKind::Sha256,
        Rule::File(Digest::Sha1(_)) => RuleKind::Sha1,
        Rule::File(Digest::Md5(_)) => RuleKind::Md5,
        Rule::Signature { part: Part::Host, token, .. } => either(token, RuleKind::HostToken, RuleKind::HostSubstring),
        Rule::Signature { part: Part::Url, token, .. } => either(token, RuleKind::UrlToken, RuleKind::UrlSubstring),
    }
}

fn is_on(off: &Off, rule: &OwnedRule, vote: &Vote) -> bool {
    !off.kinds.contains(&kind(rule)) && !off.sources.contains(SOURCES[usize::from(vote.source)].name)
}

/// A rule of class unknown that overrides nothing answers as none does; which of both it was is told only while everything is on.
fn spoken(judged: Judged) -> Judged {
    judged.filter(|said| said.class != Class::Unknown || said.flags != 0)
}

/// Every kind of rule, every feed, pairs of them, and any sets.
fn every_switch(random: &mut Random) -> Vec<Off> {
    let mut all: Vec<Off> = RuleKind::ALL.iter().map(|kind| off(&[], &[*kind])).collect();
    all.extend(SOURCES.iter().map(|source| off(&[source.name], &[])));
    all.extend(SOURCES.iter().zip(RuleKind::ALL.iter().cycle()).map(|(source, kind)| off(&[source.name], &[*kind])));
    all.extend(SOURCES.windows(2).map(|two| off(&[two[0].name, two[1].name], &[])));
    all.push(off(&SOURCES.map(|source| source.name), &[]));
    all.push(off(&[], &RuleKind::ALL));
    all.extend((0..20).map(|_| {
        let sources: Vec<&str> = SOURCES.iter().filter(|_| random.one_in(2)).map(|source| source.name).collect();
        let kinds: Vec<RuleKind> = RuleKind::ALL.into_iter().filter(|_| random.one_in(8)).collect();
        off(&sources, &kinds)
    }));
    all
}

/// A world, what is said in it, and what to ask.
struct Round {
    scheme: Scheme,
    votes: Vec<(OwnedRule, Vote)>,
    questions: Vec<Question>,
}

impl Round {
    fn new(random: &mut Random, round: u64) -> Self {
        let (domains, labels, segments) = (1 + random.below(4), 1 + random.below(3), 1 + random.below(3));
        let address_bits = 2 + random.below(5) as u32;
        let world = World { domains, labels, segments, address_bits, digests: 12, signature_odds: 4 };
        let scheme = Scheme::ALL[round as usize % Scheme::ALL.len()];
        let mut votes = random_rules(&world, random, 150, scheme);
        // Addresses more often than elsewhere: nested prefixes are what is hardest.
        votes.extend(random_rules(&world, random, 300, scheme).into_iter().filter(|(rule, _)| matches!(rule, OwnedRule::Net { .. })));
        let mut questions: Vec<Question> = Oracle::new(&votes).rules().flat_map(around).collect();
        questions.extend((0..300).map(|_| world.question(random)));
        Self { scheme, votes, questions }
    }

    /// What a feed that is on says in a kind that is on.
    fn left(&self, off: &Off) -> Vec<(OwnedRule, Vote)> {
        self.votes.iter().filter(|(rule, vote)| is_on(off, rule, vote)).cloned().collect()
    }
}

#[test]
fn without_a_feed_or_a_kind_every_answer_is_that_of_the_others() {
    const SEED: u64 = 20_261_122;
    let (mut asked, mut changed, mut known) = (0, 0, 0);
    for round in 0..if fewer() { 4 } else { 12 } {
        let mut random = Random(SEED + round);
        let world = Round::new(&mut random, round);
        let all = Oracle::new(&world.votes);
        let compiled = common::snapshot(world.scheme, &world.votes);
        for off in every_switch(&mut random) {
            let left = Oracle::new(&world.left(&off));
            let switched = compiled.switched(&off);
            both(
                &switched,
                &world.questions,
                |question, profile| left.judge(question, profile),
                |question, said, expected| {
                    let (said, expected) = (spoken(said), spoken(expected));
                    assert_eq!(said, expected, "seed {SEED} + {round}, {off:?}, {question:?}");
                    known += usize::from(said.is_some());
                    changed += usize::from(said != spoken(all.judge(question, compiled.profile())));
                    asked += 1;
                },
            );
            assert!(compiled.verdicts_off() == 0 && switched.verdicts_off() <= compiled.stats().verdicts as usize);
        }
        both(
            &compiled.switched(&Off::default()),
            &world.questions,
            |question, profile| all.judge(question, profile),
            |question, said, expected| {
                assert_eq!(said, expected, "all on again, {question:?}");
            },
        );
    }
    println!("seeds from {SEED}: {asked} answers with something off, {known} known, {changed} other than with everything on");
    assert!(changed > asked / 50 && known > asked / 4);
}

/// The hosts and paths that a question is asked by.
fn expressions(question: &Question, profile: &Profile) -> (Vec<String>, Vec<String>) {
    let mut canonicalizer = Canonicalizer::new();
    let bytes = question.bytes();
    let url = match question {
        Question::Url { .. } => canonicalizer.url(&bytes).unwrap(),
        Question::Host(_) => {
            let (host, host_text) = canonicalizer.host(&bytes).unwrap();
            CanonicalUrl { host, host_text, path_query: "/", path_bytes: 1 }
        }
        Question::Address(_) | Question::File(_) => return Default::default(),
    };
    let Expressions { hosts, paths, .. } = Expressions::new(&url, profile);
    (hosts.iter().map(|host| (*host).to_owned()).collect(), paths.iter().map(|path| (*path).to_owned()).collect())
}

/// What matches a question: on what, and all that is said; and how many more matches are off.
fn told(snapshot: &Snapshot, question: &Question) -> (Vec<(String, Judged)>, usize) {
    let mut batch = Batch::with_capacity(1);
    batch.keep_texts(snapshot.reads_texts());
    batch.push(backend(), snapshot.schedule(), snapshot.profile(), question.kind(), &question.bytes());
    let all = matches(backend(), snapshot, &batch, 0, &mut Scratch::default());
    let (hosts, paths) = expressions(question, snapshot.profile());
    // By name: places are others where questions reach less far, and signatures are numbered anew where some are left out.
    let on = |on: On| match on {
        On::Host { host, own } => format!("{} {own}", hosts[usize::from(host)]),
        On::Url { host, path, prefix, own } => format!("{} {} {prefix} {own}", hosts[usize::from(host)], paths[usize::from(path)]),
        On::Signature { index, at, bytes } => format!("{:?} at {at} of {bytes}", snapshot.signature(index)),
        On::Network { .. } | On::Key => format!("{on:?}"),
    };
    assert!(all.is_sorted_by_key(|found| found.off), "what is off comes last");
    let given = all.iter().filter(|found| !found.off).map(|found| (on(found.on), spoken(explained(snapshot, &found.verdict))));
    (given.filter(|(_, said)| said.is_some()).collect(), all.iter().filter(|found| found.off).count())
}

#[test]
fn a_switched_snapshot_explains_what_one_compiled_without_explains() {
    const SEED: u64 = 20_261_123;
    let (mut compared, mut off_matches) = (0, 0);
    for round in 0..if fewer() { 2 } else { 6 } {
        let mut random = Random(SEED + round);
        let world = Round::new(&mut random, round);
        let compiled = common::snapshot(world.scheme, &world.votes);
        for off in every_switch(&mut random) {
            let (switched, without) = (compiled.switched(&off), common::snapshot(world.scheme, &world.left(&off)));
            for question in world.questions.iter().filter(|_| random.one_in(8)) {
                let ((said, gone), (expected, none)) = (told(&switched, question), told(&without, question));
                assert_eq!(said, expected, "seed {SEED} + {round}, {off:?}, {question:?}");
                assert_eq!(none, 0);
                compared += said.len();
                off_matches += gone;
            }
        }
    }
    println!("seeds from {SEED}: {compared} matches, {off_matches} off");
    assert!(compared > 1000 && off_matches > 1000);
}

fn net(text: &str) -> OwnedRule {
    let (network, bits) = text.split_once('/').unwrap();
    OwnedRule::Net { network: network.parse().unwrap(), bits: bits.parse().unwrap() }
}

/// Score, sources, and addresses around that are answered alike.
fn at(snapshot: &Snapshot, address: [u8; 4]) -> Vec<(u8, String, String, bool)> {
    let mut batch = Batch::with_capacity(1);
    batch.push(backend(), snapshot.schedule(), snapshot.profile(), Kind::Ipv4, &address);
    let all = matches(backend(), snapshot, &batch, 0, &mut Scratch::default());
    let one = |found: &verdict_tables::Match| {
        let On::Network { first, last } = found.on else { panic!("{found:?}") };
        let described = snapshot.describe(found.verdict.verdict_id()).unwrap();
        let sources: Vec<&str> = described.sources().map(|source| source.name).collect();
        (found.verdict.score, sources.join(" "), format!("{first} {last}"), found.off)
    };
    all.iter().map(one).collect()
}

#[test]
fn a_wider_prefix_of_another_feed_comes_back_and_a_rule_of_two_feeds_says_what_is_left() {
    let said = |source, score| Vote { score, ..vote(source) };
    let snapshot = common::snapshot(
        Scheme::Full,
        &[
            (net("192.0.2.0/24"), said(0, 30)),
            (net("192.0.2.64/26"), said(1, 90)),
            (net("192.0.2.64/26"), Vote { confidence: 10, ..said(2, 70) }),
            (net("192.0.2.96/27"), Vote { allow: true, ..said(2, 0) }),
            (net("192.0.2.97/32"), said(0, 50)),
        ],
    );
    let named = |score, sources: &str, around: &str, off| (score, sources.to_owned(), around.to_owned(), off);
    let (inner, allowed) = ("192.0.2.64 192.0.2.95", "192.0.2.96 192.0.2.127");
    assert_eq!(at(&snapshot, [192, 0, 2, 70]), [named(90, "beta gamma", inner, false)]);
    assert_eq!(at(&snapshot, [192, 0, 2, 97]), [named(0, "gamma", allowed, false)]);
    let without = |names: &[&str]| snapshot.switched(&off(names, &[]));
    assert_eq!(at(&without(&["beta"]), [192, 0, 2, 70]), [named(70, "gamma", inner, false)]);
    assert_eq!(
        at(&without(&["beta", "gamma"]), [192, 0, 2, 70]),
        [named(30, "alpha", "192.0.2.0 192.0.2.96", false), named(90, "beta gamma", inner, true)]
    );
    let all_but_one = "192.0.2.64 192.0.2.96";
    assert_eq!(at(&without(&["gamma"]), [192, 0, 2, 96]), [named(90, "beta", all_but_one, false), named(0, "gamma", allowed, true)]);
    assert_eq!(
        at(&without(&["gamma"]), [192, 0, 2, 97]),
        [named(50, "alpha", "192.0.2.97 192.0.2.97", false), named(0, "gamma", allowed, true)]
    );
    assert_eq!(at(&snapshot.switched(&off(&[], &[RuleKind::Ipv4])), [192, 0, 2, 97]), [named(0, "gamma", allowed, true)]);
    assert_eq!(at(&without(&["gamma"]).switched(&Off::default()), [192, 0, 2, 97]), at(&snapshot, [192, 0, 2, 97]));
}

#[test]
fn a_feed_is_off_under_each_of_its_licences() {
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    let [one, other, third] =
        [("feed", "CC0-1.0"), ("feed", "ODbL-1.0"), ("third", "")].map(|(name, licence)| builder.source(Source { name, licence }));
    let hosts = [("one.test", &[one, other][..]), ("two.test", &[one, other, third][..])];
    for (host, sources) in hosts {
        sources.iter().for_each(|source| builder.add(Rule::Host { host, subdomains: true }, vote(*source)).unwrap());
    }
    let snapshot = Snapshot::from_bytes(&builder.build(backend()).unwrap().bytes).unwrap();
    let switched = snapshot.switched(&off(&["feed"], &[]));
    let verdicts = common::ask(&switched, &hosts.map(|(host, _)| (Kind::Host, host)));
    let sources = |id| switched.describe(id).map(|known| known.sources().map(|source| source.name).collect::<Vec<_>>());
    assert_eq!(verdicts.iter().map(|verdict| sources(verdict.verdict_id())).collect::<Vec<_>>(), [None, Some(vec!["third"])]);
    assert_eq!(switched.verdicts_off(), 1);
}
