//! What the kernels work on: made up from numbers, the same everywhere, small enough to stay in a first or second cache.
//!
//! | input | of |
//! |---|---|
//! | `urls` | 60 URLs of the usual shapes, 9 to 75 bytes, all canonical as written; two thirds unlisted |
//! | `hosts`, `paths` | their hosts and paths, with the places of their dots and slashes |
//! | `buckets`, `at`, `tags` | 256 buckets, 64 probes, half of them hits |
//! | `snapshot` | digests (`--entries`), hosts, paths, 400 prefixes of each address family |
//! | `signed` | 16 signatures |
//!
//! Building tables is millions of instructions. Where these are emulated, `--cache DIRECTORY` reads the two snapshots that another run wrote there
//! (the same rules give the same bytes on every architecture).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path as FilePath;

use verdict_keys::{Batch, Canonicalizer, Digest, Kind, Scheme};
use verdict_simd::{Bucket, CHUNK, HASHES, Hash128, HashKey, HashSchedule, Key128, Selected, seal};
use verdict_tables::{Builder, Class, Part, Rule, Scratch, Snapshot, Source, Verdict, Vote};

/// How much of it.
#[derive(Clone, Copy)]
pub struct Size {
    /// Digests in the table.
    pub entries: usize,
}

impl Size {
    /// Built in a moment even under an emulator.
    pub const SMALL: Self = Size { entries: 500 };
}

/// Questions in one batch of hashed keys or addresses.
const BATCH: usize = 256;
/// Prefixes of each family.
const PREFIXES: u64 = 400;

pub struct Path {
    pub text: Vec<u8>,
    pub exact: usize,
    pub slashes: u64,
}

pub struct Inputs {
    pub urls: Vec<Vec<u8>>,
    pub stream: Vec<u8>,
    pub hosts: Vec<(Vec<u8>, u64)>,
    pub paths: Vec<Path>,
    pub paired: Vec<Hash128>,
    pub keys: Vec<Key128>,
    pub schedule: HashSchedule,
    pub hashes: [Hash128; HASHES],
    pub buckets: Vec<Bucket>,
    pub at: [u64; CHUNK],
    pub tags: [u64; CHUNK],
    pub hits: [u8; CHUNK],
    pub words: [u32; CHUNK],
    pub snapshot: Snapshot,
    pub signed: Snapshot,
    pub batch: Batch,
    pub hashed: Batch,
    pub web: Batch,
    pub addresses4: Batch,
    pub addresses6: Batch,
    pub texts: Batch,
    pub scratch: Scratch,
    pub verdicts: Vec<Verdict>,
    pub canonicalizer: Canonicalizer,
}

impl Inputs {
    pub fn new(backend: Selected, size: Size, cache: Option<&FilePath>) -> Self {
        let schedule = HashSchedule::new(&HashKey { h: *b"a secret element", k: *b"and another one." });
        let urls = urls();
        let snapshot = cached(cache, "rules.snap", || rules(backend, size));
        let signed = cached(cache, "signatures.snap", || signatures(backend));
        let filled = |questions: &mut dyn Iterator<Item = (Kind, Vec<u8>)>, keep: bool| {
            let mut batch = Batch::with_capacity(BATCH);
            batch.keep_texts(keep);
            questions.for_each(|(kind, bytes)| batch.push(backend, snapshot.schedule(), snapshot.profile(), kind, &bytes));
            batch
        };
        let mut state = 99;
        let mut hashed = Batch::with_capacity(BATCH);
        for number in 0..BATCH as u64 {
            let known = digest(random(&mut state) % size.entries as u64);
            let key = Digest::from_bytes(Kind::Md5, &known).map(|digest| seal(digest.hash(backend, snapshot.schedule())));
            let unknown = Key128 { lo: random(&mut state), hi: random(&mut state) };
            hashed.push_hashed(key.ok().filter(|_| number % 2 == 0).unwrap_or(unknown), false, false);
        }
        let address4 = |number: u64| (Kind::Ipv4, net4(number * 7 % (2 * PREFIXES)).0.octets().to_vec());
        let address6 = |number: u64| (Kind::Ipv6, net6(number * 7 % (2 * PREFIXES)).0.octets().to_vec());
        let buckets = (0..256).map(|i| Bucket { tags: std::array::from_fn(|slot| i * 5 + slot as u64), refs: [1; 5], away: 0 });
        let places: [u64; CHUNK] = std::array::from_fn(|i| i as u64 * 97 % 256);
        Inputs {
            stream: urls.concat(),
            hosts: urls.iter().map(|url| host_of(url)).collect(),
            paths: urls.iter().filter_map(|url| path_of(url)).collect(),
            paired: (0..6).map(|i| Hash128 { lo: i * 3, hi: !i }).collect(),
            keys: vec![Key128::default(); 6],
            hashes: [Hash128::default(); HASHES],
            buckets: buckets.collect(),
            tags: std::array::from_fn(|i| places[i] * 5 + if i % 2 == 0 { i as u64 % 5 } else { 5000 }),
            at: places.map(|at| at * size_of::<Bucket>() as u64),
            hits: [0; CHUNK],
            words: [0; CHUNK],
            batch: Batch::with_capacity(BATCH),
            web: filled(&mut urls.iter().map(|url| (Kind::Url, url.clone())), false),
            addresses4: filled(&mut (0..BATCH as u64).map(address4), false),
            addresses6: filled(&mut (0..BATCH as u64).map(address6), false),
            texts: filled(&mut urls.iter().map(|url| (Kind::Url, url.clone())), true),
            hashed,
            urls,
            schedule,
            snapshot,
            signed,
            scratch: Scratch::default(),
            verdicts: vec![Verdict::default(); BATCH],
            canonicalizer: Canonicalizer::new(),
        }
    }
}

