//! Manifests: one encoding, nothing believed that a known key has not signed to the last bit, nothing assembled that is not as stated.

#[path = "../../fuzz/src/manifest.rs"]
mod fuzz;

use crate::common;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use verdict_keys::{Kind, Scheme};
use verdict_simd::Portable;
use verdict_tables::layout::VERSION;
use verdict_tables::manifest::epoch::{self, Floor, JUMP_MAX};
use verdict_tables::manifest::{
    Canary, Directory, Expected, KeySet, Manifest, Part as FilePart, PublicKey, Refusal, Why, check_canaries, hex, read_canaries, unhex,
    unverified,
};
use verdict_tables::{Builder, Part, Rule, Snapshot, Source};

const DAY: u64 = 86_400;
const CREATED: u64 = 1_800_000_000;

/// Keys of RFC 8032, section 7.1, tests 1 to 3: known to everybody, so nobody will use them.
fn key(number: usize) -> SigningKey {
    let seeds = [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    ];
    SigningKey::from_bytes(&unhex(seeds[number]).unwrap())
}

fn public(number: usize) -> PublicKey {
    PublicKey::from_bytes(key(number).verifying_key().as_bytes()).unwrap()
}

fn keys(numbers: &[usize]) -> KeySet {
    KeySet::new(numbers.iter().map(|number| public(*number)).collect()).unwrap()
}

fn signed(body: Vec<u8>, by: &[usize]) -> Vec<u8> {
    let mut lines: Vec<_> = by.iter().map(|number| (public(*number).id(), key(*number).sign(&body).to_bytes())).collect();
    lines.sort();
    let mut bytes = body;
    for (id, signature) in lines {
        bytes.extend(id.0);
        bytes.extend(signature);
    }
    bytes
}

/// Of no snapshot, but in order.
fn sample() -> Manifest {
    let parts: Vec<FilePart> = (1..=3u8).map(|number| FilePart { sha256: [number; 32], bytes: 4096 * u64::from(number) }).collect();
    Manifest {
        epoch: 7,
        created_s: CREATED,
        expires_s: CREATED + 7 * DAY,
        rollback: false,
        generation: 0x0123_4567_89ab_cdef,
        sha256: [0xAB; 32],
        rules: 42,
        snapshot_bytes: parts.iter().map(|part| part.bytes).sum(),
        formats: (3, 3),
        stage: 100,
        salt: [5; 16],
        parts,
        canaries: read_canaries(
            "# questions\nbotnet.test\tmalicious\twhy\nwww.example.org\tunknown|clean\n192.0.2.1\tsuspicious|malicious\n",
        )
        .unwrap(),
    }
}

#[test]
fn the_golden_vectors_hold() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/manifest.txt")).unwrap();
    let value =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(value("public"), public(0).line("RFC 8032 test 1"));
    let one = signed(sample().encode().unwrap(), &[0]);
    assert_eq!(value("manifest"), hex(&one));
    let both = signed(Manifest { rollback: true, epoch: 8, ..sample() }.encode().unwrap(), &[0, 1]);
    assert_eq!(value("rollback-by-two"), hex(&both));
    assert_eq!(Manifest::verify(&one, &keys(&[0])).unwrap(), (sample(), public(0).id()));
}

#[test]
fn any_key_of_the_set_suffices_and_none_else() {
    let by_both = signed(sample().encode().unwrap(), &[0, 1]);
    for known in [vec![0], vec![1], vec![0, 1], vec![1, 2]] {
        assert!(Manifest::verify(&by_both, &keys(&known)).is_ok(), "{known:?}");
    }
    let refused = Manifest::verify(&by_both, &keys(&[2])).unwrap_err();
    assert_eq!(refused.why(), Why::Signature);
    let told = refused.to_string();
    assert!((0..3).all(|number| told.contains(&public(number).id().to_string())), "{told}");
}

