//! The tables of FORMAT.md, section "Keyed hash", read from the document itself: every backend and the oracle give every row.
//! The rows were computed by a program in another language, written from the text.

#[allow(dead_code, reason = "the oracle has more than these tables need")]
use crate::reference;
use verdict_simd::{Backend, Domain, Hash128, HashKey, HashSchedule, Key128, available, seal};

/// The cells of the tables that begin with that header, without back quotes.
fn table(document: &str, header: &str) -> Vec<Vec<String>> {
    let rows = document.lines().skip_while(|line| *line != header).skip(2).take_while(|line| line.starts_with('|'));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| row.trim_matches('|').split('|').map(cell).collect()).collect()
}

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../FORMAT.md")).expect("FORMAT.md")
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn halves(hex: &str) -> (u64, u64) {
    let number = u128::from_le_bytes(unhex(hex).try_into().unwrap());
    (number as u64, (number >> 64) as u64)
}

fn hash_of(hex: &str) -> Hash128 {
    let (lo, hi) = halves(hex);
    Hash128 { lo, hi }
}

fn key_of(hex: &str) -> Key128 {
    let (lo, hi) = halves(hex);
    Key128 { lo, hi }
}

/// The key that the section names.
fn hash_key() -> HashKey {
    let element = |hex: &str| unhex(hex).try_into().unwrap();
    HashKey { h: element("25629347589242761d31f826ba4b757b"), k: element("d9b360279694941ac5dbc6987ada7377") }
}

#[test]
fn the_section_names_the_key_of_this_test() {
    let document = document();
    for name in ["`h` = `25629347589242761d31f826ba4b757b`", "`k` = `d9b360279694941ac5dbc6987ada7377`"] {
        assert!(document.contains(name), "{name}");
    }
}

#[test]
fn every_hash_of_the_document_is_ours() {
    let rows = table(&document(), "| domain | bytes | hash | sealed: the key |");
    assert!(rows.len() >= 13, "{} rows", rows.len());
    let (key, schedule) = (hash_key(), HashSchedule::new(&hash_key()));
    for row in rows {
        let domain = match row[0].as_str() {
            "host" => Domain::Host,
            "path" => Domain::Path,
            "sha256" => Domain::Sha256,
            "sha1" => Domain::Sha1,
            "md5" => Domain::Md5,
            other => panic!("domain {other}"),
        };
        let bytes = match (domain, row[1].as_str()) {
            (_, "(empty)") => Vec::new(),
            (_, "/` and 271 `a") => format!("/{}", "a".repeat(271)).into_bytes(),
            (Domain::Host | Domain::Path, text) => text.as_bytes().to_vec(),
            (_, hex) => unhex(hex),
        };
        assert_eq!(reference::hash(&key, domain, &bytes), hash_of(&row[2]), "the oracle, {row:?}");
        assert_eq!(reference::seal(hash_of(&row[2])), key_of(&row[3]), "the oracle, {row:?}");
        assert_eq!(seal(hash_of(&row[2])), key_of(&row[3]), "{row:?}");
        for backend in available() {
            assert_eq!(backend.hash(&schedule, domain, &bytes), hash_of(&row[2]), "{}, {row:?}", backend.name());
        }
    }
}

#[test]
fn every_pair_of_the_document_is_ours() {
    let rows = table(&document(), "| host | path | pair: the key |");
    assert!(rows.len() >= 3, "{} rows", rows.len());
    let (key, schedule) = (hash_key(), HashSchedule::new(&hash_key()));
    for row in rows {
        let [host, path] =
            [(Domain::Host, &row[0]), (Domain::Path, &row[1])].map(|(domain, text)| reference::hash(&key, domain, text.as_bytes()));
        assert_eq!(reference::pair(&key, host, path), key_of(&row[2]), "the oracle, {row:?}");
        for backend in available() {
            let host = backend.hash(&schedule, Domain::Host, row[0].as_bytes());
            let path = backend.hash(&schedule, Domain::Path, row[1].as_bytes());
            let mut key = [Key128::default()];
            backend.pair(&schedule, host, &[path], &mut key);
            assert_eq!(key, [key_of(&row[2])], "{}, {row:?}", backend.name());
        }
    }
}

#[test]
fn every_seal_of_the_document_is_ours() {
    let rows = table(&document(), "| hash | sealed |");
    assert!(rows.len() >= 5, "{} rows", rows.len());
    for row in rows {
        assert_eq!(seal(hash_of(&row[0])), key_of(&row[1]), "{row:?}");
    }
}
