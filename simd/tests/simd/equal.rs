//! Every backend against the oracle, over all lengths, alignments and byte values, and at the edge of unmapped pages.
//!
//! One `suite!` stamps the same tests into each backend; what this machine cannot run is said, and an error where
//! `VERDICT_EXPECT_BACKENDS=avx2,portable` names it. A check returns how much it compared, or the first difference; the last tests
//! give the checks backends with one fault each and expect every one to be found.

use crate::reference;
use std::io::Write;
use verdict_simd::{
    Backend, Bucket, CHUNK, Domain, GROUP, HASHES, Hash128, HashKey, HashSchedule, Key128, Selected, UrlBlock, WithBackend, available,
    away_bits, prefetch, prefetch_bucket, seal,
};

/// How much was compared, or the first difference.
type Outcome = Result<usize, String>;

/// Past the four vectors of a run of classification, and past the 16 blocks of a run of the hash.
const LENGTHS: usize = if cfg!(miri) { 70 } else { 301 };
const ALIGNMENTS: usize = if cfg!(miri) { 3 } else { 64 };

macro_rules! suite {
    ($($name:ident),*) => {
        const STAMPED: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            use super::*;

            fn run(check: impl Fn(Selected) -> Outcome) {
                if let Some(backend) = backend(stringify!($name)) {
                    let compared = check(backend).unwrap_or_else(|difference| panic!("{}: {difference}", backend.name()));
                    assert!(compared > 0);
                }
            }

            #[test]
            fn classifies_as_the_reference() {
                run(|backend| classify_everywhere(backend));
            }
            #[test]
            fn classifies_every_byte_value_in_every_lane() {
                run(|backend| classify_values(backend));
            }
            #[test]
            fn hashes_as_the_reference() {
                run(|backend| hash_everywhere(backend));
            }
            #[test]
            fn hashes_every_byte_value() {
                run(|backend| hash_values(backend));
            }
            #[test]
            fn hashes_long_inputs() {
                run(|backend| hash_long(backend));
            }
            #[test]
            fn prefix_checkpoints_are_hashes() {
                run(|backend| prefixes_everywhere(backend));
            }
            #[test]
            fn suffix_checkpoints_are_hashes() {
                run(|backend| suffixes_everywhere(backend));
            }
            #[test]
            fn checkpoints_of_any_length_are_hashes() {
                run(|backend| lengths_everywhere(backend));
            }
            #[test]
            fn pairs_as_the_reference() {
                run(|backend| pair_everywhere(backend));
            }
            #[test]
            fn seals_of_many_as_the_reference() {
                run(|backend| seal_everywhere(backend));
            }
            #[test]
            fn probes_as_the_reference() {
                run(|backend| probe_everywhere(backend));
            }
            #[test]
            fn reads_nothing_beside_the_slice() {
                run(|backend| page_edges(backend));
            }
        })*
    };
}
suite!(neon, avx512, avx2, portable);

/// The backend of that name, if this machine has it.
fn backend(name: &str) -> Option<Selected> {
    available().into_iter().find(|backend| backend.name() == name)
}

/// Runs each expected backend once more, briefly, so that no filter or renamed suite can hide that it did not run.
#[test]
fn expected_backends_run() {
    let expected = std::env::var("VERDICT_EXPECT_BACKENDS").unwrap_or_default();
    let expected: Vec<&str> = expected.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let (ran, skipped): (Vec<&str>, Vec<&str>) = STAMPED.iter().partition(|name| backend(name).is_some());
    // Straight to the terminal: the harness would keep a passing test's output to itself.
    let _ = writeln!(std::io::stderr(), "\nverdict-simd: ran {}; skipped {}", list(&ran), list(&skipped));
    for name in expected {
        assert!(STAMPED.contains(&name), "no suite is stamped for the expected backend {name}");
        let backend = backend(name).unwrap_or_else(|| panic!("the expected backend {name} cannot run on this machine"));
        assert!(probe_everywhere(backend).expect("equal") > 0);
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

// ---- inputs ----

/// SplitMix64: the same inputs on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn hash(&mut self) -> Hash128 {
        Hash128 { lo: self.next(), hi: self.next() }
    }
}

fn key(seed: u64) -> HashKey {
    let mut random = Random(seed);
    HashKey { h: random.bytes(16).try_into().unwrap(), k: random.bytes(16).try_into().unwrap() }
}

/// Bytes of URLs, with every class at every distance.
fn url_bytes(random: &mut Random, count: usize) -> Vec<u8> {
    const USUAL: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789-_~!$&'()*+,;=/.:@?#[]ABYZ/.%\\ \x7f\x00\xff\x80^`{}|\"<>/..";
    (0..count).map(|_| USUAL[random.below(USUAL.len())]).collect()
}

