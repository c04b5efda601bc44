//! One edge-triggered epoll set; one `recv` and one `send` for each connection and wake-up. The control of the other drivers: no feature of it is
//! younger than Linux 4.5.
//!
//! Whole frames are read through one buffer of the shard, so that an idle connection owns none. While the shard is parked, the executor's ring
//! watches the set; as the plain driver it has none, and waits in the kernel.

use super::{Driver, Event, Kind, Output, Patience, Received, listener_token};
use crate::limits::{PARK_AFTER_MS, READ_BYTES};
use crate::listener::Listener;
use glommio::io::PollableFd;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// What says that there is something to read, if only an end.
const READABLE: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP).union(EventFlags::ERR);
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

/// The set.
pub struct Epoll {
    set: OwnedFd,
    /// There is no executor, and no other task on this thread: a parked shard waits in the kernel.
    alone: bool,
    events: Vec<epoll::Event>,
    /// Of `events`, how many were handed out.
    next: usize,
    read_buffer: Vec<u8>,
    calls: u64,
}

/// A connection's socket and what is known of it.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    /// The kernel may hold bytes for us.
    readable: bool,
    /// The kernel would take bytes.
    writable: bool,
    /// The peer sends no more, or is gone.
    ended: bool,
}

impl Link {
    fn note(&mut self, result: Result<usize, Errno>, asked: usize) -> Result<usize, Received<'static>> {
        match result {
            Ok(0) => {
                self.readable = false;
                Err(Received::End)
            }
            Ok(bytes) => {
                // On a stream a short read means drained: the next byte raises a new edge. After a hang-up there is none, so read on to the end.
                if bytes < asked && !self.ended {
                    self.readable = false;
                }
                Ok(bytes)
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Err(Received::Nothing)
            }
            Err(Errno::INTR) => Err(Received::Nothing),
            Err(_) => Err(Received::Lost),
        }
    }
}

impl Driver for Epoll {
    type Link = Link;

