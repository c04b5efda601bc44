//! Frames as PROTOCOL.md writes them, written a second time.
//!
//! ```text
//!  0            4      5         6       8            12       16
//!  │frame_bytes │ kind │ version │ count │ request_id │ flags  │ body
//! ```
//! The daemon and its client share verdict-wire, so a mistake there would agree with itself. The load generator and the replay
//! therefore encode and decode these few frames on their own; only the constants of the protocol are taken from there.

use verdict_tables::Class;
pub use verdict_wire::{FRAME_BYTES_MAX, KEYS_MAX};

use crate::oracle::Expected;

/// Bytes before the body.
pub const HEAD_BYTES: usize = 16;
/// Bytes of the generation that starts each reply body.
pub const GENERATION_BYTES: usize = 8;
/// Bytes of one answer.
pub const ANSWER_BYTES: usize = 8;

/// Frame kind of a request.
pub const LOOKUP: u8 = 0x02;
/// Frame kind of a request with keys that the client hashed.
pub const LOOKUP_HASHED: u8 = 0x03;
/// Frame kind of a request.
pub const PING: u8 = 0x05;
/// Frame kind of the reply to both lookups.
pub const ANSWERS: u8 = 0x82;
/// Frame kind of the reply to PING.
pub const PONG: u8 = 0x85;
/// Frame kind of a refusal.
pub const ERROR: u8 = 0xFF;

/// One question: a kind byte of the protocol and its bytes.
pub type Question<'a> = (u8, &'a [u8]);

fn head(out: &mut Vec<u8>, kind: u8, count: usize, request_id: u32, flags: u32, body_bytes: usize) {
    out.extend_from_slice(&((HEAD_BYTES + body_bytes) as u32).to_le_bytes());
    out.extend_from_slice(&[kind, 1]);
    out.extend_from_slice(&(count as u16).to_le_bytes());
    out.extend_from_slice(&request_id.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
}

/// Bytes that a question takes in a frame.
pub fn question_bytes((_, bytes): Question<'_>) -> usize {
    4 + bytes.len()
}

/// Appends a LOOKUP frame of these questions; the caller keeps to the protocol's limits.
pub fn lookup<'a>(out: &mut Vec<u8>, request_id: u32, questions: impl Iterator<Item = Question<'a>> + Clone) {
    let (count, body) = questions.clone().fold((0, 0), |(count, body), question| (count + 1, body + question_bytes(question)));
    head(out, LOOKUP, count, request_id, 0, body);
    for (kind, bytes) in questions {
        out.extend_from_slice(&[kind, 0]);
        out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        out.extend_from_slice(bytes);
    }
}

/// Appends a LOOKUP_HASHED frame for one generation; `place`: bit 0, their hosts are suffixes; bit 1, their paths are prefixes.
pub fn lookup_hashed(out: &mut Vec<u8>, request_id: u32, generation: u64, place: u32, keys: &[[u8; 16]]) {
    head(out, LOOKUP_HASHED, keys.len(), request_id, place, GENERATION_BYTES + 16 * keys.len());
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(keys.as_flattened());
}

/// Appends a PING frame without bytes of its own.
pub fn ping(out: &mut Vec<u8>, request_id: u32) {
    head(out, PING, 0, request_id, 0, 0);
}

/// Appends an ANSWERS frame of `count` unknowns: what the null server says.
pub fn unknown_answers(out: &mut Vec<u8>, request_id: u32, generation: u64, count: usize) {
    head(out, ANSWERS, count, request_id, 0, GENERATION_BYTES + ANSWER_BYTES * count);
    out.extend_from_slice(&generation.to_le_bytes());
    out.resize(out.len() + ANSWER_BYTES * count, 0);
}

/// Writes another request id into the frame that starts `frame`.
pub fn set_request_id(frame: &mut [u8], request_id: u32) {
    frame[8..12].copy_from_slice(&request_id.to_le_bytes());
}

/// A complete frame in a receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// Frame kind.
    pub kind: u8,
    /// Entries in the body.
    pub count: usize,
    /// Of the request.
    pub request_id: u32,
    /// All after the header.
    pub body: &'a [u8],
}

/// What a peer sent is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes cannot be")]
pub struct NoFrame(pub u32);