/// `bytes` at an address that is `alignment` modulo 64.
fn at_alignment<R>(alignment: usize, bytes: &[u8], body: impl FnOnce(&[u8]) -> R) -> R {
    let mut room = vec![0xa5; bytes.len() + 128];
    let start = room.as_ptr().align_offset(64) + alignment;
    room[start..start + bytes.len()].copy_from_slice(bytes);
    body(&room[start..start + bytes.len()])
}

fn same<T: PartialEq + std::fmt::Debug>(what: impl FnOnce() -> String, found: T, expected: T) -> Outcome {
    if found == expected { Ok(1) } else { Err(format!("{}: found {found:x?}, expected {expected:x?}", what())) }
}

// ---- checks ----

fn classify<B: Backend>(backend: B, bytes: &[u8], expected: &[UrlBlock]) -> Outcome {
    let blocks: Vec<UrlBlock> = (0..bytes.len()).step_by(64).map(|at| backend.classify_block(bytes, at)).collect();
    let nothing = backend.classify_block(bytes, bytes.len());
    same(|| format!("classify_block at the end of {} bytes", bytes.len()), nothing, UrlBlock::default())?;
    same(|| format!("classify_block of {} bytes", bytes.len()), &blocks[..], expected)
}

fn classify_everywhere<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(1);
    let mut compared = 0;
    for length in 0..LENGTHS {
        let bytes = if length % 2 == 0 { url_bytes(&mut random, length) } else { random.bytes(length) };
        let expected = reference::classify(&bytes);
        for alignment in 0..ALIGNMENTS {
            compared += at_alignment(alignment, &bytes, |bytes| classify(backend, bytes, &expected))?;
        }
        let at = random.below(length + 1);
        let block = reference::classify(&bytes[at..]).first().copied().unwrap_or_default();
        compared += same(|| format!("classify_block of {length} bytes at {at}"), backend.classify_block(&bytes, at), block)?;
    }
    Ok(compared)
}

fn classify_values<B: Backend>(backend: B) -> Outcome {
    let mut compared = 0;
    for value in 0..=255 {
        for lane in (0..64).step_by(if cfg!(miri) { 21 } else { 1 }) {
            let mut bytes = [b'a'; 64];
            bytes[lane] = value;
            compared += classify(backend, &bytes, &reference::classify(&bytes))?;
        }
        compared += classify(backend, &[value; 64], &reference::classify(&[value; 64]))?;
    }
    Ok(compared)
}

fn hash<B: Backend>(backend: B, schedule: &HashSchedule, domain: Domain, bytes: &[u8], expected: Hash128) -> Outcome {
    same(|| format!("hash of {} bytes as {domain:?}", bytes.len()), backend.hash(schedule, domain, bytes), expected)
}

fn hash_everywhere<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(2), Random(3));
    let schedule = HashSchedule::new(&key);
    let mut compared = 0;
    for length in 0..LENGTHS {
        let bytes = random.bytes(length);
        for domain in [Domain::Host, Domain::Path] {
            let expected = reference::hash(&key, domain, &bytes);
            for alignment in 0..ALIGNMENTS {
                compared += at_alignment(alignment, &bytes, |bytes| hash(backend, &schedule, domain, bytes, expected))?;
            }
        }
        let domain = Domain::ALL[length % 5];
        compared += hash(backend, &schedule, domain, &bytes, reference::hash(&key, domain, &bytes))?;
    }
    Ok(compared)
}

/// One byte of each value at each place; and keys with few and with all bits.
fn hash_values<B: Backend>(backend: B) -> Outcome {
    let mut compared = 0;
    let edges = [[0xff; 16], [0x80; 16], std::array::from_fn(|i| (i == 0) as u8), std::array::from_fn(|i| 0x80 * (i == 15) as u8)];
    let keys = edges.into_iter().map(|element| HashKey { h: element, k: element }).chain([key(4)]);
    for key in keys {
        let schedule = HashSchedule::new(&key);
        for value in (0..=255).step_by(if cfg!(miri) { 51 } else { 1 }) {
            let mut bytes = [0; 33];
            bytes[value as usize % 33] = value;
            for domain in [Domain::Host, Domain::Sha256] {
                compared += hash(backend, &schedule, domain, &bytes, reference::hash(&key, domain, &bytes))?;
                compared += hash(backend, &schedule, domain, &[value; 31], reference::hash(&key, domain, &[value; 31]))?;
            }
        }
    }
    Ok(compared)
}

/// Several runs of blocks, and the longest URL.
fn hash_long<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(5), Random(6));
    let schedule = HashSchedule::new(&key);
    let mut compared = 0;
    let lengths: Vec<usize> = if cfg!(miri) { vec![511, 512] } else { (500..560).chain([1023, 1024, 1025, 4095, 8191, 8192]).collect() };
    for length in lengths {
        let bytes = random.bytes(length);
        for domain in [Domain::Host, Domain::Path] {
            compared += hash(backend, &schedule, domain, &bytes, reference::hash(&key, domain, &bytes))?;
        }
    }
    Ok(compared)
}

