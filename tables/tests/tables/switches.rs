//! What is switched off says nothing, and everything else says what it would say if the other had never been compiled: held against the oracle, for
//! every kind of rule, every feed, and pairs of them, in worlds where everything nests in and contradicts everything else.

use crate::common;
use crate::model::{World, around, both, fewer, random_rules};
use common::oracle::{Expected, Oracle, Question};
use common::{OwnedRule, Random, SOURCES};
use std::collections::BTreeMap;
use verdict_keys::{Digest, Scheme};
use verdict_tables::{Class, Off, Part, Rule, RuleKind, Vote};

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

/// A rule of class unknown answers as none does, and which of both it was nobody needs to know.
fn spoken(judged: Option<Expected>) -> Option<Expected> {
    judged.filter(|said| said.class != Class::Unknown || said.flags != 0)
}

/// Every kind of rule, every feed, and pairs of them.
fn every_switch() -> Vec<Off> {
    let mut all: Vec<Off> = RuleKind::ALL.iter().map(|kind| off(&[], &[*kind])).collect();
    all.extend(SOURCES.iter().map(|source| off(&[source.name], &[])));
    all.extend(SOURCES.iter().zip(RuleKind::ALL.iter().cycle()).map(|(source, kind)| off(&[source.name], &[*kind])));
    all.extend(SOURCES.windows(2).map(|two| off(&[two[0].name, two[1].name], &[])));
    all.push(off(&SOURCES.map(|source| source.name), &[]));
    all.push(off(&[], &RuleKind::ALL));
    all
}

/// Each rule has one feed, and prefixes do not nest: see the next tests for the others.
fn one_feed_each(votes: &mut Vec<(OwnedRule, Vote)>) {
    let mut first: BTreeMap<OwnedRule, u16> = BTreeMap::new();
    votes.retain(|(rule, _)| !matches!(rule, OwnedRule::Net { network, bits } if *bits != if network.is_ipv4() { 30 } else { 56 }));
    for (rule, vote) in votes {
        vote.source = *first.entry(rule.clone()).or_insert(vote.source);
    }
}

#[test]
fn without_a_feed_or_a_kind_every_answer_is_that_of_the_others() {
    const SEED: u64 = 20_261_122;
    let (mut asked, mut changed, mut known) = (0, 0, 0);
    for round in 0..if fewer() { 4 } else { 8 } {
        let mut random = Random(SEED + round);
        let (domains, labels, segments) = (1 + random.below(4), 1 + random.below(3), 1 + random.below(3));
        let world = World { domains, labels, segments, address_bits: 6, digests: 12, signature_odds: 4 };
        let scheme = Scheme::ALL[round as usize % Scheme::ALL.len()];
        let mut votes = random_rules(&world, &mut random, 150, scheme);
        one_feed_each(&mut votes);
        let all = Oracle::new(&votes);
        let mut questions: Vec<Question> = all.rules().flat_map(around).collect();
        questions.extend((0..300).map(|_| world.question(&mut random)));
        let compiled = common::snapshot(scheme, &votes);
        for off in every_switch() {
            let left: Vec<_> = votes.iter().filter(|(rule, vote)| is_on(&off, rule, vote)).cloned().collect();
            let left = Oracle::new(&left);
            let switched = compiled.switched(&off);
            both(
                &switched,
                &questions,
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
            &questions,
            |question, profile| all.judge(question, profile),
            |question, said, expected| {
                assert_eq!(said, expected, "all on again, {question:?}");
            },
        );
    }
    println!("seeds from {SEED}: {asked} answers with something off, {known} known, {changed} other than with everything on");
    assert!(changed > asked / 50 && known > asked / 4);
}
