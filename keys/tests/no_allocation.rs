//! Once warm, questions cost no allocation: a counting allocator, the common shapes, both paths.

mod common;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use verdict_keys::{Batch, Canonicalizer, Kind, Profile, SuffixList};
use verdict_simd::available;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const QUESTIONS: [(Kind, &[u8]); 14] = [
    (Kind::Url, b"https://www.example.com/a/b/c.html?q=1#top"),
    (Kind::Url, b"http:\\\\user:pass@WWW.Example.COM.:8080\\a\\..\\b%2541?x%20y"),
    (Kind::Url, b"example.com/a//b/./../c%3f"),
    (Kind::Url, b"http%3A%2F%2Fexample.com/"),
    (Kind::Url, b"http://0x7f.1/"),
    (Kind::Url, b"http://[2001:DB8::0001]:80/x"),
    (Kind::Url, b"http://[::ffff:192.0.2.1]/"),
    (Kind::Url, b"mailto:nobody@example.com"),
    (Kind::Url, b"http://1.2.3.4.5/"),
    (Kind::Host, b"a.b.c.d.e.f.example.com"),
    (Kind::Host, b"2001:db8::1"),
    (Kind::Ipv4, &[192, 0, 2, 1]),
    (Kind::Sha256, &[7; 32]),
    (Kind::Md5, &[7; 3]),
];

#[test]
fn a_warm_batch_allocates_nothing() {
    let schedule = common::schedule();
    for backend in available() {
        let (mut batch, mut canonicalizer) = (Batch::default(), Canonicalizer::new());
        let suffixes = Arc::new(SuffixList::from_normal("!www.ck\n*.ck\ncom\nexample.com\n").expect("a list in normal form"));
        let profiles = [Profile::GSB_V4, Profile::FULL_MAX, Profile::EXACT, Profile::gsb_v5(suffixes)];
        let mut ask_all = || {
            batch.clear();
            for profile in &profiles {
                for (kind, bytes) in QUESTIONS {
                    batch.push(backend, &schedule, profile, kind, bytes);
                }
            }
            batch.push_unsupported();
            QUESTIONS.iter().filter(|(_, bytes)| canonicalizer.url(bytes).is_ok()).count()
        };
        ask_all();
        // The harness's own thread may still be writing its books: what we allocate, we allocate every time.
        let counted = (0..5).map(|_| {
            let region = Region::new(ALLOCATOR);
            let canonical = (0..100).map(|_| ask_all()).sum::<usize>();
            assert!(canonical >= 800);
            let change = region.change();
            change.allocations + change.reallocations
        });
        assert_eq!(counted.min(), Some(0));
    }
}
