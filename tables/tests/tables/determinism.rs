//! The same rules and votes are the same bytes: in any order, however often, with any number of threads, on every architecture.

use crate::common;
use common::{OwnedRule, Random, SOURCES, backend, random_vote};
use sha2::{Digest as _, Sha256};
use verdict_keys::{Batch, Digest, Kind, Profile, Scheme};
use verdict_simd::Portable;
use verdict_tables::{Builder, Class, Error, Part, Phase, Rule, Scratch, Snapshot, Source, Unreachable, Verdict, Vote, lookup};

fn votes(count: u32, seed: u64) -> Vec<(OwnedRule, Vote)> {
    let mut random = Random(seed);
    (0..count)
        .map(|_| {
            let number = random.below(count as usize / 2);
            let host = format!("h{}.d{}.test", number % 3, number % 997);
            let part = [Part::Host, Part::Url][number % 2];
            let rule = match number % 5 {
                _ if number.is_multiple_of(23) => {
                    OwnedRule::Signature { text: format!("s{}.te", number % 997), part, token: number.is_multiple_of(4) }
                }
                0 => OwnedRule::Host { host, subdomains: number.is_multiple_of(2) },
                1 => OwnedRule::Url { host, path_query: format!("/{number}?q"), prefix: false, subdomains: false },
                2 => OwnedRule::Url { host, path_query: format!("/{number}/"), prefix: true, subdomains: number.is_multiple_of(4) },
                3 => {
                    // Some around others.
                    let bits = if number.is_multiple_of(4) { 18 } else { 23 + (number % 10) as u8 };
                    let network = (number as u32) << 9 & u32::MAX << (32 - bits);
                    OwnedRule::Net { network: std::net::Ipv4Addr::from_bits(network).into(), bits }
                }
                _ => OwnedRule::File(Digest::Sha1([(number % 251) as u8; 20])),
            };
            (rule, random_vote(&mut random))
        })
        .collect()
}

fn bytes(votes: &[(OwnedRule, Vote)]) -> Vec<u8> {
    common::builder(Scheme::Full, votes).build(backend()).unwrap().bytes
}

#[test]
fn a_steady_key_outlives_the_rules_and_a_small_change_leaves_most_pages_alone() {
    use std::collections::HashSet;
    use verdict_tables::layout::{Header, PAGE};
    let build = |rules: u32, secret: &[u8], steady: bool| {
        let mut builder = verdict_tables::Builder::new(verdict_keys::Scheme::Full, secret, 1);
        if steady {
            builder.steady_hash_key();
        }
        let source = builder.source(verdict_tables::Source { name: "one", licence: "" });
        for number in 0..rules {
            builder.add(verdict_tables::Rule::Host { host: &format!("h{number}.test"), subdomains: true }, common::vote(source)).unwrap();
        }
        builder.build(verdict_simd::Portable::new()).unwrap().bytes
    };
    let key = |bytes: &[u8]| bytemuck::pod_read_unaligned::<Header>(&bytes[..size_of::<Header>()]).hash_key;
    let (before, after) = (build(30_000, b"secret", true), build(30_005, b"secret", true));
    assert!(key(&before) == key(&after) && key(&before) != key(&build(30_000, b"other", true)));
    assert!(key(&build(30_000, b"secret", false)) != key(&build(30_005, b"secret", false)));
    let there: HashSet<&[u8]> = before.chunks(PAGE).collect();
    let same = after.chunks(PAGE).filter(|page| there.contains(page)).count();
    assert!(same * 2 > after.len() / PAGE, "{same} of {} pages", after.len() / PAGE);
    verdict_tables::Snapshot::from_bytes(&after).unwrap();
}

#[test]
fn order_repetition_and_threads_do_not_show() {
    let mut votes = votes(20_000, 1);
    let first = bytes(&votes);
    let mut random = Random(2);
    random.shuffle(&mut votes);
    assert!(bytes(&votes) == first, "shuffled");
    votes.extend_from_within(..7000);
    votes.extend_from_within(..100);
    random.shuffle(&mut votes);
    assert!(bytes(&votes) == first, "repeated");
    for threads in [1, 3, 8] {
        let mut builder = common::builder(Scheme::Full, &votes);
        builder.threads(threads);
        assert!(builder.build(backend()).unwrap().bytes == first, "{threads} threads");
    }
    let mut builder = common::builder(Scheme::Full, &votes);
    builder.threads(2);
    assert!(builder.build(Portable::new()).unwrap().bytes == first, "portable backend");
}

