//! The explain store: every vote of a compilation is found again by its rule, with file and line; the same feeds give the same bytes; nothing of a
//! damaged or foreign store is believed.

#[path = "../../fuzz/src/store_any.rs"]
mod store_any;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use store_any::store_any;
use verdict_intel::limits::REFERENCE_BYTES_MAX;
use verdict_intel::store::{NoLine, STORE_VERSION_LEAST, Store, StoreError, VOTES_OF_RULE_MAX, beside, feed_lines, reseal};
use verdict_intel::{Config, compile_to};
use verdict_simd::detect;
use verdict_tables::{Class, Rule, Snapshot, fingerprint};

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-store-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Compiles what `toml` says, with a store; returns the snapshot's path.
    fn compile(&self, toml: &str) -> PathBuf {
        let config = Config::parse(toml, "feeds.toml", &self.0).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let output = self.0.join("out.snap");
        compile_to(detect().unwrap(), &config, &output, Some(&beside(&output)), &mut ()).unwrap_or_else(|refused| panic!("{refused}"));
        output
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const TOML: &str = r#"
    [[feed]]
    name = "bad"
    path = "bad.txt"
    format = "host-list"
    score = 70
    [[feed]]
    name = "odd"
    path = "odd.txt"
    format = "host-list"
    class = "suspicious"
    [[feed]]
    name = "own"
    path = "own.txt"
    format = "host-list"
    action = "allow"
    [[feed]]
    name = "nets"
    path = "nets.netset"
"#;

fn feeds(scratch: &Scratch) {
    scratch.write("bad.txt", "# a comment\nevil.test\n\nshared.test\nevil.test\n");
    scratch.write("odd.txt", "shared.test\ngood.test\n");
    scratch.write("own.txt", "shared.test\n");
    scratch.write("nets.netset", "198.51.100.0/24\n198.51.0.0/16\n");
}

fn host(host: &str) -> u64 {
    fingerprint(Rule::Host { host, subdomains: true }).unwrap()
}

#[test]
fn every_vote_is_found_by_its_rule_with_file_and_line() {
    let scratch = Scratch::new("votes");
    feeds(&scratch);
    let snapshot = scratch.compile(TOML);
    let mut store = Store::open(&beside(&snapshot)).unwrap();
    store.verify().unwrap();
    let loaded = Snapshot::load(&snapshot).unwrap();
    assert_eq!((store.generation(), store.snapshot_sha256()), (loaded.generation(), loaded.sha256()));
    assert_eq!(store.votes(), 8);
    let told = |found: verdict_intel::store::VotesOf, store: &Store| -> Vec<(String, u64, Class, bool, u8)> {
        found.votes.iter().map(|vote| (store.feeds()[vote.feed].name.clone(), vote.line, vote.class, vote.allow, vote.score)).collect()
    };
    let found = store.votes_of(host("evil.test")).unwrap();
    assert_eq!(told(found, &store), [("bad".into(), 2, Class::Malicious, false, 70), ("bad".into(), 5, Class::Malicious, false, 70)]);
    let found = store.votes_of(host("shared.test")).unwrap();
    let standings: Vec<_> = found.votes.iter().map(|vote| vote.standing()).collect();
    assert_eq!(*standings.iter().max().unwrap(), (false, true, Class::Clean), "the allow vote is the highest");
    assert_eq!(told(found, &store).iter().map(|vote| (vote.0.as_str(), vote.1)).collect::<Vec<_>>(), [("bad", 4), ("odd", 1), ("own", 1)]);
    let network = |bits| fingerprint(Rule::Net { network: [198, 51, if bits == 24 { 100 } else { 0 }, 0].into(), bits }).unwrap();
    assert_eq!(store.votes_of(network(24)).unwrap().votes.len(), 1);
    assert_eq!(store.votes_of(network(16)).unwrap().votes[0].line, 2, "the snapshot flattened it away, the store did not");
    assert!(store.votes_of(host("absent.test")).unwrap().votes.is_empty());
    assert!(store.votes_of(0).unwrap().votes.is_empty() && store.votes_of(u64::MAX).unwrap().votes.is_empty());
}

#[test]
fn what_a_feed_takes_back_is_told_and_counts_for_nothing_and_feeds_are_counted() {
    let scratch = Scratch::new("revoked");
    scratch.write("one.csv", "what;gone\nboth.test;\nonly.test;\nback.test;\nback.test;yes\n");
    scratch.write("two.txt", "both.test\nback.test\n");
    let toml = "[snapshot]\nas_of = 2026-06-01\n[[feed]]\nname = \"one\"\npath = \"one.csv\"\nlicence = \"CC0-1.0\"\ntlp = \"green\"\nregion = \"eu\"\n\
                reference = \"https://one.example/\"\n[feed.columns]\ndelimiter = \";\"\nhost = \"what\"\nrevoked = \"gone\"\n\
                [[feed]]\nname = \"two\"\npath = \"two.txt\"\nformat = \"host-list\"\n";
    let snapshot = scratch.compile(toml);
    let mut store = Store::open(&beside(&snapshot)).unwrap();
    store.verify().unwrap();
    let votes = store.votes_of(host("back.test")).unwrap().votes;
    let told: Vec<_> = votes.iter().map(|vote| (vote.feed, vote.line, vote.revoked)).collect();
    assert_eq!(told, [(0, 4, true), (0, 5, true), (1, 2, false)]);
    let one = &store.feeds()[0];
    assert_eq!((one.rows, one.kept, one.rejected, one.revoked, one.rules, one.unique), (5, 3, 1, 1, 2, 1));
    assert_eq!((one.licence.as_str(), one.region.as_str(), one.reference.as_str()), ("CC0-1.0", "eu", "https://one.example/"));
    assert_eq!((one.tlp, one.trust, store.as_of_s()), (Some(verdict_intel::read::Tlp::Green), 100, 1_780_272_000));
    let two = &store.feeds()[1];
    assert_eq!((two.rules, two.unique), (2, 1), "what one took back is two's alone");
    let mut rules = 0;
    let mut stored = store.rules().unwrap();
    while let Some((_, votes)) = stored.next_rule().unwrap() {
        rules += u64::from(votes.iter().any(|vote| !vote.revoked));
    }
    let loaded = Snapshot::load(&snapshot).unwrap();
    assert_eq!(rules, loaded.stats().rules_total());
}

#[test]
fn every_line_of_ten_thousand_is_found_again() {
    let scratch = Scratch::new("many");
    let text: String = (0..10_000).map(|number| format!("h{number}.test\n")).collect();
    scratch.write("many.txt", &text);
    let snapshot = scratch.compile("[[feed]]\nname = \"many\"\npath = \"many.txt\"\nformat = \"host-list\"\n");
    let mut store = Store::open(&beside(&snapshot)).unwrap();
    store.verify().unwrap();
    for number in 0..10_000 {
        let found = store.votes_of(host(&format!("h{number}.test"))).unwrap();
        assert_eq!(found.votes.iter().map(|vote| vote.line).collect::<Vec<_>>(), [number + 1]);
    }
    assert!(store.file_bytes() < 10_000 * 17 + 3 * 4096, "{} bytes: more than 16 and a bit a vote", store.file_bytes());
}

#[test]
fn a_line_that_is_repeated_without_end_is_told_up_to_a_bound() {
    let scratch = Scratch::new("repeated");
    scratch.write("many.txt", &"same.test\n".repeat(VOTES_OF_RULE_MAX + 1));
    let snapshot = scratch.compile("[[feed]]\nname = \"many\"\npath = \"many.txt\"\nformat = \"host-list\"\n");
    let found = Store::open(&beside(&snapshot)).unwrap().votes_of(host("same.test")).unwrap();
    assert!(found.more && found.votes.len() == VOTES_OF_RULE_MAX);
}

#[test]
fn the_same_feeds_give_the_same_bytes() {
    let scratch = Scratch::new("same");
    feeds(&scratch);
    let first = std::fs::read(beside(&scratch.compile(TOML))).unwrap();
    assert!(first == std::fs::read(beside(&scratch.compile(TOML))).unwrap());
    let leftovers =
        std::fs::read_dir(&scratch.0).unwrap().filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".partial"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_refused_compilation_leaves_the_old_store_alone() {
    let scratch = Scratch::new("refused");
    feeds(&scratch);
    let snapshot = scratch.compile(TOML);
    let before = std::fs::read(beside(&snapshot)).unwrap();
    scratch.write("bad.txt", "");
    let config = Config::parse(TOML, "feeds.toml", &scratch.0).unwrap();
    compile_to(detect().unwrap(), &config, &snapshot, Some(&beside(&snapshot)), &mut ()).unwrap_err();
    assert!(before == std::fs::read(beside(&snapshot)).unwrap());
    // A store that cannot be written leaves the snapshot alone, too.
    feeds(&scratch);
    scratch.write("bad.txt", "other.test\n");
    let snapshot_before = std::fs::read(&snapshot).unwrap();
    compile_to(detect().unwrap(), &config, &snapshot, Some(Path::new("/nonexistent/store")), &mut ()).unwrap_err();
    assert!(snapshot_before == std::fs::read(&snapshot).unwrap());
}

#[test]
fn lines_are_shown_while_the_file_is_what_was_compiled_and_not_after() {
    let scratch = Scratch::new("lines");
    feeds(&scratch);
    let store = Store::open(&beside(&scratch.compile(TOML))).unwrap();
    let feed = store.feeds().iter().find(|feed| feed.name == "bad").unwrap();
    assert_eq!(feed.rows, 5);
    let lines = feed_lines(feed, &BTreeSet::from([2, 5, 99])).unwrap();
    assert_eq!(lines.into_iter().collect::<Vec<_>>(), [(2, b"evil.test".to_vec()), (5, b"evil.test".to_vec())]);
    scratch.write("bad.txt", "# a comment\nEvil.test\n\nshared.test\nevil.test\n");
    assert_eq!(feed_lines(feed, &BTreeSet::from([2])), Err(NoLine::Changed), "as long, with other bytes");
    scratch.write("bad.txt", "");
    assert_eq!(feed_lines(feed, &BTreeSet::from([2])), Err(NoLine::Changed));
    std::fs::remove_file(scratch.0.join("bad.txt")).unwrap();
    assert!(matches!(feed_lines(feed, &BTreeSet::from([2])), Err(NoLine::Unreadable(_))));
}

/// A small store in memory.
fn small() -> Vec<u8> {
    let scratch = Scratch::new(&format!("small-{:?}", std::thread::current().id()));
    feeds(&scratch);
    std::fs::read(beside(&scratch.compile(TOML))).unwrap()
}

fn refused(bytes: Vec<u8>) -> bool {
    Store::from_bytes(bytes).and_then(|mut store| store.verify()).is_err()
}

/// Three feeds that refer: by numbers, by texts, by rows that take back, by more than is kept.
const REFERRING: &str = r#"
    [[feed]]
    name = "csv"
    path = "referring.csv"
    [feed.columns]
    host = "what"
    revoked = "gone"
    reference = "see"
    [[feed]]
    name = "mine"
    path = "mine.ndjson"
    format = "ndjson"
    class = "suspicious"
    [[feed]]
    name = "plain"
    path = "plain.txt"
    format = "host-list"
"#;

fn compile_referring(scratch: &Scratch, rows: u64) -> PathBuf {
    let rows: String = (0..rows).map(|number| format!("h{number}.test,,https://feed.example/url/{}/\n", 1000 + number)).collect();
    let long = "x".repeat(300);
    let first = "what,gone,see\nshared.test,,https://feed.example/url/777/\nback.test,,a\nback.test,yes,b\n";
    scratch.write("referring.csv", &format!("{first}long.test,,{long}\n{rows}"));
    scratch.write(
        "mine.ndjson",
        "{\"indicator\":\"shared.test\",\"subdomains\":true,\"reference\":\"case \\u001b[2J 123456\"}\n{\"indicator\":\"named.test\",\"subdomains\":true,\"id\":\"x-9\"}\n",
    );
    scratch.write("plain.txt", "shared.test\nplain.test\n");
    scratch.compile(REFERRING)
}

/// A small store with references, in memory.
fn referring() -> Vec<u8> {
    let scratch = Scratch::new(&format!("referring-{:?}", std::thread::current().id()));
    std::fs::read(beside(&compile_referring(&scratch, 20))).unwrap()
}

#[test]
fn every_vote_has_the_reference_of_its_row_losers_and_revoked_ones_too() {
    let scratch = Scratch::new("references");
    let mut store = Store::open(&beside(&compile_referring(&scratch, 600))).unwrap();
    store.verify().unwrap();
    assert_eq!(store.references(), (606, 0));
    let mut told = |name: &str| -> Vec<Option<String>> {
        let votes = store.votes_of(host(name)).unwrap().votes;
        votes.iter().map(|vote| store.reference_of(vote).unwrap().map(|text| String::from_utf8(text).unwrap())).collect()
    };
    let of = |text: &str| Some(text.to_owned());
    assert_eq!(told("shared.test"), [of("https://feed.example/url/777/"), of("case \u{1b}[2J 123456"), None]);
    assert_eq!(told("back.test"), [of("a"), of("b")]);
    assert_eq!(told("named.test"), [of("id x-9")]);
    assert_eq!(told("plain.test"), [None]);
    assert_eq!(told("long.test"), [of(&format!("{}…", "x".repeat(REFERENCE_BYTES_MAX)))]);
    for number in 0..600 {
        assert_eq!(told(&format!("h{number}.test")), [of(&format!("https://feed.example/url/{}/", 1000 + number))]);
    }
    // Two bytes of number and eight of heads a row, and eight in the pages of references.
    assert!(store.file_bytes() < 10 * 4096, "{} bytes", store.file_bytes());
}

#[test]
fn a_store_of_the_version_before_has_no_references_and_is_read() {
    let mut bytes = small();
    bytes[8] = STORE_VERSION_LEAST as u8;
    reseal(&mut bytes);
    let mut store = Store::from_bytes(bytes.clone()).unwrap();
    store.verify().unwrap();
    let votes = store.votes_of(host("evil.test")).unwrap().votes;
    assert_eq!((votes.len(), store.reference_of(&votes[0]).unwrap()), (2, None));
    for at in [168, 176, 184] {
        let mut bytes = bytes.clone();
        bytes[at] = 1;
        reseal(&mut bytes);
        let told = Store::from_bytes(bytes).unwrap_err().to_string();
        assert!(told.contains(&format!("at byte {at}: expected 0 to 0, got 1")), "{told}");
    }
}

#[test]
fn damage_to_references_is_noticed_and_named() {
    let good = referring();
    let count = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().unwrap());
    let pages = |bytes: u64| bytes.div_ceil(4080) * 4096;
    let references = (4096 + pages(16 * count(72)) + pages(16 * count(80))) as usize;
    let records = references + pages(8 * count(168)) as usize;
    for at in (references..records + pages(count(176)) as usize).step_by(61) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(refused(changed), "byte {at}");
    }
    let told = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        reseal(&mut bytes);
        let mut store = Store::from_bytes(bytes).unwrap();
        store.verify().unwrap_err().to_string()
    };
    assert!(told(references + 3, 1).contains(&format!("references at byte {references}: expected ascending votes")));
    assert!(told(references + 7, 1).contains(&format!("references at byte {references}: expected ascending votes")), "a place behind all");
    assert!(told(records + 1, 0xC0).contains(&format!("records at byte {records}: expected a record")));
    // The first record is a template; the second a number of it.
    let second = records + 4 + usize::from(good[records]);
    assert_eq!((good[records + 1], good[second + 1]), (0x40, 0x80));
    assert!(told(second + 2, 1).contains(&format!("records at byte {second}: expected a number of a template before it")));
}