/// Masks of places within the first `end` bytes: none, all that fit, few, many.
fn masks(random: &mut Random, end: usize) -> Vec<u64> {
    let within = if end < 64 { (1 << end) - 1 } else { u64::MAX };
    let few = (0..3).fold(0, |mask, _| mask | 1 << random.below(64));
    let mut all = vec![
        0,
        few,
        random.next() & random.next() & random.next(),
        0x8421_0842_1084_2108,
        1 << (end.clamp(1, 64) - 1),
        0xffff,
        0x1f << (end / 2).min(60),
    ];
    all.iter_mut().for_each(|mask| *mask &= within);
    all.retain(|mask| mask.count_ones() as usize <= HASHES - 2);
    all
}

const GARBAGE: [Hash128; HASHES] = [Hash128 { lo: !0, hi: !0 }; HASHES];

/// `whole[n]` is the hash of the first `n` bytes.
fn prefixes<B: Backend>(backend: B, schedule: &HashSchedule, text: &[u8], exact: usize, slashes: u64, whole: &[Hash128]) -> Outcome {
    let mut ends = vec![text.len()];
    ends.extend((exact < text.len()).then_some(exact));
    ends.extend((0..64).rev().filter(|bit| slashes >> bit & 1 == 1).map(|bit| bit + 1));
    let expected: Vec<Hash128> = ends.iter().map(|&end| whole[end]).collect();
    let mut hashes = GARBAGE;
    backend.hash_prefixes(schedule, Domain::Path, text, exact, slashes, &mut hashes);
    same(|| format!("hash_prefixes of {} bytes, {exact} exact, {slashes:x}", text.len()), &hashes[..ends.len()], &expected[..])
}

fn prefixes_everywhere<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(7), Random(8));
    let schedule = HashSchedule::new(&key);
    let all = random.bytes(LENGTHS);
    let whole: Vec<Hash128> = (0..=LENGTHS).map(|end| reference::hash(&key, Domain::Path, &all[..end])).collect();
    let mut compared = 0;
    for length in 0..LENGTHS {
        for exact in [length, length + 9, length / 2, random.below(length + 1)] {
            for slashes in masks(&mut random, exact.min(length).saturating_sub(1)) {
                let alignment = random.below(64);
                compared += at_alignment(alignment, &all[..length], |text| prefixes(backend, &schedule, text, exact, slashes, &whole))?;
            }
        }
    }
    Ok(compared)
}

/// `whole[n]` is the hash of the last `n` bytes.
fn suffixes<B: Backend>(backend: B, schedule: &HashSchedule, host: &[u8], dots: u64, whole: &[Hash128]) -> Outcome {
    let starts = [0].into_iter().chain((0..64).filter(|bit| dots >> bit & 1 == 1).map(|bit| bit + 1));
    let expected: Vec<Hash128> = starts.map(|start| whole[host.len() - start]).collect();
    let mut hashes = GARBAGE;
    backend.hash_suffixes(schedule, host, dots, &mut hashes);
    same(|| format!("hash_suffixes of {} bytes, {dots:x}", host.len()), &hashes[..expected.len()], &expected[..])
}

fn suffixes_everywhere<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(9), Random(10));
    let schedule = HashSchedule::new(&key);
    let all = random.bytes(LENGTHS);
    let whole: Vec<Hash128> = (0..=LENGTHS).map(|length| reference::hash(&key, Domain::Host, &all[LENGTHS - length..])).collect();
    let mut compared = 0;
    for length in 0..LENGTHS {
        for dots in masks(&mut random, length) {
            let alignment = random.below(64);
            let host = &all[LENGTHS - length..];
            compared += at_alignment(alignment, host, |host| suffixes(backend, &schedule, host, dots, &whole))?;
        }
    }
    Ok(compared)
}

/// Lengths that descend, that ascend, that come anyhow, some twice, some past the end.
fn lengths(random: &mut Random, length: usize) -> Vec<Vec<u32>> {
    let mut some: Vec<u32> = (0..1 + random.below(11)).map(|_| random.below(length + 1) as u32).collect();
    some.push(some[0]);
    let anyhow = some.clone();
    some.sort_unstable();
    let descending: Vec<u32> = some.iter().rev().copied().collect();
    let many = (0..HASHES as u32).map(|i| length as u32 + 5 - i.min(length as u32)).collect();
    vec![vec![], descending, some, anyhow, many, vec![length as u32], vec![0], vec![u32::MAX]]
}

