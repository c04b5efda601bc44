//! The pipeline against bytes of any kind: the seeds of its fuzz targets, and frames mutated by a seeded generator.

#[path = "../../fuzz/check.rs"]
mod check;
#[path = "../../fuzz/proxy.rs"]
mod proxy;
mod seeds;

use verdict_wire as wire;
use verdictd::driver::Output;
use verdictd::edge::guard::peer::Peer;
use verdictd::edge::{Edges, Speech};
use verdictd::limits::{Limits, SHARE_KEYS_MAX};
use verdictd::metrics::ShardMetrics;
use verdictd::pipeline::{Outputs, Pipeline, Turn};
use wire::KeyKind;

/// One frame of every kind a client sends.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = vec![Vec::new(); 8];
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 192, 0, 2, 1];
    let keys: [(u8, &[u8]); 6] = [
        (KeyKind::Url.raw(), b"http://x.a.test/p?q"),
        (KeyKind::Host.raw(), b"b.test"),
        (KeyKind::Ipv4.raw(), &[192, 0, 2, 1]),
        (KeyKind::Ipv6.raw(), &mapped),
        (KeyKind::Md5.raw(), &[7; 16]),
        (99, b"?"),
    ];
    wire::encode_lookup(&mut frames[0], 1, keys).unwrap();
    wire::encode_lookup_hashed(&mut frames[1], 2, 3, &[wire::HashedKey { lo: 4, hi: 5 }], wire::Place::ALL[3]).unwrap();
    wire::encode_describe(&mut frames[2], 6, 7, &[0, 1, 2]).unwrap();
    wire::encode_ping(&mut frames[3], 8, b"payload").unwrap();
    wire::encode_hello(&mut frames[4], 9, &wire::ClientHello { version_min: 1, version_max: 1, name: "test" }).unwrap();
    wire::encode_lookup(&mut frames[5], 10, [(KeyKind::Url.raw(), b"http://b.test/p/deep/er?x".as_slice())]).unwrap();
    wire::encode_explain(&mut frames[6], 11, KeyKind::Url.raw(), b"http://x.b.test/p/q").unwrap();
    let program = wire::FileQuestion { sha256: [9; 32], features: wire::FeatureSet::Pe1.raw(), values: &[1000; 49] };
    let files = [wire::FileQuestion::of_digest([8; 32]), program, wire::FileQuestion { sha256: [8; 32], features: 77, values: &[1, -1] }];
    wire::encode_lookup_files(&mut frames[7], 12, files).unwrap();
    frames
}

/// What a turn is given beside bytes.
#[derive(Default)]
struct Around {
    limits: Limits,
    metrics: ShardMetrics,
    edges: Edges,
}

impl Around {
    fn turn(&self) -> Turn<'_> {
        let Around { limits, metrics, edges } = self;
        Turn { snapshot: check::snapshot(), limits, metrics, draining: false, edges, peer: Peer::ANYBODY }
    }
}