#[test]
fn every_single_byte_that_is_changed_is_noticed() {
    let bytes = small();
    assert!(!refused(bytes.clone()));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(refused(changed), "byte {at}");
    }
    for length in [0, 1, 100, 4095, 4096, 8192, bytes.len() - 1] {
        assert!(refused(bytes[..length].to_vec()), "cut to {length}");
    }
    assert!(refused([bytes.as_slice(), b"x"].concat()));
}

#[test]
fn errors_name_the_part_and_the_offset() {
    let bytes = small();
    let told = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        reseal(&mut bytes);
        Store::from_bytes(bytes).and_then(|mut store| store.verify()).unwrap_err().to_string()
    };
    assert_eq!(told(&|bytes| bytes[0] = b'v'), "corrupt explain store: magic at byte 0: expected VEXPLAIN, got vEXPLAIN");
    assert!(matches!(
        Store::from_bytes({
            let mut bytes = bytes.clone();
            bytes[8] = 9;
            bytes
        }),
        Err(StoreError::Unsupported { got: 9 })
    ));
    assert!(told(&|bytes| bytes[73] = 200).contains("length at byte 16"), "{}", told(&|bytes| bytes[73] = 200));
    assert!(told(&|bytes| bytes[4000] = 1).contains("header at byte 192: expected zeros"));
    // The shape of the first vote, then the feed and the class of the first shape.
    assert!(told(&|bytes| bytes[4096 + 12] = 99).contains("votes at byte 4096: expected a shape below"));
    assert!(told(&|bytes| bytes[8192 + 4] = 99).contains("shapes at byte 8192"));
    assert!(told(&|bytes| bytes[8192 + 13] = 101).contains("shapes at byte 8192"));
    assert!(told(&|bytes| bytes[4096 + 7] = 255).contains("expected ascending fingerprints"));
    let tail = 3 * 4096;
    assert!(told(&|bytes| bytes[tail + 4] = 255).contains(&format!("feeds at byte {tail}")));
}