fn lengths_everywhere<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(17), Random(18));
    let schedule = HashSchedule::new(&key);
    let all = random.bytes(LENGTHS);
    let mut compared = 0;
    for length in 0..LENGTHS {
        for domain in [Domain::Path, Domain::Host] {
            let text = &all[..length];
            for lengths in lengths(&mut random, length) {
                let part = |&wanted: &u32| match (domain, length.min(wanted as usize)) {
                    (Domain::Host, wanted) => reference::hash(&key, domain, &text[length - wanted..]),
                    (_, wanted) => reference::hash(&key, domain, &text[..wanted]),
                };
                let expected: Vec<Hash128> = if length % 7 == 0 || length > 120 { lengths.iter().map(part).collect() } else { continue };
                let mut hashes = GARBAGE;
                backend.hash_lengths(&schedule, domain, text, &lengths, &mut hashes);
                compared += same(|| format!("hash_lengths of {length} bytes: {lengths:?}"), &hashes[..lengths.len()], &expected[..])?;
            }
        }
    }
    Ok(compared)
}

fn pair_everywhere<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(11);
    let mut compared = 0;
    for count in 0..40 {
        let key = key(100 + count as u64);
        let schedule = HashSchedule::new(&key);
        let host = random.hash();
        let paths: Vec<Hash128> = (0..count).map(|_| random.hash()).collect();
        let mut keys = vec![Key128::default(); count];
        backend.pair(&schedule, host, &paths, &mut keys);
        let expected: Vec<Key128> = paths.iter().map(|&path| reference::pair(&key, host, path)).collect();
        compared += same(|| format!("pair of {count}"), keys, expected)?;
    }
    Ok(compared)
}

/// As many as make whole vectors and one more or less; halves that carry in every place of their product.
fn seal_everywhere<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(13);
    let mut compared = 0;
    let few = [0, 1, !0, 1 << 63, 0xFFFF_FFFF, !0 << 32, 1 << 32, 0x243f_6a88_85a3_08d3];
    for count in 0..40 {
        let word = |random: &mut Random| if random.below(3) == 0 { few[random.below(8)] } else { random.next() };
        let hashes: Vec<Hash128> = (0..count).map(|_| Hash128 { lo: word(&mut random), hi: word(&mut random) }).collect();
        let mut keys = vec![Key128::default(); count];
        backend.seal_all(&hashes, &mut keys);
        let expected: Vec<Key128> = hashes.iter().map(|&hash| reference::seal(hash)).collect();
        compared += same(|| format!("seal of {count}"), keys, expected)?;
    }
    Ok(compared)
}

/// Tags that are absent, that stand in one slot, in several, and that differ from a stored one in one bit.
fn probe_everywhere<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(12);
    let bucket = |random: &mut Random| {
        let few = [0, 1, !0, 1 << 63, random.next()];
        let mut tag = || if random.below(3) == 0 { few[random.below(5)] } else { random.next() };
        let tags = std::array::from_fn(|_| tag());
        Bucket { tags, refs: std::array::from_fn(|_| tag() as u32), away: 0 }
    };
    let buckets: Vec<Bucket> = (0..64).map(|_| bucket(&mut random)).collect();
    let mut compared = 0;
    for _ in 0..400 {
        let places: [usize; GROUP] = std::array::from_fn(|_| random.below(buckets.len()));
        let tags = places.map(|at| match random.below(4) {
            0 => random.next(),
            1 => 0,
            2 => buckets[at].tags[random.below(5)],
            _ => buckets[at].tags[random.below(5)] ^ 1 << random.below(64),
        });
        let (mut hits, mut words) = ([0xff; GROUP], [!0; GROUP]);
        backend.probe(&buckets, &places.map(|at| 64 * at as u64), &tags, &mut hits, &mut words);
        let expected: [u8; GROUP] = std::array::from_fn(|lane| reference::probe(&buckets[places[lane]], tags[lane]));
        compared += same(|| "hits of a probe".to_owned(), hits.map(|hits| hits & 31), expected)?;
        let expected: [u32; GROUP] = std::array::from_fn(|lane| reference::word(&buckets[places[lane]], expected[lane]));
        compared += same(|| "words of a probe".to_owned(), words, expected)?;
        let keys: [Key128; GROUP] = std::array::from_fn(|_| Key128 { lo: random.next(), hi: random.next() });
        compared += same(|| "halves".to_owned(), backend.halves(&keys), [keys.map(|key| key.lo), keys.map(|key| key.hi)])?;
    }
    Ok(compared + settle_everywhere(backend)? + pick_and_places(backend)?)
}

