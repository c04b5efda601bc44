//! What must hold of any bytes that a peer sends, or a disk: shared by the fuzz targets and by the plain tests that replay their seeds.
//!
//! Whatever arrives, in whatever pieces: nothing panics, every whole frame gets exactly one reply in order, an untrusted length gets one last error,
//! and the replies do not depend on where the bytes were cut.

use std::sync::OnceLock;
use verdict_keys::{Digest, Scheme};
use verdict_tables::{Builder, Class, Rule, Snapshot, Source, Vote};
use verdict_wire as wire;
use verdictd::driver::Output;
use verdictd::edge::guard::peer::Peer;
use verdictd::edge::spop::data::Reader;
use verdictd::edge::{Edges, Protocol, Speech};
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
    let turn =
        Turn { snapshot: snapshot(), limits: &limits, metrics: &metrics, draining: false, edges: &Edges::default(), peer: Peer::ANYBODY };
    let mut pipeline = Pipeline::new(backend);
    let (mut input, mut output, mut rest) = (Vec::new(), Output::default(), bytes);
    for piece in pieces.iter().cycle() {
        let piece = (*piece).clamp(1, rest.len().max(1)).min(rest.len());
        input.extend_from_slice(&rest[..piece]);
        rest = &rest[piece..];
        loop {
            output.sent = output.bytes.len(); // everything so far has been sent, as if the peer read at once
            let taken = pipeline.take(&turn, 0, &mut Speech::Binary, &input, &mut output, false);
            input.drain(..taken.consumed);
            pipeline.answer(&turn, &mut output);
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

/// What an edge says to `bytes` that come in pieces of this length, and whether the connection ends then.
#[allow(dead_code)] // by the other targets
fn edge_replies(protocol: Protocol, bytes: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let backend = verdict_simd::detect().expect("a backend");
    let (limits, metrics, edges) = (Limits::default(), ShardMetrics::default(), Edges::default());
    let turn = Turn { snapshot: snapshot(), limits: &limits, metrics: &metrics, draining: false, edges: &edges, peer: Peer::ANYBODY };
    let (mut pipeline, mut speech) = (Pipeline::new(backend), Speech::new(protocol));
    let (mut input, mut output) = (Vec::new(), Output::default());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            output.sent = output.bytes.len(); // everything so far has been sent, as if the peer read at once
            pipeline.begin_share();
            let taken = pipeline.take(&turn, 0, &mut speech, &input, &mut output, false);
            input.drain(..taken.consumed);
            pipeline.answer(&turn, &mut output);
            if taken.malformed || taken.finished {
                return (output.bytes, true);
            }
            if !taken.more {
                break;
            }
        }
    }
    (output.bytes, false)
}

/// `bytes`: first byte the piece length, then what a client sends. Nothing panics; the replies do not depend on where the bytes were cut; there are at most as
/// many as there are empty lines; each is of a status that is ours, and only the last one ends the connection.
#[allow(dead_code)] // by the other targets
pub fn check_http(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let (whole, closed) = edge_replies(Protocol::Http, bytes, usize::MAX);
    assert_eq!(
        (&whole, closed),
        (&edge_replies(Protocol::Http, bytes, usize::from(piece) + 1).0, closed),
        "replies depend on where the bytes were cut"
    );
    let text = String::from_utf8_lossy(&whole);
    // No verdict and no error of ours has these words in it, and a key that is asked about is within quotes, where JSON has no line ends.
    let heads: Vec<&str> = text.split("HTTP/1.1 ").filter(|head| head.as_bytes().get(3) == Some(&b' ') && head.contains("\r\n")).collect();
    for (place, head) in heads.iter().enumerate() {
        let status: u16 = head[..3].parse().expect("a status");
        assert!(matches!(status, 100 | 200 | 400 | 403 | 404 | 405 | 413 | 415 | 417 | 431 | 501 | 503 | 505), "{head}");
        let closes = head.contains("\r\nConnection: close\r\n");
        assert!(!closes || (closed && place + 1 == heads.len()), "something follows the end: {text}");
        assert!(status == 100 || head.contains("\r\nContent-Length: "), "{head}");
    }
    assert_eq!(closed, heads.last().is_some_and(|head| head.contains("\r\nConnection: close\r\n")), "{text}");
}

/// Frames by hand, not by our codec: type, stream and frame, payload.
fn spop_frames(mut bytes: &[u8]) -> Vec<(u8, (u64, u64), &[u8])> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some((body, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else { break };
        let mut reader = Reader::new(body.get(5..).unwrap_or_default());
        let (Some(stream), Some(frame)) = (reader.number(), reader.number()) else { break };
        frames.push((body[0], (stream, frame), reader.rest()));
        bytes = rest;
    }
    frames
}

/// `bytes`: first byte the piece length, then what HAProxy sends. Nothing panics; every NOTIFY that is taken has its ACK, in order and of the agreed
/// length, whose actions can be read; DISCONNECT is the last word; and the replies do not depend on where the bytes were cut.
#[allow(dead_code)] // by the other targets
pub fn check_spop(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    let (whole, closed) = edge_replies(Protocol::Spop, bytes, usize::MAX);
    assert_eq!(
        (&whole, closed),
        (&edge_replies(Protocol::Spop, bytes, usize::from(piece) + 1).0, closed),
        "replies depend on where the bytes were cut"
    );
    let asked: Vec<_> = spop_frames(bytes).into_iter().filter(|(kind, ..)| *kind == 3).map(|(_, ids, _)| ids).collect();
    let replies = spop_frames(&whole);
    let acks: Vec<_> = replies.iter().filter(|(kind, ..)| *kind == 103).collect();
    assert!(acks.len() <= asked.len() && acks.iter().zip(&asked).all(|(ack, asked)| ack.1 == *asked), "ACKs of other NOTIFYs");
    for (_, _, actions) in acks {
        assert!(actions.len() <= Edges::default().spop.frame_bytes_max);
        let mut reader = Reader::new(actions);
        while !reader.is_empty() {
            let head = reader.bytes(3).expect("an action");
            assert!(matches!(head, [1, 3, 0..=4] | [2, 2, 0..=4]), "{head:?}");
            assert!(reader.text().is_some_and(|name| !name.is_empty()) && (head[0] == 2 || reader.value().is_some()));
        }
    }
    let last = replies.iter().position(|(kind, ..)| *kind == 102);
    assert!(last.is_none_or(|place| closed && place + 1 == replies.len()), "something follows DISCONNECT");
}
