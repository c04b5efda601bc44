//! Acts of an operator over the real control socket, and what is answered over the real protocol afterwards.

use crate::support::{EICAR_MD5, Got, Peer, Scratch, Site, config, eventually, explain, start, stop, vote, write_rules, write_snapshot};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use verdict_tables::{Class, Part, Rule, Vote};
use verdict_wire as wire;
use verdictd::config::Config;
use verdictd::control::Requests;
use verdictd::overlay::desk::Desk;
use verdictd::{Daemon, StartError};
use wire::{Act, ActRequest, Answer, Flags, KeyKind, Outcome, TOLD_BYTES_MAX, Told};

/// The first reply that ends an act, and how many entries came before it.
pub fn act(
    config: &Config,
    act: Act,
    class: wire::Class,
    (kind, key): (KeyKind, &[u8]),
    ttl_s: u32,
) -> (Outcome, String, Vec<(KeyKind, Vec<u8>)>) {
    let mut stream = UnixStream::connect(&config.listen.control).unwrap();
    let mut message = Vec::new();
    let is_on_key = !act.only_tells() && !act.is_order();
    let (kind, reason) = if is_on_key { (Some(kind), "a test") } else { (None, "") };
    ActRequest { act, kind, class, ttl_s, key, reason }.encode(&mut message);
    stream.write_all(&message).unwrap();
    let mut entries = Vec::new();
    loop {
        let message = wire::read_message(&mut stream, TOLD_BYTES_MAX).unwrap();
        let told = Told::decode(&message).unwrap();
        if told.outcome != Outcome::Entry {
            return (told.outcome, told.text.to_owned(), entries);
        }
        assert_eq!((told.text, u32::from_le_bytes(told.head.pid)), ("a test", std::process::id()));
        entries.push((KeyKind::from_raw(told.head.kind).unwrap(), told.key.to_vec()));
    }
}

pub type TypedKey<'a> = (KeyKind, &'a [u8]);

pub fn block(config: &Config, key: TypedKey<'_>, ttl_s: u32) -> (Outcome, String) {
    let (outcome, text, _) = act(config, Act::Block, wire::Class::Malicious, key, ttl_s);
    (outcome, text)
}

fn unblock(config: &Config, key: TypedKey<'_>, ttl_s: u32) -> (Outcome, String) {
    let (outcome, text, _) = act(config, Act::Unblock, wire::Class::Unknown, key, ttl_s);
    (outcome, text)
}

fn remove(config: &Config, key: TypedKey<'_>) -> (Outcome, String) {
    let (outcome, text, _) = act(config, Act::Remove, wire::Class::Unknown, key, 0);
    (outcome, text)
}

fn done((outcome, text): (Outcome, String)) {
    assert_eq!(outcome, Outcome::Done, "{text}");
}

fn refused((outcome, text): (Outcome, String), why: &str) {
    assert!(outcome == Outcome::Refused && text.contains(why), "{outcome}: {text}");
}

/// With a control socket and a journal.
pub fn with_control(mut config: Config, scratch: &Scratch) -> Config {
    config.listen.control = scratch.join("control.sock");
    config.overlay.directory = scratch.join("state");
    config
}

fn url(text: &str) -> TypedKey<'_> {
    (KeyKind::Url, text.as_bytes())
}

pub fn host(text: &str) -> TypedKey<'_> {
    (KeyKind::Host, text.as_bytes())
}

struct Asker(Peer<TcpStream>);

impl Asker {
    fn of(daemon: &Daemon) -> Self {
        Asker(Peer::connect(daemon.tcp[0]))
    }

    fn ask(&mut self, key: TypedKey<'_>) -> Answer {
        self.0.ask(&[key])[0]
    }

    /// Class, and whether an operator's act decided.
    fn says(&mut self, key: TypedKey<'_>) -> (wire::Class, bool) {
        let answer = self.ask(key);
        assert_eq!(answer.flags().contains(Flags::FROM_DELTA), answer.flags().contains(Flags::FROM_DELTA.with(Flags::OVERRIDDEN)));
        (answer.class(), answer.flags().contains(Flags::FROM_DELTA))
    }
}

