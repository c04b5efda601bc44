//! The tables against the definition: a naive evaluator over strings (`common/oracle.rs`) must give the same answers and the same reasons,
//! for every rule, for what lies beside each rule, and for random questions.
//!
//! Names, paths and networks come from small alphabets, so that rules nest, overlap and contradict each other all the time.

use crate::common;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use common::oracle::{Expected, Oracle, Question, Wrong};
use common::{OwnedRule, Random, ask, random_vote};
use proptest::prelude::*;
use verdict_keys::{Digest, Kind, Profile, Scheme};
use verdict_tables::{Class, Part, Snapshot, Status, Verdict, Vote};

/// How far the rules of a test spread.
pub struct World {
    pub domains: usize,
    pub labels: usize,
    pub segments: usize,
    /// Free bits of networks: few of them make prefixes overlap.
    pub address_bits: u32,
    pub digests: u64,
    /// One rule in so many is a signature.
    pub signature_odds: usize,
}

impl World {
    fn host(&self, random: &mut Random, labels_max: usize) -> String {
        let below = random.below(labels_max);
        let domain = format!("d{}.test", random.below(self.domains));
        (0..below).map(|_| format!("l{}", random.below(self.labels))).chain([domain]).collect::<Vec<_>>().join(".")
    }

    fn address(&self, random: &mut Random) -> IpAddr {
        let spread = random.next() & ((1 << self.address_bits) - 1);
        if random.one_in(2) {
            Ipv4Addr::from_bits(0xC000_0000 | (spread as u32) << (32 - self.address_bits - 2) | random.below(4) as u32).into()
        } else {
            Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(spread) << (96 - self.address_bits) | random.below(4) as u128).into()
        }
    }

    fn directory(&self, random: &mut Random, depth_max: usize) -> String {
        let depth = random.below(depth_max + 1);
        std::iter::once(String::new())
            .chain((0..depth).map(|_| format!("s{}", random.below(self.segments))))
            .chain([String::new()])
            .collect::<Vec<_>>()
            .join("/")
    }

    fn path(&self, random: &mut Random, depth_max: usize) -> String {
        let mut path = self.directory(random, depth_max);
        if random.one_in(2) {
            path += &format!("{}{}.html", random.pick(&["f", "F", "x%20", "%3F"]), random.below(self.segments));
        }
        path
    }

    fn query(&self, random: &mut Random) -> Option<String> {
        random.one_in(3).then(|| format!("q={}", random.below(3)))
    }

    fn digest(&self, random: &mut Random) -> Digest {
        let number = random.next() % self.digests;
        let mut bytes = [7; 32];
        bytes[8..16].copy_from_slice(&number.to_be_bytes());
        match random.below(3) {
            0 => Digest::Sha256(bytes),
            1 => Digest::Sha1(*bytes.first_chunk().unwrap()),
            _ => Digest::Md5(*bytes.first_chunk().unwrap()),
        }
    }

    /// `bounds`: labels of hosts with subdomains and depth of prefixes that the scheme can find.
    fn rule(&self, random: &mut Random, bounds: (usize, usize)) -> OwnedRule {
        let (labels_max, depth_max) = (bounds.0 - 1, bounds.1 - 1);
        if random.one_in(self.signature_odds) {
            return self.signature(random);
        }
        match random.below(10) {
            0..=2 => {
                let subdomains = random.one_in(2);
                OwnedRule::Host { host: self.host(random, if subdomains { labels_max } else { 7 }), subdomains }
            }
            3..=6 => {
                let (prefix, subdomains) = (random.one_in(2), random.one_in(3));
                let host = if random.one_in(10) {
                    match self.address(random) {
                        IpAddr::V4(address) => address.to_string(),
                        IpAddr::V6(address) => format!("[{address}]"),
                    }
                } else {
                    self.host(random, if subdomains { labels_max } else { 7 })
                };
                let path = if prefix { self.directory(random, depth_max) } else { self.path(random, 6) };
                let query = if prefix { None } else { self.query(random) };
                let path_query = query.map_or(path.clone(), |query| format!("{path}?{query}"));
                let subdomains = subdomains && host.ends_with("test");
                OwnedRule::Url { host, path_query, prefix, subdomains }
            }
            7 | 8 => match self.address(random) {
                IpAddr::V4(address) => {
                    let bits = if random.one_in(1000) { random.below(17) as u32 } else { *random.pick(&[20, 22, 24, 28, 30, 31, 32]) };
                    OwnedRule::Net {
                        network: Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into(),
                        bits: bits as u8,
                    }
                }
                IpAddr::V6(address) => {
                    let bits = if random.one_in(1000) { random.below(36) as u32 } else { *random.pick(&[40, 48, 56, 64, 96, 127, 128]) };
                    let network = address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                    OwnedRule::Net { network: Ipv6Addr::from_bits(network).into(), bits: bits as u8 }
                }
            },
            _ => OwnedRule::File(self.digest(random)),
        }
    }

    /// A stretch of what URLs of this world look like, cut anywhere; or of nothing in it.
    fn signature(&self, random: &mut Random) -> OwnedRule {
        let (part, token) = (*random.pick(&[Part::Host, Part::Url]), random.one_in(2));
        let host = self.host(random, 7);
        let whole = match part {
            Part::Host => host,
            Part::Url => {
                format!("{host}{}{}", self.path(random, 6), self.query(random).map(|query| format!("?{query}")).unwrap_or_default())
            }
        };
        let whole = whole.to_lowercase();
        let (from, to) = (random.below(whole.len()), random.below(whole.len()) + 1);
        let text = &whole[from.min(to)..to.max(from)];
        let cut = |text: &str| text.contains('%') && text.rfind('%').is_some_and(|at| at + 3 > text.len());
        let text = if text.len() < 5 || text.len() > 255 || cut(text) {
            format!("l{}.d{}", random.below(self.labels), random.below(9))
        } else {
            text.to_owned()
        };
        OwnedRule::Signature { text, part, token }
    }

    pub fn question(&self, random: &mut Random) -> Question {
        let host = |random: &mut Random| match random.below(8) {
            0 => self.address(random).to_string(),
            _ => self.host(random, 7),
        };
        match random.below(8) {
            0..=3 => url(&host(random), self.path(random, 7), self.query(random)),
            4 => Question::Host(host(random)),
            5 | 6 => Question::Address(self.address(random)),
            _ => Question::File(self.digest(random)),
        }
    }
}