#[test]
fn numbers_of_sources_and_sources_without_votes_do_not_show() {
    let rule = Rule::Host { host: "a.test", subdomains: true };
    let build = |names: &[&str]| {
        let mut builder = Builder::new(Scheme::Full, b"", 0);
        for name in names {
            let source = builder.source(Source { name, licence: "" });
            assert_eq!(builder.source(Source { name, licence: "" }), source, "registered twice");
            if *name != "silent" {
                builder.add(rule, Vote { source, ..random_vote(&mut Random(3)) }).unwrap();
            }
        }
        builder.build(backend()).unwrap().bytes
    };
    assert!(build(&["b", "a", "silent"]) == build(&["a", "b"]));
    assert!(build(&["a"]) != build(&["a", "b"]));
    let snapshot = Snapshot::from_bytes(&build(&["z", "silent", "y"])).unwrap();
    assert_eq!(snapshot.sources().map(|source| source.name).collect::<Vec<_>>(), ["y", "z"]);
}

#[test]
fn another_secret_rule_vote_or_date_is_another_generation() {
    let votes = votes(200, 4);
    let build = |scheme, secret: &[u8], as_of_s, votes: &[(OwnedRule, Vote)]| {
        let mut builder = Builder::new(scheme, secret, as_of_s);
        for source in SOURCES {
            builder.source(source);
        }
        votes.iter().for_each(|(rule, vote)| builder.add(rule.borrow(), *vote).unwrap());
        builder.build(backend()).unwrap().generation
    };
    let mut other = votes.clone();
    other[0].1.ttl_s += 1_000_000;
    let mut more = votes.clone();
    more.push((OwnedRule::Host { host: "new.test".into(), subdomains: false }, votes[0].1));
    let generations = [
        build(Scheme::Full, b"", 0, &votes),
        build(Scheme::Full, b"s", 0, &votes),
        build(Scheme::Full, b"", 1, &votes),
        build(Scheme::GsbV4, b"", 0, &votes),
        build(Scheme::Full, b"", 0, &other),
        build(Scheme::Full, b"", 0, &more),
        build(Scheme::Full, b"", 0, &votes[..100]),
    ];
    assert!(generations.iter().enumerate().all(|(at, generation)| *generation != 0 && !generations[..at].contains(generation)));
}

/// These bytes are the format. If this fails, either VERSION changes or the change is wrong; x86-64 and ARM run the same test.
#[test]
fn the_golden_snapshot_has_not_changed() {
    let golden = bytes(&votes(3000, 5));
    let sha256: String = Sha256::digest(&golden).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(sha256, GOLDEN_SHA256);
    let snapshot = Snapshot::from_bytes(&golden).unwrap();
    assert_eq!(snapshot.generation(), GOLDEN_GENERATION);
}

const GOLDEN_SHA256: &str = "2dbbacaf3addbec3e2dc162e0172e7bcd34a5bcd4b3df83436601d7ab42887f1";
const GOLDEN_GENERATION: u64 = 13_012_975_333_375_799_208;

#[test]
fn an_empty_snapshot_knows_nothing_and_says_so() {
    let built = Builder::new(Scheme::Full, b"", 0).build(backend()).unwrap();
    let snapshot = Snapshot::from_bytes(&built.bytes).unwrap();
    let questions: [(Kind, &[u8]); 7] = [
        (Kind::Url, b"http://a.test/b?c"),
        (Kind::Host, b"a.b.c.test"),
        (Kind::Ipv4, &[0; 4]),
        (Kind::Ipv6, &[255; 16]),
        (Kind::Md5, &[0; 16]),
        (Kind::Sha1, &[0; 20]),
        (Kind::Sha256, &[0; 32]),
    ];
    assert!(common::ask(&snapshot, &questions).iter().all(|verdict| *verdict == Verdict::default()));
    assert_eq!((snapshot.stats().rules_total(), snapshot.stats().verdicts, snapshot.stats().sources), (0, 0, 0));
    assert!(snapshot.inspect().to_string().contains("rules        0"));
    // No key at all has an entry, not even the one whose tag is that of an empty slot.
    let mut batch = Batch::with_capacity(1);
    batch.push_hashed(verdict_simd::Key128 { lo: 0, hi: 0 }, false, false);
    let mut verdicts = [Verdict::default()];
    lookup(backend(), &snapshot, &batch, &mut Scratch::default(), &mut verdicts);
    assert_eq!(verdicts, [Verdict::default()]);
}

