//! `lookup --file`: what is read of a file, and what is asked. The programs are written here, header by header, with numbers that can be checked by hand.

use crate::fake::{Book, Ran, daemon, file, verdictctl};
use serde_json::{Value, json};
use std::path::Path;
use verdict_wire::{Answer, Categories, Class, FeatureSet, Flags, KeyKind};

#[path = "../../src/lookup/pe.rs"]
pub mod pe;
#[path = "../../fuzz/src/pe_any.rs"]
mod pe_any;

use pe::Looked;

/// Fields as the structures have them: name, bytes, value. A name that no model reads has no value to be told.
pub type Header = Vec<(&'static str, usize, u64)>;

fn bytes_of(header: &Header) -> Vec<u8> {
    header.iter().flat_map(|&(_, bytes, value)| value.to_le_bytes().into_iter().chain([0; 64]).take(bytes)).collect()
}

fn dos(e_lfanew: u64) -> Header {
    vec![
        ("magic", 2, 0x5A4D),
        ("e_cblp", 2, 144),
        ("e_cp", 2, 3),
        ("e_crlc", 2, 0),
        ("e_cparhdr", 2, 4),
        ("e_minalloc", 2, 0),
        ("e_maxalloc", 2, 65535),
        ("e_ss", 2, 0),
        ("e_sp", 2, 184),
        ("e_csum", 2, 0),
        ("e_ip", 2, 0),
        ("e_cs", 2, 0),
        ("e_lfarlc", 2, 64),
        ("e_ovno", 2, 0),
        ("res", 8, 0),
        ("e_oemid", 2, 0),
        ("e_oeminfo", 2, 0),
        ("res2", 20, 0),
        ("e_lfanew", 4, e_lfanew),
    ]
}

/// A program of 64 bits, as a linker writes it: the example of PROTOCOL.md, with a check sum.
pub fn nt_64() -> Header {
    vec![
        ("signature", 4, 0x4550),
        ("Machine", 2, 0x8664),
        ("NumberOfSections", 2, 5),
        ("TimeDateStamp", 4, 0x6500_0000),
        ("PointerToSymbolTable", 4, 0),
        ("NumberOfSymbols", 4, 0),
        ("SizeOfOptionalHeader", 2, 240),
        ("Characteristics", 2, 0x22),
        ("Magic", 2, 0x20B),
        ("MajorLinkerVersion", 1, 14),
        ("MinorLinkerVersion", 1, 0),
        ("SizeOfCode", 4, 4096),
        ("SizeOfInitializedData", 4, 8192),
        ("SizeOfUninitializedData", 4, 0),
        ("AddressOfEntryPoint", 4, 4096),
        ("BaseOfCode", 4, 4096),
        ("ImageBase", 8, 0x1_4000_0000),
        ("SectionAlignment", 4, 4096),
        ("FileAlignment", 4, 512),
        ("MajorOperatingSystemVersion", 2, 6),
        ("MinorOperatingSystemVersion", 2, 0),
        ("MajorImageVersion", 2, 0),
        ("MinorImageVersion", 2, 0),
        ("MajorSubsystemVersion", 2, 6),
        ("MinorSubsystemVersion", 2, 0),
        ("Win32VersionValue", 4, 0),
        ("SizeOfImage", 4, 20480),
        ("SizeOfHeaders", 4, 1024),
        ("CheckSum", 4, 0x1234_5678),
        ("Subsystem", 2, 3),
        ("DllCharacteristics", 2, 0x8160),
        ("SizeOfStackReserve", 8, 1_048_576),
        ("SizeOfStackCommit", 8, 4096),
        ("SizeOfHeapReserve", 8, 1_048_576),
        ("SizeOfHeapCommit", 8, 4096),
        ("LoaderFlags", 4, 0),
        ("NumberOfRvaAndSizes", 4, 16),
    ]
}

/// The same of 32 bits: another magic, a field more, and four of them shorter.
pub fn nt_32() -> Header {
    let mut header = nt_64();
    let at = |header: &Header, name: &str| header.iter().position(|field| field.0 == name).unwrap();
    for (name, bytes, value) in
        [("Machine", 2, 0x14C), ("SizeOfOptionalHeader", 2, 224), ("Magic", 2, 0x10B), ("ImageBase", 4, 0xFFFF_0000)]
    {
        let at = at(&header, name);
        header[at] = (name, bytes, value);
    }
    for name in ["SizeOfStackReserve", "SizeOfStackCommit", "SizeOfHeapReserve", "SizeOfHeapCommit"] {
        let at = at(&header, name);
        header[at].1 = 4;
    }
    let base = at(&header, "ImageBase");
    header.insert(base, ("BaseOfData", 4, 0xDDDD_DDDD));
    header
}

/// DOS header, a stub, the PE headers at 128, and sections' worth of other bytes.
pub fn program(nt: &Header) -> Vec<u8> {
    [bytes_of(&dos(128)), vec![0xCC; 64], bytes_of(nt), vec![0xEE; 4000]].concat()
}

pub fn fields(bytes: &[u8]) -> Box<pe::Fields> {
    match pe_any::pe_any(bytes) {
        Looked::Program(fields) => fields,
        other => panic!("{other:?}"),
    }
}

fn told(bytes: &[u8]) -> String {
    match pe_any::pe_any(bytes) {
        Looked::Broken(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_field_of_a_program_is_what_its_header_says() {
    for nt in [nt_64(), nt_32()] {
        let written: Header = dos(128).into_iter().chain(nt.clone()).collect();
        for (name, value) in *fields(&program(&nt)) {
            let (.., said) = written.iter().find(|field| field.0 == name).unwrap_or_else(|| panic!("{name} was not written"));
            assert_eq!(value, *said as i64, "{name}");
        }
        // Each field alone at its largest: none takes a byte of its neighbour.
        for (at, &(name, bytes, _)) in nt.iter().enumerate().filter(|(_, field)| !["signature", "Magic"].contains(&field.0)) {
            let mut changed = nt.clone();
            changed[at].2 = if bytes == 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
            let largest = if bytes == 8 { -1 } else { changed[at].2 as i64 };
            for ((of, value), (_, before)) in fields(&program(&changed)).iter().zip(fields(&program(&nt)).iter()) {
                assert_eq!(*value, if *of == name { largest } else { *before }, "{of}, where {name} is at its largest");
            }
        }
    }
}

#[test]
fn names_and_their_order_are_those_of_the_model_and_of_the_protocol() {
    let names = fields(&program(&nt_64())).map(|(name, _)| name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let trees = verdict_models::Trees::read(&std::fs::read(root.join("models/artefacts/pe.trees.json")).unwrap()).unwrap();
    assert_eq!((trees.fields(), verdict_models::trees::PE_1), (&names.map(str::to_owned)[..], names));
    assert_eq!(FeatureSet::Pe1.values(), names.len());
    let protocol = std::fs::read_to_string(root.join("PROTOCOL.md")).unwrap();
    let table = protocol.split("fields, by their names in the PE format |\n").nth(1).expect("the table of pe-1");
    let written = table.lines().take_while(|line| line.starts_with('|')).skip(1).map(|line| line.split('|').nth(3).unwrap());
    let written: Vec<&str> = written.flat_map(|cell| cell.split(',')).map(|name| name.trim().trim_matches('`')).collect();
    assert_eq!(written, names);
}

#[test]
fn what_begins_as_a_program_and_is_none_is_told_with_its_place() {
    let good = program(&nt_64());
    assert_eq!(pe_any::pe_any(b""), Looked::Other);
    assert_eq!(pe_any::pe_any(b"M"), Looked::Other);
    assert_eq!(pe_any::pe_any(b"\x7fELF"), Looked::Other);
    assert_eq!(told(&good[..63]), "it begins with `MZ` and ends after 63 bytes, within its DOS header of 64");
    let at = |rest: &str| format!("it begins with `MZ`, but at byte 128, where its DOS header says, {rest}");
    assert_eq!(told(&good[..64]), at("the file ends"));
    assert_eq!(told(&good[..131]), at("the file ends"));
    assert_eq!(told(&good[..132 + 10]), at("there are PE headers of which the file has 14 bytes and ends"));
    assert_eq!(told(&good[..128 + 135]), at("there are PE headers of which the file has 135 bytes and ends"));
    assert_eq!(fields(&good[..128 + 136]), fields(&good));
    let small = program(&nt_32());
    assert_eq!(told(&small[..128 + 119]), at("there are PE headers of which the file has 119 bytes and ends"));
    assert_eq!(fields(&small[..128 + 120]), fields(&small));
    let changed = |at: usize, byte: u8| [&good[..at], &[byte], &good[at + 1..]].concat();
    assert_eq!(told(&changed(129, b'X')), at("there is no `PE` but 50580000"));
    assert_eq!(told(&changed(152, 7)), at("there are PE headers of magic 0x207, which is neither PE32 (0x10b) nor PE32+ (0x20b)"));
    let far = [&good[..60], &[0xFF; 4], &good[64..]].concat();
    assert_eq!(told(&far), "it begins with `MZ`, but at byte 4294967295, where its DOS header says, the file ends");
}

#[test]
fn headers_may_lie_within_the_dos_header_and_say_nonsense_of_themselves() {
    // The smallest programs that run put the PE headers at 4.
    let mut tiny = [bytes_of(&dos(4))[..4].to_vec(), bytes_of(&nt_32()), vec![0; 64]].concat();
    tiny[60..64].copy_from_slice(&4_u32.to_le_bytes());
    let value = |fields: &pe::Fields, wanted: &str| fields.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let read = fields(&tiny);
    assert_eq!([value(&read, "e_lfanew"), value(&read, "SectionAlignment"), value(&read, "Magic")], [4, 4, 0x10B]);
    let mut nonsense = nt_64();
    nonsense
        .iter_mut()
        .filter(|field| ["SizeOfOptionalHeader", "NumberOfRvaAndSizes"].contains(&field.0))
        .for_each(|field| field.2 = 0xFFFF);
    assert_eq!(value(&fields(&program(&nonsense)), "NumberOfRvaAndSizes"), 0xFFFF);
}

/// What the corpus is made of. `VERDICT_BLESS=1` writes it.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let cut = |bytes: Vec<u8>, to: usize| bytes[..to].to_vec();
    let (large, small) = (program(&nt_64()), program(&nt_32()));
    vec![
        ("program-64", cut(large.clone(), 264)),
        ("program-32", cut(small.clone(), 248)),
        ("broken-cut", cut(large.clone(), 200)),
        ("broken-dos-cut", cut(large.clone(), 40)),
        ("broken-magic", [&large[..152], &[7, 1], &large[154..264]].concat()),
        ("broken-far", [&large[..60], &[0xFF; 4], &large[64..264]].concat()),
        ("other", b"#!/bin/sh\n".to_vec()),
    ]
}

#[test]
fn the_corpus_holds_and_so_does_every_program_with_a_byte_changed() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/pe");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        seeds().iter().for_each(|(name, bytes)| std::fs::write(directory.join(name), bytes).unwrap());
    }
    let mut count = 0;
    for path in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = std::fs::read(&path).unwrap();
        let (name, looked) = (path.file_name().unwrap().to_string_lossy().into_owned(), pe_any::pe_any(&bytes));
        assert_eq!(name.starts_with("program"), matches!(looked, Looked::Program(_)), "{name}");
        assert_eq!(name.starts_with("broken"), matches!(looked, Looked::Broken(_)), "{name}");
        count += 1;
        for at in 0..bytes.len() {
            pe_any::pe_any(&bytes[..at]);
            for flip in [1, 0x80, 0xFF] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                pe_any::pe_any(&changed);
            }
        }
    }
    assert!(count >= seeds().len());
}