/// All hits, with and without a ref; all of a filter's bits but one; upper bits of hits that mean nothing.
fn settle_everywhere<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(15);
    let mut compared = 0;
    for turn in 0..400 {
        let lanes = 16 * (turn % 5);
        let tags: Vec<u64> = (0..lanes).map(|_| random.next()).collect();
        let hits: Vec<u8> = (0..lanes).map(|_| if random.below(3) == 0 { random.next() as u8 } else { 1 << random.below(8) }).collect();
        let word = |tag: &u64| match random.below(4) {
            0 => 0,
            1 => random.next() as u32 & !(3 << 30),
            2 => away_bits(*tag),
            _ => !(1 << (tag >> [0, 5][random.below(2)] & 31)),
        };
        let words: Vec<u32> = tags.iter().map(word).collect();
        let settled: Vec<(u32, bool)> = (0..lanes).map(|lane| reference::settled(tags[lane], hits[lane], words[lane])).collect();
        let mut refs = words.clone();
        let open = backend.settle(&tags, &hits, &mut refs);
        compared += same(|| format!("refs of {lanes}"), refs, settled.iter().map(|(reference, _)| *reference).collect())?;
        let expected = settled.iter().enumerate().fold(0, |bits, (lane, (_, away))| bits | u64::from(*away) << lane);
        compared += same(|| format!("those of {lanes} that are perhaps away"), open, expected)?;
    }
    Ok(compared)
}

fn pick_and_places<B: Backend>(backend: B) -> Outcome {
    let mut random = Random(16);
    let mut compared = 0;
    for turn in 0..200 {
        let bits = [0, 1, !0, 1 << 63, random.next(), random.next() & random.next() & random.next()][turn % 6];
        let set: Vec<u8> = (0..64).filter(|bit| bits >> bit & 1 != 0).collect();
        let mut expected = [set.first().copied().unwrap_or(0); CHUNK];
        expected[..set.len()].copy_from_slice(&set);
        compared += same(|| format!("the places of {bits:#x}"), backend.places(bits), expected)?;
        let from: Vec<u64> = (0..1 + random.below(300)).map(|_| random.next()).collect();
        let at: [u32; CHUNK] = std::array::from_fn(|_| random.below(from.len()) as u32);
        let mut to = [0; CHUNK];
        backend.pick(&from, &at, &mut to);
        compared += same(|| "picked".to_owned(), to, at.map(|at| from[at as usize]))?;
    }
    Ok(compared)
}

/// All of the above on slices that begin at the first or end at the last byte before pages that cannot be read.
fn page_edges<B: Backend>(backend: B) -> Outcome {
    let (key, mut random) = (key(13), Random(14));
    let schedule = HashSchedule::new(&key);
    let mut island = Island::new();
    let mut compared = 0;
    for length in 0..LENGTHS {
        let bytes = url_bytes(&mut random, length);
        let classes = reference::classify(&bytes);
        let (path, host) = (reference::hash(&key, Domain::Path, &bytes), reference::hash(&key, Domain::Host, &bytes));
        for edge in [Edge::First, Edge::Last] {
            let bytes = island.place(&bytes, edge);
            compared += classify(backend, bytes, &classes)?;
            compared += hash(backend, &schedule, Domain::Path, bytes, path)?;
            compared += hash(backend, &schedule, Domain::Host, bytes, host)?;
            let mut hashes = GARBAGE;
            backend.hash_prefixes(&schedule, Domain::Path, bytes, length / 2, u64::from(length > 3), &mut hashes);
            compared += same(|| format!("the first of the prefixes of {length} bytes"), hashes[0], path)?;
            backend.hash_suffixes(&schedule, bytes, u64::from(length > 0), &mut hashes);
            compared += same(|| format!("the first of the suffixes of {length} bytes"), hashes[0], host)?;
            backend.hash_lengths(&schedule, Domain::Host, bytes, &[length as u32, length as u32 / 2], &mut hashes);
            compared += same(|| format!("the first of the lengths of {length} bytes"), hashes[0], host)?;
        }
    }
    for edge in [Edge::First, Edge::Last] {
        let bucket = Bucket { tags: [1, 2, 3, 4, 5], refs: [9; 5], away: 0 };
        let buckets: &[Bucket] = bytemuck::cast_slice(island.place(bytemuck::bytes_of(&bucket), edge));
        let (mut hits, mut words) = ([0; GROUP], [0; GROUP]);
        backend.probe(buckets, &[0; GROUP], &[1, 2, 3, 4, 5, 6, 7, 8], &mut hits, &mut words);
        compared += same(|| "probe at the edge".to_owned(), hits.map(|hits| hits & 31), [1, 2, 4, 8, 16, 0, 0, 0])?;
        compared += same(|| "words at the edge".to_owned(), words, [9, 9, 9, 9, 9, 0, 0, 0])?;
        prefetch_bucket(buckets, 0);
        prefetch_bucket(buckets, !0);
        prefetch(buckets, 0);
        prefetch(buckets, 1);
    }
    Ok(compared)
}

#[derive(Clone, Copy, Debug)]
enum Edge {
    First,
    Last,
}

/// A readable page between two that are not. Under Miri exact allocations: Miri itself reports what lies outside.
struct Island {
    #[cfg(not(miri))]
    pages: *mut u8,
    #[cfg(not(miri))]
    page_bytes: usize,
    #[cfg(miri)]
    exact: Vec<Bucket>,
}