fn url(host: &str, path: String, query: Option<String>) -> Question {
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    Question::Url { host, path, query }
}

/// What the rule is about, and what lies just beside it.
pub fn around(rule: &OwnedRule) -> Vec<Question> {
    match rule {
        OwnedRule::Host { host, .. } => {
            let mut questions = vec![
                Question::Host(host.clone()),
                Question::Host(format!("below.{host}")),
                url(host, "/".into(), None),
                url(&format!("x.y.{host}"), "/s1/".into(), Some("q=1".into())),
                Question::Host(format!("not{host}")),
            ];
            questions.extend(host.split_once('.').map(|(_, parent)| Question::Host(parent.to_owned())));
            questions
        }
        OwnedRule::Url { host, path_query, .. } => {
            let (path, query) = match path_query.split_once('?') {
                Some((path, query)) => (path, Some(query.to_owned())),
                None => (path_query.as_str(), None),
            };
            let mut questions = vec![
                url(host, path.to_owned(), query.clone()),
                url(host, path.to_owned(), None),
                url(host, path.to_owned(), Some("other=1".into())),
                url(host, format!("{path}deeper/still.html"), query.clone()),
                url(host, path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path).to_owned() + "x", query.clone()),
                Question::Host(host.clone()),
            ];
            if host.ends_with("test") {
                questions.push(url(&format!("below.{host}"), path.to_owned(), query.clone()));
                questions.push(url(&format!("a.b.{host}"), format!("{path}deeper"), query));
            }
            questions
        }
        OwnedRule::Net { network: IpAddr::V4(network), bits } => {
            let first = network.to_bits();
            let last = first | u32::MAX.checked_shr((*bits).into()).unwrap_or(0);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .into_iter()
                .flat_map(|address| {
                    let address = Ipv4Addr::from_bits(address);
                    [Question::Address(address.into()), Question::Host(address.to_string())]
                })
                .collect()
        }
        OwnedRule::Net { network: IpAddr::V6(network), bits } => {
            let first = network.to_bits();
            let last = first | u128::MAX.checked_shr((*bits).into()).unwrap_or(0);
            [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                .into_iter()
                .flat_map(|address| {
                    let address = Ipv6Addr::from_bits(address);
                    [Question::Address(address.into()), url(&address.to_string(), "/".into(), None)]
                })
                .collect()
        }
        OwnedRule::Signature { text, part: Part::Host, .. } => {
            let name = text.trim_matches(['.', '-']);
            let mut questions = vec![url("plain.test", format!("/{text}"), None)];
            for host in [
                format!("a.{name}.test"),
                format!("{name}.test"),
                format!("x{name}.test"),
                format!("a.{name}0.test"),
                format!("a-{name}-b.test"),
            ] {
                let host = host.replace("..", ".");
                questions.extend([Question::Host(host.clone()), url(&host, "/".into(), None)]);
            }
            questions
        }
        OwnedRule::Signature { text, part: Part::Url, .. } => {
            let text = text.replace(['/', '?'], "-").to_uppercase();
            let inside = |before: &str, after: &str| url("plain.test", format!("/a/{before}{text}{after}"), None);
            vec![
                inside("", ""),
                inside("x", ""),
                inside("", "x"),
                inside("-", "-"),
                inside("%3F", "%20"),
                Question::Host("plain.test".into()),
            ]
        }
        OwnedRule::File(digest) => {
            let beside = match *digest {
                Digest::Sha256(bytes) => Digest::Sha1(*bytes.first_chunk().unwrap()),
                Digest::Sha1(mut bytes) => {
                    bytes[19] ^= 1;
                    Digest::Sha1(bytes)
                }
                Digest::Md5(mut bytes) => {
                    bytes[0] ^= 0x80;
                    Digest::Md5(bytes)
                }
            };
            vec![Question::File(*digest), Question::File(beside)]
        }
    }
}

