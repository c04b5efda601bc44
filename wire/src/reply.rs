//! What a server answers, as a client reads it; and PONG, which needs no file of its own.
//!
//! Every reply body starts with the generation that was served when it was written. A client is lenient where a server is strict: unknown
//! flags of a reply are ignored, unknown numbers in it read as the harmless neighbour that PROTOCOL.md names.

use crate::answer::AnswerList;
use crate::describe::DescriptionList;
use crate::error::{ErrorReply, Malformed};
use crate::explain::Explanation;
use crate::frame::{FRAME_HEADER_BYTES, Frame, FrameKind, PING_BYTES_MAX, VERSION_MAX, VERSION_MIN, begin_frame, finish_frame, read};
use crate::hello::ServerHello;

/// A reply, borrowed from the receive buffer and wholly validated.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// To HELLO.
    Hello(ServerHello<'a>),
    /// To LOOKUP and LOOKUP_HASHED.
    Answers(AnswerList<'a>),
    /// To DESCRIBE.
    Descriptions(DescriptionList<'a>),
    /// To EXPLAIN.
    Explanation(Explanation<'a>),
    /// To PING.
    Pong(Pong<'a>),
    /// To anything.
    Error(ErrorReply<'a>),
}

/// A PONG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong<'a> {
    /// The generation served now; 0 if none is.
    pub generation: u64,
    /// The bytes of the PING.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The reply in this frame.
    pub fn reply(&self) -> Result<Reply<'a>, Malformed> {
        if !(VERSION_MIN..=VERSION_MAX).contains(&self.header.version) {
            return Err(Malformed::new(5, "a reply of an unknown version"));
        }
        match FrameKind::from_raw(self.header.kind) {
            Some(FrameKind::HelloReply) => ServerHello::decode(self).map(Reply::Hello),
            Some(FrameKind::Answers) => AnswerList::decode(self).map(Reply::Answers),
            Some(FrameKind::Descriptions) => DescriptionList::decode(self).map(Reply::Descriptions),
            Some(FrameKind::Explanation) => Explanation::decode(self).map(Reply::Explanation),
            Some(FrameKind::Pong) => Pong::decode(self).map(Reply::Pong),
            Some(FrameKind::Error) => ErrorReply::decode(self).map(Reply::Error),
            _ => Err(Malformed::new(4, "no reply of that kind")),
        }
    }
}

impl<'a> Pong<'a> {
    fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let generation = read(frame.body, 0).ok_or(Malformed::new(frame.bytes(), "a PONG without a generation"))?;
        let payload = &frame.body[8..];
        if payload.len() > PING_BYTES_MAX {
            return Err(Malformed::new(FRAME_HEADER_BYTES + 8 + PING_BYTES_MAX, "a PONG carries too much"));
        }
        Ok(Self { generation, payload })
    }
}

/// Appends a PONG with the bytes of the PING.
pub fn encode_pong(out: &mut Vec<u8>, request_id: u32, generation: u64, payload: &[u8]) {
    assert!(payload.len() <= PING_BYTES_MAX, "a PING was let through that carries too much");
    let start = begin_frame(out, FrameKind::Pong, 0, request_id, 0);
    out.extend_from_slice(&generation.to_le_bytes());
    out.extend_from_slice(payload);
    finish_frame(out, start);
}