#[cfg(not(miri))]
impl Island {
    fn new() -> Self {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};
        let page_bytes = rustix::param::page_size();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice takes no memory that anybody uses.
        let pages = unsafe { mmap_anonymous(std::ptr::null_mut(), 3 * page_bytes, ProtFlags::empty(), MapFlags::PRIVATE) };
        let pages: *mut u8 = pages.expect("three pages").cast();
        // SAFETY: the second of the three pages just mapped; no reference into it exists yet.
        let opened = unsafe { mprotect(pages.add(page_bytes).cast(), page_bytes, MprotectFlags::READ | MprotectFlags::WRITE) };
        opened.expect("a page to write");
        Self { pages, page_bytes }
    }

    /// A copy of `bytes` at an edge of the page; valid until the next.
    fn place(&mut self, bytes: &[u8], edge: Edge) -> &[u8] {
        assert!(bytes.len() <= self.page_bytes);
        let offset = match edge {
            Edge::First => self.page_bytes,
            Edge::Last => 2 * self.page_bytes - bytes.len(),
        };
        // SAFETY: offset..offset + len lies within the middle page, which is readable and writable; `&mut self` keeps earlier slices out.
        unsafe {
            let place = self.pages.add(offset);
            place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            std::slice::from_raw_parts(place, bytes.len())
        }
    }
}

#[cfg(not(miri))]
impl Drop for Island {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, whole; slices of it borrow `self` and are gone.
        let _ = unsafe { rustix::mm::munmap(self.pages.cast(), 3 * self.page_bytes) };
    }
}

#[cfg(miri)]
impl Island {
    fn new() -> Self {
        Self { exact: Vec::new() }
    }

    fn place(&mut self, bytes: &[u8], edge: Edge) -> &[u8] {
        self.exact = vec![Bucket::default(); bytes.len().div_ceil(64)];
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut self.exact);
        let start = if matches!(edge, Edge::First) { 0 } else { room.len() - bytes.len() };
        room[start..start + bytes.len()].copy_from_slice(bytes);
        &room[start..start + bytes.len()]
    }
}

/// The kernel's own word for it: the islands would prove nothing if their neighbours could be read.
#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn the_pages_beside_an_island_cannot_be_read() {
    let island = Island::new();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let rights = |address: usize| {
        let mapping = maps.lines().find(|line| {
            let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let [from, to] = [from, to].map(|hex| usize::from_str_radix(hex, 16).unwrap());
            (from..to).contains(&address)
        });
        mapping.expect("a mapping").split(' ').nth(1).unwrap()
    };
    let first = island.pages.addr();
    assert_eq!([0, 1, 2].map(|page| &rights(first + page * island.page_bytes)[..3]), ["---", "rw-", "---"]);
}

// ---- seal ----

#[test]
fn seal_is_that_of_the_reference_and_can_be_undone() {
    let mut random = Random(15);
    for _ in 0..100_000 / if cfg!(miri) { 1000 } else { 1 } {
        let hash = random.hash();
        assert_eq!(seal(hash), reference::seal(hash));
        assert_eq!(reference::unseal(seal(hash)), hash, "what can be undone is a bijection");
    }
    for lo in [0, 1, !0, 1 << 63] {
        for hi in [0, 1, !0, 1 << 63] {
            assert_eq!(reference::unseal(seal(Hash128 { lo, hi })), Hash128 { lo, hi });
        }
    }
}

/// Each of the 128 input bits changes each of the 128 output bits half of the time: over 20,000 samples a fair coin is within 0.5 +- 0.02
/// (5.6 standard deviations) for all 16,384 pairs. Inputs of few bits too: counters are what structured feeds look like.
#[test]
#[cfg_attr(miri, ignore = "statistics")]
fn seal_changes_every_bit_half_of_the_time() {
    const SAMPLES: usize = 20_000;
    type Input = fn(&mut Random, u64) -> Hash128;
    let inputs: [(&str, Input); 2] = [("random", |random, _| random.hash()), ("counters", |_, count| Hash128 { lo: count, hi: 0 })];
    let mut random = Random(16);
    for (name, input) in inputs {
        let mut flips = vec![0u32; 128 * 128];
        for count in 0..SAMPLES as u64 {
            let hash = input(&mut random, count);
            let sealed = seal(hash);
            for bit in 0..128 {
                let (lo, hi) = if bit < 64 { (1 << bit, 0) } else { (0, 1 << (bit - 64)) };
                let other = seal(Hash128 { lo: hash.lo ^ lo, hi: hash.hi ^ hi });
                let changed = u128::from(sealed.lo ^ other.lo) | u128::from(sealed.hi ^ other.hi) << 64;
                for (out, flips) in flips[128 * bit..][..128].iter_mut().enumerate() {
                    *flips += (changed >> out & 1) as u32;
                }
            }
        }
        for (pair, &flips) in flips.iter().enumerate() {
            let share = f64::from(flips) / SAMPLES as f64;
            assert!((0.48..=0.52).contains(&share), "{name}: input bit {} changes output bit {}: {share}", pair / 128, pair % 128);
        }
    }
}

