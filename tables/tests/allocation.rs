//! Once warm, a lookup allocates nothing: hits, misses, paths, addresses, hashes, mixed batches of changing size.

mod common;

use std::alloc::System;

use common::{OwnedRule, Random, backend, random_vote};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use verdict_keys::{Batch, Kind, Scheme};
use verdict_tables::{Scratch, Verdict, lookup};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn lookups_allocate_nothing_once_warm() {
    let mut random = Random(31);
    let votes: Vec<_> = (0..20_000)
        .map(|number| {
            let host = format!("h{}.test", number % 5000);
            let rule = match number % 3 {
                0 => OwnedRule::Host { host, subdomains: true },
                1 => OwnedRule::Url { host, path_query: format!("/{}/", number % 7), prefix: true, subdomains: true },
                _ => OwnedRule::Net { network: std::net::Ipv4Addr::from_bits(number << 8).into(), bits: 24 },
            };
            (rule, random_vote(&mut random))
        })
        .collect();
    let snapshot = common::snapshot(Scheme::Full, &votes);
    let batches: Vec<Batch> = [4096, 1, 300, 4096, 17]
        .into_iter()
        .map(|size| {
            let mut batch = Batch::with_capacity(size);
            for number in 0..size {
                let url = format!("http://a.b.h{}.test/{}/x/y.html?q", random.below(6000), number % 9);
                let push =
                    |batch: &mut Batch, kind, bytes: &[u8]| batch.push(backend(), snapshot.schedule(), snapshot.profile(), kind, bytes);
                match number % 4 {
                    0 | 1 => push(&mut batch, Kind::Url, url.as_bytes()),
                    2 => push(&mut batch, Kind::Ipv4, &(random.next() as u32 >> 6).to_be_bytes()),
                    _ => push(&mut batch, Kind::Sha1, &[number as u8; 20]),
                }
            }
            batch
        })
        .collect();
    let mut scratch = Scratch::default();
    let mut verdicts = vec![Verdict::default(); 4096];
    let backend = backend(); // detecting reads the environment, which allocates
    let run = |scratch: &mut Scratch, verdicts: &mut [Verdict]| {
        let mut known = 0;
        for batch in &batches {
            let verdicts = &mut verdicts[..batch.items().len()];
            lookup(backend, &snapshot, batch, scratch, verdicts);
            known += verdicts.iter().filter(|verdict| verdict.verdict_id() != 0).count();
        }
        known
    };
    let warm = run(&mut scratch, &mut verdicts);
    let region = Region::new(ALLOCATOR);
    for _ in 0..10 {
        assert_eq!(run(&mut scratch, &mut verdicts), warm);
    }
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations, change.deallocations), (0, 0, 0));
    assert!(warm > 1000, "the batches find something");
    // The counter counts.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(region.change().allocations, 1);
}