const BLOCKED: (wire::Class, bool) = (wire::Class::Malicious, true);
const CLEARED: (wire::Class, bool) = (wire::Class::Clean, true);
const LISTED: (wire::Class, bool) = (wire::Class::Malicious, false);
const UNKNOWN: (wire::Class, bool) = (wire::Class::Unknown, false);

/// Beyond the table of docs/manual.md, "Emergencies": every kind of key, in every spelling.
fn every_kind_of_key_is_blocked_exactly() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut asker = Asker::of(&daemon);
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let other_v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8];
    let (sha256, sha1, md5) = ([7; 32], [8; 20], [9; 16]);
    // Blocked; questions that it holds for; questions that it does not hold for.
    let cases: &[(TypedKey<'_>, &[TypedKey<'_>], &[TypedKey<'_>])] = &[
        (
            url("HTTP://U.Test/a/../b?x=1"),
            &[url("http://u.test/b?x=1"), url("https://u.test:443/b?x=1")],
            &[url("http://u.test/b"), url("http://u.test/b?x=2"), url("http://u.test/b/"), url("http://www.u.test/b?x=1"), host("u.test")],
        ),
        (
            url("http://v.test/b"),
            &[url("http://v.test/b"), url("http://v.test/b?any"), url("v.test/b#part")],
            &[url("http://v.test/b/c"), url("http://v.test/"), url("http://v.test/B"), host("v.test")],
        ),
        (
            host("H.Test"),
            &[host("h.test"), url("http://h.test/"), url("http://h.test/any/where?x")],
            &[host("www.h.test"), url("http://www.h.test/"), host("test"), host("hh.test")],
        ),
        (
            (KeyKind::Ipv4, &[198, 51, 100, 7]),
            &[(KeyKind::Ipv4, &[198, 51, 100, 7]), host("198.51.100.7"), url("http://0xc6.51.100.7/x"), host("[::ffff:198.51.100.7]")],
            &[(KeyKind::Ipv4, &[198, 51, 100, 8]), host("198.51.100.8")],
        ),
        ((KeyKind::Ipv6, &v6), &[(KeyKind::Ipv6, &v6), host("[2001:db8::7]"), url("http://[2001:db8::7]/")], &[(KeyKind::Ipv6, &other_v6)]),
        (
            host("203.0.113.9"),
            &[(KeyKind::Ipv4, &[203, 0, 113, 9]), url("http://203.0.113.9:8080/")],
            &[(KeyKind::Ipv4, &[203, 0, 113, 8])],
        ),
        (
            url("http://203.0.113.77/p"),
            &[url("http://203.0.113.77/p?q")],
            &[(KeyKind::Ipv4, &[203, 0, 113, 77]), url("http://203.0.113.77/")],
        ),
        ((KeyKind::Sha256, &sha256), &[(KeyKind::Sha256, &sha256)], &[(KeyKind::Sha256, &[6; 32])]),
        ((KeyKind::Sha1, &sha1), &[(KeyKind::Sha1, &sha1)], &[(KeyKind::Sha1, &[6; 20])]),
        ((KeyKind::Md5, &md5), &[(KeyKind::Md5, &md5)], &[(KeyKind::Md5, &[6; 16])]),
    ];
    for (key, held, _) in cases {
        held.iter().for_each(|question| assert_eq!(asker.says(*question), UNKNOWN, "{question:?} before"));
        done(block(&config, *key, 600));
    }
    for (key, held, others) in cases {
        held.iter().for_each(|question| assert_eq!(asker.says(*question), BLOCKED, "{key:?} holds for {question:?}"));
        others.iter().for_each(|question| assert_eq!(asker.says(*question), UNKNOWN, "{key:?} does not hold for {question:?}"));
    }
    assert_eq!(asker.says(host("evil.test")), LISTED, "whatever else is listed stays so");
    let (_, _, entries) = act(&config, Act::List, wire::Class::Unknown, host(""), 0);
    assert_eq!(entries.len(), cases.len());
    for (key, held, _) in cases {
        done(remove(&config, *key));
        assert_eq!(asker.says(held[0]), UNKNOWN, "{key:?} is gone");
    }
    assert_eq!(remove(&config, cases[0].0).0, Outcome::NotThere);
    stop(daemon);
}

