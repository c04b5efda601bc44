//! The bodies of the fuzz targets; a plain test of the wire crate replays the corpus through them.
//!
//! `bytes` decodes raw bytes as both sides and holds: the same frames however the bytes arrive, requests encode to the bytes they came
//! from, replies to bytes that say the same. `ops` writes frames with the encoders, damages some, delivers them in pieces, and holds: what
//! was written and not damaged is read again, whole and in order, and damage behind a frame's length never costs the frame after it.
#![allow(dead_code)] // each target takes its part

use super::again::{reply_again, request_again};
use arbitrary::Arbitrary;
use std::collections::VecDeque;
use verdict_wire::*;

/// Raw bytes, from a peer that may be anyone.
pub fn bytes(data: &[u8]) {
    // The first byte also chooses how the bytes arrive, so that the fuzzer can.
    let step = match data.first().map_or(0, |byte| byte % 3) {
        0 => 1,
        1 => 7,
        _ => 1000,
    };
    assert_eq!(stepwise(data, step), Frames::new(data).map(|frame| frame.map(|frame| frame.header)).collect::<Vec<_>>());
    let mut at = 0;
    for frame in Frames::new(data).map_while(Result::ok) {
        let bytes = &data[at..at + frame.bytes()];
        at += frame.bytes();
        if let Some(again) = request_again(&frame) {
            assert_eq!(again, bytes);
        }
        if let Some(again) = reply_again(&frame) {
            let frame = next_frame(&again).expect("our own length").expect("a whole frame");
            assert_eq!(reply_again(&frame).as_ref(), Some(&again));
        }
    }
}

/// The headers found when `step` bytes arrive at a time.
fn stepwise(data: &[u8], step: usize) -> Vec<Result<FrameHeader, Refusal>> {
    let (mut headers, mut buffer) = (Vec::new(), Vec::new());
    for piece in data.chunks(step) {
        buffer.extend_from_slice(piece);
        let mut frames = Frames::new(&buffer);
        headers.extend(frames.by_ref().map(|frame| frame.map(|frame| frame.header)));
        let consumed = frames.consumed();
        if headers.last().is_some_and(Result::is_err) {
            break;
        }
        buffer.drain(..consumed);
        assert!(buffer.len() < bytes_wanted(&buffer), "a complete frame was left lying");
    }
    headers
}

/// Fails on purpose: fuzzing that works finds a LOOKUP of one host within a minute.
pub fn canary(data: &[u8]) {
    if let Ok(Some(frame)) = next_frame(data)
        && let Ok(Request::Lookup(mut keys)) = frame.request()
        && keys.len() == 1
        && keys.next().is_some_and(|(kind, _)| kind == KeyKind::Host.raw())
    {
        panic!("the canary was found: fuzzing works");
    }
}