#[test]
fn one_rule_is_found_and_nothing_else() {
    let vote = Vote { class: Class::Malicious, allow: false, overrides: false, ..random_vote(&mut Random(6)) };
    let snapshot = common::snapshot(Scheme::Full, &[(OwnedRule::Host { host: "one.test".into(), subdomains: false }, vote)]);
    let verdicts = common::ask(&snapshot, &[(Kind::Host, "one.test"), (Kind::Host, "two.test"), (Kind::Host, "a.one.test")]);
    assert_eq!(verdicts.iter().map(Verdict::verdict_id).collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn rules_that_no_question_could_find_are_refused_with_the_reason() {
    let check = |scheme, rule: Rule<'_>, expected: Option<Unreachable>| {
        let mut builder = common::builder(scheme, &[]);
        match builder.add(rule, random_vote(&mut Random(7))) {
            Ok(()) => assert_eq!(expected, None, "{rule:?}"),
            Err(Error::Unreachable(reason)) => assert_eq!(Some(reason), expected, "{rule:?}"),
            Err(other) => panic!("{other}"),
        }
    };
    let labels = |count: usize| vec!["l"; count].join(".");
    fn host(host: &str, subdomains: bool) -> Rule<'_> {
        Rule::Host { host, subdomains }
    }
    fn prefix(path_query: &str) -> Rule<'_> {
        Rule::Url { host: "a.test", path_query, prefix: true, subdomains: false }
    }
    check(Scheme::GsbV4, host(&labels(5), true), None);
    check(Scheme::GsbV4, host(&labels(6), true), Some(Unreachable::Labels { labels: 6, max: 5 }));
    check(Scheme::GsbV4, host(&labels(60), false), None);
    check(Scheme::Full, host(&labels(16), true), None);
    check(Scheme::Full, host(&labels(17), true), Some(Unreachable::Labels { labels: 17, max: 16 }));
    check(Scheme::Full, host("localhost", true), Some(Unreachable::SingleLabel));
    check(Scheme::Full, host("localhost", false), None);
    check(Scheme::GsbV4, prefix("/1/2/3/"), None);
    check(Scheme::GsbV4, prefix("/1/2/3/4/"), Some(Unreachable::Depth { depth: 5, max: 4 }));
    check(Scheme::Full, prefix(&format!("/{}", "x/".repeat(15))), None);
    check(Scheme::Full, prefix(&format!("/{}", "x/".repeat(16))), Some(Unreachable::Depth { depth: 17, max: 16 }));
}

#[test]
fn gsb_v5_asks_by_the_list_it_was_given_and_refuses_to_do_without() {
    let vote = random_vote(&mut Random(9));
    let mut builder = Builder::new(Scheme::GsbV5, b"", 0);
    builder.source(SOURCES[0]);
    let listed = Rule::Host { host: "a.test", subdomains: false };
    assert!(matches!(builder.add(listed, Vote { source: 0, ..vote }), Err(Error::NoSuffixList)));
    assert!(matches!(builder.build(backend()), Err(Error::NoSuffixList)));
    let snapshot = common::snapshot(Scheme::GsbV5, &[]);
    assert_eq!(snapshot.profile(), &Profile::gsb_v5(common::suffixes()));
    assert_eq!(common::snapshot(Scheme::GsbV4, &[]).profile(), &Profile::GSB_V4, "without the list that nobody needs");
    let refused = |host| common::builder(Scheme::GsbV5, &[]).add(Rule::Host { host, subdomains: true }, vote).is_err();
    assert!(refused("d0.test") && refused("l0.d1.test") && !refused("l1.d1.test") && !refused("a.test"));
}

