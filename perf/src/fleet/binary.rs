//! Replies of the daemon, and of servers that speak its frames without knowing anything.

use std::io;

use super::{Dialect, Sent, Tally};
use crate::frame::{self, Received};

/// The daemon's frames.
#[derive(Clone, Copy, Debug)]
pub struct Binary;

/// The null server's: the same frames, and nothing is ever known.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl Dialect for Binary {
    fn stamp(&self, request: &mut [u8], id: u32) {
        frame::set_request_id(request, id);
    }

    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>> {
        Ok(Received::first(inbox).map_err(io::Error::other)?.map(|received| received.bytes()))
    }

    fn check(&self, sent: &Sent, expected: &[u8], reply: &[u8], tally: &mut Tally) -> io::Result<()> {
        let answers = answers(sent, reply)?;
        for answer in answers {
            match answer[0] {
                0 => (),
                outcome if outcome & 15 == 0 => tally.known += 1,
                3 => tally.overloaded += 1,
                _ => tally.odd += 1,
            }
        }
        tally.wrong += answers.iter().zip(expected).filter(|(answer, expected)| answer[0] != **expected).count() as u64;
        Ok(())
    }
}

impl Dialect for Nothing {
    fn stamp(&self, request: &mut [u8], id: u32) {
        Binary.stamp(request, id);
    }

    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>> {
        Binary.reply_bytes(inbox)
    }

    fn check(&self, sent: &Sent, _expected: &[u8], reply: &[u8], tally: &mut Tally) -> io::Result<()> {
        tally.wrong += answers(sent, reply)?.iter().filter(|answer| answer[0] != 0).count() as u64;
        Ok(())
    }
}

/// The answers of a reply, as many as keys were sent.
fn answers<'r>(sent: &Sent, reply: &'r [u8]) -> io::Result<&'r [[u8; frame::ANSWER_BYTES]]> {
    let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what} in reply to request {}", sent.id)));
    let Some(received) = Received::first(reply).map_err(io::Error::other)? else { return wrong("half a frame") };
    if received.request_id != sent.id {
        return wrong(&format!("request id {}", received.request_id));
    }
    let answers = received.body.get(frame::GENERATION_BYTES..).unwrap_or_default();
    if received.kind != frame::ANSWERS || answers.len() != frame::ANSWER_BYTES * sent.keys as usize {
        return wrong(&format!("a frame of kind {:#04x} with {} bytes", received.kind, received.body.len()));
    }
    Ok(answers.as_chunks().0)
}
