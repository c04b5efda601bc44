//! What is not exactly what a builder wrote is refused, or makes no difference: bit flips, truncation, extension, and lies with correct checksums.

use crate::common;
use common::{OwnedRule, Random, SOURCES, ask, backend};
use sha2::{Digest as _, Sha256};
use verdict_keys::{Digest, Kind, Scheme};
use verdict_tables::layout::{Header, PAGE, Record, SHA256_AT, Section, SectionEntry, VoteEntry, slot};
use verdict_tables::{Class, Error, Part, Snapshot, Vote};

/// Rules of every kind, enough for several pages of buckets and records.
fn votes() -> Vec<(OwnedRule, Vote)> {
    let mut random = Random(11);
    let mut votes = Vec::new();
    for number in 0..3000u32 {
        let host = format!("h{}.d{}.test", number % 7, number % 701);
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        let network = |bits: u32| std::net::Ipv4Addr::from_bits((number << 12) & (u32::MAX << (32 - bits))).into();
        let rule = match number % 6 {
            0 => OwnedRule::Host { host, subdomains: number % 4 == 0 },
            1 => OwnedRule::Url { host, path_query: format!("/p{number}"), prefix: false, subdomains: false },
            2 => OwnedRule::Url { host, path_query: format!("/p{number}/"), prefix: true, subdomains: true },
            3 => OwnedRule::Net { network: network(24), bits: 24 },
            4 if number % 12 == 4 => OwnedRule::Net { network: std::net::Ipv6Addr::from_bits(u128::from(number) << 80).into(), bits: 48 },
            4 => OwnedRule::Net { network: std::net::Ipv6Addr::from_bits(u128::from(number) << 80 | 5).into(), bits: 128 },
            _ => OwnedRule::File(Digest::Sha256(digest)),
        };
        if let OwnedRule::Net { bits: 24, .. } = rule
            && number % 4 == 1
        {
            votes.push((OwnedRule::Net { network: network(20), bits: 20 }, common::random_vote(&mut random)));
        }
        if number % 5 == 0 {
            votes.push((rule.clone(), common::random_vote(&mut random)));
        }
        votes.push((rule, common::random_vote(&mut random)));
        if number % 37 == 0 {
            let part = [Part::Host, Part::Url][number as usize / 37 % 2];
            let text = if part == Part::Host { format!("h{}.d{number}", number % 7) } else { format!("/p{}/x", number / 4) };
            votes.push((OwnedRule::Signature { text, part, token: number % 3 == 0 }, common::random_vote(&mut random)));
        }
    }
    votes
}

