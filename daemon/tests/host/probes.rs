//! The probes that docs/probes.md promises, in the program as it was built: bpftrace and perf find them by the same notes.

use object::{Object, ObjectSection};
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../docs/probes.md");
const SOURCE: &str = include_str!("../../src/probes.rs");

/// A place that can be watched.
struct Probe {
    at: u64,
    provider: String,
    name: String,
    /// As `8@%rax`: bytes, and where they are.
    arguments: Vec<String>,
}

/// A number of so many bytes, taken off the front.
fn number(bytes: &mut &[u8], count: usize) -> u64 {
    let (front, rest) = bytes.split_at(count);
    *bytes = rest;
    front.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Text up to a zero byte, likewise.
fn text(bytes: &mut &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).expect("it ends");
    let text = String::from_utf8(bytes[..end].to_vec()).expect("a name");
    *bytes = &bytes[end + 1..];
    text
}

/// Notes of type 3: the place, the base of all places, a semaphore, provider, name, arguments.
fn probes(mut notes: &[u8]) -> Vec<Probe> {
    let mut probes = Vec::new();
    while !notes.is_empty() {
        let [name_bytes, bytes, kind] = [(); 3].map(|()| number(&mut notes, 4) as usize);
        let (mut owner, rest) = notes.split_at(name_bytes.next_multiple_of(4));
        assert_eq!((text(&mut owner).as_str(), kind), ("stapsdt", 3));
        let (mut note, rest) = rest.split_at(bytes.next_multiple_of(4));
        notes = rest;
        let [at, _base, semaphore] = [(); 3].map(|()| number(&mut note, 8));
        assert_eq!(semaphore, 0, "it costs a nop, whoever looks");
        let (provider, name) = (text(&mut note), text(&mut note));
        probes.push(Probe { at, provider, name, arguments: text(&mut note).split_whitespace().map(str::to_owned).collect() });
    }
    probes
}

/// Rows of a table of probes: the name, and how many arguments it says there are.
fn told(text: &str, row: &str) -> BTreeMap<String, usize> {
    let rows = text.lines().filter_map(|line| line.strip_prefix(row));
    rows.map(|row| {
        let (name, rest) = row.split_once('`').expect("a name");
        let arguments = rest.trim_end_matches([' ', '|']).rsplit_once('|').expect("three columns").1;
        let plain = arguments.split('(').next().expect("in front of what is said about the last one");
        (name.to_owned(), plain.split(',').count())
    })
    .collect()
}

#[test]
fn the_program_has_every_probe_that_is_documented_with_as_many_arguments() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_verdictd")).unwrap();
    let file = object::File::parse(&*program).unwrap();
    let notes = file.section_by_name(".note.stapsdt").expect("notes of probes").data().unwrap();
    let found = probes(notes);
    let documented = told(DOCUMENT, "| `");
    assert!(documented.len() >= 6, "{documented:?}");
    assert_eq!(
        told(SOURCE, "//! | `").keys().collect::<Vec<_>>(),
        documented.keys().collect::<Vec<_>>(),
        "the source says what the document does"
    );
    let nop: &[u8] = if cfg!(target_arch = "aarch64") { &[0x1F, 0x20, 0x03, 0xD5] } else { &[0x90] };
    for Probe { at, provider, name, arguments } in &found {
        assert_eq!(provider, "verdictd");
        assert_eq!(documented.get(name), Some(&arguments.len()), "{name}: {arguments:?}");
        assert!(arguments.iter().all(|argument| argument.contains('@')), "{name}: {arguments:?}");
        let code = file.sections().find(|section| (section.address()..section.address() + section.size()).contains(at)).expect("code");
        assert_eq!((code.name(), code.data_range(*at, nop.len() as u64).unwrap()), (Ok(".text"), Some(nop)), "{name}");
    }
    let missing: Vec<_> = documented.keys().filter(|name| found.iter().all(|probe| probe.name != **name)).collect();
    assert!(missing.is_empty(), "documented, and not in the program: {missing:?}");
}
