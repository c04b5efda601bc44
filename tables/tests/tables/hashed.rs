//! A client that hashes for itself gets what a client gets that sends text: asked as PROTOCOL.md section 5 tells, the best of all answers to
//! a URL's expressions is the answer to the URL, to the byte.
//!
//! Hosts and paths come from tiny alphabets, so that exact rules, rules on names below, exact paths and prefixes meet on one expression.

use crate::common;
use common::{OwnedRule, Random, backend, random_vote};
use verdict_keys::{Batch, Canonicalizer, Expressions, Host, Kind, Scheme, rule};
use verdict_simd::Key128;
use verdict_tables::{Scratch, Snapshot, Verdict, Vote, lookup};

fn host(random: &mut Random, labels_max: usize) -> String {
    let below = random.below(labels_max - 1);
    let domain = format!("d{}.test", random.below(40));
    (0..below).map(|_| format!("l{}", random.below(3))).chain([domain]).collect::<Vec<_>>().join(".")
}

fn directory(random: &mut Random, depth_max: usize) -> String {
    (0..random.below(depth_max)).map(|_| format!("s{}/", random.below(3))).fold("/".to_owned(), |path, segment| path + &segment)
}

fn path(random: &mut Random, depth_max: usize) -> String {
    let directory = directory(random, depth_max);
    if random.one_in(2) { directory } else { format!("{directory}f{}", random.below(3)) }
}

fn query(random: &mut Random) -> String {
    if random.one_in(3) { format!("?q={}", random.below(2)) } else { String::new() }
}

fn a_rule(random: &mut Random) -> OwnedRule {
    let subdomains = random.one_in(2);
    let host = if random.one_in(20) { "192.0.2.7".to_owned() } else { host(random, 4) };
    let subdomains = subdomains && host.ends_with("test");
    match random.below(6) {
        0 => OwnedRule::Host { host, subdomains },
        1 => OwnedRule::Net { network: "192.0.2.0".parse().unwrap(), bits: *random.pick(&[24, 28, 32]) },
        2 | 3 => OwnedRule::Url { host, path_query: directory(random, 4), prefix: true, subdomains },
        _ => OwnedRule::Url { host, path_query: path(random, 4) + &query(random), prefix: false, subdomains },
    }
}

/// What PROTOCOL.md tells a client to ask for one URL: a key and its flags, and the place of its answer in the order of preference,
/// that is form, path, host; lower is better.
struct Asked {
    key: Key128,
    suffix: bool,
    prefix: bool,
    place: (usize, usize),
    /// The same expression asked with PREFIX, where the exact path ends in a slash.
    twin: Option<usize>,
}

fn expressions(snapshot: &Snapshot, url: &str) -> (Vec<Asked>, Option<std::net::IpAddr>) {
    let mut canonicalizer = Canonicalizer::new();
    let url = canonicalizer.url(url.as_bytes()).expect("a URL");
    let Expressions { hosts, paths, full_paths } = Expressions::new(&url, snapshot.profile());
    let schedule = snapshot.schedule();
    let mut asked = Vec::new();
    for (h, host) in hosts.iter().enumerate() {
        asked.push(Asked {
            key: rule::host_key(backend(), schedule, host),
            suffix: h > 0,
            prefix: false,
            place: (usize::MAX, h),
            twin: None,
        });
        for (p, path) in paths.iter().enumerate() {
            let key = rule::expression_key(backend(), schedule, host, path);
            let (suffix, exact) = (h > 0, p < full_paths);
            // Exact paths come before prefixes; an exact path that ends in a slash is the longest of its own prefixes.
            let twin = (exact && path.ends_with('/') && !path.contains('?')).then(|| {
                asked.push(Asked { key, suffix, prefix: true, place: (100 + p, h), twin: None });
                asked.len() - 1
            });
            asked.push(Asked { key, suffix, prefix: !exact, place: (if exact { p } else { 100 + p }, h), twin });
        }
    }
    let address = match url.host {
        Host::Address(address) => Some(address),
        Host::Name(_) => None,
    };
    (asked, address)
}

