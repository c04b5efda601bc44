//! Every switch, over every kind of rule, in both states and through restarts, by the real control socket and the real protocol: held against a list
//! of who says what, which knows nothing of tables.

use crate::support::switches::{done, listed, not_done};
use crate::support::{Got, Peer, Scratch, Site, config, eventually, explain, start, stop};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use verdict_keys::{Digest, Scheme};
use verdict_tables::{Builder, Class, Part, Rule, RuleKind, Source, Vote};
use verdict_wire as wire;
use verdictd::config::Config;
use verdictd::{Daemon, StartError};
use wire::{Act, ActRequest, Flags, KeyKind, MatchFlags, Outcome, TOLD_BYTES_MAX, Told};

const FEEDS: [&str; 3] = ["alpha", "beta list", "gamma"];

fn get(daemon: &Daemon, path: &str) -> String {
    let mut stream = TcpStream::connect(daemon.admin).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// A rule, who says it, and what.
struct Said {
    feed: u16,
    kind: RuleKind,
    class: Class,
    rule: Rule<'static>,
}

/// A question with all that is said of it, in the order of precedence.
struct Case {
    key: (KeyKind, &'static [u8]),
    said: Vec<Said>,
}

fn host(host: &'static str, subdomains: bool) -> Rule<'static> {
    Rule::Host { host, subdomains }
}

fn url(host: &'static str, path_query: &'static str, prefix: bool, subdomains: bool) -> Rule<'static> {
    Rule::Url { host, path_query, prefix, subdomains }
}

fn text(text: &'static str, part: Part, token: bool) -> Rule<'static> {
    Rule::Signature { text, part, token }
}

/// Of every kind one at least, by one feed, and something of another kind and another feed behind it where that can be.
fn cases() -> Vec<Case> {
    use RuleKind as K;
    let net = |network: std::net::IpAddr, bits| Rule::Net { network, bits };
    let case = |kind, key: &'static [u8], said: Vec<(u16, K, Rule<'static>)>| {
        // The first is malicious, the second suspicious, the third clean: classes decide, however specific.
        let classes = [Class::Malicious, Class::Suspicious, Class::Clean];
        let said = said.into_iter().zip(classes).map(|((feed, kind, rule), class)| Said { feed, kind, class, rule }).collect();
        Case { key: (kind, key), said }
    };
    let (v4, other_v4, v6) = ([192, 0, 2, 0].into(), [198, 51, 100, 0].into(), "2001:db8::".parse().unwrap());
    vec![
        case(KeyKind::Host, b"a.h.test", vec![(0, K::Host, host("a.h.test", false)), (1, K::HostSubdomains, host("h.test", true))]),
        case(
            KeyKind::Host,
            b"b.below.test",
            vec![(0, K::HostSubdomains, host("below.test", true)), (1, K::HostSubstring, text("b.below.", Part::Host, false))],
        ),
        case(
            KeyKind::Url,
            b"http://u.test/p",
            vec![
                (0, K::Url, url("u.test", "/p", false, false)),
                (1, K::UrlPrefix, url("u.test", "/", true, false)),
                (2, K::Host, host("u.test", false)),
            ],
        ),
        case(
            KeyKind::Url,
            b"http://x.us.test/p",
            vec![(0, K::UrlSubdomains, url("us.test", "/p", false, true)), (1, K::UrlPrefixSubdomains, url("us.test", "/", true, true))],
        ),
        case(
            KeyKind::Url,
            b"http://up.test/d/e",
            vec![(2, K::UrlPrefix, url("up.test", "/d/", true, false)), (1, K::HostSubdomains, host("up.test", true))],
        ),
        case(
            KeyKind::Url,
            b"http://y.ups.test/d/e",
            vec![(1, K::UrlPrefixSubdomains, url("ups.test", "/d/", true, true)), (0, K::HostSubdomains, host("ups.test", true))],
        ),
        case(KeyKind::Ipv4, &[192, 0, 2, 77], vec![(0, K::Ipv4, net(v4, 24))]),
        case(
            KeyKind::Url,
            b"http://198.51.100.78/x",
            vec![(1, K::Url, url("198.51.100.78", "/x", false, false)), (0, K::Ipv4, net(other_v4, 24))],
        ),
        case(KeyKind::Ipv6, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], vec![(1, K::Ipv6, net(v6, 48))]),
        // Prefixes inside each other, by several feeds; the wider one decides where it says worse.
        case(
            KeyKind::Ipv4,
            &[203, 0, 113, 77],
            vec![(0, K::Ipv4, net([203, 0, 113, 64].into(), 26)), (1, K::Ipv4, net([203, 0, 113, 0].into(), 24))],
        ),
        case(
            KeyKind::Ipv6,
            &[0x20, 1, 0xd, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
            vec![
                (1, K::Ipv6, net("2001:db9::".parse().unwrap(), 32)),
                (2, K::Ipv6, net("2001:db9::".parse().unwrap(), 48)),
                (0, K::Ipv6, net("2001:db9::7".parse().unwrap(), 128)),
            ],
        ),
        // One rule, several feeds.
        case(KeyKind::Host, b"shared.test", [1, 0, 2].map(|feed| (feed, K::HostSubdomains, host("shared.test", true))).to_vec()),
        case(KeyKind::Md5, &[10; 16], [0, 2].map(|feed| (feed, K::Md5, Rule::File(Digest::Md5([10; 16])))).to_vec()),
        case(KeyKind::Sha256, &[7; 32], vec![(0, K::Sha256, Rule::File(Digest::Sha256([7; 32])))]),
        case(KeyKind::Sha1, &[8; 20], vec![(1, K::Sha1, Rule::File(Digest::Sha1([8; 20])))]),
        case(KeyKind::Md5, &[9; 16], vec![(2, K::Md5, Rule::File(Digest::Md5([9; 16])))]),
        case(
            KeyKind::Host,
            b"xhostpiecex.test",
            vec![(0, K::HostSubstring, text("hostpiece", Part::Host, false)), (1, K::HostToken, text("xhostpiecex", Part::Host, true))],
        ),
        case(
            KeyKind::Host,
            b"a.hostword.test",
            vec![(0, K::HostToken, text("hostword", Part::Host, true)), (1, K::HostSubstring, text("ostword", Part::Host, false))],
        ),
        case(
            KeyKind::Url,
            b"http://plain.test/xurlpiecex",
            vec![(0, K::UrlSubstring, text("urlpiece", Part::Url, false)), (1, K::UrlToken, text("xurlpiecex", Part::Url, true))],
        ),
        case(
            KeyKind::Url,
            b"http://plain.test/a?urlword",
            vec![(2, K::UrlToken, text("urlword", Part::Url, true)), (1, K::UrlSubstring, text("a?urlw", Part::Url, false))],
        ),
        case(KeyKind::Host, b"nobody.test", vec![]),
    ]
}

fn write(path: &Path, cases: &[Case]) {
    let mut builder = Builder::new(Scheme::Full, b"test", 1_700_000_000);
    FEEDS.iter().for_each(|name| _ = builder.source(Source { name, licence: "none" }));
    for Said { feed, class, rule, .. } in cases.iter().flat_map(|case| &case.said) {
        let vote = Vote { class: *class, categories: 1, ..crate::support::vote(*feed, *class) };
        builder.add(*rule, vote).unwrap();
    }
    let built = builder.build(verdict_simd::detect().unwrap()).unwrap();
    std::fs::write(path, &built.bytes).unwrap();
}

/// What is off, by the names of its parts.
type OffParts = BTreeSet<String>;

/// By definition: the first that is said by a feed that is on, in a kind that is on.
fn expected(case: &Case, off: &OffParts) -> (wire::Class, Flags) {
    let is_on = |said: &&Said| {
        !off.contains(&format!("feed {}", FEEDS[usize::from(said.feed)])) && !off.contains(&format!("rule {}", said.kind.name()))
    };
    let class = case.said.iter().find(is_on).map_or(Class::Unknown, |said| said.class);
    if off.contains("enforcement") {
        let otherwise = if class == Class::Unknown { Flags::NONE } else { Flags::SHADOW_DISAGREES };
        return (wire::Class::Unknown, Flags::MONITOR.with(otherwise));
    }
    (wire::Class::from_raw(class as u8).unwrap(), Flags::NONE)
}

fn check(peer: &mut Peer<TcpStream>, cases: &[Case], off: &OffParts) {
    let keys: Vec<_> = cases.iter().map(|case| case.key).collect();
    for (case, answer) in cases.iter().zip(peer.ask(&keys)) {
        let key = String::from_utf8_lossy(case.key.1);
        assert_eq!((answer.class(), answer.flags()), expected(case, off), "{} {key}, off: {off:?}", case.key.0.name());
        if answer.class() == wire::Class::Unknown {
            assert_eq!((answer.score(), answer.id(), answer.categories().0), (0, 0, 0), "{key}");
        }
    }
}

fn with_control(mut config: Config, scratch: &Scratch) -> Config {
    config.listen.control = scratch.join("control.sock");
    config.overlay.directory = scratch.join("state");
    config
}

#[test]
fn every_switch_takes_out_what_it_names_for_every_kind_of_rule_and_gives_it_back() {
    let scratch = Scratch::new();
    let cases = cases();
    let kinds: BTreeSet<&str> = cases.iter().flat_map(|case| &case.said).map(|said| said.kind.name()).collect();
    assert_eq!(kinds.len(), RuleKind::ALL.len(), "every kind of rule has a case");
    write(&scratch.join("current.snap"), &cases);
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    let none = OffParts::new();
    check(&mut peer, &cases, &none);
    let mut parts: Vec<String> = RuleKind::ALL.iter().map(|kind| format!("rule {}", kind.name())).collect();
    parts.extend(FEEDS.map(|name| format!("feed {name}")));
    parts.extend(["overlay", "enforcement", "updates"].map(str::to_owned));
    for part in &parts {
        let one = OffParts::from([part.clone()]);
        let told = done(&config, Act::Off, part);
        assert!(told.starts_with(&format!("{part}: off")), "{told}");
        check(&mut peer, &cases, &one);
        assert_eq!(listed(&config), [format!("off {part}")]);
        assert!(get(&daemon, "/readyz").contains(&format!("\noff: {part}, since ")), "{}", get(&daemon, "/readyz"));
        let with_monitor = OffParts::from([part.clone(), "enforcement".to_owned()]);
        done(&config, Act::Off, "enforcement");
        check(&mut peer, &cases, &with_monitor);
        done(&config, Act::On, "enforcement");
        let left = if part == "enforcement" { &none } else { &one };
        check(&mut peer, &cases, left);
        if part != "enforcement" {
            done(&config, Act::On, part);
        }
        check(&mut peer, &cases, &none);
    }
    assert!(listed(&config).is_empty() && !get(&daemon, "/readyz").contains("off:"));
    // All pairs of a feed and a kind, which are made of one table each time.
    for (feed, kind) in FEEDS.iter().zip(RuleKind::ALL.iter().cycle().skip(2)) {
        let pair = OffParts::from([format!("feed {feed}"), format!("rule {}", kind.name())]);
        pair.iter().for_each(|part| _ = done(&config, Act::Off, part));
        check(&mut peer, &cases, &pair);
        pair.iter().for_each(|part| _ = done(&config, Act::On, part));
    }
    check(&mut peer, &cases, &none);
    stop(daemon);
}

#[test]
fn what_is_off_stays_off_through_a_reload_and_a_restart_and_is_counted() {
    let scratch = Scratch::new();
    let cases = cases();
    write(&scratch.join("current.snap"), &cases);
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let off = OffParts::from(["feed beta list", "rule sha256", "rule host"].map(str::to_owned));
    off.iter().for_each(|part| _ = done(&config, Act::Off, part));
    check(&mut Peer::connect(daemon.tcp[0]), &cases, &off);
    // Another generation with one more rule.
    let mut more = cases;
    more.last_mut().unwrap().said.push(Said {
        feed: 0,
        kind: RuleKind::HostSubdomains,
        class: Class::Malicious,
        rule: host("nobody.test", true),
    });
    write(&scratch.join("current.snap"), &more);
    let before = daemon.metrics.shards[0].generation.get();
    daemon.reload();
    eventually("the reload", || daemon.metrics.shards[0].generation.get() != before);
    check(&mut Peer::connect(daemon.tcp[0]), &more, &off);
    stop(daemon);
    let daemon = start(&config);
    check(&mut Peer::connect(daemon.tcp[0]), &more, &off);
    assert_eq!(listed(&config), ["off feed beta list", "off rule host", "off rule sha256"]);
    let metrics = get(&daemon, "/metrics");
    let series = ["part=\"feed\"} 1", "part=\"rule\"} 2", "part=\"enforcement\"} 0", "part=\"updates\"} 0"];
    assert!(series.iter().all(|series| metrics.contains(&format!("verdictd_switched_off{{{series}"))), "{metrics}");
    done(&config, Act::Off, "enforcement");
    let mut peer = Peer::connect(daemon.tcp[0]);
    let keys: Vec<_> = more.iter().map(|case| case.key).collect();
    peer.ask(&keys);
    let would_be = |class: wire::Class| more.iter().filter(|case| expected(case, &off).0 == class).count();
    eventually("the counts", || {
        let metrics = get(&daemon, "/metrics");
        [wire::Class::Malicious, wire::Class::Suspicious, wire::Class::Clean].iter().all(|class| {
            let line = format!("verdictd_answers_withheld_total{{class=\"{}\"}} {}\n", class.name(), would_be(*class));
            metrics.contains(&line)
        })
    });
    stop(daemon);
    // Enforcement off is no less lasting.
    let daemon = start(&config);
    let withheld = off.iter().cloned().chain(["enforcement".to_owned()]).collect();
    check(&mut Peer::connect(daemon.tcp[0]), &more, &withheld);
    stop(daemon);
}

#[test]
fn the_overlay_is_kept_and_does_not_hold_while_it_is_off() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    let block = |key: &[u8]| {
        let mut stream = UnixStream::connect(&config.listen.control).unwrap();
        let mut message = Vec::new();
        let class = wire::Class::Malicious;
        ActRequest { act: Act::Block, kind: Some(KeyKind::Host), class, ttl_s: 600, key, reason: "a test" }.encode(&mut message);
        stream.write_all(&message).unwrap();
        Told::decode(&wire::read_message(&mut stream, TOLD_BYTES_MAX).unwrap()).unwrap().text.to_owned()
    };
    block(b"blocked.test");
    assert_eq!(peer.class_of("blocked.test"), wire::Class::Malicious);
    done(&config, Act::Off, "overlay");
    assert_eq!(peer.class_of("blocked.test"), wire::Class::Unknown);
    let told = block(b"later.test");
    assert!(told.contains("the overlay is switched off"), "{told}");
    assert_eq!((peer.class_of("later.test"), peer.class_of("marker-one.test")), (wire::Class::Unknown, wire::Class::Malicious));
    done(&config, Act::On, "overlay");
    assert_eq!((peer.class_of("blocked.test"), peer.class_of("later.test")), (wire::Class::Malicious, wire::Class::Malicious));
    stop(daemon);
}

#[test]
fn explain_tells_what_is_off_and_what_comes_through_instead() {
    let scratch = Scratch::new();
    let cases = cases();
    write(&scratch.join("current.snap"), &cases);
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut peer = Peer::connect(daemon.tcp[0]);
    done(&config, Act::Off, "feed alpha");
    // Who is left of three, and what they say.
    let shared = peer.ask(&[(KeyKind::Host, b"shared.test")])[0];
    let mut frame = Vec::new();
    wire::encode_describe(&mut frame, 4, daemon.metrics.shards[0].generation.get(), &[shared.id()]).unwrap();
    peer.send(&frame);
    match peer.receive() {
        Some(Got::Descriptions { sources, classes, .. }) => {
            assert_eq!((sources, classes), (vec![vec!["beta list".to_owned(), "gamma".to_owned()]], vec![wire::Class::Malicious]));
        }
        other => panic!("{other:?}"),
    }
    let mut told = |key: &[u8]| {
        peer.send(&explain(3, KeyKind::Host, key));
        match peer.receive() {
            Some(Got::Explanation { explained, .. }) => {
                let matches = explained.matches.iter().map(|found| {
                    (
                        found.found.answer.class(),
                        found.found.flags().contains(MatchFlags::OFF),
                        found.found.flags().contains(MatchFlags::WINS),
                    )
                });
                (matches.collect::<Vec<_>>(), explained.reason)
            }
            other => panic!("{other:?}"),
        }
    };
    let (bad, odd) = (wire::Class::Malicious, wire::Class::Suspicious);
    assert_eq!(told(b"a.h.test").0, [(odd, false, true), (bad, true, false)]);
    assert_eq!(told(b"shared.test").0, [(bad, false, true)]);
    done(&config, Act::Off, "feed beta list");
    assert_eq!(told(b"shared.test").0, [(wire::Class::Clean, false, true)]);
    done(&config, Act::On, "feed beta list");
    done(&config, Act::Off, "rule host+subdomains");
    assert_eq!(told(b"a.h.test").0, [(bad, true, false), (odd, true, false)]);
    done(&config, Act::Off, "enforcement");
    assert!(told(b"a.h.test").1.starts_with("enforcement is switched off"));
    stop(daemon);
}

#[test]
fn a_name_that_nobody_has_is_refused_with_those_that_there_are() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    not_done(&config, Act::Off, "feed alfa", Outcome::Refused, "there are unit test");
    not_done(&config, Act::Off, "model url-1", Outcome::Refused, "there is none");
    not_done(&config, Act::Off, "rule hosts", Outcome::Refused, "host+subdomains");
    not_done(&config, Act::Off, "everything", Outcome::Refused, "no part");
    not_done(&config, Act::On, "feed unit test", Outcome::NotThere, "is not off");
    not_done(&config, Act::On, "pin", Outcome::NotThere, "no generation is pinned");
    not_done(&config, Act::Pin, "previous", Outcome::Refused, "nothing is kept of a snapshot that nobody signs");
    not_done(&config, Act::Pin, "17", Outcome::Refused, "names no generation");
    assert!(listed(&config).is_empty());
    stop(daemon);
}

