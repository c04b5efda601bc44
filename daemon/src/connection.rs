//! One connection: the bytes of a frame that is not complete yet, the answers not sent yet, and since when it waits for what.
//!
//! ```text
//!  receive ─► input (empty between whole frames) ─► pipeline ─► output ─► send
//! ```
//! An idle connection owns no buffer: whole frames are read where the driver has them, and only the tail of an incomplete one is kept here.
//! Nothing here blocks, and nothing waits: `Shard` calls when the kernel says that a call will help. `L` is what the driver keeps of it.

use crate::driver::Output;
use crate::edge::guard::Guard;
use crate::edge::guard::peer::Peer;
use crate::edge::{Protocol, Speech};
use crate::limits::Limits;
use crate::pipeline::Taken;

/// Milliseconds since the daemon's start, read once a turn.
pub type Millis = u64;

/// A connection as its shard keeps it.
#[derive(Debug)]
pub struct Connection<L> {
    /// The driver's.
    pub link: L,
    /// What is spoken on it.
    pub speech: Speech,
    /// What stands before it; nothing on a plain listener.
    pub guard: Option<Box<Guard>>,
    /// Received and not yet consumed: at most one incomplete frame, or whole frames that wait for room in `output`.
    pub input: Vec<u8>,
    /// Replies on their way.
    pub output: Output,
    /// Whole requests are left in `input`.
    pub more: bool,
    /// In the shard's queue.
    pub queued: bool,
    /// Close once `output` is sent.
    pub closing: Option<Reason>,
    /// When it entered the queue.
    pub queued_ms: Millis,
    /// When the shard learnt of what the connection asks now, in nanoseconds since the daemon's start.
    pub ready_ns: u64,
    /// Requests of it were taken and their replies are not sent yet.
    pub asked: bool,
    /// When the frame in `input` began; `None` between frames.
    pub frame_since: Option<Millis>,
    /// When `output` last made progress while something was left; `None` when all is sent.
    pub write_since: Option<Millis>,
    /// When it last asked something.
    pub asked_ms: Millis,
}

/// Why a connection is closed; the label of `verdictd_connections_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The peer closed it.
    Peer,
    /// The kernel reported an error on it.
    Io,
    /// Its bytes are no frames.
    Malformed,
    /// It may not connect there, or at all.
    Refused,
    /// It does not begin with a PROXY header where one is due.
    Proxy,
    /// Its TLS failed: no handshake, no certificate that is taken, a damaged record.
    Tls,
    /// As its protocol has it: the last request was answered.
    Finished,
    /// A frame took too long to arrive.
    FrameDeadline,
    /// It asked nothing for too long.
    Idle,
    /// It did not take its answers.
    WriteDeadline,
    /// The daemon ends.
    Drain,
    /// The turn it took part in panicked.
    Panic,
}

impl<L> Connection<L> {
    /// A connection just accepted.
    pub fn new(link: L, protocol: Protocol, now: Millis) -> Self {
        Connection {
            link,
            speech: Speech::new(protocol),
            guard: None,
            more: false,
            input: Vec::new(),
            output: Output::default(),
            queued: false,
            closing: None,
            queued_ms: now,
            ready_ns: 0,
            asked: false,
            frame_since: None,
            write_since: None,
            asked_ms: now,
        }
    }

    /// What was made of its bytes.
    pub fn note(&mut self, taken: &Taken, now: Millis) {
        if taken.consumed > 0 {
            self.asked_ms = now;
            self.asked = true;
        }
        self.more = taken.more;
        if taken.malformed {
            self.closing = Some(Reason::Malformed);
        } else if taken.finished {
            self.closing = Some(Reason::Finished);
        }
    }

    /// Who asks.
    pub fn peer(&self) -> Peer {
        self.guard.as_ref().map_or(Peer::ANYBODY, |guard| guard.peer)
    }

    /// Whether replies wait for room in the driver.
    pub fn holds_replies(&self) -> bool {
        !self.output.bytes.is_empty() || self.guard.as_ref().is_some_and(|guard| !guard.wire.bytes.is_empty())
    }

