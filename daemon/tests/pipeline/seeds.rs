//! The seeds of the daemon's fuzz targets, through the same checks: what fuzzing found once stays found, without a nightly compiler.

use crate::{check, proxy};
use std::path::{Path, PathBuf};
use verdict_wire as wire;
use wire::KeyKind;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Each seed of a target: whole, and, where `step` says how often, cut and with a byte changed.
fn hold(target: &str, at_least: usize, step: Option<usize>, check: fn(&[u8])) {
    let seeds = folder(&format!("fuzz/seeds-{target}"));
    let mut count = 0;
    for entry in std::fs::read_dir(&seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        check(&bytes);
        count += 1;
        for at in step.into_iter().flat_map(|step| (1..bytes.len()).step_by(step.max(bytes.len() / CHANGES_MAX))) {
            check(&bytes[..at]);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            check(&changed);
        }
    }
    assert!(count >= at_least, "{} holds only {count} seeds", seeds.display());
}

/// Places in a seed: of the long ones not every one.
const CHANGES_MAX: usize = 1000;

#[test]
fn those_of_the_binary_protocol_hold() {
    hold("session", 5, None, check::check);
}

/// What HAProxy says.
#[test]
fn those_of_spop_hold_whatever_is_cut_or_changed() {
    hold("spop", 6, Some(1), check::check_spop);
}

/// What balancers and people say over HTTP.
#[test]
fn those_of_http_hold_whatever_is_cut_or_changed() {
    hold("http", 10, Some(3), check::check_http);
}

/// Journals and messages.
#[test]
fn those_of_the_overlay_hold_whatever_is_cut_or_changed() {
    let seeds = folder("fuzz/seeds-overlay");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        write_seeds(&seeds);
    }
    hold("overlay", 6, Some(1), check::check_overlay);
}

/// Every vector of the reader is a seed, so that fuzzing begins with all that it is known to tell apart.
#[test]
fn those_of_the_proxy_protocol_are_its_vectors_and_hold_whatever_is_cut_or_changed() {
    let seeds = folder("fuzz/seeds-proxy");
    for file in std::fs::read_dir(folder("vectors/proxy")).unwrap() {
        let path = file.unwrap().path();
        // In pieces of eight bytes.
        let seed = [&[7], &proxied(&std::fs::read_to_string(&path).unwrap())[..]].concat();
        let stored = seeds.join(path.file_stem().unwrap());
        if std::env::var_os("VERDICT_BLESS").is_some() {
            std::fs::create_dir_all(&seeds).unwrap();
            std::fs::write(&stored, &seed).unwrap();
        }
        assert!(std::fs::read(&stored).is_ok_and(|stored| stored == seed), "{}: VERDICT_BLESS=1 writes it", stored.display());
    }
    hold("proxy", 60, Some(1), proxy::check);
}

/// The bytes of a vector: hexadecimal, behind lines that say what they are.
fn proxied(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with("expect: ")).map(|line| line.split('#').next().unwrap());
    let words = lines.flat_map(str::split_whitespace);
    words.map(|word| u8::from_str_radix(word, 16).expect("a byte")).collect()
}

/// What `verdictctl` and the daemon write, under reserved names.
fn write_seeds(to: &std::path::Path) {
    use verdict_keys::Kind;
    use verdict_tables::Class;
    use verdictd::overlay::journal::{Journal, Record, encode};
    use verdictd::overlay::{Entry, JOURNAL, Key};
    use wire::{Act, ActRequest, Outcome, Told, ToldHead};
    std::fs::create_dir_all(to).unwrap();
    let request = |act, class, ttl_s, reason| {
        let mut bytes = vec![1];
        ActRequest { act, kind: Some(KeyKind::Url), class, ttl_s, key: b"http://a.test/x?y", reason }.encode(&mut bytes);
        bytes
    };
    std::fs::write(to.join("block"), request(Act::Block, wire::Class::Suspicious, 7200, "ticket 7")).unwrap();
    std::fs::write(to.join("unblock"), request(Act::Unblock, wire::Class::Unknown, 86_400, "false alarm")).unwrap();
    std::fs::write(to.join("remove"), request(Act::Remove, wire::Class::Unknown, 0, "done")).unwrap();
    let mut told = vec![1];
    let head = ToldHead { act: 1, kind: 2, class: 3, ..ToldHead::default() };
    Told { head, outcome: Outcome::Entry, key: b"a.test", text: "ticket 7" }.encode(&mut told);
    std::fs::write(to.join("entry"), told).unwrap();
    let directory = std::env::temp_dir().join(format!("verdictd-seeds-{}", std::process::id()));
    drop(Journal::open(&directory, 0).unwrap());
    let mut journal = vec![0];
    journal.extend(std::fs::read(directory.join(JOURNAL)).unwrap());
    std::fs::remove_dir_all(directory).unwrap();
    std::fs::write(to.join("journal_empty"), &journal).unwrap();
    let keys: [(Kind, &[u8]); 4] =
        [(Kind::Url, b"http://a.test/x?y"), (Kind::Host, b"b.test"), (Kind::Ipv4, &[192, 0, 2, 7]), (Kind::Sha1, &[7; 20])];
    for (number, (kind, key)) in (1..).zip(keys) {
        let (act, class) = if number % 2 == 1 { (Act::Block, Class::Malicious) } else { (Act::Unblock, Class::Clean) };
        let key = Key::new(kind, key).unwrap();
        let entry = Entry { key, class, at_ms: 1000 * number, until_ms: 9000, uid: 7, pid: 8, reason: "ticket 7".into() };
        journal.extend(encode(&Record { number, act, entry }));
    }
    std::fs::write(to.join("journal"), journal).unwrap();
}