/// What a client, a server and the network between them do.
#[derive(Arbitrary, Debug)]
pub enum Op {
    Hello {
        request_id: u32,
        version_min: u8,
        version_max: u8,
        name: String,
    },
    Lookup {
        request_id: u32,
        keys: Vec<(u8, Vec<u8>)>,
    },
    /// The same key so often, to reach the limits with few bytes.
    LookupRepeated {
        request_id: u32,
        kind: u8,
        key_bytes: u16,
        count: u16,
    },
    LookupHashed {
        request_id: u32,
        generation: u64,
        keys: Vec<(u64, u64)>,
        repeat: u16,
        suffix: bool,
        prefix: bool,
    },
    LookupFiles {
        request_id: u32,
        files: Vec<([u8; 4], u8, Vec<i64>)>,
        repeat: u16,
    },
    Describe {
        request_id: u32,
        generation: u64,
        ids: Vec<u32>,
        repeat: u16,
    },
    Ping {
        request_id: u32,
        payload: Vec<u8>,
    },
    HelloReply {
        request_id: u32,
        generation: u64,
        scheme: u8,
        limits: [u32; 4],
        server: String,
    },
    Answers {
        request_id: u32,
        generation: u64,
        answers: Vec<[u8; 8]>,
        how: u8,
    },
    Descriptions {
        request_id: u32,
        generation: u64,
        descriptions: Vec<(u32, u8, u16, Vec<String>)>,
        repeat: u8,
    },
    Explain {
        request_id: u32,
        kind: u8,
        key: Vec<u8>,
    },
    Explanation {
        request_id: u32,
        generation: u64,
        canonical: Vec<u8>,
        /// Repeats the canonical text, to reach its limit with few bytes.
        repeat: u16,
        places: [u8; 4],
        matches: Vec<(u8, u8, u8, [u8; 8])>,
        reason: String,
    },
    Pong {
        request_id: u32,
        generation: u64,
        payload: [u8; 16],
        payload_bytes: u8,
    },
    Error {
        request_id: u32,
        generation: u64,
        code: u8,
        detail: u32,
        message: String,
        closing: bool,
    },
    /// Flips bits of the last frame towards the server, anywhere but in its length.
    DamageRequest {
        at: u16,
        flip: u8,
    },
    DamageReply {
        at: u16,
        flip: u8,
    },
    DeliverRequests {
        bytes: u16,
    },
    DeliverReplies {
        bytes: u16,
    },
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    /// Written, not yet delivered.
    wire: Vec<u8>,
    /// Delivered, not yet a whole frame.
    buffer: Vec<u8>,
    /// Frames on their way: their bytes, and whether they are as written.
    frames: VecDeque<(Vec<u8>, bool)>,
}

impl Pipe {
    /// Encodes one frame. A refusal to write must leave nothing behind.
    fn write(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) {
        let start = self.wire.len();
        match encode(&mut self.wire) {
            Ok(()) => self.frames.push_back((self.wire[start..].to_vec(), true)),
            Err(_) => assert_eq!(self.wire.len(), start, "a refused encoding left bytes behind"),
        }
    }

    fn damage(&mut self, at: u16, flip: u8) {
        let Some((bytes, intact)) = self.frames.back_mut() else { return };
        let at = 4 + usize::from(at) % (bytes.len() - 4);
        // Only what is still wholly on the wire.
        if self.wire.len() < bytes.len() || flip == 0 {
            return;
        }
        let start = self.wire.len() - bytes.len();
        self.wire[start + at] ^= flip;
        bytes[at] ^= flip;
        *intact = false;
    }