#[test]
fn no_bit_may_be_another_and_no_byte_missing() {
    let good = signed(sample().encode().unwrap(), &[0]);
    let known = keys(&[0]);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Manifest::verify(&bytes, &known).is_err(), "bit {bit}");
    }
    for end in 0..good.len() {
        assert!(Manifest::verify(&good[..end], &known).is_err(), "{end} bytes");
    }
    assert!(Manifest::verify(&[good.as_slice(), &[0]].concat(), &known).is_err());
}

#[test]
fn a_signature_of_other_bytes_is_called_forged() {
    let mut bytes = signed(sample().encode().unwrap(), &[0]);
    bytes[32] = 9; // the epoch
    assert!(matches!(Manifest::verify(&bytes, &keys(&[0])), Err(Refusal::Forged { .. })));
    // A good signature beside it does not help: nobody publishes that.
    let mut both = signed(sample().encode().unwrap(), &[0, 1]);
    let last = both.len() - 1;
    both[last] ^= 1;
    assert!(matches!(Manifest::verify(&both, &keys(&[0, 1])), Err(Refusal::Forged { .. })));
}

#[test]
fn a_publisher_cannot_write_what_a_reader_would_refuse() {
    let check = |what: &str, manifest: Manifest| {
        let refused = manifest.encode().unwrap_err().to_string();
        assert!(refused.contains(what), "{refused}");
    };
    check("epoch", Manifest { epoch: 0, ..sample() });
    check("expiry", Manifest { expires_s: CREATED, ..sample() });
    check("answer everything unknown", Manifest { rules: 0, ..sample() });
    check("stage", Manifest { stage: 101, ..sample() });
    check("range", Manifest { formats: (4, 3), ..sample() });
    check("as many bytes as all parts", Manifest { snapshot_bytes: 4096, ..sample() });
    check("parts", Manifest { parts: Vec::new(), ..sample() });
    let empty = FilePart { sha256: [0; 32], bytes: 0 };
    check("a part of 1 byte", Manifest { parts: [sample().parts, vec![empty]].concat(), ..sample() });
}

#[test]
fn epochs_only_rise_and_time_only_passes() {
    let taken = Floor { epoch: 7, sha256: sample().sha256 };
    let sample = || Manifest { formats: (VERSION, VERSION), ..sample() };
    let check = |manifest: &Manifest, floor: &Floor, now_s| epoch::check(manifest, floor, now_s).map_err(|refusal| refusal.why());
    assert_eq!(check(&sample(), &taken, CREATED), Ok(()), "the same again");
    assert_eq!(check(&Manifest { epoch: 8, sha256: [1; 32], ..sample() }, &taken, CREATED), Ok(()));
    assert_eq!(check(&Manifest { epoch: 6, ..sample() }, &taken, CREATED), Err(Why::Epoch));
    assert_eq!(check(&Manifest { sha256: [1; 32], ..sample() }, &taken, CREATED), Err(Why::Epoch));
    assert_eq!(check(&Manifest { epoch: 8 + JUMP_MAX, ..sample() }, &taken, CREATED), Err(Why::Epoch));
    assert_eq!(check(&Manifest { epoch: u64::MAX, ..sample() }, &Floor::default(), CREATED), Ok(()), "somewhere it begins");
    assert_eq!(check(&sample(), &taken, CREATED + 7 * DAY), Ok(()));
    assert_eq!(check(&sample(), &taken, CREATED + 7 * DAY + 1), Err(Why::Expired));
    assert_eq!(check(&Manifest { formats: (VERSION + 1, VERSION + 2), ..sample() }, &taken, CREATED), Err(Why::Format));
    assert_eq!(check(&Manifest { formats: (1, VERSION - 1), ..sample() }, &taken, CREATED), Err(Why::Format));
}

