//! The pipeline against bytes of any kind: the seeds of its fuzz target, and frames mutated by a seeded generator.

#[path = "../fuzz/check.rs"]
mod check;

use verdict_wire as wire;
use verdictd::driver::Output;
use wire::KeyKind;

#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut count = 0;
    for entry in std::fs::read_dir(&seeds).unwrap() {
        check::check(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 5, "{} holds only {count} seeds", seeds.display());
}

/// One frame of every kind a client sends.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = vec![Vec::new(); 7];
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
    frames
}

#[test]
fn one_turn_explains_one_key_and_the_frames_behind_it_wait() {
    use verdictd::limits::Limits;
    use verdictd::metrics::ShardMetrics;
    use verdictd::pipeline::{Pipeline, Turn};
    let (limits, metrics) = (Limits::default(), ShardMetrics::default());
    let turn = Turn { snapshot: check::snapshot(), limits: &limits, metrics: &metrics, draining: false };
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let (explain, ping) = (frames()[6].clone(), frames()[3].clone());
    let input = [ping.clone(), explain.clone(), ping.clone(), explain.clone(), ping].concat();
    let mut output = Output::default();
    let first = pipeline.take(&turn, 4, &input, &mut output, false);
    assert_eq!((first.more, pipeline.explained()), (true, Some(4)));
    assert_eq!(wire::Frames::new(&output.bytes).count(), 3, "the second explanation waits, and what stands behind it");
    let mut other = Output::default();
    assert!(pipeline.take(&turn, 5, &explain, &mut other, false).more && other.bytes.is_empty(), "another connection waits as well");
    assert!(!pipeline.take(&turn, 6, &frames()[0], &mut other, false).more, "lookups do not");
    pipeline.answer(check::snapshot(), &metrics, |_, _, _| ());
    let second = pipeline.take(&turn, 4, &input[first.consumed..], &mut output, false);
    assert_eq!((second.more, first.consumed + second.consumed), (false, input.len()));
    let late = pipeline.take(&turn, 5, &explain, &mut other, true);
    assert_eq!(late.consumed, explain.len());
    let last = wire::Frames::new(&other.bytes).last().unwrap().unwrap();
    assert!(matches!(last.reply(), Ok(wire::Reply::Error(error)) if error.code() == wire::ErrorCode::Overloaded));
}

#[test]
fn what_waited_too_long_is_answered_overloaded_and_nothing_is_looked_up() {
    use verdictd::limits::Limits;
    use verdictd::metrics::ShardMetrics;
    use verdictd::pipeline::{Pipeline, Turn};
    let (limits, metrics) = (Limits::default(), ShardMetrics::default());
    let turn = Turn { snapshot: check::snapshot(), limits: &limits, metrics: &metrics, draining: false };
    let mut pipeline = Pipeline::new(verdict_simd::detect().unwrap());
    let mut output = Output::default();
    let input = [frames()[0].clone(), frames()[3].clone()].concat();
    let late = pipeline.take(&turn, 0, &input, &mut output, true);
    assert_eq!((late.consumed, pipeline.keys()), (input.len(), 0));
    let replies: Vec<_> = wire::Frames::new(&output.bytes).map(|frame| frame.unwrap()).collect();
    let Ok(wire::Reply::Answers(list)) = replies[0].reply() else { panic!("a late lookup is answered all the same") };
    assert!(list.answers.len() == 6 && list.answers.iter().all(|answer| answer.status() == wire::Status::Overloaded));
    assert!(matches!(replies[1].reply(), Ok(wire::Reply::Pong(_))), "a ping needs no capacity");
    assert_eq!(metrics.keys_overloaded.get(), 6);
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
