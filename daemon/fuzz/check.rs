//! What must hold of any bytes that a peer sends, or a disk: shared by the fuzz targets and by the plain tests that replay their seeds.
//!
//! Whatever arrives, in whatever pieces: nothing panics, every whole frame gets exactly one reply in order, an untrusted length gets one last error,
//! and the replies do not depend on where the bytes were cut.

use std::sync::OnceLock;
use verdict_keys::{Digest, Scheme};
use verdict_tables::{Builder, Class, Rule, Snapshot, Source, Vote};
use verdict_wire as wire;
use verdictd::driver::Output;
use verdictd::limits::Limits;
use verdictd::metrics::ShardMetrics;
use verdictd::overlay::journal;
use verdictd::overlay::table::Overlay;
use verdictd::pipeline::{Pipeline, Turn};

/// Four rules.
pub fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let mut builder = Builder::new(Scheme::Full, b"fuzz", 0);
        let source = builder.source(Source { name: "fuzz", licence: "none" });
        let vote = Vote {
            source,
            class: Class::Malicious,
            allow: false,
            overrides: false,
            score: 1,
            confidence: 1,
            categories: 1,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 1,
        };
        let prefix = Rule::Url { host: "b.test", path_query: "/p/", prefix: true, subdomains: true };
        let files = [Rule::File(Digest::Md5([7; 16])), Rule::File(Digest::Sha256([8; 32]))];
        for rule in [Rule::Host { host: "a.test", subdomains: true }, prefix].into_iter().chain(files) {
            builder.add(rule, vote).expect("a rule of our own");
        }
        let built = builder.build(verdict_simd::detect().expect("a backend")).expect("four rules");
        Snapshot::from_bytes(&built.bytes).expect("what we built")
    })
}

/// Runs the bytes through a pipeline in pieces of the given lengths (cycled), and returns the replies and whether the stream was given up.
fn replies(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, bool) {
    let backend = verdict_simd::detect().expect("a backend");
    let (limits, metrics) = (Limits::default(), ShardMetrics::default());
    let turn = Turn { snapshot: snapshot(), limits: &limits, metrics: &metrics, draining: false };
    let mut pipeline = Pipeline::new(backend);
    let (mut input, mut output, mut rest) = (Vec::new(), Output::default(), bytes);
    for piece in pieces.iter().cycle() {
        let piece = (*piece).clamp(1, rest.len().max(1)).min(rest.len());
        input.extend_from_slice(&rest[..piece]);
        rest = &rest[piece..];
        loop {
            output.sent = output.bytes.len(); // everything so far has been sent, as if the peer read at once
            let taken = pipeline.take(&turn, 0, &input, &mut output, false);
            input.drain(..taken.consumed);
            pipeline.answer(snapshot(), &metrics, |_, at, answers| output.bytes[at..at + answers.len()].copy_from_slice(answers));
            if taken.malformed {
                return (output.bytes, true);
            }
            if !taken.more {
                break;
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    (output.bytes, false)
}

/// `bytes`: first byte the piece length, then what the peer sends.
pub fn check(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let (whole, given_up) = replies(bytes, &[usize::MAX]);
    let (cut, cut_given_up) = replies(bytes, &[usize::from(piece) + 1, 3, 17]);
    assert_eq!((&whole, given_up), (&cut, cut_given_up), "replies depend on where the bytes were cut");
    let asked: Vec<u32> = wire::Frames::new(bytes).filter_map(Result::ok).map(|frame| frame.header.request_id).collect();
    let mut answered: Vec<(u32, wire::FrameHeader)> = Vec::new();
    for frame in wire::Frames::new(&whole) {
        let frame = frame.expect("our own replies");
        frame.reply().expect("our own replies");
        answered.push((frame.header.request_id, frame.header));
    }
    if given_up {
        let (_, last) = answered.pop().expect("an error before the door");
        assert_ne!(last.flags & wire::REPLY_CLOSING, 0);
    }
    assert_eq!(asked, answered.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "one reply a frame, in order");
}

/// `bytes`: first byte 0 for a journal, else messages of the control socket. Whatever they are nothing panics; what is read is what is written again.
#[allow(dead_code)] // by the other target
pub fn check_overlay(bytes: &[u8]) {
    let Some((&what, bytes)) = bytes.split_first() else { return };
    if what != 0 {
        let again = |encoded: Vec<u8>| assert_eq!(encoded, bytes, "an act is written otherwise than it was read");
        if let Ok(request) = wire::ActRequest::decode(bytes) {
            let mut out = Vec::new();
            request.encode(&mut out);
            again(out);
        }
        if let Ok(told) = wire::Told::decode(bytes)
            && told.key.len() <= wire::KEY_BYTES_MAX
            && told.text.len() <= wire::TOLD_TEXT_BYTES_MAX
        {
            let mut out = Vec::new();
            told.encode(&mut out);
            again(out);
        }
        return;
    }
    let Ok(contents) = journal::read(bytes) else { return };
    assert!(contents.sound_bytes <= bytes.len());
    let mut at = contents.sound_bytes;
    // From the last record on, each is its own bytes again.
    for record in contents.records.iter().rev() {
        let encoded = journal::encode(record);
        at -= encoded.len();
        assert_eq!(&bytes[at..at + encoded.len()], encoded, "record {}", record.number);
    }
    let entries = contents.entries();
    assert!(entries.len() <= contents.records.len());
    let snapshot = snapshot();
    let held = entries.into_values().map(|(_, entry)| entry.into()).collect();
    let _ = Overlay::of(verdict_simd::detect().expect("a backend"), snapshot, held);
    assert_eq!(journal::read(&bytes[..contents.sound_bytes]).expect("the sound part").records, contents.records);
}