fn best_of_hashed(snapshot: &Snapshot, scratch: &mut Scratch, batch: &mut Batch, url: &str) -> (Verdict, usize) {
    let (asked, address) = expressions(snapshot, url);
    batch.clear();
    asked.iter().for_each(|asked| batch.push_hashed(asked.key, asked.suffix, asked.prefix));
    let mut order: Vec<(usize, usize)> = asked.iter().map(|asked| asked.place).collect();
    if let Some(std::net::IpAddr::V4(address)) = address {
        batch.push(backend(), snapshot.schedule(), snapshot.profile(), Kind::Ipv4, &address.octets());
        order.push((usize::MAX, usize::MAX));
    }
    let mut verdicts = vec![Verdict::default(); batch.items().len()];
    lookup(backend(), snapshot, batch, scratch, &mut verdicts);
    for (place, asked) in asked.iter().enumerate() {
        if asked.twin.is_some_and(|twin| verdicts[twin].id == verdicts[place].id) {
            order[place].0 += 100; // a rule on the prefix answered
        }
    }
    let found = order.iter().zip(&verdicts).filter(|(_, verdict)| verdict.verdict_id() != 0);
    let best = found.max_by_key(|(place, verdict)| (verdict.rank(), std::cmp::Reverse(**place)));
    (best.map_or(Verdict::default(), |(_, verdict)| *verdict), verdicts.len())
}

/// Of a world; fewer under an emulator, where they take thirty times as long.
const QUESTIONS: usize = if cfg!(target_arch = "aarch64") { 400 } else { 4000 };

fn check(scheme: Scheme, seed: u64, worlds: usize) {
    let mut random = Random(seed);
    let (mut scratch, mut batch, mut keys, mut known, mut questions) = (Scratch::default(), Batch::with_capacity(64), 0, 0, 0);
    for _ in 0..worlds {
        let mut votes: Vec<(OwnedRule, Vote)> = (0..600).map(|_| (a_rule(&mut random), random_vote(&mut random))).collect();
        // A profile that can never meet a rule refuses it.
        let mut accepts = common::builder(scheme, &[]);
        votes.retain(|(rule, vote)| accepts.add(rule.borrow(), *vote).is_ok());
        let snapshot = common::snapshot(scheme, &votes);
        for _ in 0..QUESTIONS {
            let host = if random.one_in(20) { "192.0.2.7".to_owned() } else { host(&mut random, 5) };
            let url = format!("http://{host}{}{}", path(&mut random, 5), query(&mut random));
            let text = common::ask(&snapshot, &[(Kind::Url, &url)])[0];
            let (hashed, asked) = best_of_hashed(&snapshot, &mut scratch, &mut batch, &url);
            assert_eq!(hashed, text, "{scheme:?}, seed {seed}: {url}");
            keys += asked;
            known += usize::from(text.verdict_id() != 0);
            questions += 1;
        }
    }
    println!("{scheme:?}, seed {seed}: {questions} URLs, {keys} hashed keys, {known} known");
    assert!(known > questions / 10 && known < questions, "the worlds are too sparse or too dense to tell anything");
}

#[test]
fn a_client_that_hashes_gets_the_answer_of_the_url_under_the_full_scheme() {
    check(Scheme::Full, 1, 63);
}

#[test]
fn a_client_that_hashes_gets_the_answer_of_the_url_under_gsb_v4() {
    check(Scheme::GsbV4, 2, 63);
}

#[test]
fn a_client_that_hashes_gets_the_answer_of_the_url_under_gsb_v5() {
    check(Scheme::GsbV5, 3, 63);
}

#[test]
fn a_client_that_hashes_gets_the_answer_of_the_url_under_the_exact_scheme() {
    check(Scheme::Exact, 4, 63);
}