const HOSTS: [&str; 5] =
    ["www.example.com", "login-secure.account.example.net", "cdn7.eu-west.static.example.org", "example.test", "a1b2c3d4e5.pages.example"];
const PATHS: [&str; 6] = [
    "/",
    "/index.html",
    "/wp-content/uploads/2024/05/invoice.zip",
    "/v1/track?id=8f14e45fceea167a&src=mail&t=1719392000",
    "/a/b/c/d/e/f.js",
    "/@user/status/1234567890",
];

fn urls() -> Vec<Vec<u8>> {
    let url = |index: usize| format!("{}{}{}", ["https://", "http://"][index % 2], HOSTS[index / 2 % 5], PATHS[index % 6]);
    (0..60).map(|index| url(index).into_bytes()).collect()
}

/// A bit for each place of `byte`.
fn places(text: &[u8], byte: u8) -> u64 {
    text.iter().take(64).enumerate().filter(|(_, found)| **found == byte).fold(0, |bits, (at, _)| bits | 1 << at)
}

fn host_of(url: &[u8]) -> (Vec<u8>, u64) {
    let host: Vec<u8> = url.split(|byte| *byte == b'/').nth(2).unwrap_or_default().to_vec();
    let dots = places(&host, b'.');
    (host, dots)
}

/// The path of a URL, its directories but the last four left out.
fn path_of(url: &[u8]) -> Option<Path> {
    let text: Vec<u8> = url.split(|byte| *byte == b'/').skip(3).flat_map(|part| [b"/", part].concat()).collect();
    let exact = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
    let mut slashes = places(&text[..exact - 1], b'/');
    while slashes.count_ones() > 4 {
        slashes &= !(1 << (63 - slashes.leading_zeros()));
    }
    (!text.is_empty()).then_some(Path { text, exact, slashes })
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn digest(number: u64) -> [u8; 16] {
    let mut state = number;
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&random(&mut state).to_le_bytes());
    digest[8..].copy_from_slice(&random(&mut state).to_le_bytes());
    digest
}

/// A prefix of 24 to 32 bits; numbers from `PREFIXES` on are in no table.
fn net4(number: u64) -> (Ipv4Addr, u8) {
    let mut state = number;
    let bits = 24 + (number % 9) as u32;
    (Ipv4Addr::from_bits((random(&mut state) >> 32) as u32 >> (32 - bits) << (32 - bits)), bits as u8)
}

/// A prefix of 32 to 64 bits.
fn net6(number: u64) -> (Ipv6Addr, u8) {
    let mut state = !number;
    let bits = 32 + (number % 33) as u32;
    let random = u128::from(random(&mut state) & 0x0FFF_FFFF_FFFF_FFFF | 0x2000_0000_0000_0000) << 64;
    (Ipv6Addr::from_bits(random >> (128 - bits) << (128 - bits)), bits as u8)
}

/// From the cache, if it is there; else built, and laid there.
fn cached(cache: Option<&FilePath>, name: &str, build: impl FnOnce() -> Vec<u8>) -> Snapshot {
    let path = cache.map(|directory| directory.join(name));
    if let Some(snapshot) = path.as_ref().and_then(|path| Snapshot::load(path).ok()) {
        return snapshot;
    }
    let bytes = build();
    if let Some(path) = path {
        std::fs::write(path, &bytes).expect("a directory that can be written");
    }
    Snapshot::from_bytes(&bytes).expect("the snapshot just built")
}

fn builder() -> (Builder, Vote) {
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    let source = builder.source(Source { name: "made up", licence: "" });
    let vote = Vote {
        source,
        class: Class::Malicious,
        allow: false,
        overrides: false,
        score: 90,
        confidence: 90,
        categories: 1,
        first_seen_day: 20_000,
        last_seen_day: 0,
        ttl_s: 60,
    };
    (builder, vote)
}

fn rules(backend: Selected, size: Size) -> Vec<u8> {
    let (mut builder, vote) = builder();
    let mut add = |rule: Rule<'_>| builder.add(rule, vote).expect("a sound rule");
    for number in 0..size.entries as u64 {
        add(Rule::File(Digest::Md5(digest(number))));
    }
    for number in 0..PREFIXES {
        let ((network4, bits4), (network6, bits6)) = (net4(number), net6(number));
        add(Rule::Net { network: IpAddr::V4(network4), bits: bits4 });
        add(Rule::Net { network: IpAddr::V6(network6), bits: bits6 });
        add(Rule::Host { host: &format!("listed{number}.example.net"), subdomains: number % 2 == 0 });
    }
    add(Rule::Host { host: "pages.example", subdomains: true });
    for path_query in ["/a/b/c/", "/wp-content/uploads/"] {
        add(Rule::Url { host: "www.example.com", path_query, prefix: true, subdomains: false });
    }
    builder.build(backend).expect("a snapshot").bytes
}

fn signatures(backend: Selected) -> Vec<u8> {
    let (mut builder, vote) = builder();
    for number in 0..16u64 {
        let text = format!("sig{number}-{:08x}", number * 0x0765_4321 % 0xFFFF_FFFF);
        builder.add(Rule::Signature { text: &text, part: Part::Url, token: false }, vote).expect("a sound signature");
    }
    builder.build(backend).expect("a snapshot").bytes
}
