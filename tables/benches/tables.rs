//! Build and probe, beside hashbrown and beside ourselves one key at a time; and addresses against prefixes, which `verdict-perf bench keys` has
//! beside other implementations.
//!
//! `VERDICT_BENCH_ENTRIES` sets the size (default 4,000,000 digests; the table is then 56 MB: past L2, perhaps not past L3).
//! Peers: hashbrown with foldhash, u64 to u32, which compares 64 bits as we do but keeps no verdict beside them.
//! Both sides get keys that are already hashed; ours then copies a whole answer, the peer returns a number.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use verdict_keys::{Batch, Digest, Kind, Scheme};
use verdict_simd::{Backend as _, Key128, Selected, detect};
use verdict_tables::{Builder, Class, Rule, Scratch, Snapshot, Source, Verdict, Vote, lookup};

const BATCH: usize = 256;
const ASKED: usize = 1 << 20;

fn entries() -> u64 {
    std::env::var("VERDICT_BENCH_ENTRIES").ok().and_then(|count| count.parse().ok()).unwrap_or(4_000_000)
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

fn vote(source: u16, number: u64) -> Vote {
    Vote {
        source,
        class: Class::Malicious,
        allow: false,
        overrides: false,
        score: 90,
        confidence: 90,
        categories: 1,
        first_seen_day: 20_000 + (number % 100) as u16,
        last_seen_day: 0,
        ttl_s: 60,
    }
}

fn builder(entries: u64) -> Builder {
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    let source = builder.source(Source { name: "bench", licence: "" });
    for number in 0..entries {
        builder.add(Rule::File(Digest::Md5(digest(number))), vote(source, number)).expect("a sound rule");
    }
    builder
}

/// Keys of entries, in random order, and as many that are none.
fn keys(backend: Selected, snapshot: &Snapshot, entries: u64) -> (Vec<Key128>, Vec<Key128>) {
    let mut state = 1;
    let mut batch = Batch::with_capacity(ASKED);
    for _ in 0..ASKED {
        let number = random(&mut state) % entries;
        batch.push(backend, snapshot.schedule(), snapshot.profile(), Kind::Md5, &digest(number));
    }
    let absent = (0..ASKED).map(|_| Key128 { lo: random(&mut state), hi: random(&mut state) }).collect();
    (batch.keys().to_vec(), absent)
}

/// This thread's CPU time: what other processes do to the clock on the wall does not count.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn measure(criterion: &mut Criterion, group: &str, name: &str, elements: usize, mut work: impl FnMut()) {
    let mut group = criterion.benchmark_group(group);
    group.throughput(Throughput::Elements(elements as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let from = cpu_time();
            (0..iterations).for_each(|_| work());
            cpu_time() - from
        });
    });
    group.finish();
}

/// Keys in, answers out, as the daemon does it for clients that hash: the batch is filled anew each time.
fn probe(criterion: &mut Criterion, name: &str, backend: Selected, snapshot: &Snapshot, keys: &[Key128], size: usize, known: bool) {
    let mut scratch = Scratch::default();
    let mut verdicts = vec![Verdict::default(); size];
    let mut batch = Batch::with_capacity(size);
    let mut chunks = keys.chunks_exact(size).cycle();
    measure(criterion, "probe", &format!("{name} ({})", backend.name()), size, || {
        batch.clear();
        chunks.next().expect("a cycle").iter().for_each(|key| batch.push_hashed(*key, false, false));
        lookup(backend, snapshot, &batch, &mut scratch, &mut verdicts);
        black_box(&verdicts);
    });
    assert!(verdicts.iter().all(|verdict| (verdict.verdict_id() != 0) == known));
}

fn probe_hashbrown(criterion: &mut Criterion, name: &str, map: &HashMap<u64, u32>, keys: &[Key128]) {
    let mut chunks = keys.chunks_exact(BATCH).cycle();
    measure(criterion, "probe", name, BATCH, || {
        let keys = chunks.next().expect("a cycle");
        black_box(keys.iter().map(|key| u64::from(map.get(&key.lo).copied().unwrap_or(0))).sum::<u64>());
    });
}