fn questions() -> Vec<(Kind, Vec<u8>)> {
    let mut questions: Vec<(Kind, Vec<u8>)> = Vec::new();
    for number in 0..800u32 {
        let mut digest = vec![0; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        questions.push((Kind::Url, format!("http://h{}.d{}.test/p{number}/x?y", number % 7, number % 701).into_bytes()));
        questions.push((Kind::Host, format!("a.h{}.d{}.test", number % 7, number % 701).into_bytes()));
        questions.push((Kind::Ipv4, (number << 12).to_be_bytes().to_vec()));
        questions.push((Kind::Ipv6, (u128::from(number) << 80 | 5).to_be_bytes().to_vec()));
        questions.push((Kind::Sha256, digest));
    }
    questions
}

fn file() -> Vec<u8> {
    common::builder(Scheme::Full, &votes()).build(backend()).unwrap().bytes
}

fn section(bytes: &[u8], section: Section) -> SectionEntry {
    let at = size_of::<Header>() + section.index() * size_of::<SectionEntry>();
    bytemuck::pod_read_unaligned(&bytes[at..at + size_of::<SectionEntry>()])
}

/// Makes every checksum true again.
fn fix_checksums(bytes: &mut [u8]) {
    for kind in Section::ALL {
        let entry = section(bytes, kind);
        let Some(content) = bytes.get(entry.offset as usize..(entry.offset as usize).saturating_add(entry.bytes as usize)) else {
            continue;
        };
        let sum: [u8; 32] = Sha256::digest(content).into();
        let at = size_of::<Header>() + kind.index() * size_of::<SectionEntry>() + 32;
        bytes[at..at + 32].copy_from_slice(&sum);
    }
    bytes[SHA256_AT..SHA256_AT + 32].fill(0);
    let sum: [u8; 32] = Sha256::digest(&bytes[..PAGE]).into();
    bytes[SHA256_AT..SHA256_AT + 32].copy_from_slice(&sum);
}

fn refused(bytes: &[u8]) -> Error {
    match Snapshot::from_bytes(bytes) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn every_single_bit_of_the_header_page_matters() {
    let mut bytes = file();
    for bit in 0..PAGE * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(refused(&bytes), Error::Corrupt { .. } | Error::Unsupported { .. }), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    Snapshot::from_bytes(&bytes).unwrap();
}

#[test]
fn twenty_thousand_flipped_bits_of_the_body_are_refused() {
    // Most of them without address tables, so that the other sections get their share.
    let without_addresses: Vec<_> = votes().into_iter().filter(|(rule, _)| !matches!(rule, OwnedRule::Net { .. })).collect();
    let small = common::builder(Scheme::Full, &without_addresses).build(backend()).unwrap().bytes;
    let mut random = Random(20_000);
    for (mut bytes, flips) in [(small, 19_000), (file(), 1_000)] {
        // Under an emulator they take thirty times as long.
        for _ in 0..if cfg!(target_arch = "aarch64") { flips / 20 } else { flips } {
            let at = PAGE + random.below(bytes.len() - PAGE);
            let bit = 1 << random.below(8);
            bytes[at] ^= bit;
            assert!(matches!(refused(&bytes), Error::Corrupt { .. }), "byte {at}");
            bytes[at] ^= bit;
        }
        Snapshot::from_bytes(&bytes).unwrap();
    }
}

#[test]
fn a_file_of_any_other_length_is_refused() {
    let bytes = file();
    let mut lengths: Vec<usize> = (0..bytes.len()).step_by(PAGE).collect();
    for kind in Section::ALL {
        let entry = section(&bytes, kind);
        for boundary in [entry.offset, entry.offset + entry.bytes] {
            lengths.extend([boundary - 1, boundary, boundary + 1].map(|length| length as usize));
        }
    }
    lengths.extend([1, 7, 8, PAGE - 1, bytes.len() - 1]);
    for length in lengths.into_iter().filter(|length| *length < bytes.len()) {
        refused(&bytes[..length]);
    }
    for more in [1, 63, 64, PAGE - 1, PAGE, 5 * PAGE] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        assert!(matches!(refused(&longer), Error::Corrupt { section: "file", .. }));
        // Even where the header vouches for the length: the table does not.
        longer[16..24].copy_from_slice(&(bytes.len() as u64 + more as u64).to_le_bytes());
        fix_checksums(&mut longer);
        assert!(matches!(refused(&longer), Error::Corrupt { section: "file", .. }));
    }
}

#[test]
fn a_truncated_file_on_disk_is_refused_at_every_page() {
    let bytes = file();
    let path = std::env::temp_dir().join(format!("verdict-tables-truncated-{}", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    Snapshot::load(&path).unwrap();
    let on_disk = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    for length in (0..bytes.len()).rev().step_by(PAGE) {
        on_disk.set_len(length as u64).unwrap();
        assert!(Snapshot::load(&path).is_err(), "{length} bytes");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Snapshot::load(&path), Err(Error::Io(_))));
    assert!(matches!(Snapshot::load(&std::env::temp_dir()), Err(Error::Corrupt { .. } | Error::Io(_))));
}

/// One lie: in which section, at which element, which bytes; with true checksums.
fn lie(kind: Section, element: u64, offset: usize, value: &[u8]) -> Error {
    let mut bytes = file();
    let entry = section(&bytes, kind);
    let at = entry.offset as usize + element as usize * entry.element_bytes as usize + offset;
    assert_ne!(&bytes[at..at + value.len()], value, "a lie differs from the truth");
    bytes[at..at + value.len()].copy_from_slice(value);
    fix_checksums(&mut bytes);
    refused(&bytes)
}

#[test]
fn a_suffix_list_out_of_form_or_out_of_place_is_refused() {
    let truth = common::builder(Scheme::GsbV5, &[]).build(backend()).unwrap().bytes;
    Snapshot::from_bytes(&truth).unwrap();
    let list = section(&truth, Section::PublicSuffixes);
    let refused_with = |at: usize, value: &[u8]| {
        let mut bytes = truth.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        fix_checksums(&mut bytes);
        match refused(&bytes) {
            Error::Corrupt { section, .. } => assert_eq!(section, Section::PublicSuffixes.name()),
            other => panic!("{other}"),
        }
    };
    for wrong in [b" ", b"z", b"\n", b"\xFF", b"A"] {
        refused_with(list.offset as usize, wrong);
    }
    refused_with((list.offset + list.bytes - 1) as usize, b"x");
    // The bounds of another scheme, which asks without a list.
    refused_with(40, &[Scheme::Exact as u8, 1, 0]);
}

#[test]
fn lies_with_true_checksums_are_refused() {
    let check = |kind: Section, element, offset, value: &[u8]| match lie(kind, element, offset, value) {
        Error::Corrupt { section, offset, .. } => assert_eq!(section, kind.name(), "offset {offset}"),
        other => panic!("{other}"),
    };
    let counts = |kind| section(&file(), kind).count;
    let verdicts = counts(Section::Templates) as u32;
    // An occupied and an empty slot to lie about.
    let bytes = file();
    let buckets = section(&bytes, Section::Buckets);
    let reference = |bucket: u64, slot: usize| {
        let at = (buckets.offset + bucket * 64) as usize + 40 + slot * 4;
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    let slots = || (0..buckets.count).flat_map(|bucket| (0..5).map(move |slot| (bucket, slot)));
    let (used, used_slot) = slots().find(|(bucket, slot)| reference(*bucket, *slot) != 0).unwrap();
    let (empty, empty_slot) = slots().find(|(bucket, slot)| reference(*bucket, *slot) == 0).unwrap();

    check(Section::Buckets, used, 40 + 4 * used_slot, &(verdicts | slot::SELF).to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &(1u32 | 1 << 29).to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &slot::SELF.to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &slot::PREFIXES.to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &(1u32 | slot::PATHS_BELOW).to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &(1u32 | slot::PATHS | slot::LEAF).to_le_bytes());
    check(Section::Buckets, used, 40 + 4 * used_slot, &0u32.to_le_bytes());
    check(Section::Buckets, empty, 8 * empty_slot, &[1]);
    check(Section::Buckets, empty, 40 + 4 * empty_slot, &1u32.to_le_bytes());

    check(Section::Templates, 0, 1, &[1]);
    check(Section::Templates, 1, 0, &[0x71]);
    check(Section::Templates, u64::from(verdicts) - 1, 5, &[0, 0, 0]);
    check(Section::Records, 0, 16, &[1]);
    check(Section::Records, 1, 0, &u32::MAX.to_le_bytes());
    check(Section::Records, 1, 8, &0u16.to_le_bytes());
    check(Section::Records, 1, 8, &u16::MAX.to_le_bytes());
    check(Section::Records, 1, 16, &[4]);
    check(Section::Records, 1, 17, &[101]);
    check(Section::Records, 1, 18, &[101]);
    check(Section::Records, 1, 19, &[0]);
    check(Section::Records, 1, 19, &[16]);
    check(Section::Records, 1, 20, &[1]);
    check(Section::Records, 1, 23, &[1]);
    check(Section::Sources, 0, 0, &u32::MAX.to_le_bytes());
    check(Section::Sources, 0, 12, &u32::MAX.to_le_bytes());
    match lie(Section::Strings, 0, 0, &[0xFF]) {
        Error::Corrupt { section: "sources", .. } => (),
        other => panic!("{other}"),
    }
    let signatures = counts(Section::Signatures);
    check(Section::Signatures, 0, 0, &1u32.to_le_bytes());
    check(Section::Signatures, 1, 0, &u32::MAX.to_le_bytes());
    check(Section::Signatures, 0, 4, &0u32.to_le_bytes());
    check(Section::Signatures, 0, 4, &verdicts.to_le_bytes());
    check(Section::Signatures, 0, 8, &3u16.to_le_bytes());
    check(Section::Signatures, signatures - 1, 8, &u16::MAX.to_le_bytes());
    check(Section::Signatures, 0, 10, &[1]);
    check(Section::Signatures, 0, 10, &[11]);
    check(Section::Signatures, 0, 11, &[1]);
    for byte in [b'A', b'#', b' ', b'%', 0xFF] {
        match lie(Section::SignatureText, 0, 0, &[byte]) {
            Error::Corrupt { section: "signatures", .. } => (),
            other => panic!("{other}"),
        }
    }
}

/// What several sources say, and what lies behind a prefix: what a switch goes by.
#[test]
fn lies_about_votes_and_what_is_behind_are_refused() {
    let refused_as = |name: &str, kind: Section, element: usize, offset, value: &[u8]| match lie(kind, element as u64, offset, value) {
        Error::Corrupt { section, .. } => assert_eq!(section, name, "element {element}, offset {offset}"),
        other => panic!("{other}"),
    };
    let bytes = file();
    let of = |kind| {
        let entry = section(&bytes, kind);
        &bytes[entry.offset as usize..(entry.offset + entry.bytes) as usize]
    };
    let votes: Vec<VoteEntry> = of(Section::Votes).chunks(16).map(bytemuck::pod_read_unaligned).collect();
    let records: Vec<Record> = of(Section::Records).chunks(24).map(bytemuck::pod_read_unaligned).collect();
    assert!(votes.len() > 100);
    let said = votes.iter().position(|vote| vote.class == 3 && vote.flags == 0).unwrap();
    let no_source = (SOURCES.len() as u16).to_le_bytes();
    for (offset, value) in [(4, &no_source[..]), (12, &[4]), (13, &[101]), (14, &[101]), (15, &[1]), (15, &[0x40])] {
        refused_as("votes", Section::Votes, said, offset, value);
    }
    // Of two that are both malicious the higher score is the record's, of both are the categories, and they ascend by source.
    let two = records.iter().find(|record| {
        let pair = record.sources_at as usize..;
        record.source_count == 2 && votes[pair].iter().take(2).all(|vote| vote.class == 3 && vote.flags == 0 && vote.score < 100)
    });
    let first = two.unwrap().sources_at as usize;
    refused_as("records", Section::Votes, first, 13, &[100]);
    refused_as("records", Section::Votes, first, 6, &0x0FFFu16.to_le_bytes());
    refused_as("records", Section::Votes, first, 0, &1u32.to_le_bytes());
    refused_as("records", Section::Votes, first, 4, &votes[first + 1].source.to_le_bytes());
    // Behind a prefix stands an earlier one of its family, and behind others nothing.
    let front = records.iter().rposition(|record| record.behind() != 0).unwrap();
    for behind in [front, front + 1, 0xFF_FFFF] {
        refused_as("records", Section::Records, front, 21, &(behind as u32).to_le_bytes()[..3]);
    }
    let of_kind = |kind: u8| records.iter().position(|record| record.rule_kind == kind).unwrap();
    for other in [1, 3, 8, 9].map(of_kind) {
        refused_as("records", Section::Records, front, 21, &(other as u32).to_le_bytes()[..3]);
    }
    let host = records.iter().rposition(|record| record.rule_kind == 1).unwrap();
    refused_as("records", Section::Records, host, 21, &[1, 0, 0]);
    // Where the one behind wins, the answer tells.
    let outranked = (1..records.len()).find(|id| {
        let at = section(&bytes, Section::Templates).offset as usize + 8 * id + 5;
        bytes[at..at + 3] != (*id as u32).to_le_bytes()[..3]
    });
    refused_as("templates", Section::Records, outranked.unwrap(), 21, &[0; 3]);
}

/// What the sections of addresses say of themselves: every number that a lookup follows.
#[test]
fn lies_about_addresses_are_refused() {
    let check = |kind: Section, element: u64, value: &[u8]| match lie(kind, element, 0, value) {
        // A dense head read as a sparse one may pass for one; its entries do not.
        Error::Corrupt { section, offset, .. } => {
            assert!(section == kind.name() || (kind, section) == (Section::Root4, "ipv4 nodes"), "{section} {element}, offset {offset}")
        }
        other => panic!("{other}"),
    };
    let bytes = file();
    let count = |kind| section(&bytes, kind).count;
    let word = |kind: Section, element: u64| {
        let at = (section(&bytes, kind).offset + element * kind.element_bytes() as u64) as usize;
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    let verdicts = count(Section::Templates) as u32;
    let find = |kind: Section, sought: &dyn Fn(u32) -> bool| (0..count(kind)).find(|at| sought(word(kind, *at))).unwrap();
    const NODE: u32 = 1 << 31;
    const DENSE: u32 = 1 << 30;

    // The root: ids, and its two kinds of nodes, each elsewhere, as the other kind, and beyond the end.
    let id = find(Section::Root4, &|word| word & NODE == 0);
    check(Section::Root4, id, &verdicts.to_le_bytes());
    check(Section::Root4, id, &(NODE).to_le_bytes());
    let first = find(Section::Root4, &|word| word & NODE != 0);
    let pointer = word(Section::Root4, first);
    for lie in [pointer + 1, pointer ^ DENSE, pointer | (DENSE - 1), pointer & !NODE | 1 << 25, NODE | count(Section::Nodes4) as u32] {
        check(Section::Root4, first, &lie.to_le_bytes());
    }
    // Nodes: a head that is not of its kind, an entry that points up, to itself, or too deep, and words that no node has.
    let refused_nodes = |element: u64, value: u32| match lie(Section::Nodes4, element, 0, &value.to_le_bytes()) {
        Error::Corrupt { section: "ipv4 root" | "ipv4 nodes", .. } => (),
        other => panic!("{other}"),
    };
    let node = u64::from(pointer & (DENSE - 1));
    for value in [0, u32::MAX, word(Section::Nodes4, node) ^ 1, word(Section::Nodes4, node) ^ 1 << 17] {
        refused_nodes(node, value);
    }
    let deepest = count(Section::Nodes4) - 1;
    for value in [NODE, NODE | DENSE, NODE | node as u32, NODE | deepest as u32, verdicts, 1 << 24] {
        refused_nodes(deepest, value);
    }
    assert!(pointer & DENSE != 0, "the rules fill their /8");
    let counts = node + 8;
    refused_nodes(counts, word(Section::Nodes4, counts) ^ 1 << 16);
    refused_nodes(counts, word(Section::Nodes4, counts) ^ 1);

    // The tree: a key of the root, keys of a leaf out of order, the highest key gone; ids and blocks.
    check(Section::Tree6, 0, &1u64.to_le_bytes());
    check(Section::Tree6, count(Section::Tree6) - 2, &[0xFF; 8]);
    check(Section::Tree6, count(Section::Tree6) - 1, &[0; 64]);
    let long = find(Section::Verdicts6, &|word| word & NODE != 0);
    let whole = find(Section::Verdicts6, &|word| word & NODE == 0 && word != 0);
    for value in [verdicts, NODE, u32::MAX] {
        check(Section::Verdicts6, whole, &value.to_le_bytes());
    }
    for value in [word(Section::Verdicts6, long) + 1, 1, NODE - 1] {
        let mut bytes = file();
        let at = (section(&bytes, Section::Verdicts6).offset + 4 * long) as usize;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        fix_checksums(&mut bytes);
        assert!(matches!(refused(&bytes), Error::Corrupt { section: "ipv6 verdicts" | "ipv6 blocks", .. }));
    }
    check(Section::Blocks6, 0, &1u32.to_le_bytes());
    check(Section::Blocks6, 1, &0u32.to_le_bytes());
    check(Section::Blocks6, 1, &u32::MAX.to_le_bytes());
    check(Section::Blocks6, count(Section::Blocks6) - 1, &u32::MAX.to_le_bytes());
    check(Section::LongEnds6, 0, &u64::MAX.to_le_bytes());
    check(Section::LongEnds6, count(Section::LongEnds6) - 1, &0u64.to_le_bytes());
    check(Section::LongVerdicts6, 0, &verdicts.to_le_bytes());
}

#[test]
fn header_fields_out_of_range_are_refused_with_true_checksums() {
    let check = |at: usize, value: &[u8], section: &str| {
        let mut bytes = file();
        assert_ne!(&bytes[at..at + value.len()], value);
        bytes[at..at + value.len()].copy_from_slice(value);
        fix_checksums(&mut bytes);
        match refused(&bytes) {
            Error::Corrupt { section: got, .. } => assert_eq!(got, section, "byte {at}"),
            Error::Unsupported { what, .. } => assert_eq!(what, section, "byte {at}"),
            other => panic!("{other}"),
        }
    };
    check(0, b"v", "header");
    check(8, &[1], "version");
    check(8, &[2], "version");
    check(8, &[3], "version");
    check(8, &[5], "version");
    check(12, &[1], "header");
    check(16, &[1], "file");
    check(24, &[1], "flags");
    check(24 + 7, &[0x80], "flags");
    check(40, &[0], "scheme");
    check(40, &[5], "scheme");
    check(40, &[Scheme::GsbV4 as u8], "header");
    check(40, &[Scheme::GsbV5 as u8], "header");
    check(40, &[Scheme::Exact as u8], "header");
    check(41, &[17], "header");
    check(41, &[1], "header");
    check(42, &[0], "header");
    check(43, &[1], "header");
    check(44, &[14], "header");
    check(48, &[0; 16], "header");
    check(64, &[0; 16], "header");
    check(80, &0u32.to_le_bytes(), "buckets");
    check(80, &2u32.to_le_bytes(), "buckets");
    check(80, &u32::MAX.to_le_bytes(), "buckets");
    check(84, &0u32.to_le_bytes(), "buckets");
    check(84, &u32::MAX.to_le_bytes(), "buckets");
    check(88, &0u64.to_le_bytes(), "buckets");
    check(96, &[1], "header");
    check(PAGE - 1, &[1], "header");
    for kind in Section::ALL {
        let at = size_of::<Header>() + kind.index() * size_of::<SectionEntry>();
        check(at, &[99], kind.name());
        check(at + 4, &[99], kind.name());
        check(at + 8, &[99], kind.name());
        check(at + 16, &u64::MAX.to_le_bytes(), kind.name());
        check(at + 24, &u64::MAX.to_le_bytes(), kind.name());
    }
}

#[test]
fn lies_that_are_believed_can_only_change_answers() {
    // What no check can know: another tag, another filter, another start. Questions still get answers.
    let truth = file();
    let questions = questions();
    let mut random = Random(13);
    let mut believed = 0;
    const TRIES: usize = 200;
    for _ in 0..TRIES {
        let mut bytes = truth.clone();
        for _ in 0..1 + random.below(4) {
            let entry = section(&bytes, *random.pick(&Section::ALL));
            if entry.bytes != 0 {
                let at = entry.offset as usize + random.below(entry.bytes as usize);
                bytes[at] = random.next() as u8;
            }
        }
        fix_checksums(&mut bytes);
        let Ok(snapshot) = Snapshot::from_bytes(&bytes) else {
            continue;
        };
        believed += 1;
        for verdict in ask(&snapshot, &questions) {
            assert_eq!(verdict.verdict_id() != 0, snapshot.describe(verdict.verdict_id()).is_some());
        }
    }
    println!("{believed} of {TRIES} lies believed");
    assert!(believed > TRIES / 20, "most lies about tags and filters cannot be seen");
}

#[test]
fn layout_is_what_the_tests_above_assume() {
    assert_eq!((size_of::<Header>(), size_of::<SectionEntry>(), size_of::<Record>()), (256, 64, 24));
    assert_eq!(size_of::<VoteEntry>(), 16);
    let stats = Snapshot::from_bytes(&file()).unwrap().stats();
    assert!(stats.rules.iter().filter(|(_, count)| *count > 0).count() >= 6);
    assert!(ask(&Snapshot::from_bytes(&file()).unwrap(), &questions()).iter().any(|verdict| verdict.class() == Some(Class::Malicious)));
}
