//! The frame: 16 bytes of header, then the body. PROTOCOL.md section 2.
//!
//! ```text
//!  0            4      5         6       8            12       16
//!  │frame_bytes │ kind │ version │ count │ request_id │ flags  │ body: frame_bytes - 16 bytes
//! ```
//! `frame_bytes` counts the whole frame and is judged as soon as its four bytes are there: a length that cannot be trusted ends the
//! connection, since nothing after it can be found. Everything else is judged once the frame is complete, and at worst costs that one
//! request an ERROR reply. A frame that is not complete yet is `Ok(None)`, not an error.

use crate::closed::closed;
use crate::error::{ErrorCode, Refusal};
use bytemuck::{AnyBitPattern, Pod, Zeroable};
use std::mem::offset_of;

/// The version of the protocol this crate writes into every frame.
pub const VERSION: u8 = 1;
/// The oldest version this crate speaks.
pub const VERSION_MIN: u8 = 1;
/// The newest version this crate speaks.
pub const VERSION_MAX: u8 = 1;

/// Bytes of the header.
pub const FRAME_HEADER_BYTES: usize = 16;
/// Bytes of the longest frame, header included.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// Keys of one LOOKUP or LOOKUP_HASHED frame, files of one LOOKUP_FILES frame.
pub const KEYS_MAX: usize = 4096;
/// Bytes of one key.
pub const KEY_BYTES_MAX: usize = 8192;
/// Verdict ids of one DESCRIBE frame.
pub const IDS_MAX: usize = 256;
/// Bytes of a client's or server's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of an EXPLANATION's reason.
pub const EXPLAINED_BYTES_MAX: usize = 4096;
/// Matches of one EXPLANATION.
pub const MATCHES_MAX: usize = 64;
/// Bytes of the canonical text of one EXPLANATION.
pub const CANONICAL_BYTES_MAX: usize = 32768;
/// Bytes that a PING carries.
pub const PING_BYTES_MAX: usize = 64;

/// Request flag of LOOKUP_HASHED: the host of each key is a suffix of its question's host, so only rules on names below it match.
pub const REQUEST_SUFFIX: u32 = 1 << 0;
/// Request flag of LOOKUP_HASHED: the path of each key is a prefix of its question's path, so only rules on paths below it match.
pub const REQUEST_PREFIX: u32 = 1 << 1;
/// Request flags of LOOKUP and LOOKUP_FILES from this bit on: microseconds that scoring by models may take before the tables' answers go out; 0 is the server's own bound.
pub const REQUEST_BUDGET_SHIFT: u32 = 8;
/// Microseconds at most that a request can say.
pub const BUDGET_US_MAX: u32 = (1 << 24) - 1;
/// Reply flag: the server closes the connection after this frame.
pub const REPLY_CLOSING: u32 = 1 << 0;
/// Reply flag: the server is draining; finish and connect elsewhere.
pub const REPLY_DRAINING: u32 = 1 << 1;

/// The first 16 bytes of every frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FrameHeader {
    /// Bytes of the whole frame, this header included.
    pub frame_bytes: u32,
    /// A `FrameKind`.
    pub kind: u8,
    /// Protocol version of this frame.
    pub version: u8,
    /// Keys, files, ids, answers or descriptions in the body; 0 where the kind has none.
    pub count: u16,
    /// Chosen by the client, echoed by the server.
    pub request_id: u32,
    /// Meaning depends on the kind; unknown bits of a request must be zero, unknown bits of a reply are ignored.
    pub flags: u32,
}

const _: () = assert!(size_of::<FrameHeader>() == FRAME_HEADER_BYTES);
const _: () = assert!(offset_of!(FrameHeader, frame_bytes) == 0 && offset_of!(FrameHeader, kind) == 4);
const _: () = assert!(offset_of!(FrameHeader, version) == 5 && offset_of!(FrameHeader, count) == 6);
const _: () = assert!(offset_of!(FrameHeader, request_id) == 8 && offset_of!(FrameHeader, flags) == 12);
const _: () = assert!(KEYS_MAX <= u16::MAX as usize, "count is a u16");
const _: () = assert!(KEY_BYTES_MAX <= u16::MAX as usize, "key_bytes is a u16");
const _: () = assert!(FRAME_BYTES_MAX <= u32::MAX as usize, "frame_bytes is a u32");

closed! {
    /// What a frame is. Replies have the high bit set.
    FrameKind: u8 {
        /// Client: versions and name; optional.
        Hello = 0x01 "HELLO",
        /// Client: 1..=KEYS_MAX keys of mixed kinds.
        Lookup = 0x02 "LOOKUP",
        /// Client: 1..=KEYS_MAX keys that it canonicalised and hashed itself.
        LookupHashed = 0x03 "LOOKUP_HASHED",
        /// Client: what stands behind 1..=IDS_MAX verdict ids?
        Describe = 0x04 "DESCRIBE",
        /// Client: up to PING_BYTES_MAX bytes to echo.
        Ping = 0x05 "PING",
        /// Client: how is one key read, and which rules match it?
        Explain = 0x06 "EXPLAIN",
        /// Client: 1..=KEYS_MAX files, each a digest and fields of its headers.
        LookupFiles = 0x07 "LOOKUP_FILES",
        /// Server: version, limits, hash key and profile.
        HelloReply = 0x81 "HELLO_REPLY",
        /// Server: one answer per key, in order.
        Answers = 0x82 "ANSWERS",
        /// Server: one description per id, in order.
        Descriptions = 0x84 "DESCRIPTIONS",
        /// Server: the bytes of the PING.
        Pong = 0x85 "PONG",
        /// Server: canonical form, expressions and matches of one key.
        Explanation = 0x86 "EXPLANATION",
        /// Server: why a request has no other reply.
        Error = 0xFF "ERROR",
    }
}