// ---- contracts at the door ----

#[test]
fn a_broken_contract_panics_before_anything_is_answered() {
    fn refused(call: impl FnOnce() + std::panic::UnwindSafe) {
        assert!(std::panic::catch_unwind(call).is_err());
    }
    let schedule = HashSchedule::new(&key(1));
    for backend in available() {
        refused(|| assert_eq!(backend.classify_block(&[0; 65], 66), UrlBlock::default()));
        refused(|| backend.hash_prefixes(&schedule, Domain::Host, b"a", 1, 0, &mut { GARBAGE }));
        refused(|| backend.hash_prefixes(&schedule, Domain::Path, b"/a", 2, 1 << 1, &mut { GARBAGE }));
        refused(|| backend.hash_prefixes(&schedule, Domain::Path, b"/a/b", 1, 1 << 2, &mut { GARBAGE }));
        refused(|| backend.hash_prefixes(&schedule, Domain::Path, &[b'/'; 65], 65, (1 << (HASHES - 1)) - 1, &mut { GARBAGE }));
        refused(|| backend.hash_suffixes(&schedule, b"a.b", 1 << 3, &mut { GARBAGE }));
        refused(|| backend.hash_suffixes(&schedule, &[b'.'; 64], u64::MAX, &mut { GARBAGE }));
        refused(|| backend.hash_lengths(&schedule, Domain::Path, b"/a", &[0; HASHES + 1], &mut { GARBAGE }));
        refused(|| backend.pair(&schedule, Hash128::default(), &[Hash128::default()], &mut []));
        refused(|| backend.seal_all(&[Hash128::default()], &mut []));
        for at in [1, 63, 64, 1 << 63, !0] {
            let at = [0, 0, 0, 0, 0, 0, at, 0];
            refused(|| backend.probe(&[Bucket::default()], &at, &[0; GROUP], &mut [0; GROUP], &mut [0; GROUP]));
        }
        refused(|| _ = backend.settle(&[0; 15], &[0; 15], &mut [0; 15]));
        refused(|| _ = backend.settle(&[0; 16], &[0; 32], &mut [0; 16]));
        refused(|| _ = backend.settle(&[0; 80], &[0; 80], &mut [0; 80]));
        refused(|| {
            backend.pick(
                &[1u64, 2],
                &{
                    let mut at = [0; CHUNK];
                    at[63] = 2;
                    at
                },
                &mut [0; CHUNK],
            )
        });
    }
}

// ---- canaries: a suite that finds nothing in these is worth nothing ----

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Forgets the last byte of a tail that is one short of a vector.
    ClassifyTail,
    /// Sets a bit past the end.
    ClassifyPastEnd,
    /// Takes 0x7f for usual.
    ClassifyDelete,
    /// Looks bytes from 0x80 on up as if they were seven bits.
    ClassifySevenBits,
    /// Pads a whole block as if it needed no padding.
    HashPadding,
    /// Reads hosts from the left.
    HashOrder,
    /// Wrong only beyond one run of 16 blocks.
    HashLong,
    /// A checkpoint at a block border is that of the byte before.
    PrefixBorder,
    /// The last suffix is left unwritten.
    SuffixLast,
    /// An exact text that is the whole counts twice.
    PrefixTwice,
    /// Out of order the state of a checkpoint before is taken.
    LengthOrder,
    /// Every third pair is not sealed by K.
    Pair,
    /// A carry of the product is lost in the last of eight.
    Seal,
    /// The fifth slot is never seen.
    ProbeFifth,
    /// Compares 63 bits.
    ProbeLowBit,
    /// Of several slots the word of the highest.
    ProbeHighest,
    /// Takes one bit of the filter for enough.
    SettleOneBit,
    /// Fills places up with zeros.
    PlacesZero,
}

/// A right backend with one fault.
#[derive(Clone, Copy)]
struct Broken(Selected, Fault);

