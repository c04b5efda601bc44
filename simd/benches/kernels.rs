//! The kernels with a stopwatch, beside the hashes that people would use instead. `cargo bench -p verdict-simd`.
//!
//! Peers are not equals: xxh3 and rapidhash have no proof of collisions and no checkpoints. They say what speed is to be had.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use verdict_simd::{Backend, Bucket, CHUNK, Domain, HASHES, Hash128, HashKey, HashSchedule, Key128, Selected, available, seal};

/// Host 16 bytes, path and query 33: `https://` is no part of any key.
const HOST: &[u8] = b"login.example.co";
const PATH: &[u8] = b"/account/verify/index.php?id=4711";
const URL: &[u8] = b"login.example.co/account/verify/index.php?id=4711";

fn schedule() -> HashSchedule {
    HashSchedule::new(&HashKey { h: *b"a secret element", k: *b"and another one." })
}

fn hash(c: &mut Criterion) {
    let schedule = schedule();
    let bytes: Vec<u8> = (0..4096).map(|i| (i * 37 % 251) as u8).collect();
    let mut group = c.benchmark_group("hash");
    for length in [16, 20, 32, 48, 49, 64, 128, 256, 4096] {
        let bytes = &bytes[..length];
        group.throughput(Throughput::Bytes(length as u64));
        for backend in available() {
            let id = BenchmarkId::new(backend.name(), length);
            group.bench_function(id, |b| b.iter(|| black_box(backend).hash(&schedule, Domain::Path, black_box(bytes))));
        }
        group.bench_function(BenchmarkId::new("xxh3_128", length), |b| {
            b.iter(|| xxhash_rust::xxh3::xxh3_128_with_seed(black_box(bytes), 7));
        });
        let secrets = rapidhash::v3::RapidSecrets::seed(7);
        group.bench_function(BenchmarkId::new("rapidhash", length), |b| {
            b.iter(|| rapidhash::v3::rapidhash_v3_seeded(black_box(bytes), &secrets));
        });
    }
    group.finish();
}

/// Every label of the host, every `/` of the path, with and without the query: what one URL asks for.
fn checkpoints(c: &mut Criterion) {
    let schedule = schedule();
    let bits = |text: &[u8], byte| (0..text.len()).filter(|&at| text[at] == byte).fold(0u64, |bits, at| bits | 1 << at);
    let (dots, slashes, exact) = (bits(HOST, b'.'), bits(PATH, b'/'), PATH.iter().position(|&byte| byte == b'?').unwrap_or(PATH.len()));
    let mut hashes = [Hash128::default(); HASHES];
    let mut group =
        c.benchmark_group(format!("checkpoints of {} bytes: {} dots, {} slashes", URL.len(), dots.count_ones(), slashes.count_ones()));
    group.throughput(Throughput::Bytes(URL.len() as u64));
    for backend in available() {
        group.bench_function(BenchmarkId::new("suffixes", backend.name()), |b| {
            b.iter(|| backend.hash_suffixes(&schedule, black_box(HOST), dots, black_box(&mut hashes)));
        });
        group.bench_function(BenchmarkId::new("prefixes", backend.name()), |b| {
            b.iter(|| backend.hash_prefixes(&schedule, Domain::Path, black_box(PATH), exact, slashes, black_box(&mut hashes)));
        });
    }
    group.finish();
}

fn pair(c: &mut Criterion) {
    let schedule = schedule();
    let paths: Vec<Hash128> = (0..6).map(|i| Hash128 { lo: i, hi: !i }).collect();
    let mut keys = vec![Key128::default(); paths.len()];
    let mut group = c.benchmark_group("pair");
    group.throughput(Throughput::Elements(paths.len() as u64));
    for backend in available() {
        group.bench_function(backend.name(), |b| {
            b.iter(|| backend.pair(&schedule, black_box(paths[0]), black_box(&paths), black_box(&mut keys)));
        });
    }
    group.bench_function("seal alone", |b| b.iter(|| black_box(&paths).iter().map(|&path| seal(path).lo).fold(0, u64::wrapping_add)));
    group.finish();
}

/// Buckets in L1: the compare alone. What memory costs is for the benches of the tables.
fn probe(c: &mut Criterion) {
    let buckets: Vec<Bucket> =
        (0..256).map(|i| Bucket { tags: std::array::from_fn(|slot| i * 5 + slot as u64), refs: [1; 5], away: 0 }).collect();
    let places: Vec<u64> = (0..64).map(|i| i * 97 % 256).collect();
    let at: Vec<u64> = places.iter().map(|at| at * 64).collect();
    let tags: Vec<u64> = places.iter().zip(0..).map(|(at, i)| at * 5 + i % 9).collect();
    let mut group = c.benchmark_group("probe");
    group.throughput(Throughput::Elements(at.len() as u64));
    for backend in available() {
        group.bench_function(backend.name(), |b| {
            b.iter(|| {
                let (mut hits, mut words) = ([0; CHUNK], [0; CHUNK]);
                let groups = black_box(&at).as_chunks().0.iter().zip(black_box(&tags).as_chunks().0);
                for ((at, tags), (hits, words)) in groups.zip(hits.as_chunks_mut().0.iter_mut().zip(words.as_chunks_mut().0)) {
                    backend.probe(black_box(&buckets), at, tags, hits, words);
                }
                (backend.settle(black_box(&tags), &hits, &mut words), words)
            });
        });
    }
    group.finish();
}

fn classify(c: &mut Criterion) {
    let mut group = c.benchmark_group("classify_block");
    for bytes in [URL.to_vec(), URL.repeat(4), URL.repeat(40)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for backend in available() {
            let run =
                |backend: Selected| (0..bytes.len()).step_by(64).map(|at| backend.classify_block(black_box(&bytes), at).slash).sum::<u64>();
            group.bench_function(BenchmarkId::new(backend.name(), bytes.len()), |b| b.iter(|| run(backend)));
        }
    }
    group.finish();
}

criterion_group!(benches, hash, checkpoints, pair, probe, classify);
criterion_main!(benches);
