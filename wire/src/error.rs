//! What goes wrong, sorted by fault: refusals a server sends (`Refusal`, `ErrorReply`), replies a client cannot read (`Malformed`), and
//! requests that cannot be written (`EncodeError`).
//!
//! ```text
//!  ERROR body   0            8      10              12       16
//!               │ generation │ code │ message_bytes │ detail │ message: UTF-8, for people │
//! ```

use crate::closed::closed;
use crate::frame::{Frame, FrameKind, REPLY_CLOSING, begin_frame, finish_frame, read};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

/// Bytes of the text of an ERROR reply.
pub const MESSAGE_BYTES_MAX: usize = 256;

closed! {
    /// Why a request has no other reply. `detail` is the offending value.
    ErrorCode: u16 {
        /// The frame's bytes break a rule; detail: the byte's offset in the frame.
        Malformed = 1 "malformed",
        /// The frame's version, or the range of a HELLO; detail: that version.
        UnsupportedVersion = 2 "unsupported-version",
        /// No request of that kind; detail: the kind.
        UnsupportedKind = 3 "unsupported-kind",
        /// `frame_bytes` is past the limit; detail: `frame_bytes`. The connection closes.
        FrameTooLarge = 4 "frame-too-large",
        /// More keys or ids than the limit; detail: the count.
        TooManyKeys = 5 "too-many-keys",
        /// The request names a generation that is not served; detail: 0, the reply's generation is the one that is.
        StaleGeneration = 6 "stale-generation",
        /// No capacity now; detail: milliseconds after which to try again, 0 if unknown.
        Overloaded = 7 "overloaded",
        /// The server stops; ask another one; detail: 0.
        Draining = 8 "draining",
        /// The server's own fault; detail: 0.
        Internal = 9 "internal",
        /// This client may not ask that; detail: 0. Asking again does not help.
        NotPermitted = 10 "not-permitted",
    }
}

/// A request that gets an ERROR reply, as decoding found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {reason} (detail {detail})")]
pub struct Refusal {
    /// Of the frame; 0 where its length could not be trusted, since then no field can.
    pub request_id: u32,
    /// The number a program acts upon.
    pub code: ErrorCode,
    /// The offending value, as `ErrorCode` says.
    pub detail: u32,
    /// For people.
    pub reason: &'static str,
    /// The connection cannot go on.
    pub closes: bool,
}

impl Refusal {
    /// A refusal of one request.
    pub const fn new(request_id: u32, code: ErrorCode, detail: u32, reason: &'static str) -> Self {
        Self { request_id, code, detail, reason, closes: false }
    }

    /// A refusal after which the connection closes.
    pub const fn closing(code: ErrorCode, detail: u32, reason: &'static str) -> Self {
        Self { request_id: 0, code, detail, reason, closes: true }
    }
}

/// Bytes that break the protocol, by their offset in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {reason}")]
pub struct Malformed {
    /// In the frame, header included.
    pub offset: u32,
    /// For people.
    pub reason: &'static str,
}

impl Malformed {
    pub(crate) const fn new(offset: usize, reason: &'static str) -> Self {
        Self { offset: offset as u32, reason }
    }

    pub(crate) const fn refusal(self, request_id: u32) -> Refusal {
        Refusal::new(request_id, ErrorCode::Malformed, self.offset, self.reason)
    }
}

/// A frame that cannot be written; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A frame has at least one key or id.
    #[error("no keys: a frame carries at least one")]
    NoKeys,
    /// More keys or ids than one frame carries.
    #[error("{count} keys or ids: a frame carries at most {max}")]
    TooManyKeys {
        /// Keys up to and including the one that did not fit.
        count: usize,
        /// `KEYS_MAX` or `IDS_MAX`.
        max: usize,
    },
    /// One key is longer than KEY_BYTES_MAX.
    #[error("a key of {bytes} bytes: at most {}", crate::KEY_BYTES_MAX)]
    KeyTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The frame would pass FRAME_BYTES_MAX.
    #[error("the frame would pass {} bytes", crate::FRAME_BYTES_MAX)]
    FrameTooLarge,
    /// A name or ping payload is longer than allowed, or a name has control characters.
    #[error("{what} is too long or not plain text")]
    BadText {
        /// `client name`, `ping payload`.
        what: &'static str,
    },
    /// Not as many values as the feature set of a file has.
    #[error("a file of feature set {features} with {values} values")]
    BadValues {
        /// Its number.
        features: u8,
        /// How many there are.
        values: usize,
    },
    /// `version_min` is 0 or more than `version_max`.
    #[error("a version range that is empty")]
    BadVersions,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ErrorHead {
    generation: u64,
    code: u16,
    message_bytes: u16,
    detail: u32,
}

const ERROR_HEAD_BYTES: usize = 16;
const _: () = assert!(size_of::<ErrorHead>() == ERROR_HEAD_BYTES);
const _: () = assert!(offset_of!(ErrorHead, generation) == 0 && offset_of!(ErrorHead, code) == 8);
const _: () = assert!(offset_of!(ErrorHead, message_bytes) == 10 && offset_of!(ErrorHead, detail) == 12);

/// An ERROR reply, as a client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorReply<'a> {
    /// The generation served at that moment; 0 if none is.
    pub generation: u64,
    /// The raw code; a newer server may know more of them.
    pub code_raw: u16,
    /// The offending value.
    pub detail: u32,
    /// For people.
    pub message: &'a str,
    /// The server closes the connection after this.
    pub closing: bool,
}

impl<'a> ErrorReply<'a> {
    /// The code; one of a newer server reads as Internal.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::from_raw(self.code_raw).unwrap_or(ErrorCode::Internal)
    }

    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let head: ErrorHead = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "an ERROR ends before its message"))?;
        let message = &frame.body[ERROR_HEAD_BYTES..];
        if message.len() != head.message_bytes as usize || message.len() > MESSAGE_BYTES_MAX {
            return Err(Malformed::new(26, "message_bytes is not what follows"));
        }
        let message = std::str::from_utf8(message).map_err(|e| Malformed::new(32 + e.valid_up_to(), "the message is not UTF-8"))?;
        Ok(Self {
            generation: head.generation,
            code_raw: head.code,
            detail: head.detail,
            message,
            closing: frame.header.flags & REPLY_CLOSING != 0,
        })
    }
}

/// Appends an ERROR reply. A message longer than MESSAGE_BYTES_MAX is cut at a character.
pub fn encode_error(out: &mut Vec<u8>, request_id: u32, generation: u64, code: ErrorCode, detail: u32, message: &str, closing: bool) {
    let message = cut(message, MESSAGE_BYTES_MAX);
    out.reserve(16 + ERROR_HEAD_BYTES + message.len());
    let start = begin_frame(out, FrameKind::Error, 0, request_id, if closing { REPLY_CLOSING } else { 0 });
    let head = ErrorHead { generation, code: code.raw(), message_bytes: message.len() as u16, detail };
    out.extend_from_slice(bytemuck::bytes_of(&head));
    out.extend_from_slice(message.as_bytes());
    finish_frame(out, start);
}

/// Appends the ERROR reply of a refusal that decoding returned.
pub fn encode_refusal(out: &mut Vec<u8>, generation: u64, refusal: &Refusal) {
    encode_error(out, refusal.request_id, generation, refusal.code, refusal.detail, refusal.reason, refusal.closes);
}

/// The longest prefix of at most `bytes_max` bytes that ends at a character.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