/// The answer with everything that stands behind it.
pub fn explained(snapshot: &Snapshot, verdict: &Verdict) -> Option<Expected> {
    assert_eq!(verdict.status(), Some(Status::Ok));
    let description = snapshot.describe(verdict.verdict_id())?;
    assert_eq!(description.verdict, *verdict);
    assert_eq!(Some(description.class), verdict.class());
    Some(Expected {
        class: description.class,
        score: verdict.score,
        confidence: description.confidence,
        categories: verdict.categories,
        flags: verdict.flags,
        first_seen_day: description.first_seen_day,
        last_seen_day: description.last_seen_day,
        ttl_s: description.ttl_s,
        sources: description.sources().map(|source| source.name.to_owned()).collect(),
    })
}

pub type Judged = Option<Expected>;

/// Hands every question to `each` with what the snapshot says and what the definition says.
pub fn both(
    snapshot: &Snapshot,
    questions: &[Question],
    judge: impl Fn(&Question, &Profile) -> Judged,
    mut each: impl FnMut(&Question, Judged, Judged),
) {
    let asked: Vec<(Kind, Vec<u8>)> = questions.iter().map(|question| (question.kind(), question.bytes())).collect();
    let verdicts = ask(snapshot, &asked);
    for (question, verdict) in questions.iter().zip(&verdicts) {
        each(question, explained(snapshot, verdict), judge(question, snapshot.profile()));
    }
}