fn an_unblock_beats_rules_and_blocks() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut asker = Asker::of(&daemon);
    let md5: TypedKey<'_> = (KeyKind::Md5, &EICAR_MD5);
    for (key, cleared, still) in [
        (host("evil.test"), url("http://evil.test/any"), host("www.evil.test")),
        (url("http://shared.test/bad.php"), url("http://shared.test/bad.php?q"), host("www.evil.test")),
        ((KeyKind::Ipv4, &[192, 0, 2, 5][..]), url("http://192.0.2.5/"), (KeyKind::Ipv4, &[192, 0, 2, 6][..])),
        (md5, md5, host("www.evil.test")),
    ] {
        assert_eq!((asker.says(cleared), asker.says(still)), (LISTED, LISTED));
        done(unblock(&config, key, 600));
        assert_eq!((asker.says(cleared), asker.says(still)), (CLEARED, LISTED), "{key:?}");
        assert!(asker.ask(cleared).flags().contains(Flags::ALLOWLISTED));
    }
    // Under an unblocked host nothing can be blocked, and whoever tries is told.
    refused(block(&config, url("http://evil.test/x?y"), 600), "`verdictctl overlay remove evil.test`");
    refused(block(&config, host("evil.test"), 600), "an unblock beats every block");
    // The other way round the block stands, and loses.
    done(block(&config, url("http://other.test/x?y"), 600));
    done(block(&config, url("http://other.test/x"), 600));
    assert_eq!(asker.says(url("http://other.test/x?y")), BLOCKED);
    done(unblock(&config, host("other.test"), 600));
    assert_eq!(asker.says(url("http://other.test/x?y")), CLEARED);
    done(remove(&config, host("other.test")));
    assert_eq!(asker.says(url("http://other.test/x")), BLOCKED);
    // Of one key the last word counts.
    let (outcome, text) = unblock(&config, url("http://other.test/x"), 600);
    assert!(outcome == Outcome::Done && text.contains("in place of: block by uid"), "{text}");
    assert_eq!(asker.says(url("http://other.test/x")), CLEARED);
    assert_eq!(daemon.metrics.control.overlay_acts.each_ref().map(|count| count.get()), [2, 6, 1]);
    assert_eq!(daemon.metrics.control.overlay_refused.get(), 2);
    stop(daemon);
}

fn an_entry_outlives_swaps_and_restarts_and_ends_in_time() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    done(block(&config, url("http://late.test/x"), 600));
    done(unblock(&config, host("evil.test"), 600));
    let generation = daemon.metrics.shards[0].generation.get();
    write_snapshot(&config.snapshot.path, "marker-two.test", Class::Malicious);
    daemon.reload();
    eventually("the next generation serves", || daemon.metrics.shards[0].generation.get() != generation);
    let mut asker = Asker::of(&daemon);
    assert_eq!((asker.says(url("http://late.test/x")), asker.says(host("evil.test"))), (BLOCKED, CLEARED), "after a swap");
    drop(asker);
    stop(daemon);
    let daemon = start(&config);
    let mut asker = Asker::of(&daemon);
    assert_eq!((asker.says(url("http://late.test/x")), asker.says(host("evil.test"))), (BLOCKED, CLEARED), "after a restart");
    assert_eq!(asker.says(host("www.evil.test")), LISTED);
    // A second entry of one second, and the first ones stay.
    let began = Instant::now();
    done(block(&config, host("short.test"), 1));
    assert_eq!(asker.says(host("short.test")), BLOCKED);
    while asker.says(host("short.test")) == BLOCKED {
        assert!(began.elapsed() < Duration::from_millis(2500), "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(began.elapsed() >= Duration::from_millis(990), "it ended after {:?}", began.elapsed());
    assert_eq!(asker.says(url("http://late.test/x")), BLOCKED);
    assert_eq!(daemon.metrics.control.overlay_expired.get(), 1);
    drop(asker);
    stop(daemon);
    // What ended while nobody ran does not come back.
    let daemon = start(&config);
    assert_eq!(Asker::of(&daemon).says(host("short.test")), UNKNOWN);
    stop(daemon);
}

/// A URL has a path.
fn key(name: &str) -> TypedKey<'_> {
    if name.contains('/') { url(name) } else { host(name) }
}

