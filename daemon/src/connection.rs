//! One connection: its socket, the bytes of a frame that is not complete yet, the answers not sent yet, and since when it waits for what.
//!
//! ```text
//!  recv ─► input (empty between whole frames) ─► pipeline ─► output ─► send
//! ```
//! An idle connection owns no buffer: whole frames are read through the shard's own buffer, and only the tail of an incomplete one is kept here.
//! Nothing here blocks, and nothing waits: `Shard` calls when the kernel says that a call will help.

use crate::limits::Limits;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};
use std::os::fd::OwnedFd;

/// Milliseconds since the daemon's start, read once a turn.
pub type Millis = u64;

/// A connection as its shard keeps it.
#[derive(Debug)]
pub struct Connection {
    /// Non-blocking stream socket.
    pub socket: OwnedFd,
    /// Received and not yet consumed: at most one incomplete frame, or whole frames that wait for room in `output`.
    pub input: Vec<u8>,
    /// Replies, in the order of their requests.
    pub output: Vec<u8>,
    /// Bytes of `output` that the kernel has taken.
    sent: usize,
    /// The kernel may hold bytes for us.
    pub readable: bool,
    /// The kernel would take bytes.
    writable: bool,
    /// In the shard's queue.
    pub queued: bool,
    /// The peer sends no more; once everything is answered, close.
    pub ended: bool,
    /// Close once `output` is sent.
    pub closing: Option<Reason>,
    /// When it entered the queue.
    pub queued_ms: Millis,
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

/// What a `recv` brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes; more may be waiting if the space was filled.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer sends no more.
    End,
    /// The connection is lost.
    Lost,
}

impl Connection {
    /// A connection just accepted; both directions are worth a try.
    pub fn new(socket: OwnedFd, now: Millis) -> Self {
        Connection {
            socket,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            readable: true,
            writable: true,
            queued: false,
            ended: false,
            closing: None,
            queued_ms: now,
            frame_since: None,
            write_since: None,
            asked_ms: now,
        }
    }

    /// Reads once into `space`, a slice with no bytes of ours.
    pub fn receive_into(&mut self, space: &mut [u8]) -> Received {
        let asked = space.len();
        let result = net::recv(&self.socket, space, RecvFlags::DONTWAIT).map(|(bytes, _)| bytes);
        self.note_received(result, asked)
    }

    /// Reads once behind the incomplete frame in `input`, at most `most` bytes.
    pub fn receive_more(&mut self, most: usize) -> Received {
        self.input.reserve(most);
        let before = self.input.len();
        self.input.resize(before + most, 0);
        let result = net::recv(&self.socket, &mut self.input[before..], RecvFlags::DONTWAIT).map(|(bytes, _)| bytes);
        self.input.truncate(before + result.unwrap_or(0));
        self.note_received(result, most)
    }

    fn note_received(&mut self, result: Result<usize, Errno>, asked: usize) -> Received {
        match result {
            Ok(0) => {
                self.readable = false;
                self.ended = true;
                Received::End
            }
            Ok(bytes) => {
                // On a stream a short read means drained: the next byte raises a new edge. After a hang-up there is none, so read on to the end.
                if bytes < asked && !self.ended {
                    self.readable = false;
                }
                Received::Bytes(bytes)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Received::Nothing
            }
            Err(Errno::INTR) => Received::Nothing,
            Err(_) => Received::Lost,
        }
    }

    /// Bytes of replies that the kernel has not taken.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Sends what it can, in one call; returns the bytes taken, or `None` when the connection is lost.
    pub fn send(&mut self, now: Millis) -> Option<usize> {
        if self.unsent() == 0 || !self.writable {
            return Some(0);
        }
        let taken = match net::send(&self.socket, &self.output[self.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::NOBUFS) => {
                self.writable = false;
                0
            }
            Err(Errno::INTR) => 0,
            Err(_) => return None,
        };
        self.sent += taken;
        if self.unsent() == 0 {
            self.output.clear();
            self.sent = 0;
            self.write_since = None;
        } else {
            self.writable = false;
            if taken > 0 || self.write_since.is_none() {
                self.write_since = Some(now);
            }
        }
        Some(taken)
    }

