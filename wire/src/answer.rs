//! The answer: 8 bytes a key. PROTOCOL.md section 6.
//!
//! ```text
//!  0         1       2            4       5        8
//!  │ outcome │ score │ categories │ flags │ id u24 │      outcome: status in the low nibble, class in the high one
//! ```
//! The struct has alignment 1, so answers are read and written where they stand in a buffer, and any other 8-byte POD of the same layout is
//! one `bytemuck::cast_slice` away. Status says whether there is a verdict; class says which. Unknown is a verdict, an error is not.

use crate::closed::{bit_set, closed};
use crate::error::Malformed;
use crate::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameKind, KEYS_MAX, begin_frame, finish_frame, read};
use bytemuck::{Pod, Zeroable};
use std::fmt;
use std::mem::offset_of;

/// The largest verdict id; ids have 24 bits, and 0 is none.
pub const VERDICT_ID_MAX: u32 = (1 << 24) - 1;

closed! {
    /// Whether the key was judged.
    Status: u8 {
        /// It was: class, score and the rest hold.
        Ok = 0 "ok",
        /// The key's bytes are nothing of its kind.
        Unparseable = 1 "unparseable",
        /// The server does not know keys of that kind.
        Unsupported = 2 "unsupported",
        /// No capacity for this key now; ask again.
        Overloaded = 3 "overloaded",
        /// The server's fault.
        Error = 4 "error",
    }
}

closed! {
    /// The verdict; ordered by severity.
    Class: u8 {
        /// No source speaks of it.
        Unknown = 0 "unknown",
        /// Listed as good.
        Clean = 1 "clean",
        /// Listed with less than certainty.
        Suspicious = 2 "suspicious",
        /// Listed as bad.
        Malicious = 3 "malicious",
    }
}

bit_set! {
    /// How the verdict came about.
    Flags: u8 {
        /// The tables are older than their operator wants.
        STALE = 0 "stale",
        /// A part of the daemon did not take part.
        DEGRADED = 1 "degraded",
        /// From the overlay of recent changes.
        FROM_DELTA = 2 "from-delta",
        /// A model said so, no table.
        FROM_MODEL = 3 "from-model",
        /// Nothing is enforced: whatever is known, the class is unknown.
        MONITOR = 4 "monitor",
        /// What is not enforced would have said otherwise: a model on trial, or with `MONITOR` everything.
        SHADOW_DISAGREES = 5 "shadow-disagrees",
        /// An allow rule decided.
        ALLOWLISTED = 6 "allowlisted",
        /// An operator's rule decided.
        OVERRIDDEN = 7 "overridden",
    }
}

bit_set! {
    /// What kind of threat; bits 12 to 15 are reserved.
    Categories: u16 {
        /// Distributes or is malware.
        MALWARE = 0 "malware",
        /// Phishing.
        PHISHING = 1 "phishing",
        /// Botnet command and control.
        C2 = 2 "c2",
        /// Exploits.
        EXPLOIT = 3 "exploit",
        /// Spam.
        SPAM = 4 "spam",
        /// Scans others.
        SCANNER = 5 "scanner",
        /// Unwanted software.
        UNWANTED = 6 "unwanted",
        /// An algorithmically generated name.
        DGA = 7 "dga",
        /// Mines cryptocurrency.
        CRYPTOMINING = 8 "cryptomining",
        /// Fraud.
        SCAM = 9 "scam",
        /// A good site in bad hands.
        COMPROMISED = 10 "compromised",
        /// For tests only.
        TEST = 11 "test",
    }
}

/// One answer.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Answer {
    /// Status in the low nibble, class in the high one.
    pub outcome: u8,
    /// 0..=100.
    pub score: u8,
    /// `Categories`, little-endian.
    pub categories: [u8; 2],
    /// `Flags`.
    pub flags: u8,
    /// Verdict id, little-endian; 0 is none.
    pub id: [u8; 3],
}

/// Bytes of an `Answer`.
const ANSWER_BYTES: usize = 8;
const GENERATION_BYTES: usize = 8;
const _: () = assert!(size_of::<Answer>() == ANSWER_BYTES && align_of::<Answer>() == 1);
const _: () = assert!(offset_of!(Answer, outcome) == 0 && offset_of!(Answer, score) == 1 && offset_of!(Answer, categories) == 2);
const _: () = assert!(offset_of!(Answer, flags) == 4 && offset_of!(Answer, id) == 5);
const _: () = assert!(FRAME_HEADER_BYTES + GENERATION_BYTES + KEYS_MAX * ANSWER_BYTES <= FRAME_BYTES_MAX);

impl Answer {
    /// A verdict. `id` is cut to 24 bits.
    pub const fn new(class: Class, score: u8, categories: Categories, flags: Flags, id: u32) -> Self {
        let [a, b, c, _] = id.to_le_bytes();
        Self { outcome: (class as u8) << 4, score, categories: categories.0.to_le_bytes(), flags: flags.0, id: [a, b, c] }
    }