/// The table of docs/manual.md, "Emergencies", cell by cell.
#[test]
fn the_table_of_the_manual_holds() {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/manual.md")).unwrap();
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<String>>();
    let table = manual.lines().skip_while(|line| !line.starts_with("| act on |")).take_while(|line| line.starts_with('|'));
    let table: Vec<Vec<String>> = table.map(cells).collect();
    assert!(table.len() == 6 && table.iter().all(|row| row.len() == 5), "does the search still work? {table:?}");
    let named = |cell: &str| cell.split('`').nth(1).expect("a key in backticks").to_owned();
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    let mut asker = Asker::of(&daemon);
    for row in &table[2..] {
        let on = named(&row[0]);
        done(block(&config, key(&on), 600));
        for (question, cell) in table[0].iter().zip(row).skip(1) {
            let name = named(question);
            let mut asked = vec![name.clone()];
            asked.extend(question.ends_with("URLs on it").then(|| format!("http://{name}/p?q")));
            let holds = cell == "yes" || cell.starts_with("yes:");
            assert!(holds || cell == "no", "{cell}");
            for name in &asked {
                assert_eq!(asker.says(key(name)), if holds { BLOCKED } else { UNKNOWN }, "an act on {on}, asked for {name}");
            }
        }
        done(remove(&config, key(&on)));
    }
    stop(daemon);
}

#[test]
fn an_act_stands_over_overrides_allowances_and_signatures() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let malicious = vote(0, Class::Malicious);
    let allow = Vote { class: Class::Clean, allow: true, score: 0, categories: 0, ..malicious };
    let on = |host| Rule::Host { host, subdomains: false };
    let rules = [
        (on("pinned.test"), Vote { overrides: true, ..malicious }),
        (on("allowed.test"), allow),
        (on("trusted.test"), Vote { overrides: true, ..allow }),
        (Rule::Signature { text: "dropper-kit-77", part: Part::Url, token: false }, malicious),
    ];
    write_rules(&config.snapshot.path, &rules);
    let daemon = start(&config);
    let mut asker = Asker::of(&daemon);
    let marked = url("http://any.test/dropper-kit-77/x");
    for (key, before, is_to_pass) in [
        (host("pinned.test"), LISTED, true),
        (marked, LISTED, true),
        (host("allowed.test"), (wire::Class::Clean, false), false),
        (host("trusted.test"), (wire::Class::Clean, false), false),
    ] {
        assert_eq!(asker.says(key), before, "{key:?}");
        done(if is_to_pass { unblock(&config, key, 600) } else { block(&config, key, 600) });
        assert_eq!(asker.says(key), if is_to_pass { CLEARED } else { BLOCKED }, "{key:?}");
    }
    assert_eq!(asker.says(url("http://any.test/dropper-kit-77/y")), LISTED, "another URL");
    stop(daemon);
}