    fn deliver(&mut self, bytes: usize, again: impl Fn(&Frame<'_>) -> Option<Vec<u8>>) {
        self.buffer.extend(self.wire.drain(..bytes.min(self.wire.len())));
        let mut frames = Frames::new(&self.buffer);
        for frame in frames.by_ref() {
            let frame = frame.expect("no length was damaged");
            let (bytes, intact) = self.frames.pop_front().expect("a frame that nobody wrote");
            assert_eq!(frame.bytes(), bytes.len());
            assert_eq!(frame.body, &bytes[FRAME_HEADER_BYTES..]);
            let read = again(&frame);
            if intact {
                assert_eq!(read, Some(bytes));
            }
        }
        let consumed = frames.consumed();
        self.buffer.drain(..consumed);
    }
}

/// A conversation.
pub fn ops(ops: &[Op]) {
    let (mut requests, mut replies) = (Pipe::default(), Pipe::default());
    for op in ops {
        // Bounds the memory of one run, not the protocol.
        if requests.wire.len() + replies.wire.len() > 4 << 20 {
            break;
        }
        step(op, &mut requests, &mut replies);
    }
    requests.deliver(usize::MAX, request_again);
    replies.deliver(usize::MAX, reply_again);
    for pipe in [requests, replies] {
        assert!(pipe.wire.is_empty() && pipe.buffer.is_empty() && pipe.frames.is_empty(), "bytes or frames were left over");
    }
}

fn step(op: &Op, requests: &mut Pipe, replies: &mut Pipe) {
    match op {
        // A range without version 1 is written and refused: nothing that could be read again.
        Op::Hello { version_min, version_max, .. } if *version_min > VERSION_MAX || *version_max < VERSION_MIN => {}
        Op::Hello { request_id, version_min, version_max, name } => {
            let hello = ClientHello { version_min: *version_min, version_max: *version_max, name };
            requests.write(|out| encode_hello(out, *request_id, &hello));
        }
        Op::Lookup { request_id, keys } => {
            requests.write(|out| encode_lookup(out, *request_id, keys.iter().map(|(kind, key)| (*kind, key.as_slice()))))
        }
        Op::LookupRepeated { request_id, kind, key_bytes, count } => {
            let key = vec![*kind; usize::from(*key_bytes) % (KEY_BYTES_MAX + 2)];
            let count = usize::from(*count) % (KEYS_MAX + 2);
            requests.write(|out| encode_lookup(out, *request_id, (0..count).map(|_| (*kind, key.as_slice()))));
        }
        Op::LookupHashed { request_id, generation, keys, repeat, suffix, prefix } => {
            let repeat = usize::from(*repeat) % (KEYS_MAX + 2);
            let keys: Vec<_> = keys.iter().cycle().take(keys.len() + repeat).map(|&(lo, hi)| HashedKey { lo, hi }).collect();
            let generation = (*generation).max(1);
            let place = Place { suffix: *suffix, prefix: *prefix };
            requests.write(|out| encode_lookup_hashed(out, *request_id, generation, &keys, place));
        }
        Op::LookupFiles { request_id, files, repeat } => {
            let repeat = usize::from(*repeat) % (KEYS_MAX + 2);
            let questions = files.iter().cycle().take(if files.is_empty() { 0 } else { files.len() + repeat });
            let questions = questions.map(|(digest, features, values)| {
                // Of a known set as many values as it has, so that most files are ones.
                let wanted = FeatureSet::from_raw(*features).map_or(values.len(), FeatureSet::values);
                (digest, *features, values.iter().copied().chain(std::iter::repeat(-1)).take(wanted).collect::<Vec<_>>())
            });
            let questions: Vec<_> = questions.collect();
            requests.write(|out| {
                let files = questions.iter().map(|(digest, features, values)| FileQuestion {
                    sha256: std::array::from_fn(|at| digest[at % 4]),
                    features: *features,
                    values,
                });
                encode_lookup_files(out, *request_id, files)
            });
        }
        Op::Describe { request_id, generation, ids, repeat } => {
            let repeat = usize::from(*repeat) % (IDS_MAX + 2);
            let ids: Vec<_> = ids.iter().copied().cycle().take(ids.len() + repeat).collect();
            let generation = (*generation).max(1);
            requests.write(|out| encode_describe(out, *request_id, generation, &ids));
        }
        Op::Ping { request_id, payload } => requests.write(|out| encode_ping(out, *request_id, payload)),
        Op::HelloReply { request_id, generation, scheme, limits, server } => {
            let [frame_bytes_max, keys_max, key_bytes_max, requests_in_flight_max] = *limits;
            let hello = ServerHello {
                generation: *generation,
                version: VERSION,
                version_min: VERSION_MIN,
                version_max: VERSION_MAX,
                limits: Limits { frame_bytes_max, keys_max, key_bytes_max, requests_in_flight_max },
                profile: Profile { scheme: *scheme, host_labels_max: 5, path_prefixes_max: 4 },
                hash_key: HashKey { h: [*scheme; 16], k: [1; 16] },
                server,
            };
            replies.write(|out| {
                encode_hello_reply(out, *request_id, &hello);
                Ok(())
            });
        }
        Op::Answers { request_id, generation, answers, how } if !answers.is_empty() => {
            let answers: Vec<Answer> = answers
                .iter()
                .take(KEYS_MAX)
                .map(|&[outcome, score, c0, c1, flags, id @ ..]| Answer { outcome, score, categories: [c0, c1], flags, id })
                .collect();
            replies.write(|out| {
                match how % 3 {
                    0 => encode_answers(out, *request_id, *generation, &answers),
                    1 => answers_in_place(out, *request_id, *generation, answers.len()).copy_from_slice(&answers),
                    _ => {
                        let mut writer = AnswersWriter::new(out, *request_id, *generation, answers.len());
                        answers.iter().for_each(|answer| writer.push(*answer));
                    }
                }
                Ok(())
            });
        }
        Op::Descriptions { request_id, generation, descriptions, repeat } if !descriptions.is_empty() => {
            let count = (descriptions.len() + usize::from(*repeat)).min(IDS_MAX);
            replies.write(|out| {
                let mut writer = DescriptionsWriter::new(out, *request_id, *generation, count);
                for (id, class, flags, sources) in descriptions.iter().cycle().take(count) {
                    let description = Description { id: *id, class: *class, flags: *flags, ..Description::default() };
                    writer.push(description, sources.iter().map(String::as_str));
                }
                Ok(())
            });
        }
        Op::Explain { request_id, kind, key } => requests.write(|out| encode_explain(out, *request_id, *kind, key)),
        Op::Explanation { request_id, generation, canonical, repeat, places, matches, reason } => {
            let canonical: String = canonical
                .iter()
                .cycle()
                .take(canonical.len() * (1 + usize::from(*repeat) % 99))
                .map(|byte| char::from(b'!' + byte % 94))
                .collect();
            let [host, path, asked, exact] = *places;
            let path_at = usize::from(path).min(canonical.len());
            let hosts = [HostAsked { at: (u16::from(host).min(path_at as u16)).to_le_bytes(), paths_asked: asked % 3, listed: asked % 2 }];
            let ends = [(canonical.len().min(usize::from(u16::MAX)) as u16).to_le_bytes(), (path_at as u16).to_le_bytes()];
            let matches: Vec<RuleMatch> = matches
                .iter()
                .cycle()
                .take(matches.len() * (1 + usize::from(*repeat) % 9))
                .map(|&(on, flags, path, [outcome, score, c0, c1, bits, id @ ..])| {
                    let answer = Answer { outcome, score, categories: [c0, c1], flags: bits, id };
                    RuleMatch { on, flags, path: path % 2, answer, ..RuleMatch::default() }
                })
                .collect();
            let explanation = Explanation {
                generation: *generation,
                status: asked,
                flags: 0,
                canonical: &canonical,
                path_at: path_at as u16,
                hosts: &hosts,
                path_ends: &ends,
                paths_exact: exact % 3,
                reason,
                matches: &matches,
            };
            replies.write(|out| {
                encode_explanation(out, *request_id, &explanation);
                Ok(())
            });
        }
        Op::Pong { request_id, generation, payload, payload_bytes } => {
            let payload = payload.repeat(4);
            let payload = &payload[..usize::from(*payload_bytes) % (PING_BYTES_MAX + 1)];
            replies.write(|out| {
                encode_pong(out, *request_id, *generation, payload);
                Ok(())
            });
        }
        Op::Error { request_id, generation, code, detail, message, closing } => {
            let code = ErrorCode::ALL[usize::from(*code) % ErrorCode::ALL.len()];
            replies.write(|out| {
                encode_error(out, *request_id, *generation, code, *detail, message, *closing);
                Ok(())
            });
        }
        Op::Answers { .. } | Op::Descriptions { .. } => {}
        Op::DamageRequest { at, flip } => requests.damage(*at, *flip),
        Op::DamageReply { at, flip } => replies.damage(*at, *flip),
        Op::DeliverRequests { bytes } => requests.deliver(usize::from(*bytes), request_again),
        Op::DeliverReplies { bytes } => replies.deliver(usize::from(*bytes), reply_again),
    }
}