fn lookup(book: Book, more: &[&str]) -> Ran {
    let address = daemon(book).to_string();
    verdictctl(&[&["lookup", "--connect", &address], more].concat())
}

pub fn digest(bytes: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).to_vec()
}

#[test]
fn files_are_asked_by_their_digest_and_programs_with_their_headers() {
    let (good, bad, other) = (program(&nt_64()), [program(&nt_32()), b"bad".to_vec()].concat(), b"nothing but a text\n".to_vec());
    let listed = Answer::new(Class::Malicious, 90, Categories::MALWARE, Flags::NONE, 5);
    let mut book = Book::sample();
    book.answers.extend([(KeyKind::Sha256, digest(&bad), listed), (KeyKind::Sha256, digest(&other), listed)]);
    let paths = [file("files-good.exe", &good), file("files-bad.exe", &bad), file("files-text", &other), file("files-empty", b"")];
    let [one, two, three, four] = paths.each_ref().map(String::as_str);
    let ran = lookup(book.clone(), &["--json", "--file", one, two, three, four]);
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""));
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["class"].clone()).collect::<Vec<_>>(), ["suspicious", "malicious", "malicious", "unknown"]);
    assert_eq!((&lines[0]["question"], &lines[0]["kind"], &lines[0]["flags"]), (&json!(one), &json!("sha256"), &json!(["from-model"])));
    assert_eq!(lines[0]["score"], 5, "the daemon of this test gives the number of sections as its score: the headers went along");
    let about = &lines[0]["file"];
    assert_eq!((&about["features"], &about["bytes"], &about["broken"]), (&json!("pe-1"), &json!(good.len()), &Value::Null));
    assert_eq!(about["fields"].as_object().unwrap().len(), 49);
    assert_eq!((&about["fields"]["ImageBase"], &about["fields"]["Characteristics"]), (&json!(0x1_4000_0000_u64), &json!(0x22)));
    assert_eq!((&lines[2]["file"]["features"], &lines[2]["file"]["fields"]), (&json!("none"), &Value::Null));
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!((&lines[3]["file"]["sha256"], &lines[3]["file"]["bytes"]), (&json!(empty), &json!(0)));

    let ran = lookup(book, &["--wide", "--file", one, three]);
    let rows: Vec<Vec<&str>> = ran.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..4], ["FILE", "ASKED", "BY", "ANSWER"]);
    assert_eq!(rows[1][..4], [one, "sha256,", "headers", "suspicious"]);
    assert_eq!(rows[2][..3], [three, "sha256", "malicious"]);
    assert!(ran.stdout.contains("\n2 files, generation "), "{}", ran.stdout);
}