#[test]
fn a_damaged_file_of_switches_refuses_the_start_and_says_where() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    done(&config, Act::Off, "enforcement");
    stop(daemon);
    let file = scratch.join("state").join("switches");
    let good = std::fs::read(&file).unwrap();
    for bytes in [good[..good.len() / 2].to_vec(), [&good[..30], b"x", &good[30..]].concat(), Vec::new()] {
        std::fs::write(&file, &bytes).unwrap();
        let Err(StartError::Switches(error)) = Daemon::start(&config, false) else { panic!("it started with a damaged file") };
        assert!(error.to_string().contains("switches: line "), "{error}");
    }
    std::fs::write(&file, &good).unwrap();
    let daemon = start(&config);
    assert_eq!(listed(&config), ["off enforcement"]);
    stop(daemon);
}

/// Published twice and a third time, frozen, pinned, reverted; each through a restart.
#[test]
fn a_frozen_node_stays_and_a_pinned_one_goes_back_to_what_it_kept() {
    let (site, scratch) = (Site::new(), Scratch::new());
    let mut config = site.config();
    config.listen.control = scratch.join("control.sock");
    let first = site.publish(1, "one.test", &|_| ());
    let daemon = start(&config);
    let serves =
        |daemon: &Daemon, generation: u64| eventually("that generation", || daemon.metrics.shards[0].generation.get() == generation);
    serves(&daemon, first);
    done(&config, Act::Off, "updates");
    // What is being loaded at that moment is still taken, so that must have ended before something newer is there.
    eventually("nothing is being loaded", || daemon.metrics.control.switches.loading.get() == 0);
    let second = site.publish(2, "two.test", &|_| ());
    daemon.reload();
    std::thread::sleep(std::time::Duration::from_millis(1500)); // longer than the poll
    serves(&daemon, first);
    stop(daemon);
    let daemon = start(&config);
    serves(&daemon, first);
    done(&config, Act::On, "updates");
    serves(&daemon, second);
    let third = site.publish(3, "three.test", &|_| ());
    serves(&daemon, third);
    let told = done(&config, Act::Pin, "previous");
    assert!(told.contains("epoch 2, served by every shard"), "{told}");
    serves(&daemon, second);
    assert_eq!(Peer::connect(daemon.tcp[0]).class_of("two.test"), wire::Class::Malicious);
    assert_eq!(listed(&config), [format!("pin generation {second:016x}, epoch 2")]);
    done(&config, Act::Pin, "previous");
    serves(&daemon, first);
    not_done(&config, Act::Pin, "previous", Outcome::NotThere, "nothing older");
    not_done(&config, Act::Pin, "epoch 9", Outcome::NotThere, "epoch 3; ");
    let fourth = site.publish(4, "four.test", &|_| ());
    std::thread::sleep(std::time::Duration::from_millis(1500));
    serves(&daemon, first);
    assert!(
        get(&daemon, "/readyz").contains("\npinned: generation ") && get(&daemon, "/metrics").contains("\nverdictd_snapshot_pinned 1\n")
    );
    stop(daemon);
    let daemon = start(&config);
    serves(&daemon, first);
    done(&config, Act::Pin, &format!("generation {third:016x}"));
    serves(&daemon, third);
    done(&config, Act::On, "pin");
    serves(&daemon, fourth);
    done(&config, Act::Pin, "epoch 4");
    stop(daemon);
    // What is pinned cannot be served any more: nothing else is in its place.
    let generations = site.state().join("generations");
    for entry in std::fs::read_dir(&generations).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "snapshot") {
            std::fs::write(entry.path(), b"damaged").unwrap();
        }
    }
    let refused = Daemon::start(&config, false).err().expect("it is refused").to_string();
    assert!(refused.contains("pinned to generation") && refused.contains("epoch 4") && refused.contains("switches"), "{refused}");
}