impl<'a> Received<'a> {
    /// The first frame of `bytes`; None while it is not complete.
    pub fn first(bytes: &'a [u8]) -> Result<Option<Self>, NoFrame> {
        let Some(length) = bytes.first_chunk::<4>() else { return Ok(None) };
        let frame_bytes = u32::from_le_bytes(*length);
        if !(HEAD_BYTES as u32..=FRAME_BYTES_MAX as u32).contains(&frame_bytes) {
            return Err(NoFrame(frame_bytes));
        }
        let Some(frame) = bytes.get(..frame_bytes as usize) else { return Ok(None) };
        let count = u16::from_le_bytes([frame[6], frame[7]]);
        let request_id = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]);
        Ok(Some(Received { kind: frame[4], count: usize::from(count), request_id, body: &frame[HEAD_BYTES..] }))
    }

    /// Bytes of the whole frame.
    pub fn bytes(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }

    /// The generation that answered; None where the body is too short for it.
    pub fn generation(&self) -> Option<u64> {
        self.body.first_chunk::<GENERATION_BYTES>().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// The answers of an ANSWERS frame; None where it is another kind or its size contradicts its count.
    pub fn answers(&self) -> Option<impl ExactSizeIterator<Item = Answer> + use<'a>> {
        let answers = self.body.get(GENERATION_BYTES..)?;
        (self.kind == ANSWERS && answers.len() == self.count * ANSWER_BYTES)
            .then(|| answers.as_chunks::<ANSWER_BYTES>().0.iter().map(Answer::read))
    }
}

/// One answer, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the oracle can foretell.
    pub told: Expected,
    /// Which record of the generation says so; 0 for none.
    pub verdict_id: u32,
}

impl Answer {
    /// byte 0 status (low nibble) and class (high nibble), 1 score, 2..4 categories, 4 flags, 5..8 verdict id. A class that does not exist is read as unknown with status 15.
    fn read(bytes: &[u8; ANSWER_BYTES]) -> Self {
        let class = match bytes[0] >> 4 {
            0 => Some(Class::Unknown),
            1 => Some(Class::Clean),
            2 => Some(Class::Suspicious),
            3 => Some(Class::Malicious),
            _ => None,
        };
        let status = if class.is_some() { bytes[0] & 15 } else { 15 };
        let told = Expected {
            status,
            class: class.unwrap_or(Class::Unknown),
            flags: bytes[4],
            score: bytes[1],
            categories: u16::from_le_bytes([bytes[2], bytes[3]]),
        };
        Answer { told, verdict_id: u32::from_le_bytes([bytes[5], bytes[6], bytes[7], 0]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_laid_out_as_the_protocol_says() {
        let mut out = Vec::new();
        lookup(&mut out, 0x0403_0201, [(2u8, &b"a.example"[..]), (3, &[192, 0, 2, 1])].into_iter());
        let body = [&[2, 0, 9, 0][..], b"a.example", &[3, 0, 4, 0, 192, 0, 2, 1]].concat();
        let head = [37, 0, 0, 0, 0x02, 1, 2, 0, 1, 2, 3, 4, 0, 0, 0, 0];
        assert_eq!(out, [&head[..], &body].concat());
    }

    #[test]
    fn verdict_wire_reads_what_is_written_here() {
        let mut out = Vec::new();
        lookup(&mut out, 7, [(1u8, &b"http://example.org/"[..])].into_iter());
        lookup_hashed(&mut out, 8, 5, 3, &[[5; 16], [6; 16]]);
        ping(&mut out, 9);
        let kinds: Vec<_> = verdict_wire::Frames::new(&out)
            .map(|frame| {
                let frame = frame.expect("a frame");
                assert!(frame.request().is_ok(), "{frame:?}");
                (frame.header.kind, frame.header.count, frame.header.request_id, frame.header.flags)
            })
            .collect();
        assert_eq!(kinds, [(LOOKUP, 1, 7, 0), (LOOKUP_HASHED, 2, 8, 3), (PING, 0, 9, 0)]);
    }

    #[test]
    fn an_answer_is_taken_apart_and_odd_sizes_are_no_answers() {
        let mut out = Vec::new();
        unknown_answers(&mut out, 3, 77, 2);
        let at = HEAD_BYTES + GENERATION_BYTES;
        out[at..at + 8].copy_from_slice(&[0x30, 90, 2, 1, 0x80, 1, 2, 3]);
        let frame = Received::first(&out).unwrap().unwrap();
        assert_eq!((frame.bytes(), frame.generation(), frame.request_id), (out.len(), Some(77), 3));
        let answers: Vec<_> = frame.answers().unwrap().collect();
        let told = Expected { status: 0, class: Class::Malicious, flags: 0x80, score: 90, categories: 0x0102 };
        assert_eq!(answers[0], Answer { told, verdict_id: 0x03_0201 });
        assert_eq!(answers[1].told, Expected::UNKNOWN);
        assert_eq!(Received { count: 3, ..frame }.answers().map(|answers| answers.len()), None);
        assert_eq!(Received::first(&out[..out.len() - 1]), Ok(None));
        assert_eq!(Received::first(&[15, 0, 0, 0]), Err(NoFrame(15)));
    }
}