#[test]
fn malformed_rules_and_votes_are_refused_and_leave_no_trace() {
    let good = [(OwnedRule::Host { host: "good.test".into(), subdomains: true }, random_vote(&mut Random(8)))];
    let mut builder = common::builder(Scheme::Full, &good);
    let vote = good[0].1;
    let url = |path_query, prefix| Rule::Url { host: "a.test", path_query, prefix, subdomains: false };
    let long = format!("/{}", "x".repeat(40_000));
    let rules = [
        Rule::Host { host: "", subdomains: false },
        Rule::Host { host: "UPPER.test", subdomains: false },
        Rule::Host { host: ".test", subdomains: false },
        Rule::Host { host: "a..test", subdomains: false },
        Rule::Host { host: "a.test.", subdomains: false },
        Rule::Host { host: "a b.test", subdomains: false },
        Rule::Host { host: "a.test/x", subdomains: false },
        Rule::Host { host: "ä.test", subdomains: false },
        url("no/slash", false),
        url("", false),
        url("/dir", true),
        url("/?q/", true),
        url(&long, false),
        Rule::Net { network: "192.0.2.1".parse().unwrap(), bits: 24 },
        Rule::Net { network: "192.0.2.0".parse().unwrap(), bits: 33 },
        Rule::Net { network: "2001:db8::".parse().unwrap(), bits: 129 },
        Rule::Net { network: "2001:db8::1".parse().unwrap(), bits: 127 },
        Rule::Net { network: "0.0.0.1".parse().unwrap(), bits: 0 },
    ];
    for rule in rules {
        assert!(matches!(builder.add(rule, vote), Err(Error::MalformedRule(_))), "{rule:?}");
    }
    let rule = good[0].0.borrow();
    for vote in [
        Vote { source: SOURCES.len() as u16, ..vote },
        Vote { score: 101, ..vote },
        Vote { confidence: 101, ..vote },
        Vote { categories: 1 << 12, ..vote },
    ] {
        assert!(matches!(builder.add(rule, vote), Err(Error::MalformedVote(_))), "{vote:?}");
    }
    assert!(builder.build(backend()).unwrap().bytes == bytes(&good));
}

#[test]
fn an_address_as_host_is_its_network_however_it_is_spelt() {
    let vote = random_vote(&mut Random(9));
    let build = |rule| {
        let mut builder = common::builder(Scheme::Full, &[]);
        builder.add(rule, vote).unwrap();
        builder.build(backend()).unwrap().bytes
    };
    let net = |network: &str, bits| Rule::Net { network: network.parse().unwrap(), bits };
    assert!(build(Rule::Host { host: "192.0.2.1", subdomains: true }) == build(net("192.0.2.1", 32)));
    assert!(build(Rule::Host { host: "[2001:db8::1]", subdomains: false }) == build(net("2001:db8::1", 128)));
    assert!(build(net("::ffff:192.0.2.0", 120)) == build(net("192.0.2.0", 24)));
    assert!(build(net("64:ff9b::192.0.2.0", 120)) == build(net("192.0.2.0", 24)));
    let url = |host, subdomains| Rule::Url { host, path_query: "/x", prefix: false, subdomains };
    assert!(build(url("192.0.2.1", true)) == build(url("192.0.2.1", false)));
}

#[test]
fn progress_ends_every_phase_at_its_total() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut builder = common::builder(Scheme::Full, &votes(5000, 10));
    let log = seen.clone();
    builder.on_progress(Box::new(move |phase, done, total| log.lock().unwrap().push((phase, done, total))));
    builder.build(backend()).unwrap();
    let seen = seen.lock().unwrap();
    for phase in [Phase::Digest, Phase::Merge, Phase::Hash, Phase::Place, Phase::Write] {
        let of_phase: Vec<(u64, u64)> = seen.iter().filter(|(other, ..)| *other == phase).map(|(_, done, total)| (*done, *total)).collect();
        assert!(of_phase.iter().all(|(done, total)| done <= total), "{phase:?}");
        assert!(of_phase.last().is_some_and(|(done, total)| done == total), "{phase:?}");
    }
}

#[test]
fn more_sources_than_a_vote_can_name_are_refused() {
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    for number in 0..=u16::MAX {
        assert_eq!(builder.source(Source { name: &number.to_string(), licence: "" }), number);
    }
    builder.source(Source { name: "one too many", licence: "" });
    let rule = Rule::Host { host: "a.test", subdomains: false };
    let vote = Vote { source: 0, ..random_vote(&mut Random(11)) };
    assert!(matches!(builder.add(rule, vote), Err(Error::TooManySources { .. })));
    assert!(matches!(builder.build(backend()), Err(Error::TooManySources { .. })));
}