/// The log is the audit of what was refused: who, what, why not.
#[test]
fn every_act_is_a_line_of_the_log_whether_done_or_refused() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let log = scratch.join("log");
    let subscriber = tracing_subscriber::fmt().with_writer(std::fs::File::create(&log).unwrap()).with_ansi(false).finish();
    let snapshot = verdict_tables::Snapshot::load(&config.snapshot.path).unwrap();
    let served = (verdictd::nodes::Nodes::of(&[0]).copies(snapshot).unwrap(), verdictd::switches::Switches::default());
    let metrics = verdictd::metrics::Metrics::new(1, "any", "any");
    let desk = Desk::open(&config, verdict_simd::detect().unwrap(), served, metrics, Arc::default(), Requests::new().unwrap()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for key in [b"a.test".as_slice(), b"a]b"] {
            let request = ActRequest {
                act: Act::Unblock,
                kind: Some(KeyKind::Host),
                class: wire::Class::Unknown,
                ttl_s: 60,
                key,
                reason: "ticket 7",
            };
            desk.act(&request, 1007, 1008);
        }
        desk.refuse("an ACT of another version".into(), 1007, 1008);
    });
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("overlay") && line.contains("uid=1007 pid=1008")).collect();
    let [was_done, no_key, no_act] = lines.as_slice() else { panic!("{text}") };
    assert!(was_done.contains("key=\"a.test\"") && was_done.contains("result=\"done\"") && was_done.contains("ticket 7"), "{text}");
    assert!(no_key.contains("`a]b` is no key") && no_key.contains("result=\"refused\"") && no_key.contains("ticket 7"), "{text}");
    assert!(no_act.contains("another version") && no_act.contains("result=\"refused\""), "{text}");
}

fn clients_that_hash_by_themselves_get_the_same() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    done(block(&config, url("http://hash.test/x"), 600));
    done(unblock(&config, host("evil.test"), 600));
    // The client's own canonicaliser and hash, by the key of the generation.
    let snapshot = verdict_tables::Snapshot::load(&config.snapshot.path).unwrap();
    let backend = verdict_simd::detect().unwrap();
    let mut batch = verdict_keys::Batch::with_capacity(2);
    batch.push(backend, snapshot.schedule(), snapshot.profile(), verdict_keys::Kind::Url, b"http://hash.test/x");
    batch.push(backend, snapshot.schedule(), snapshot.profile(), verdict_keys::Kind::Host, b"evil.test");
    let mut pair = [verdict_simd::Key128::default()];
    verdict_simd::Backend::pair(backend, snapshot.schedule(), batch.hosts()[0], &batch.paths()[..1], &mut pair);
    let evil = batch.keys()[batch.items()[1].hosts.at as usize];
    let mut asker = Asker::of(&daemon);
    let mut ask = |key: verdict_simd::Key128, place| {
        let mut frame = Vec::new();
        let key = wire::HashedKey { lo: key.lo, hi: key.hi };
        wire::encode_lookup_hashed(&mut frame, 3, snapshot.generation(), &[key], place).unwrap();
        asker.0.send(&frame);
        let Some(Got::Answers { answers, .. }) = asker.0.receive() else { panic!("no answers") };
        (answers[0].class(), answers[0].flags().contains(Flags::FROM_DELTA))
    };
    let [plain, suffix, prefix, _] = wire::Place::ALL;
    let (suffix, prefix) = if suffix.suffix { (suffix, prefix) } else { (prefix, suffix) };
    assert_eq!((ask(pair[0], plain), ask(evil, plain)), (BLOCKED, CLEARED));
    assert_eq!(ask(evil, suffix), LISTED, "of a name below, the host is only a suffix");
    assert_eq!(ask(pair[0], prefix), UNKNOWN, "of a path below, the path is only a prefix");
    stop(daemon);
}

fn explain_tells_who_and_why_and_which_rules_lost() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    done(unblock(&config, host("evil.test"), 600));
    let mut peer = Peer::connect(daemon.tcp[0]);
    peer.send(&explain(5, KeyKind::Url, b"http://evil.test/x"));
    let Some(Got::Explanation { explained, .. }) = peer.receive() else { panic!("no explanation") };
    assert!(explained.reason.starts_with("unblock by uid") && explained.reason.ends_with(": a test"), "{}", explained.reason);
    let told: Vec<_> = explained.matches.iter().map(|found| (found.found.on(), found.found.answer.class())).collect();
    assert_eq!(told, [(wire::MatchOn::Host, wire::Class::Clean), (wire::MatchOn::Host, wire::Class::Malicious)]);
    assert!(explained.matches[0].found.flags().contains(wire::MatchFlags::WINS.with(wire::MatchFlags::OWN)));
    peer.send(&explain(6, KeyKind::Host, b"www.evil.test"));
    let Some(Got::Explanation { explained, .. }) = peer.receive() else { panic!("no explanation") };
    assert_eq!((explained.reason.as_str(), explained.matches.len()), ("", 1));
    stop(daemon);
}