#[test]
fn a_stage_takes_its_share_of_the_nodes_and_grows() {
    for stage in [1, 10, 50, 100] {
        let manifest = Manifest { stage, ..sample() };
        let takers = (0..2000).filter(|node| manifest.is_for_node(&format!("node-{node}"))).count() as f64 / 20.0;
        assert!((takers - f64::from(stage)).abs() < 3.0, "{takers} % at stage {stage}");
        let wider = Manifest { stage: (stage + 20).min(100), ..sample() };
        assert!((0..200).all(|node| !manifest.is_for_node(&node.to_string()) || wider.is_for_node(&node.to_string())));
    }
}

#[test]
fn key_files_are_read_and_their_mistakes_named() {
    let line = public(0).line("office");
    assert_eq!(KeySet::from_texts([("a", format!("# keys\n\n{line}\n").as_str())]).unwrap(), keys(&[0]));
    let check = |text: &str, what: &str| {
        let refused = KeySet::from_texts([("a.pub", text)]).unwrap_err();
        assert!(refused.contains(what), "{refused}");
    };
    check("", "no public key");
    check("hello\n", "a.pub:1: not a public key");
    check(&line.replace("d75a", "d75b"), "a.pub:1: ");
    check(&format!("verdictd-public-key 0000000000000000 {}", "0".repeat(64)), "no ed25519 public key");
    check(&format!("verdictd-public-key 0000000000000000 {}", "0".repeat(63)), "64 hexadecimal");
}

#[test]
fn mistakes_in_a_list_of_canaries_are_named_by_line() {
    for (text, what) in [
        ("botnet.test\n", "line 1: QUESTION <tab> CLASS"),
        ("# a\nbotnet.test\tbad\n", "line 2: the class is none of"),
        ("192.0.2.0/24\tmalicious\n", "line 1: a prefix"),
        ("a b\tclean|\n", "line 1"),
    ] {
        let refused = read_canaries(text).unwrap_err();
        assert!(refused.contains(what), "{refused}");
    }
}

/// A directory of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-manifest-{}-{name}", std::process::id()));
        std::fs::create_dir_all(path.join("parts")).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Of hosts with all below, and of `~texts` inside any host.
fn snapshot(hosts: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Scheme::Full, b"", 1);
    let source = builder.source(Source { name: "one", licence: "" });
    for host in hosts {
        let vote = common::vote(source);
        let rule = match host.strip_prefix('~') {
            Some(text) => Rule::Signature { text, part: Part::Host, token: false },
            None => Rule::Host { host, subdomains: true },
        };
        builder.add(rule, vote).unwrap();
    }
    builder.build(Portable::new()).unwrap().bytes
}

/// Parts of a page each, and the manifest that names them.
fn published(scratch: &Scratch, bytes: &[u8]) -> (Directory, Manifest) {
    let directory = Directory::new(&scratch.0);
    let loaded = Snapshot::from_bytes(bytes).unwrap();
    let mut parts = Vec::new();
    for content in bytes.chunks(4096) {
        let part = FilePart { sha256: Sha256::digest(content).into(), bytes: content.len() as u64 };
        std::fs::write(directory.part(&part), content).unwrap();
        parts.push(part);
    }
    let (generation, sha256, rules) = (loaded.generation(), *loaded.sha256(), loaded.stats().rules_total());
    (directory, Manifest { generation, sha256, rules, snapshot_bytes: bytes.len() as u64, parts, ..sample() })
}

#[test]
fn parts_become_the_snapshot_that_they_were() {
    let scratch = Scratch::new("whole");
    let bytes = snapshot(&["botnet.test"]);
    let (directory, manifest) = published(&scratch, &bytes);
    let assembled = directory.assemble(&manifest).unwrap();
    assert_eq!(assembled.as_bytes(), bytes);
}

#[test]
fn a_part_that_is_missing_short_long_or_damaged_is_named() {
    let scratch = Scratch::new("parts");
    let (directory, manifest) = published(&scratch, &snapshot(&["botnet.test"]));
    let path = directory.part(&manifest.parts[1]);
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[77] ^= 4;
    let spoils: [(&str, Option<&[u8]>); 4] = [
        ("No such file", None),
        ("it has 4095", Some(&good[1..])),
        ("it has 4097", Some(&[&good[..], b"x"].concat())),
        ("damaged", Some(&flipped)),
    ];
    for (what, content) in spoils {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let refused = directory.assemble(&manifest).map(|_| ()).unwrap_err();
        assert_eq!((refused.why(), refused.is_of_the_snapshot()), (Why::Part, false));
        let told = refused.to_string();
        assert!(told.contains(what) && told.contains("part 1 of "), "{told}");
    }
}