/// What a server takes; HELLO announces it. A server may lower these, never raise them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the longest request frame, header included.
    pub frame_bytes_max: u32,
    /// Keys of one frame.
    pub keys_max: u32,
    /// Bytes of one key.
    pub key_bytes_max: u32,
    /// Requests that may be unanswered on one connection, at least 16; past it the server stops reading or answers Overloaded.
    pub requests_in_flight_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_MAX as u32,
            keys_max: KEYS_MAX as u32,
            key_bytes_max: KEY_BYTES_MAX as u32,
            requests_in_flight_max: 64,
        }
    }
}

/// One complete frame, borrowed from the receive buffer. Only its length has been judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header, copied out.
    pub header: FrameHeader,
    /// What follows the header: `frame_bytes - 16` bytes.
    pub body: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub const fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }
}

/// The first frame of `buffer`, or `None` while it is incomplete. A refusal here closes the connection.
pub fn next_frame(buffer: &[u8]) -> Result<Option<Frame<'_>>, Refusal> {
    next_frame_within(buffer, FRAME_BYTES_MAX)
}

/// `next_frame` for a server that announced a lower `frame_bytes_max`.
pub fn next_frame_within(buffer: &[u8], frame_bytes_max: usize) -> Result<Option<Frame<'_>>, Refusal> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(None) };
    let frame_bytes = u32::from_le_bytes(*length);
    if (frame_bytes as usize) < FRAME_HEADER_BYTES {
        return Err(Refusal::closing(ErrorCode::Malformed, 0, "frame_bytes is less than the header's 16"));
    }
    if frame_bytes as usize > frame_bytes_max.min(FRAME_BYTES_MAX) {
        return Err(Refusal::closing(ErrorCode::FrameTooLarge, frame_bytes, "frame_bytes is more than frame_bytes_max"));
    }
    let Some(frame) = buffer.get(..frame_bytes as usize) else { return Ok(None) };
    let (header, body) = frame.split_at(FRAME_HEADER_BYTES);
    Ok(Some(Frame { header: bytemuck::pod_read_unaligned(header), body }))
}

/// How many bytes `buffer` needs before `next_frame` can say more: 4, then the frame's length. For sizing a receive buffer.
pub fn bytes_wanted(buffer: &[u8]) -> usize {
    match buffer.first_chunk::<4>() {
        Some(length) => (u32::from_le_bytes(*length) as usize).clamp(4, FRAME_BYTES_MAX),
        None => 4,
    }
}

/// All complete frames of a receive buffer, in order; afterwards `consumed` says how much of it to drop.
///
/// After a refusal it yields nothing more.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    buffer: &'a [u8],
    consumed: usize,
    frame_bytes_max: usize,
    refused: bool,
}

impl<'a> Frames<'a> {
    /// The frames of `buffer`.
    pub const fn new(buffer: &'a [u8]) -> Self {
        Self::within(buffer, FRAME_BYTES_MAX)
    }

    /// The frames of `buffer`, none longer than `frame_bytes_max`.
    pub const fn within(buffer: &'a [u8], frame_bytes_max: usize) -> Self {
        Self { buffer, consumed: 0, frame_bytes_max, refused: false }
    }

    /// Bytes of the frames yielded so far.
    pub const fn consumed(&self) -> usize {
        self.consumed
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.refused {
            return None;
        }
        let rest = self.buffer.get(self.consumed..)?;
        match next_frame_within(rest, self.frame_bytes_max) {
            Ok(Some(frame)) => {
                self.consumed += frame.bytes();
                Some(Ok(frame))
            }
            Ok(None) => None,
            Err(refusal) => {
                self.refused = true;
                Some(Err(refusal))
            }
        }
    }
}

/// Sets reply flags (`REPLY_DRAINING`, `REPLY_CLOSING`) on the frame that starts at `at` of `out`.
pub fn mark_reply(out: &mut [u8], at: usize, flags: u32) {
    let offset = at + offset_of!(FrameHeader, flags);
    if let Some(field) = out.get_mut(offset..).and_then(|rest| rest.first_chunk_mut::<4>()) {
        *field = (u32::from_le_bytes(*field) | flags).to_le_bytes();
    }
}

/// Appends a header whose length is filled in later by `finish_frame`; returns where the frame starts.
pub(crate) fn begin_frame(out: &mut Vec<u8>, kind: FrameKind, count: u16, request_id: u32, flags: u32) -> usize {
    let start = out.len();
    let header = FrameHeader { frame_bytes: 0, kind: kind.raw(), version: VERSION, count, request_id, flags };
    out.extend_from_slice(bytemuck::bytes_of(&header));
    start
}

/// Writes the length of the frame that starts at `start` and ends at the end of `out`.
pub(crate) fn finish_frame(out: &mut [u8], start: usize) {
    let frame_bytes = out.len() - start;
    assert!(frame_bytes <= FRAME_BYTES_MAX, "an encoder of this crate let a frame grow past its limit");
    out[start..start + 4].copy_from_slice(&(frame_bytes as u32).to_le_bytes());
}

/// The POD at `at`, or `None` past the end. Any alignment.
pub(crate) fn read<T: AnyBitPattern>(bytes: &[u8], at: usize) -> Option<T> {
    let end = at.checked_add(size_of::<T>())?;
    bytes.get(at..end).map(bytemuck::pod_read_unaligned)
}