impl Backend for Broken {
    fn name(self) -> &'static str {
        "broken"
    }

    fn run<W: WithBackend>(self, work: W) -> W::Output {
        work.run(self)
    }

    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        let mut last = self.0.classify_block(bytes, at);
        let end = bytes.len() % 64;
        if at + 64 < bytes.len() || at == bytes.len() {
            return last;
        }
        match self.1 {
            Fault::ClassifyTail if end % 16 == 15 => last.odd &= !(1 << (end - 1)),
            Fault::ClassifyPastEnd if end == 63 => last.dot |= 1 << 63,
            Fault::ClassifySevenBits if bytes[bytes.len() - 1] == b'/' | 0x80 => last.slash |= 1 << ((bytes.len() - 1) % 64),
            Fault::ClassifyDelete if end == 0 && bytes[bytes.len() - 1] == 0x7f => last.odd &= !(1 << 63),
            _ => {}
        }
        last
    }

    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        let right = self.0.hash(schedule, domain, bytes);
        match self.1 {
            Fault::HashPadding if bytes.len().is_multiple_of(16) && !bytes.is_empty() => Hash128 { lo: right.lo ^ 1, ..right },
            Fault::HashOrder if domain == Domain::Host => {
                let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
                self.0.hash(schedule, domain, &reversed)
            }
            Fault::HashLong if bytes.len() > 4096 => Hash128 { hi: right.hi ^ 1, ..right },
            _ => right,
        }
    }

    fn hash_suffixes(self, schedule: &HashSchedule, host: &[u8], dots: u64, hashes: &mut [Hash128; HASHES]) {
        let last = dots.count_ones() as usize;
        let kept = hashes[last];
        self.0.hash_suffixes(schedule, host, dots, hashes);
        if self.1 == Fault::SuffixLast && last > 4 {
            hashes[last] = kept;
        }
    }

    fn hash_prefixes(
        self,
        schedule: &HashSchedule,
        domain: Domain,
        text: &[u8],
        exact: usize,
        slashes: u64,
        hashes: &mut [Hash128; HASHES],
    ) {
        self.0.hash_prefixes(schedule, domain, text, exact, slashes, hashes);
        if self.1 == Fault::PrefixBorder && exact == 32 && text.len() > 32 {
            hashes[1] = self.0.hash(schedule, domain, &text[..31]);
        }
        if self.1 == Fault::PrefixTwice && exact == text.len() {
            hashes.copy_within(0..HASHES - 1, 1);
        }
    }

    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
        self.0.hash_lengths(schedule, domain, text, lengths, hashes);
        if self.1 == Fault::LengthOrder && lengths.windows(2).any(|pair| pair[0] + 16 < pair[1]) {
            hashes[0].lo ^= 1;
        }
    }

    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        self.0.pair(schedule, host, paths, keys);
        if self.1 == Fault::Pair {
            for (key, path) in keys.iter_mut().zip(paths).skip(2).step_by(3) {
                *key = seal(Hash128 { lo: host.lo ^ path.lo, hi: host.hi ^ path.hi });
            }
        }
    }

    fn seal_all(self, hashes: &[Hash128], keys: &mut [Key128]) {
        self.0.seal_all(hashes, keys);
        if self.1 == Fault::Seal {
            keys.iter_mut().skip(7).step_by(8).for_each(|key| key.hi ^= 1 << 32);
        }
    }

    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
        self.0.probe(buckets, at, tags, hits, words);
        for lane in 0..GROUP {
            let bucket = &buckets[at[lane] as usize / 64];
            match self.1 {
                Fault::ProbeFifth => hits[lane] &= 0xf,
                Fault::ProbeLowBit => hits[lane] |= reference::probe(bucket, tags[lane] ^ 1),
                Fault::ProbeHighest if hits[lane] & 31 != 0 => words[lane] = bucket.refs[(hits[lane] & 31).ilog2() as usize],
                _ => {}
            }
        }
    }

    fn settle(self, tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
        if self.1 != Fault::SettleOneBit {
            return self.0.settle(tags, hits, words);
        }
        let tags: Vec<u64> = tags.iter().map(|tag| tag & 31 | (tag & 31) << 5).collect();
        self.0.settle(&tags, hits, words)
    }

    fn places(self, bits: u64) -> [u8; CHUNK] {
        let mut places = self.0.places(bits);
        if self.1 == Fault::PlacesZero {
            places[bits.count_ones() as usize..].fill(0);
        }
        places
    }
}

#[test]
#[cfg_attr(miri, ignore = "many runs; the checks themselves run under Miri")]
fn each_broken_backend_is_found() {
    use Fault::*;
    type Check = fn(Broken) -> Outcome;
    let checks: [(Check, &[Fault]); 10] = [
        (classify_everywhere, &[ClassifyTail, ClassifyPastEnd]),
        (classify_values, &[ClassifyDelete, ClassifySevenBits]),
        (hash_everywhere, &[HashPadding, HashOrder]),
        (hash_long, &[HashLong]),
        (prefixes_everywhere, &[PrefixBorder, PrefixTwice]),
        (suffixes_everywhere, &[SuffixLast]),
        (lengths_everywhere, &[LengthOrder]),
        (pair_everywhere, &[Pair]),
        (seal_everywhere, &[Seal]),
        (probe_everywhere, &[ProbeFifth, ProbeLowBit, ProbeHighest, SettleOneBit, PlacesZero]),
    ];
    let right = available()[0];
    for (check, faults) in checks {
        assert!(check(Broken(right, None)).is_ok_and(|compared| compared > 0));
        for &fault in faults {
            assert!(check(Broken(right, fault)).is_err(), "{fault:?} was not found");
        }
    }
}
