//! What a connection keeps between arrivals, and how it finds the next whole request: head and body together.
//!
//! ```text
//!  bytes ─► Head { seen } ─ end of head ─► Body { .. } ─ end of body ─► Step::Request ─ accept() ─► Head { 0 }
//!                             └ Expect: 100-continue ─► Step::Continue, once
//! ```
//! A request is taken as a whole, so the deadline of a frame is the deadline of a request. Calling again with more bytes reads none of them twice;
//! calling again with the same bytes says the same, but for `Continue`, which is said once.

use super::body::Chunks;
use super::head::{self, Framing, Head, Refusal};
use std::borrow::Cow;

/// What a connection keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Session {
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// So many bytes hold no end of a head.
    Head(usize),
    /// Head and body have so many bytes, the head the first of them.
    Length(usize, usize),
    /// Behind a head of so many bytes.
    Chunked(usize, Chunks),
}

impl Default for Stage {
    fn default() -> Self {
        Stage::Head(0)
    }
}

/// What stands at the start of the bytes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack; a box would be an allocation a request")]
pub enum Step<'a> {
    /// Not enough of them.
    Wait,
    /// An empty line before a request, which older clients send behind a body.
    Empty,
    /// Somebody waits to be told that a body is welcome.
    Continue,
    /// A request.
    Request {
        /// Its head.
        head: Head<'a>,
        /// Its body as sent: `plain` takes chunks apart.
        body: &'a [u8],
        /// Bytes of both.
        bytes: usize,
    },
}

impl Session {
    /// Looks at the first bytes that are not consumed yet.
    pub fn next<'a>(&mut self, input: &'a [u8], body_bytes_max: usize) -> Result<Step<'a>, Refusal> {
        if let Stage::Head(seen) = &mut self.stage {
            if input.starts_with(b"\r\n") {
                *seen = 0;
                return Ok(Step::Empty);
            }
            let Some(end) = head::end(input, seen)? else { return Ok(Step::Wait) };
            // A call with the same bytes finds the same end again.
            *seen = end - 2;
            let head = head::read(&input[..end])?;
            let stage = match head.framing {
                Framing::Length(bytes) if bytes > body_bytes_max => {
                    return Err(Refusal { status: 413, why: "the body is too long" });
                }
                Framing::Length(0) => return Ok(Step::Request { head, body: &[], bytes: end }),
                Framing::Length(bytes) => Stage::Length(end, end + bytes),
                Framing::Chunked => Stage::Chunked(end, Chunks::default()),
            };
            self.stage = stage;
            if head.expects {
                return Ok(Step::Continue);
            }
        }
        let (head, end) = match &mut self.stage {
            Stage::Length(head, end) if input.len() >= *end => (*head, *end),
            Stage::Chunked(head, chunks) => match chunks.advance(&input[*head..], body_bytes_max)? {
                Some(bytes) => (*head, *head + bytes),
                None => return Ok(Step::Wait),
            },
            Stage::Head(_) | Stage::Length(..) => return Ok(Step::Wait),
        };
        if let Stage::Chunked(_, chunks) = &mut self.stage {
            *chunks = Chunks::default();
        }
        Ok(Step::Request { head: head::read(&input[..head])?, body: &input[head..end], bytes: end })
    }

    /// The request of the last `next` is taken, and its bytes with it.
    pub fn accept(&mut self) {
        *self = Session::default();
    }

    /// Bytes of the request that has begun, as far as that is known.
    pub fn bytes_wanted(&self) -> usize {
        match self.stage {
            Stage::Length(_, end) => end,
            Stage::Head(_) | Stage::Chunked(..) => 0,
        }
    }
}

/// The body of a request without its chunks.
pub fn plain<'a>(head: &Head<'_>, body: &'a [u8], bytes_max: usize) -> Cow<'a, [u8]> {
    match head.framing {
        Framing::Length(_) => body.into(),
        Framing::Chunked => Chunks::data(body, bytes_max).into(),
    }
}