    /// The kernel says that it takes bytes again.
    pub fn note_writable(&mut self) {
        self.writable = true;
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

    /// Why this connection must go now, if it must. `draining`: since when, while the daemon ends.
    pub fn overdue(&self, limits: &Limits, draining: Option<Millis>, now: Millis) -> Option<Reason> {
        let past = |since: Millis, deadline_ms: u64| now.saturating_sub(since) > deadline_ms;
        if self.write_since.is_some_and(|since| past(since, limits.write_deadline_ms)) {
            return Some(Reason::WriteDeadline);
        }
        // A frame that waits for room in the output is not late; the peer that makes it wait is.
        if self.write_since.is_none() && self.frame_since.is_some_and(|since| past(since, limits.frame_deadline_ms)) {
            return Some(Reason::FrameDeadline);
        }
        let quiet = !self.queued && self.unsent() == 0 && self.input.is_empty();
        if let Some(since) = draining {
            let idle = quiet && past(self.asked_ms.max(since), limits.drain_idle_ms);
            return (idle || past(since, limits.drain_deadline_ms)).then_some(Reason::Drain);
        }
        (quiet && limits.idle_deadline_ms > 0 && past(self.asked_ms, limits.idle_deadline_ms)).then_some(Reason::Idle)
    }

    /// Gives large buffers back; called between requests, off the busy path.
    pub fn trim(&mut self, kept_bytes: usize) {
        if self.input.is_empty() && self.input.capacity() > 0 {
            self.input = Vec::new();
        }
        if self.output.is_empty() && self.output.capacity() > kept_bytes {
            self.output = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Connection::new(ours.into(), 0), theirs)
    }

    #[test]
    fn a_short_read_waits_for_the_next_edge() {
        let (mut connection, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let mut space = [0; 8];
        assert_eq!(connection.receive_into(&mut space), Received::Bytes(3));
        assert!(!connection.readable);
        connection.readable = true;
        assert_eq!(connection.receive_into(&mut space), Received::Nothing);
        drop(peer);
        assert_eq!(connection.receive_into(&mut space), Received::End);
        assert!(connection.ended);
    }

    #[test]
    fn a_filled_buffer_may_hide_more() {
        let (mut connection, mut peer) = pair();
        peer.write_all(b"abcdefgh").unwrap();
        assert_eq!(connection.receive_more(8), Received::Bytes(8));
        assert!(connection.readable);
        assert_eq!(connection.input, b"abcdefgh");
    }

    #[test]
    fn what_the_peer_does_not_take_stays_in_order_and_starts_a_clock() {
        let (mut connection, mut peer) = pair();
        connection.output = (0..4 << 20).map(|i| (i % 251) as u8).collect();
        let all = connection.output.clone();
        let first = connection.send(5).unwrap();
        assert!(first > 0 && first < all.len());
        assert_eq!(connection.write_since, Some(5));
        assert_eq!(connection.send(6), Some(0), "not writable until the kernel says so");
        let mut received = vec![0; first];
        peer.read_exact(&mut received).unwrap();
        peer.set_nonblocking(true).unwrap();
        while connection.unsent() > 0 {
            connection.note_writable();
            connection.send(7).unwrap();
            let mut chunk = [0; 65536];
            while let Ok(bytes) = peer.read(&mut chunk) {
                received.extend_from_slice(&chunk[..bytes]);
            }
        }
        assert_eq!(connection.write_since, None);
        assert!(received == all);
    }

    #[test]
    fn trickled_bytes_do_not_restart_the_clock_of_their_frame() {
        let (mut connection, _peer) = pair();
        connection.keep(b"x", 10);
        connection.input.push(b'y');
        connection.consume(0, 20);
        assert_eq!(connection.frame_since, Some(10));
        connection.consume(2, 30);
        assert_eq!(connection.frame_since, None);
    }
}
