//! FORMAT.md says: an absent key is taken for a present one with probability (used slots of its bucket) / 2^(bits of the tag), at most 5 / 2^64.
//! With tags narrowed to 16 and 20 bits the rate can be counted; the formula must predict it within five standard deviations.

use crate::common;
use common::{Random, SOURCES, backend, random_vote};
use verdict_keys::{Batch, Digest, Scheme};
use verdict_simd::Key128;
use verdict_tables::{Builder, Rule, Scratch, Snapshot, Verdict, lookup};

/// Few: entries of equal tag that meet in one bucket are refused by the builder, and narrow tags are often equal.
const ENTRIES: u64 = 2_000;

fn snapshot(tag_mask: u64) -> Snapshot {
    let mut random = Random(21);
    let mut builder = Builder::new(Scheme::Full, b"", 0);
    for source in SOURCES {
        builder.source(source);
    }
    for number in 0..ENTRIES {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&number.to_le_bytes());
        builder.add(Rule::File(Digest::Md5(digest)), random_vote(&mut random)).unwrap();
    }
    builder.mask_tags(tag_mask);
    Snapshot::from_bytes(&builder.build(backend()).unwrap().bytes).unwrap()
}

/// How many of so many random keys are taken for entries.
fn hits(snapshot: &Snapshot, tag_mask: u64, probes: usize) -> usize {
    let mut random = Random(22);
    let mut batch = Batch::with_capacity(4096);
    let mut scratch = Scratch::default();
    let mut verdicts = [Verdict::default(); 4096];
    let mut hits = 0;
    for _ in 0..probes / 4096 {
        batch.clear();
        for _ in 0..4096 {
            batch.push_hashed(Key128 { lo: random.next() & tag_mask, hi: random.next() }, false, false);
        }
        lookup(backend(), snapshot, &batch, &mut scratch, &mut verdicts);
        hits += verdicts.iter().filter(|verdict| verdict.verdict_id() != 0).count();
    }
    hits
}

fn check(tag_bits: u32, probes: usize) {
    let mask = (1 << tag_bits) - 1;
    let snapshot = snapshot(mask);
    let stats = snapshot.stats();
    assert_eq!(stats.slots, ENTRIES);
    let probability = 5.0 * stats.load / 2f64.powi(tag_bits as i32);
    let probes = probes / 4096 * 4096;
    let expected = probes as f64 * probability;
    let deviation = (expected * (1.0 - probability)).sqrt();
    let got = hits(&snapshot, mask, probes);
    println!("{tag_bits} bits: {got} false hits in {probes} probes, expected {expected:.0} ± {deviation:.0}");
    assert!((got as f64 - expected).abs() < 5.0 * deviation);
    // The bound of FORMAT.md, scaled to this tag: a full bucket.
    assert!((got as f64) < probes as f64 * 5.0 / 2f64.powi(tag_bits as i32) + 5.0 * deviation);
}

#[test]
fn narrow_tags_give_as_many_false_hits_as_the_formula_says() {
    check(16, 4_000_000);
    check(20, 8_000_000);
}

#[test]
fn whole_tags_give_none() {
    assert_eq!(hits(&snapshot(u64::MAX), u64::MAX, 1_000_000), 0);
}
