//! Frames of SPOP: a length, a type, and whose they are.
//!
//! ```text
//!  length u32be │ type u8 │ flags u32be │ stream-id number │ frame-id number │ payload      length counts what follows it
//! ```
//! FIN is set on every frame: what is sent in pieces is refused, since HAProxy 3.1 never does it and an agent has to offer it first. A frame that is
//! longer than was agreed is refused by its length, before its bytes have come.

use super::data::{Reader, put_number};

/// Of the length that stands before every frame.
pub const LENGTH_BYTES: usize = 4;
/// The least that both sides must take.
pub const FRAME_BYTES_MIN: usize = 256;
/// Type, flags and two numbers of a byte each.
const HEAD_BYTES_MIN: usize = 7;

/// The last piece of a frame; all of ours are.
const FIN: u32 = 1;
const ABORT: u32 = 2;

/// Why a connection ends; the `status-code` of DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// In order.
    Normal = 0,
    /// A frame is longer than was agreed.
    TooBig = 3,
    /// A frame that cannot be read, or out of turn.
    Invalid = 4,
    /// HELLO without it.
    NoVersion = 5,
    /// HELLO without it.
    NoFrameSize = 6,
    /// None that both sides speak.
    BadVersion = 8,
    /// Less than 256.
    BadFrameSize = 9,
    /// A frame in pieces.
    Fragmented = 10,
    /// Ask another agent: this one goes away.
    Resource = 13,
    /// Unknown to SPOP: this client may not ask.
    NotPermitted = 99,
}

impl Status {
    /// What DISCONNECT says beside the number.
    pub const fn message(self) -> &'static str {
        match self {
            Status::Normal => "normal",
            Status::TooBig => "frame is too big",
            Status::Invalid => "invalid frame received",
            Status::NoVersion => "version value not found",
            Status::NoFrameSize => "max-frame-size value not found",
            Status::BadVersion => "unsupported version",
            Status::BadFrameSize => "max-frame-size too big or too small",
            Status::Fragmented => "fragmentation not supported",
            Status::NotPermitted => "this client may not ask",
            Status::Resource => "draining, ask another agent",
        }
    }
}

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: HAProxy begins.
    Hello,
    /// 2: HAProxy ends.
    Disconnect,
    /// 3: something is asked.
    Notify,
    /// Any other: to be skipped.
    Other(u8),
}

pub(super) const AGENT_HELLO: u8 = 101;
pub(super) const AGENT_DISCONNECT: u8 = 102;
pub(super) const ACK: u8 = 103;

/// One frame of HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Whose it is, to be repeated.
    pub stream: u64,
    /// Likewise.
    pub frame: u64,
    /// As its type says.
    pub payload: &'a [u8],
    /// With the length before it.
    pub bytes: usize,
}

/// How many bytes the frame at the start of `input` takes; as many as its length, where that has not come.
pub fn bytes_wanted(input: &[u8]) -> usize {
    match input.first_chunk::<LENGTH_BYTES>() {
        Some(length) => LENGTH_BYTES.saturating_add(u32::from_be_bytes(*length) as usize),
        None => LENGTH_BYTES,
    }
}

/// The frame at the start of `input`, at most `bytes_max` without its length; `None` while it has not come.
///
/// # Errors
/// Why the connection has to end.
pub fn next(input: &[u8], bytes_max: usize) -> Result<Option<Frame<'_>>, Status> {
    let Some(length) = input.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > bytes_max {
        return Err(Status::TooBig);
    }
    if length < HEAD_BYTES_MIN {
        return Err(Status::Invalid);
    }
    let Some(body) = input[LENGTH_BYTES..].get(..length) else { return Ok(None) };
    let mut reader = Reader::new(body);
    let frame = (|| {
        let kind = reader.byte()?;
        let flags = u32::from_be_bytes(reader.bytes(4)?.try_into().ok()?);
        Some((kind, flags, reader.number()?, reader.number()?))
    })();
    let (kind, flags, stream, frame) = frame.ok_or(Status::Invalid)?;
    let kind = match kind {
        0 => return Err(Status::Fragmented), // goes on with what a frame before it began
        1 => Kind::Hello,
        2 => Kind::Disconnect,
        3 => Kind::Notify,
        other => Kind::Other(other),
    };
    match flags & (FIN | ABORT) {
        FIN => Ok(Some(Frame { kind, stream, frame, payload: reader.rest(), bytes: LENGTH_BYTES + length })),
        0 => Err(Status::Fragmented),
        _ => Err(Status::Invalid),
    }
}

/// Begins a frame of ours; `finish` writes its length.
pub(super) fn begin(out: &mut Vec<u8>, kind: u8, stream: u64, frame: u64) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    out.push(kind);
    out.extend_from_slice(&FIN.to_be_bytes());
    put_number(out, stream);
    put_number(out, frame);
    start
}

/// Writes the length of the frame that began at `start` and ends here.
pub(super) fn finish(out: &mut [u8], start: usize) {
    // Our frames are bounded by what was agreed, which is a u32.
    let length = (out.len() - start - LENGTH_BYTES) as u32;
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u32, ids: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut bytes = ((5 + ids.len() + payload.len()) as u32).to_be_bytes().to_vec();
        bytes.push(kind);
        bytes.extend(flags.to_be_bytes());
        bytes.extend(ids);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn reads_whole_frames_and_waits_for_the_rest_of_others() {
        let bytes = frame(3, 1, &[7, 0xF0, 0x01], b"payload");
        for end in 0..bytes.len() {
            assert_eq!(next(&bytes[..end], 1000), Ok(None), "{end}");
            assert!(bytes_wanted(&bytes[..end]) > end);
        }
        let wanted = Frame { kind: Kind::Notify, stream: 7, frame: 256, payload: b"payload", bytes: bytes.len() };
        assert_eq!(next(&bytes, 1000), Ok(Some(wanted)));
        assert_eq!(bytes_wanted(&bytes), bytes.len());
    }

    #[test]
    fn refuses_by_its_length_what_is_longer_than_agreed() {
        assert_eq!(next(&[0, 0, 1, 1], 256), Err(Status::TooBig));
        assert_eq!(next(&[0, 0, 1, 0], 256), Ok(None));
        assert_eq!(next(&[0xFF; 4], 65_536), Err(Status::TooBig));
        assert_eq!(next(&[0, 0, 0, 6], 256), Err(Status::Invalid));
        assert_eq!(bytes_wanted(&[0xFF; 4]), 4 + 0xFFFF_FFFF);
    }

    #[test]
    fn refuses_pieces_and_unfinished_numbers() {
        assert_eq!(next(&frame(3, 0, &[1, 1], b""), 256), Err(Status::Fragmented));
        assert_eq!(next(&frame(0, 1, &[1, 1], b""), 256), Err(Status::Fragmented));
        assert_eq!(next(&frame(3, 3, &[1, 1], b""), 256), Err(Status::Invalid));
        assert_eq!(next(&frame(3, 1, &[0xF0, 0xFF], b""), 256), Err(Status::Invalid));
        assert!(matches!(next(&frame(77, 1, &[1, 1], b""), 256), Ok(Some(Frame { kind: Kind::Other(77), .. }))));
    }
}