    fn new(kind: Kind) -> io::Result<Self> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Epoll {
            set,
            alone: kind == Kind::Plain,
            events: Vec::with_capacity(EVENTS_MAX),
            next: 0,
            read_buffer: vec![0; READ_BYTES],
            calls: 0,
        })
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.set, descriptor, EventData::new_u64(token), EventFlags::IN)?)
    }

    /// Level-triggered, so that what one turn leaves waiting is reported again; exclusive, so that a connection wakes one shard.
    fn listen(&mut self, listener: &Listener, number: usize) -> io::Result<()> {
        let token = EventData::new_u64(listener_token(number));
        Ok(epoll::add(&self.set, &listener.socket, token, EventFlags::IN | EventFlags::EXCLUSIVE)?)
    }

    fn accept(&mut self, listener: &Listener, number: usize) -> io::Result<Option<OwnedFd>> {
        self.calls += 1;
        let accepted = listener.accept();
        if accepted.is_err() {
            // Out of descriptors: a level-triggered listener would spin.
            self.deafen(listener, number);
        }
        accepted
    }

    /// The Unix socket is shared with other shards: dropping our descriptor alone would leave it in the set.
    fn deafen(&mut self, listener: &Listener, _number: usize) {
        let _ = epoll::delete(&self.set, &listener.socket);
    }

    /// Both directions are worth a try.
    fn admit(&mut self, socket: OwnedFd, token: u64) -> io::Result<Link> {
        self.calls += 1;
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.set, &socket, EventData::new_u64(token), interest)?;
        Ok(Link { socket, readable: true, writable: true, ended: false })
    }

    fn readable(&self, link: &Link) -> bool {
        link.readable
    }

    /// Behind an incomplete frame no more is read than makes it whole: what is behind it comes through the shard's own buffer.
    fn receive(&mut self, link: &mut Link, input: &mut Vec<u8>, missing: usize) -> Received<'_> {
        if !link.readable {
            return Received::Nothing;
        }
        self.calls += 1;
        if input.is_empty() {
            let result = net::recv(&link.socket, &mut self.read_buffer[..], RecvFlags::DONTWAIT).map(|(bytes, _)| bytes);
            return match link.note(result, READ_BYTES) {
                Ok(bytes) => Received::Bytes(&self.read_buffer[..bytes]),
                Err(other) => other,
            };
        }
        let most = missing.clamp(4096, READ_BYTES);
        let before = input.len();
        input.resize(before + most, 0);
        let result = net::recv(&link.socket, &mut input[before..], RecvFlags::DONTWAIT).map(|(bytes, _)| bytes);
        input.truncate(before + result.unwrap_or(0));
        link.note(result, most).map_or_else(|other| other, Received::Appended)
    }

    /// What is not read stays in the kernel, and keeps the peer waiting there.
    fn pause(&mut self, _link: &mut Link) {}

    fn send(&mut self, link: &mut Link, output: &mut Output) -> Option<usize> {
        if output.bytes.is_empty() || !link.writable {
            return Some(0);
        }
        self.calls += 1;
        let taken = match net::send(&link.socket, &output.bytes[output.sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => taken,
            Err(Errno::AGAIN | Errno::NOBUFS) => 0,
            Err(Errno::INTR) => return Some(0),
            Err(_) => return None,
        };
        output.took(taken);
        link.writable = output.bytes.is_empty();
        Some(taken)
    }

    fn settle(&mut self, link: &mut Link, event: Event, _output: &mut Output) -> Option<usize> {
        link.writable |= event.writable;
        link.readable |= event.readable;
        link.ended |= event.ended;
        Some(0)
    }

    fn trim(&mut self, _link: &mut Link, _kept_bytes: usize) {}

    /// Dropping it closes the socket, which takes it out of the set.
    fn close(&mut self, link: Link) {
        drop(link);
    }

    async fn wait(&mut self, patience: Patience) -> io::Result<()> {
        if patience == Patience::Long && !self.alone {
            // The executor watches the set while the shard is parked.
            PollableFd::new(Watched(self.set.as_raw_fd())).map_err(io::Error::other)?.readable().await.map_err(io::Error::other)?;
        }
        let timeout = match patience {
            Patience::Long if self.alone => None, // the shard's tick is in the set
            Patience::Short => Some(Timespec { tv_sec: 0, tv_nsec: PARK_AFTER_MS as i64 * 1_000_000 }),
            Patience::Long | Patience::None => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
        };
        self.events.clear();
        self.next = 0;
        self.calls += 1;
        match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn next(&mut self) -> Option<Event> {
        let event = self.events.get(self.next)?;
        self.next += 1;
        let flags = event.flags;
        Some(Event {
            token: event.data.u64(),
            readable: flags.intersects(READABLE),
            writable: flags.contains(EventFlags::OUT),
            ended: flags.intersects(ENDED),
        })
    }

    fn calls(&mut self) -> u64 {
        std::mem::take(&mut self.calls)
    }
}

/// The set, borrowed by number for as long as the wait lasts: `PollableFd` wants to own what it watches.
struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Epoll, Link, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut driver = Epoll::new(Kind::Epoll).unwrap();
        let link = driver.admit(ours.into(), 0).unwrap();
        (driver, link, theirs)
    }

    #[test]
    fn a_short_read_waits_for_the_next_edge() {
        let (mut driver, mut link, mut peer) = pair();
        peer.write_all(b"abc").unwrap();
        let mut input = Vec::new();
        assert_eq!(driver.receive(&mut link, &mut input, 0), Received::Bytes(b"abc"));
        assert!(!link.readable);
        link.readable = true;
        assert_eq!(driver.receive(&mut link, &mut input, 0), Received::Nothing);
        drop(peer);
        link.readable = true;
        assert_eq!(driver.receive(&mut link, &mut input, 0), Received::End);
    }

    #[test]
    fn a_filled_buffer_may_hide_more() {
        let (mut driver, mut link, mut peer) = pair();
        peer.write_all(&[7; 5000]).unwrap();
        let mut input = vec![7];
        assert_eq!(driver.receive(&mut link, &mut input, 8), Received::Appended(4096));
        assert!(link.readable);
        assert_eq!(input, [7; 4097]);
    }

    #[test]
    fn what_the_peer_does_not_take_stays_in_order() {
        let (mut driver, mut link, mut peer) = pair();
        let all: Vec<u8> = (0..4 << 20).map(|i| (i % 251) as u8).collect();
        let mut output = Output { bytes: all.clone(), ..Output::default() };
        let first = driver.send(&mut link, &mut output).unwrap();
        assert!(first > 0 && output.unsent() == all.len() - first);
        assert_eq!(driver.send(&mut link, &mut output), Some(0), "not writable until the kernel says so");
        let mut received = vec![0; first];
        peer.read_exact(&mut received).unwrap();
        peer.set_nonblocking(true).unwrap();
        while output.unsent() > 0 {
            let event = Event { token: 0, readable: false, writable: true, ended: false };
            driver.settle(&mut link, event, &mut output).unwrap();
            driver.send(&mut link, &mut output).unwrap();
            let mut chunk = [0; 65536];
            while let Ok(bytes) = peer.read(&mut chunk) {
                received.extend_from_slice(&chunk[..bytes]);
            }
        }
        assert!(received == all);
    }
}