#[test]
fn a_file_is_answered_by_its_digest_whatever_its_features_are() {
    let around = Around::default();
    let turn = around.turn();
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let mut lookup = Vec::new();
    let digests = [[8; 32], [9; 32], [8; 32]];
    wire::encode_lookup(&mut lookup, 1, digests.iter().map(|digest| (KeyKind::Sha256.raw(), digest.as_slice()))).unwrap();
    let mut output = Output::default();
    let taken = pipeline.take(&turn, 0, &mut Speech::Binary, &[frames()[7].clone(), lookup].concat(), &mut output, false);
    assert_eq!((taken.more, pipeline.keys()), (false, 6));
    pipeline.answer(&turn, &mut output);
    let replies: Vec<_> = wire::Frames::new(&output.bytes).map(|frame| frame.unwrap()).collect();
    let answers = |at: usize| match replies[at].reply() {
        Ok(wire::Reply::Answers(list)) => list.answers.to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!(answers(0), answers(1));
    use wire::Class::{Malicious, Unknown};
    assert_eq!(answers(0).iter().map(|answer| answer.class()).collect::<Vec<_>>(), [Malicious, Unknown, Malicious]);
    let metrics = &around.metrics;
    assert_eq!((metrics.frames_files.get(), metrics.frames_lookup.get()), (1, 1));

    let late = pipeline.take(&turn, 0, &mut Speech::Binary, &frames()[7], &mut output, true);
    assert_eq!((late.consumed, pipeline.keys(), metrics.keys_overloaded.get()), (frames()[7].len(), 0, 3));
}

/// All connections are gone.
struct Nobody;

impl Outputs for Nobody {
    fn output(&mut self, _connection: u32) -> Option<&mut Output> {
        None
    }
}

#[test]
fn one_turn_explains_one_key_and_the_frames_behind_it_wait() {
    let around = Around::default();
    let turn = around.turn();
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let (explain, ping) = (frames()[6].clone(), frames()[3].clone());
    let input = [ping.clone(), explain.clone(), ping.clone(), explain.clone(), ping].concat();
    let mut output = Output::default();
    let first = pipeline.take(&turn, 4, &mut Speech::Binary, &input, &mut output, false);
    assert_eq!((first.more, pipeline.explained()), (true, Some(4)));
    assert_eq!(wire::Frames::new(&output.bytes).count(), 3, "the second explanation waits, and what stands behind it");
    let mut other = Output::default();
    assert!(
        pipeline.take(&turn, 5, &mut Speech::Binary, &explain, &mut other, false).more && other.bytes.is_empty(),
        "another connection waits as well"
    );
    assert!(!pipeline.take(&turn, 6, &mut Speech::Binary, &frames()[0], &mut other, false).more, "lookups do not");
    pipeline.answer(&turn, &mut Nobody);
    let second = pipeline.take(&turn, 4, &mut Speech::Binary, &input[first.consumed..], &mut output, false);
    assert_eq!((second.more, first.consumed + second.consumed), (false, input.len()));
    let late = pipeline.take(&turn, 5, &mut Speech::Binary, &explain, &mut other, true);
    assert_eq!(late.consumed, explain.len());
    let last = wire::Frames::new(&other.bytes).last().unwrap().unwrap();
    assert!(matches!(last.reply(), Ok(wire::Reply::Error(error)) if error.code() == wire::ErrorCode::Overloaded));
}

#[test]
fn who_asks_much_gets_a_share_of_the_turn_and_the_next_one_is_taken() {
    let around = Around::default();
    let turn = around.turn();
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let mut frame = Vec::new();
    wire::encode_lookup(&mut frame, 1, (0..400).map(|_| (KeyKind::Host.raw(), &b"a.test"[..]))).unwrap();
    let (greedy, one) = (frame.repeat(8), frames()[0].clone());
    let (mut many, mut few) = (Output::default(), Output::default());
    pipeline.begin_share();
    let first = pipeline.take(&turn, 1, &mut Speech::Binary, &greedy, &mut many, false);
    assert_eq!((first.consumed, first.more), (frame.len() * SHARE_KEYS_MAX.div_ceil(400), true), "whole frames until the share is full");
    pipeline.begin_share();
    let other = pipeline.take(&turn, 2, &mut Speech::Binary, &one, &mut few, false);
    assert_eq!((other.consumed, other.more), (one.len(), false), "the same turn takes the next connection");
    pipeline.answer(&turn, &mut Nobody);
    pipeline.begin_share();
    let second = pipeline.take(&turn, 1, &mut Speech::Binary, &greedy[first.consumed..], &mut many, false);
    assert!(second.more && second.consumed == first.consumed, "and the next turn goes on with the first");
}

#[test]
fn what_waited_too_long_is_answered_overloaded_and_nothing_is_looked_up() {
    let around = Around::default();
    let turn = around.turn();
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let mut output = Output::default();
    let input = [frames()[0].clone(), frames()[3].clone()].concat();
    let late = pipeline.take(&turn, 0, &mut Speech::Binary, &input, &mut output, true);
    assert_eq!((late.consumed, pipeline.keys()), (input.len(), 0));
    let replies: Vec<_> = wire::Frames::new(&output.bytes).map(|frame| frame.unwrap()).collect();
    let Ok(wire::Reply::Answers(list)) = replies[0].reply() else { panic!("a late lookup is answered all the same") };
    assert!(list.answers.len() == 6 && list.answers.iter().all(|answer| answer.status() == wire::Status::Overloaded));
    assert!(matches!(replies[1].reply(), Ok(wire::Reply::Pong(_))), "a ping needs no capacity");
    assert_eq!(around.metrics.keys_overloaded.get(), 6);
}

#[test]
fn twenty_thousand_mutated_sessions_hold() {
    let seed = 0x5eed_0000_0001u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut random = move |below: usize| {
        // xorshift64*, Vigna 2016
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below
    };
    let frames = frames();
    for _ in 0..20_000 {
        let mut bytes = vec![random(256) as u8];
        for _ in 0..1 + random(5) {
            bytes.extend_from_slice(&frames[random(frames.len())]);
        }
        for _ in 0..random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes.truncate(at),
                _ => bytes.insert(at, random(256) as u8),
            }
            if bytes.is_empty() {
                break;
            }
        }
        check::check(&bytes);
    }
}

