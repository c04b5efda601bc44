//! Serving allocates nothing once the buffers are warm: decoding borrows, encoding stays within the capacity of the caller's Vec.
//!
//! One test in a binary of its own, since it counts the whole process's allocations.

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use verdict_wire::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const GENERATION: u64 = 5;

/// Every kind of request, good and bad, as a server has them in its receive buffer.
fn requests() -> Vec<u8> {
    let mut out = Vec::new();
    encode_hello(&mut out, 1, &ClientHello { version_min: 1, version_max: 3, name: "client" }).expect("a HELLO");
    encode_lookup(&mut out, 2, (0..KEYS_MAX).map(|_| (1, b"http://a.example/".as_slice()))).expect("a LOOKUP");
    encode_lookup_hashed(&mut out, 3, GENERATION, &[HashedKey { lo: 1, hi: 2 }; 100], Place::ALL[3]).expect("a LOOKUP_HASHED");
    encode_lookup_hashed(&mut out, 4, GENERATION + 1, &[HashedKey { lo: 1, hi: 2 }; 100], Place::EXACT).expect("a stale one");
    let fields: Vec<i64> = (0..49).map(|at| (1 << at) - 2).collect();
    let file = |at: usize| match at % 2 {
        0 => FileQuestion::of_digest([at as u8; 32]),
        _ => FileQuestion { sha256: [at as u8; 32], features: FeatureSet::Pe1.raw(), values: &fields },
    };
    encode_lookup_files(&mut out, 9, (0..1000).map(file)).expect("a LOOKUP_FILES");
    encode_describe(&mut out, 5, GENERATION, &[7; 20]).expect("a DESCRIBE");
    encode_explain(&mut out, 8, 1, b"http://a.example/").expect("an EXPLAIN");
    encode_ping(&mut out, 6, b"payload").expect("a PING");
    out.extend_from_slice(&[16, 0, 0, 0, 0x77, 1, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]); // no such kind
    out
}

fn serve(buffer: &[u8], out: &mut Vec<u8>) {
    for frame in Frames::new(buffer) {
        let frame = frame.expect("lengths that can be");
        let id = frame.header.request_id;
        let served = frame.request().and_then(|request| answer(id, request, out));
        if let Err(refusal) = served {
            encode_refusal(out, GENERATION, &refusal);
        }
    }
}

fn answer(id: u32, request: Request<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    match request {
        Request::Hello(hello) => encode_hello_reply(
            out,
            id,
            &ServerHello {
                generation: GENERATION,
                version: hello.version(),
                version_min: VERSION_MIN,
                version_max: VERSION_MAX,
                limits: Limits::default(),
                profile: Profile { scheme: 1, host_labels_max: 5, path_prefixes_max: 4 },
                hash_key: HashKey::default(),
                server: "server",
            },
        ),
        Request::Lookup(keys) => {
            for (answer, (_, key)) in answers_in_place(out, id, GENERATION, keys.len()).iter_mut().zip(keys) {
                *answer = Answer::new(Class::Clean, key.len() as u8, Categories::NONE, Flags::NONE, 1);
            }
        }
        Request::LookupHashed(lookup) => {
            let keys = lookup.keys(GENERATION)?;
            let mut writer = AnswersWriter::new(out, id, GENERATION, keys.len());
            keys.for_each(|key| writer.push(Answer::new(Class::Clean, 0, Categories::NONE, Flags::NONE, key.lo as u32)));
        }
        Request::LookupFiles(files) => {
            for (answer, file) in answers_in_place(out, id, GENERATION, files.len()).iter_mut().zip(files) {
                let known = file.values.filter(|&value| value != -1).count();
                *answer = Answer::new(Class::Clean, known as u8, Categories::NONE, Flags::NONE, 1);
            }
        }
        Request::Describe(describe) => {
            let ids = describe.ids(GENERATION)?;
            let mut writer = DescriptionsWriter::new(out, id, GENERATION, ids.len());
            ids.for_each(|id| writer.push(Description { id, ..Description::default() }, ["a source", "another"]));
        }
        Request::Explain { .. } => {
            let (canonical, matches) = ("http://a.example/", [RuleMatch::default(); 3]);
            let (hosts, path_ends) = (&[HostAsked::default()], &[[17, 0]]);
            let explanation = Explanation {
                generation: GENERATION,
                status: 0,
                flags: 0,
                canonical,
                path_at: 16,
                hosts,
                path_ends,
                paths_exact: 1,
                reason: "",
                matches: &matches,
            };
            encode_explanation(out, id, &explanation);
        }
        Request::Ping(payload) => encode_pong(out, id, GENERATION, payload),
    }
    Ok(())
}

fn read_replies(buffer: &[u8]) -> usize {
    Frames::new(buffer)
        .map(|frame| match frame.expect("whole").reply().expect("well formed") {
            Reply::Answers(list) => list.answers.len(),
            Reply::Descriptions(list) => list.map(|(_, sources)| sources.count()).sum(),
            _ => 1,
        })
        .sum()
}

#[test]
fn warm_buffers_are_all_that_serving_needs() {
    let buffer = requests();
    let mut out = Vec::new();
    serve(&buffer, &mut out);
    let expected = out.clone();

    // The test harness has a thread of its own that may allocate meanwhile; an allocation of ours would show in every round.
    let mut things = 0;
    let quiet = (0..10).any(|_| {
        let counted = Region::new(ALLOCATOR);
        out.clear();
        serve(&buffer, &mut out);
        things = read_replies(&out);
        let change = counted.change();
        change.allocations + change.reallocations == 0
    });

    assert!(quiet, "every round allocated");
    assert_eq!(out, expected);
    assert_eq!(things, 1 + KEYS_MAX + 100 + 1 + 1000 + 40 + 1 + 1 + 1);

    let counted = Region::new(ALLOCATOR);
    std::hint::black_box(vec![0_u8; 100]);
    assert!(counted.change().allocations >= 1, "the counter counts");
}