fn what_may_not_be_is_refused_and_changes_nothing() {
    let scratch = Scratch::new();
    let mut config = with_control(config(&scratch), &scratch);
    config.overlay.entries_max = 2;
    let daemon = start(&config);
    refused(block(&config, host("a.test"), 86_401), "at most 86400 s (24 h)");
    refused(block(&config, url("http://192.0.2.0/24 x\n/"), 0), "");
    refused(block(&config, host("a]b"), 60), "is no key");
    refused(block(&config, host("192.0.2.0/24"), 60), "is no key");
    refused(block(&config, (KeyKind::Md5, b"short"), 60), "is no key");
    done(block(&config, host("a.test"), 86_400));
    done(block(&config, host("b.test"), 60));
    refused(block(&config, host("c.test"), 60), "2 entries are in force, as many as overlay.entries_max allows");
    done(block(&config, host("b.test"), 120));
    let mut stream = UnixStream::connect(&config.listen.control).unwrap();
    stream.write_all(&[20, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let reply = wire::read_message(&mut stream, TOLD_BYTES_MAX).unwrap();
    assert_eq!(Told::decode(&reply).unwrap().outcome, Outcome::Refused, "bytes of no meaning");
    let mode = std::fs::metadata(&config.listen.control).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let near = daemon.metrics.control.near(verdictd::nearness::Bounded::OverlayEntries);
    assert_eq!(near.warnings(), 1, "one of two is not yet near");
    assert_eq!(daemon.metrics.control.overlay_refused.get(), 7, "what is no act is counted as well");
    stop(daemon);
    assert!(!config.listen.control.exists());
}

every_driver!(every_kind_of_key_is_blocked_exactly, an_unblock_beats_rules_and_blocks,);

#[test]
fn lives_and_ends() {
    an_entry_outlives_swaps_and_restarts_and_ends_in_time();
}

#[test]
fn hashed() {
    clients_that_hash_by_themselves_get_the_same();
}

#[test]
fn explained() {
    explain_tells_who_and_why_and_which_rules_lost();
}

#[test]
fn bounded() {
    what_may_not_be_is_refused_and_changes_nothing();
}

#[test]
fn a_signed_site_keeps_the_journal_in_its_state_directory() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &|_| {});
    let mut config = site.config();
    config.listen.control = site.path().join("control.sock");
    let daemon = start(&config);
    done(block(&config, host("a.test"), 600));
    assert!(site.state().join("overlay.journal").exists());
    // A generation that comes by itself keeps it.
    let next = site.publish(2, "marker-two.test", &|_| {});
    eventually("the next generation serves", || daemon.metrics.shards[0].generation.get() == next);
    assert_eq!(Asker::of(&daemon).says(host("a.test")), BLOCKED);
    stop(daemon);
}

#[test]
fn a_damaged_journal_ends_the_start_and_a_missing_directory_the_configuration() {
    let scratch = Scratch::new();
    let mut config = with_control(config(&scratch), &scratch);
    stop(start(&config));
    let journal = config.overlay.directory.join("overlay.journal");
    damage(&journal);
    match Daemon::start(&config, false) {
        Err(StartError::Journal(error)) => assert!(error.to_string().contains("overlay.journal: byte 0: not the head"), "{error}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it started"),
    }
    config.overlay.directory = std::path::PathBuf::new();
    let wrong = config.check().join("\n");
    assert!(wrong.contains("add [overlay] directory = \"/var/lib/verdictd\""), "{wrong}");
}

fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[9] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