    /// Bytes of replies that the kernel has not taken, encrypted or not yet.
    pub fn unsent(&self) -> usize {
        self.output.unsent() + self.guard.as_ref().map_or(0, |guard| guard.wire.unsent())
    }

    /// Whether more of its bytes are to be taken in this turn.
    pub fn goes_on(&self) -> bool {
        !self.more && self.closing.is_none()
    }

    /// The kernel took so many bytes of replies; the clock of the peer runs while any are left, and begins anew with each that it takes.
    pub fn note_taken(&mut self, taken: usize, now: Millis) {
        if self.unsent() == 0 {
            self.write_since = None;
        } else if taken > 0 || self.write_since.is_none() {
            self.write_since = Some(now);
        }
    }

    /// Forgets the first `consumed` bytes of `input` and notes whether a frame is under way.
    pub fn consume(&mut self, consumed: usize, now: Millis) {
        self.input.drain(..consumed);
        self.note_frame(consumed > 0, now);
    }

    /// Keeps the tail that the shard's buffer cannot keep.
    pub fn keep(&mut self, rest: &[u8], now: Millis) {
        self.input.extend_from_slice(rest);
        self.note_frame(true, now);
    }

    /// The clock of a frame starts with its first byte, not with each byte after it: trickling does not help.
    fn note_frame(&mut self, began: bool, now: Millis) {
        if self.input.is_empty() {
            self.frame_since = None;
        } else if began || self.frame_since.is_none() {
            self.frame_since = Some(now);
        }
    }

    /// Why this connection must go now, if it must. `draining`: since when, while the daemon ends; `away`: while it sends everybody elsewhere.
    pub fn overdue(&self, limits: &Limits, draining: Option<Millis>, away: Option<Millis>, now: Millis) -> Option<Reason> {
        let past = |since: Millis, deadline_ms: u64| now.saturating_sub(since) > deadline_ms;
        if self.write_since.is_some_and(|since| past(since, limits.write_deadline_ms)) {
            return Some(Reason::WriteDeadline);
        }
        // A frame that waits for room in the output is not late; the peer that makes it wait is.
        if self.write_since.is_none() && self.frame_since.is_some_and(|since| past(since, limits.frame_deadline_ms)) {
            return Some(Reason::FrameDeadline);
        }
        if self.guard.as_ref().and_then(|guard| guard.waits_since()).is_some_and(|since| past(since, limits.frame_deadline_ms)) {
            return Some(Reason::FrameDeadline);
        }
        let quiet = !self.queued && self.unsent() == 0 && self.input.is_empty();
        if let Some(since) = draining.or(away) {
            let idle = quiet && past(self.asked_ms.max(since), limits.drain_idle_ms);
            return (idle || draining.is_some() && past(since, limits.drain_deadline_ms)).then_some(Reason::Drain);
        }
        (quiet && limits.idle_deadline_ms > 0 && past(self.asked_ms, limits.idle_deadline_ms)).then_some(Reason::Idle)
    }

    /// Gives large buffers back; called between requests, off the busy path.
    pub fn trim(&mut self, kept_bytes: usize) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
        if self.output.bytes.is_empty() && self.output.bytes.capacity() > kept_bytes {
            self.output.bytes = Vec::new();
        }
        if let Some(guard) = &mut self.guard {
            guard.trim(kept_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trickled_bytes_do_not_restart_the_clock_of_their_frame() {
        let mut connection = Connection::new((), Protocol::Binary, 0);
        connection.keep(b"x", 10);
        connection.input.push(b'y');
        connection.consume(0, 20);
        assert_eq!(connection.frame_since, Some(10));
        connection.consume(2, 30);
        assert_eq!(connection.frame_since, None);
    }

    #[test]
    fn the_clock_of_a_peer_that_does_not_read_starts_again_with_each_byte_it_takes() {
        let mut connection = Connection::new((), Protocol::Binary, 0);
        connection.output.bytes = vec![0; 10];
        connection.note_taken(0, 5);
        connection.note_taken(0, 6);
        assert_eq!(connection.write_since, Some(5));
        connection.output.took(4);
        connection.note_taken(4, 7);
        assert_eq!(connection.write_since, Some(7));
        connection.output.took(6);
        connection.note_taken(6, 8);
        assert_eq!(connection.write_since, None);
    }
}