#[test]
fn parts_of_another_snapshot_are_not_the_stated_one() {
    let scratch = Scratch::new("another");
    let (directory, manifest) = published(&scratch, &snapshot(&["botnet.test"]));
    for lie in [
        Manifest { generation: 1, ..manifest.clone() },
        Manifest { sha256: [1; 32], ..manifest.clone() },
        Manifest { rules: 2, ..manifest.clone() },
        Manifest {
            parts: {
                let mut parts = manifest.parts.clone();
                parts.swap(1, 2);
                parts
            },
            ..manifest.clone()
        },
    ] {
        let refused = directory.assemble(&lie).map(|_| ()).unwrap_err();
        assert_eq!((refused.why(), refused.is_of_the_snapshot()), (Why::Structure, true), "{refused}");
    }
}

#[test]
fn canaries_catch_what_blocks_too_much_or_nothing() {
    let check = |hosts: &[&str], list: &str| {
        let snapshot = Snapshot::from_bytes(&snapshot(hosts)).unwrap();
        check_canaries(Portable::new(), &snapshot, &read_canaries(list).unwrap()).map_err(|refusal| refusal.to_string())
    };
    let list = "botnet.test\tmalicious\nwww.example.org\tunknown|clean\n";
    assert_eq!(check(&["botnet.test"], list), Ok(()));
    let blind = check(&["else.test"], list).unwrap_err();
    assert!(blind.contains("canary 1, botnet.test: answered unknown, expected malicious"), "{blind}");
    let wide = check(&["botnet.test", "example.org"], list).unwrap_err();
    assert!(wide.contains("canary 2, www.example.org: answered malicious, expected unknown or clean"), "{wide}");
    let everything = check(&["~.invalid"], "").unwrap_err();
    assert!(everything.contains(".canary.invalid: answered malicious"), "{everything}");
    let no_key = check(&["botnet.test"], "http://[/\tmalicious\n").unwrap_err();
    assert!(no_key.contains("it is no key"), "{no_key}");
}

#[test]
fn a_canary_of_the_wrong_length_is_none() {
    let any = Expected::from_bits(15).unwrap();
    assert!(Expected::from_bits(0).is_none() && Expected::from_bits(16).is_none());
    assert!(Canary::new(Kind::Ipv4 as u8, any, &[1, 2, 3]).is_none() && Canary::new(9, any, b"x").is_none());
}

#[test]
fn the_corpus_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/manifest");
    let (mut manifests, mut seals, mut files) = (0, 0, 0);
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        manifests += usize::from(fuzz::manifest(&bytes));
        seals += usize::from(fuzz::seal(&bytes));
        files += 1;
    }
    assert_eq!(seals, 1);
    assert!(manifests >= 3 && files >= 10, "{manifests} manifests in {files} files");
}

#[test]
fn mutated_manifests_are_refused_or_written_again_as_they_are() {
    let good = signed(sample().encode().unwrap(), &[0, 1]);
    let mut seed = 1u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut understood = 0;
    for _ in 0..if cfg!(target_arch = "x86_64") { 20_000 } else { 1_000 } {
        let mut bytes = good.clone();
        for _ in 0..=next() % 3 {
            let at = next() % bytes.len();
            bytes[at] = [0, 1, 0xFF, next() as u8][next() % 4];
        }
        bytes.truncate(if next() % 8 == 0 { next() % bytes.len() } else { bytes.len() });
        understood += usize::from(fuzz::manifest(&bytes));
    }
    assert!(understood > 0 && unverified(&good).is_ok());
}