fn tables(criterion: &mut Criterion) {
    let backend = detect().expect("a backend of this machine");
    let entries = entries();
    let added = Instant::now();
    let builder = builder(entries);
    let (added, built) = (added.elapsed(), Instant::now());
    let bytes = builder.build(backend).expect("a snapshot").bytes;
    let (built, loaded) = (built.elapsed(), Instant::now());
    let snapshot = Snapshot::from_bytes(&bytes).expect("a snapshot");
    let loaded = loaded.elapsed();
    let per_entry = |time: Duration| time.as_nanos() as f64 / entries as f64;
    let stats = snapshot.stats();
    println!(
        "{entries} entries: add {:.0} ns, build {:.0} ns, copy and verify {:.0} ns an entry; load {:.3}, {:.2} bytes a slot, {} bytes a file",
        per_entry(added),
        per_entry(built),
        per_entry(loaded),
        stats.load,
        stats.bytes_per_slot(),
        stats.file_bytes
    );
    let (present, absent) = keys(backend, &snapshot, entries);
    probe(criterion, "hit, batch 256", backend, &snapshot, &present, BATCH, true);
    probe(criterion, "miss, batch 256", backend, &snapshot, &absent, BATCH, false);
    probe(criterion, "hit, batch 4096", backend, &snapshot, &present, 4096, true);
    probe(criterion, "miss, batch 4096", backend, &snapshot, &absent, 4096, false);
    probe(criterion, "hit, one by one", backend, &snapshot, &present, 1, true);
    probe(criterion, "miss, one by one", backend, &snapshot, &absent, 1, false);

    let mut map: HashMap<u64, u32> = HashMap::with_capacity(entries as usize);
    for number in 0..entries {
        let mut batch = Batch::with_capacity(1);
        batch.push(backend, snapshot.schedule(), snapshot.profile(), Kind::Md5, &digest(number));
        map.insert(batch.keys()[0].lo, number as u32 + 1);
    }
    probe_hashbrown(criterion, "hashbrown hit", &map, &present);
    probe_hashbrown(criterion, "hashbrown miss", &map, &absent);
}

/// Prefixes of each family, of the usual lengths.
const PREFIXES: u64 = 500_000;

/// Random addresses of a tenth of all, where the prefixes are too, so that many are covered.
fn address(number: u64, six: bool) -> IpAddr {
    let bits = random(&mut { number });
    if six {
        let bits = (0x2000 + bits % 0x200) << 48 | bits >> 16;
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits) << 64 | u128::from(random(&mut { number + 1 }))))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(((bits % 0x1A) as u32 + 1) << 24 | (bits >> 40) as u32))
    }
}

/// Addresses in, answers out; two or three lines an IPv4 address, eight an IPv6 one.
fn prefixes(criterion: &mut Criterion) {
    let backend = detect().expect("a backend of this machine");
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    let source = builder.source(Source { name: "bench", licence: "" });
    for number in 0..PREFIXES {
        for six in [false, true] {
            let bits = if six { [48, 48, 64, 56, 40][number as usize % 5] } else { [24, 24, 22, 32, 20, 27][number as usize % 6] };
            builder.add(Rule::Net { network: address(number, six), bits }, vote(source, number)).expect("a sound rule");
        }
    }
    let snapshot = Snapshot::from_bytes(&builder.build(backend).expect("a snapshot").bytes).expect("a snapshot");
    for (name, six) in [("IPv4", false), ("IPv6", true)] {
        // The same in every round, more than a second cache holds; making keys of them is not what is measured.
        let batches: Vec<Batch> = (0..512).map(|chunk| asked(backend, &snapshot, chunk * BATCH as u64, six)).collect();
        let (mut scratch, mut verdicts, mut round) = (Scratch::default(), vec![Verdict::default(); BATCH], 0);
        measure(criterion, "prefixes", &format!("{name}, batch {BATCH} ({})", backend.name()), BATCH, || {
            lookup(backend, &snapshot, &batches[round % batches.len()], &mut scratch, &mut verdicts);
            round += 1;
            black_box(&verdicts);
        });
        assert!(verdicts.iter().any(|verdict| verdict.verdict_id() != 0), "nothing was covered");
    }
}

fn asked(backend: Selected, snapshot: &Snapshot, first: u64, six: bool) -> Batch {
    let mut batch = Batch::with_capacity(BATCH);
    for number in first..first + BATCH as u64 {
        let (schedule, profile) = (snapshot.schedule(), snapshot.profile());
        match address(number * 4, six) {
            IpAddr::V4(four) => batch.push(backend, schedule, profile, Kind::Ipv4, &four.octets()),
            IpAddr::V6(six) => batch.push(backend, schedule, profile, Kind::Ipv6, &six.octets()),
        };
    }
    batch
}

criterion_group!(benches, tables, prefixes);
criterion_main!(benches);