    /// No verdict, and why.
    pub const fn without_verdict(status: Status) -> Self {
        Self { outcome: status as u8, score: 0, categories: [0; 2], flags: 0, id: [0; 3] }
    }

    /// Whether the key was judged. A number of a newer server reads as error.
    pub const fn status(self) -> Status {
        match Status::from_raw(self.outcome & 0x0F) {
            Some(status) => status,
            None => Status::Error,
        }
    }

    /// The verdict; holds only where the status is ok. A number of a newer server reads as unknown.
    pub const fn class(self) -> Class {
        match Class::from_raw(self.outcome >> 4) {
            Some(class) => class,
            None => Class::Unknown,
        }
    }

    /// 0..=100.
    pub const fn score(self) -> u8 {
        self.score
    }

    /// What kind of threat.
    pub const fn categories(self) -> Categories {
        Categories(u16::from_le_bytes(self.categories))
    }

    /// How the verdict came about.
    pub const fn flags(self) -> Flags {
        Flags(self.flags)
    }

    /// What DESCRIBE expands, in the generation of this answer; 0 is none.
    pub const fn id(self) -> u32 {
        u32::from_le_bytes([self.id[0], self.id[1], self.id[2], 0])
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status() {
            Status::Ok => {
                write!(f, "{} score {} categories {} flags {} id {}", self.class(), self.score, self.categories(), self.flags(), self.id())
            }
            status => write!(f, "{status}"),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({self})")
    }
}

/// An ANSWERS reply, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerList<'a> {
    /// The generation that all of them are from.
    pub generation: u64,
    /// One per key, in order.
    pub answers: &'a [Answer],
}

impl<'a> AnswerList<'a> {
    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let wanted = GENERATION_BYTES + usize::from(frame.header.count) * ANSWER_BYTES;
        let generation = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "ANSWERS without a generation"))?;
        if frame.body.len() != wanted || frame.header.count == 0 || usize::from(frame.header.count) > KEYS_MAX {
            return Err(Malformed::new(6, "ANSWERS are not as many as count says"));
        }
        Ok(Self { generation, answers: bytemuck::cast_slice(&frame.body[GENERATION_BYTES..]) })
    }
}

/// Appends an ANSWERS frame. 1..=KEYS_MAX answers, as many as the request has keys.
pub fn encode_answers(out: &mut Vec<u8>, request_id: u32, generation: u64, answers: &[Answer]) {
    let start = begin_answers(out, request_id, generation, answers.len());
    out.extend_from_slice(bytemuck::cast_slice(answers));
    finish_frame(out, start);
}

/// Appends an ANSWERS frame of `count` zeroed answers, to be written where they stand. 1..=KEYS_MAX answers.
pub fn answers_in_place(out: &mut Vec<u8>, request_id: u32, generation: u64, count: usize) -> &mut [Answer] {
    let start = begin_answers(out, request_id, generation, count);
    let body = out.len();
    out.resize(body + count * ANSWER_BYTES, 0);
    finish_frame(out, start);
    bytemuck::cast_slice_mut(&mut out[body..])
}

fn begin_answers(out: &mut Vec<u8>, request_id: u32, generation: u64, count: usize) -> usize {
    assert!((1..=KEYS_MAX).contains(&count), "a reply has as many answers as its request has keys");
    out.reserve(FRAME_HEADER_BYTES + GENERATION_BYTES + count * ANSWER_BYTES);
    let start = begin_frame(out, FrameKind::Answers, count as u16, request_id, 0);
    out.extend_from_slice(&generation.to_le_bytes());
    start
}

/// Writes one ANSWERS frame answer by answer, its number known beforehand.
pub struct AnswersWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    left: usize,
}

impl<'o> AnswersWriter<'o> {
    /// Begins a frame of `count` answers, 1..=KEYS_MAX.
    pub fn new(out: &'o mut Vec<u8>, request_id: u32, generation: u64, count: usize) -> Self {
        let start = begin_answers(out, request_id, generation, count);
        Self { out, start, left: count }
    }

    /// The next answer. Panics past `count`: the caller counts keys and answers in one loop.
    #[inline]
    pub fn push(&mut self, answer: Answer) {
        assert!(self.left > 0, "more answers than announced");
        self.left -= 1;
        self.out.extend_from_slice(bytemuck::bytes_of(&answer));
    }
}

impl Drop for AnswersWriter<'_> {
    /// Completes the frame; answers that were not pushed say error, so that no key goes without one.
    fn drop(&mut self) {
        for _ in 0..self.left {
            self.out.extend_from_slice(bytemuck::bytes_of(&Answer::without_verdict(Status::Error)));
        }
        finish_frame(self.out, self.start);
    }
}