fn compare(snapshot: &Snapshot, questions: &[Question], judge: impl Fn(&Question, &Profile) -> Judged) -> usize {
    let mut known = 0;
    both(snapshot, questions, judge, |question, explained, expected| {
        assert_eq!(explained, expected, "{question:?}");
        known += usize::from(expected.is_some());
    });
    known
}

pub fn random_rules(world: &World, random: &mut Random, count: usize, scheme: Scheme) -> Vec<(OwnedRule, Vote)> {
    let bounds = match scheme {
        Scheme::GsbV4 => (5, 4),
        Scheme::GsbV5 => (7, 4),
        Scheme::Full | Scheme::Exact => (7, 7),
    };
    let mut accepts = common::builder(scheme, &[]);
    let mut votes = Vec::with_capacity(count);
    for _ in 0..count {
        let rule = world.rule(random, bounds);
        // What the generator cannot know: which rules a suffix list, or a profile without suffixes, puts out of reach.
        if matches!(scheme, Scheme::GsbV5 | Scheme::Exact) && accepts.add(rule.borrow(), random_vote(random)).is_err() {
            continue;
        }
        for _ in 0..1 + random.below(3) / 2 {
            votes.push((rule.clone(), random_vote(random)));
        }
    }
    votes
}

fn large(scheme: Scheme, seed: u64, rules: usize) {
    let mut random = Random(seed);
    let world = World { domains: 20_000, labels: 12, segments: 12, address_bits: 22, digests: 1 << 40, signature_odds: 4000 };
    let votes = random_rules(&world, &mut random, rules, scheme);
    let snapshot = common::snapshot(scheme, &votes);
    let oracle = Oracle::new(&votes);
    let mut questions: Vec<Question> = oracle.rules().flat_map(around).collect();
    questions.extend((0..rules).map(|_| world.question(&mut random)));
    random.shuffle(&mut questions);
    let known = compare(&snapshot, &questions, |question, profile| oracle.judge(question, profile));
    println!("{scheme:?}, seed {seed}: {} rules, {} questions, {known} known", snapshot.stats().rules_total(), questions.len());
    assert!(known > questions.len() / 3, "the questions must find something");
    assert!(known < questions.len() * 19 / 20, "and must miss something");
}

/// Under an emulator the same worlds take thirty times as long, and where a backend is named the usual one has had them all: fewer of them, there.
pub fn fewer() -> bool {
    cfg!(target_arch = "aarch64") || std::env::var_os("VERDICT_BACKEND").is_some()
}

#[test]
fn two_hundred_thousand_rules_answer_as_their_definition_does() {
    large(Scheme::Full, 20_260_101, if fewer() { 20_000 } else { 200_000 });
}

#[test]
fn safe_browsing_rules_answer_as_their_definition_does() {
    let rules = if fewer() { 5_000 } else { 30_000 };
    large(Scheme::GsbV4, 20_260_102, rules);
    large(Scheme::GsbV5, 20_260_103, rules);
    large(Scheme::Exact, 20_260_104, rules);
}

/// One of many small worlds instead of a large one: everything nests in, contradicts and overlaps everything else.
fn small_world(seed: u64, scheme: Scheme) -> (Snapshot, Oracle, Vec<Question>) {
    let mut random = Random(seed);
    let world = World {
        domains: 1 + random.below(4),
        labels: 1 + random.below(3),
        segments: 1 + random.below(3),
        address_bits: 3 + random.below(6) as u32,
        digests: 1 + random.below(8) as u64,
        signature_odds: 3 + random.below(8),
    };
    let count = 10 + random.below(150);
    let votes = random_rules(&world, &mut random, count, scheme);
    let oracle = Oracle::new(&votes);
    let mut questions: Vec<Question> = oracle.rules().flat_map(around).collect();
    questions.extend((0..2000).map(|_| world.question(&mut random)));
    (common::snapshot(scheme, &votes), oracle, questions)
}