/// What entries of the overlay add to a lookup, and what an act costs beside the disk. No test, a measurement:
/// `cargo test --release -p verdictd --test pipeline -- --ignored --nocapture what_entries`. Of 200 times the least, CPU time of one thread.
#[test]
#[ignore = "a measurement"]
fn what_entries_of_the_overlay_cost() {
    use std::sync::Arc;
    use verdict_keys::{Batch, Kind};
    use verdict_tables::{Class, Verdict};
    use verdictd::overlay::table::Overlay;
    use verdictd::overlay::{Entry, Key};
    const BATCH: usize = 256;
    const BATCHES: usize = 64;
    let (backend, snapshot) = (verdict_simd::detect().unwrap(), check::snapshot());
    let entry = |number: usize| {
        // By turns what an incident asks for.
        let key = match number % 4 {
            0 => Key::new(Kind::Host, format!("h{number}.blocked.example").as_bytes()),
            1 => Key::new(Kind::Url, format!("http://h{number}.blocked.example/dropper.exe").as_bytes()),
            2 => Key::new(Kind::Ipv4, &(0xC633_6400 + number as u32).to_be_bytes()),
            _ => Key::new(Kind::Sha256, &std::array::from_fn::<u8, 32, _>(|place| (number >> (place % 4 * 8)) as u8)),
        };
        Arc::new(Entry { key: key.unwrap(), class: Class::Malicious, at_ms: 0, until_ms: 1, uid: 0, pid: 0, reason: "incident".into() })
    };
    let asked = |host: &dyn Fn(usize) -> String| -> Vec<Batch> {
        let batch = |first: usize| {
            let mut batch = Batch::with_capacity(BATCH);
            let urls = (first..first + BATCH).map(|number| format!("http://{}/dropper.exe?session={number}", host(number)));
            urls.for_each(|url| batch.push(backend, snapshot.schedule(), snapshot.profile(), Kind::Url, url.as_bytes()));
            batch
        };
        (0..BATCHES).map(|number| batch(number * BATCH)).collect()
    };
    let least = |work: &mut dyn FnMut()| (0..200).map(|_| cpu_time(&mut *work)).fold(f64::MAX, f64::min);
    for count in [1, 100, 10_000] {
        let entries: Vec<Arc<Entry>> = (0..count).map(entry).collect();
        let overlay = Overlay::of(backend, snapshot, entries.clone()).unwrap();
        let act = least(&mut || drop(std::hint::black_box(Overlay::of(backend, snapshot, entries.clone()))));
        let missing = asked(&|number| format!("w{number}.unlisted.example"));
        // Host and URL entries by turns.
        let hitting = asked(&|number| format!("h{}.blocked.example", (number * 4 + number % 2) % count.next_multiple_of(4)));
        let mut verdicts = vec![Verdict::default(); BATCH];
        let mut per_key = |batches: &[Batch]| {
            let mut decide = || batches.iter().map(|batch| overlay.decide(backend, snapshot.schedule(), batch, &mut verdicts)).sum::<u64>();
            let decided = decide();
            let seconds = least(&mut || {
                std::hint::black_box(decide());
            });
            (seconds * 1e9 / (BATCH * BATCHES) as f64, decided)
        };
        let ((miss, none), (hit, decided)) = (per_key(&missing), per_key(&hitting));
        assert_eq!(none, 0);
        println!(
            "{count} entries: {miss:.1} ns a URL that none concerns, {hit:.1} ns where {decided} of {} hit; {:.0} us to make",
            BATCH * BATCHES,
            act * 1e6
        );
    }
}

/// Seconds that this thread computes.
fn cpu_time(work: &mut dyn FnMut()) -> f64 {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
    };
    let from = now();
    work();
    now() - from
}