#[test]
fn a_broken_program_is_told_and_asked_by_its_digest() {
    let broken = program(&nt_64())[..200].to_vec();
    let mut book = Book::sample();
    book.answers.push((KeyKind::Sha256, digest(&broken), Answer::new(Class::Malicious, 90, Categories::MALWARE, Flags::NONE, 5)));
    let path = file("files-broken.exe", &broken);
    let ran = lookup(book, &["--json", "--file", &path]);
    let why =
        "it begins with `MZ`, but at byte 128, where its DOS header says, there are PE headers of which the file has 72 bytes and ends";
    assert_eq!(ran.stderr, format!("verdictctl: {path}: {why}: asked by its SHA-256 alone\n"));
    let line: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&line["class"], &line["file"]["broken"], &line["file"]["features"]), (&json!("malicious"), &json!(why), &json!("none")));
    assert_eq!(ran.status, 1);
}

#[test]
fn what_cannot_be_read_is_66_and_nothing_is_asked() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let missing = format!("{directory}/no-such-file");
    let readable = file("files-readable", b"x");
    for (path, why) in
        [(missing.as_str(), "No such file or directory"), (directory, "not a regular file"), ("/dev/null", "not a regular file")]
    {
        let ran = verdictctl(&["lookup", "--connect", "127.0.0.1:1", "--file", &readable, path]);
        assert_eq!((ran.status, ran.stdout.as_str()), (66, ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(path) && ran.stderr.contains(why), "{}", ran.stderr);
    }
    for arguments in
        [&["lookup", "a.test", "--file", &readable][..], &["lookup", "--file", &readable, "--kind", "hash"], &["lookup", "--file"]]
    {
        assert_eq!(verdictctl(arguments).status, 2, "{arguments:?}");
    }
}