#[test]
fn a_million_random_questions_are_answered_by_their_definition() {
    const SEED: u64 = 20_260_103;
    let (mut asked, mut known, mut round) = (0, 0, 0);
    while asked < if fewer() { 100_000 } else { 1_000_000 } {
        let scheme = Scheme::ALL[round as usize % Scheme::ALL.len()];
        let (snapshot, oracle, questions) = small_world(SEED + round, scheme);
        known += compare(&snapshot, &questions, |question, profile| oracle.judge(question, profile));
        asked += questions.len();
        round += 1;
    }
    println!("seeds from {SEED}: {round} snapshots of all schemes, {asked} questions, {known} known");
    assert!((asked / 4..asked * 19 / 20).contains(&known));
}

/// Who guards the guard: each of these is the definition with one sentence changed.
#[test]
fn a_precedence_with_one_sentence_changed_is_found_out() {
    for wrong in Wrong::ALL {
        let differing = |seed| {
            let (snapshot, oracle, questions) = small_world(seed, Scheme::Full);
            let oracle = oracle.gone_wrong(wrong);
            let mut differing = 0;
            let judge = |question: &Question, profile: &Profile| oracle.judge(question, profile);
            both(&snapshot, &questions, judge, |_, explained, expected| differing += usize::from(explained != expected));
            differing
        };
        let found = (1..20).map(differing).find(|differing| *differing != 0);
        println!("{wrong:?}: {} answers of one world differ", found.unwrap_or(0));
        assert!(found.is_some(), "{wrong:?} was not found out");
    }
}

/// By name, because it is promised by name: one bad page takes no site away.
#[test]
fn a_url_listing_never_blocks_its_host() {
    let vote = Vote { class: Class::Malicious, allow: false, overrides: false, ..random_vote(&mut Random(1)) };
    let page = |path_query: &str, prefix, subdomains| OwnedRule::Url {
        host: "files.test".into(),
        path_query: path_query.into(),
        prefix,
        subdomains,
    };
    let text = OwnedRule::Signature { text: "files.test/bad-kit".into(), part: Part::Url, token: false };
    let rules = [page("/bad/", true, true), page("/", false, true), page("/x.exe?id=1", false, false), text];
    let snapshot = common::snapshot(Scheme::Full, &rules.map(|rule| (rule, vote)));
    let untouched = ["files.test", "www.files.test"].map(|host| (Kind::Host, host.as_bytes().to_vec()));
    let others = ["http://files.test/good", "http://www.files.test/index.html", "http://files.test/x.exe"]
        .map(|url| (Kind::Url, url.as_bytes().to_vec()));
    let listed = ["http://files.test/", "http://a.files.test/bad/1", "http://files.test/x.exe?id=1", "http://files.test/bad-kit/2"];
    for verdict in ask(&snapshot, &[&untouched[..], &others[..]].concat()) {
        assert_eq!(verdict.class(), Some(Class::Unknown));
    }
    for verdict in ask(&snapshot, &listed.map(|url| (Kind::Url, url.as_bytes().to_vec()))) {
        assert_eq!(verdict.class(), Some(Class::Malicious));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Few rules over a tiny world, every question held against every rule.
    #[test]
    fn few_rules_answer_as_their_definition_does(seed in any::<u64>(), count in 1usize..60, scheme in proptest::sample::select(&Scheme::ALL[..])) {
        let mut random = Random(seed);
        let world = World { domains: 2, labels: 2, segments: 2, address_bits: 4, digests: 3, signature_odds: 6 };
        let votes = random_rules(&world, &mut random, count, scheme);
        let snapshot = common::snapshot(scheme, &votes);
        let oracle = Oracle::new(&votes);
        let mut questions: Vec<Question> = votes.iter().flat_map(|(rule, _)| around(rule)).collect();
        questions.extend((0..100).map(|_| world.question(&mut random)));
        compare(&snapshot, &questions, |question, profile| {
            let slowly = oracle.judge_slowly(question, profile);
            assert_eq!(slowly, oracle.judge(question, profile), "the oracle's shortcut");
            slowly
        });
    }
}