/// The corpus, and twenty thousand mutations of a good store with its checksums put right again.
#[test]
fn any_bytes_are_read_calmly() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/store");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        // After a change of the format, so that the seeds get past its version.
        let good = small();
        std::fs::write(corpus.join("good"), [&[0], good.as_slice()].concat()).unwrap();
        std::fs::write(corpus.join("good_resealed"), [&[1], good.as_slice()].concat()).unwrap();
        std::fs::write(corpus.join("cut"), [&[1], &good[..good.len() - 100]].concat()).unwrap();
        std::fs::write(corpus.join("references"), [&[1], referring().as_slice()].concat()).unwrap();
    }
    let mut seeds: Vec<Vec<u8>> = std::fs::read_dir(&corpus).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(seeds.len() >= 5, "{} holds only {}", corpus.display(), seeds.len());
    seeds.iter().for_each(|seed| store_any(seed));
    seeds.push([&[1], small().as_slice()].concat());
    seeds.push([&[1], referring().as_slice()].concat());
    let mut state = 0x5eed_u64;
    let mut below = move |bound: usize| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (state >> 33) as usize % bound.max(1)
    };
    let rounds = if cfg!(target_arch = "x86_64") { 20_000 } else { 500 };
    for _ in 0..rounds {
        let mut bytes = seeds[below(seeds.len())].clone();
        for _ in 0..1 + below(4) {
            // Headers and the beginnings of pages hold what matters.
            let at = match below(3) {
                0 => below(200),
                1 => below(bytes.len() / 4096 + 1) * 4096 + below(60),
                _ => below(bytes.len()),
            };
            match below(5) {
                0 => bytes.truncate(at),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = [0, 1, 0x7F, 0xFF, below(256) as u8][below(5)];
                    }
                }
            }
        }
        if let Some(first) = bytes.first_mut() {
            *first |= 1;
        }
        store_any(&bytes);
    }
}
