//! An io_uring of the shard's own: one `io_uring_enter` a turn, whatever the number of connections.
//!
//! ```text
//!  enter: sends of this turn go in ──► accepts, arrivals (each in a provided buffer), ends of sends come out ──► turn ──► enter
//! ```
//! Accept and recv are asked for once and report again and again (multishot); a send is one operation a connection and turn, and the next one waits
//! for its end. A ring is made with SINGLE_ISSUER and DEFER_TASKRUN, so the kernel works for it inside our own enters only. Linux 6.1 has all of it.
//!
//! A port is a connection as the kernel knows it. It outlives the connection until its last operation has ended, so that no event of an old
//! connection can reach a new one. Bytes that arrive for a connection whose output is full are copied out of the provided buffers, and its
//! receiving is cancelled until it reads again: a peer that does not read its answers takes no buffers from the others.

use super::sys::{self, Completion, Sizes};
use super::{Driver, Event, Kind, Output, Patience, Received, listener_token};
use crate::limits::PARK_AFTER_MS;
use crate::listener::Listener;
use glommio::io::PollableFd;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Of every shard. 4 MiB of buffers, of which a shard with small requests touches the first lines only; other sizes
/// were not tried (perf/investigations/drivers.md).
pub const SIZES: Sizes = Sizes { submissions: 1024, completions: 8192, buffers: 256, buffer_bytes: 16 * 1024 };

/// While sends of this turn are under way, a wait wants their ends and one more event; where a send does not end at once, this bounds the wait.
const SEND_GRACE: Duration = Duration::from_millis(1);

/// No buffer.
const NONE: u16 = u16::MAX;

/// The driver.
pub struct Ring {
    sys: sys::Ring,
    ports: Vec<Port>,
    free: Vec<u32>,
    /// Of each buffer in a port's chain: the one behind it, and how many of its bytes were taken.
    chain: Box<[(u16, u32)]>,
    /// Handed out by the last `receive`.
    lent: u16,
    /// Ports that found no buffer.
    starved: VecDeque<u32>,
    watched: Vec<(RawFd, u64)>,
    doors: Vec<Door>,
    /// Sends since the last wait.
    fresh: usize,
    /// Rung by the kernel while the shard is parked, watched by the executor.
    bell: OwnedFd,
}

/// A listener.
#[derive(Debug, Default)]
struct Door {
    arrived: VecDeque<OwnedFd>,
    failed: Option<Errno>,
    listener: RawFd,
    closed: bool,
}

/// A connection as the kernel knows it.
#[derive(Debug)]
struct Port {
    socket: Option<OwnedFd>,
    token: u64,
    /// Buffers with what has arrived, oldest first.
    first: u16,
    last: u16,
    /// What arrived while paused.
    spill: Vec<u8>,
    /// A recv goes on in the kernel.
    armed: bool,
    /// A send goes on in the kernel.
    sending: bool,
    /// Bytes sent since `settle`.
    taken: usize,
    starved: bool,
    paused: bool,
    ended: bool,
    lost: bool,
    closing: bool,
}

impl Ring {
    /// Of other sizes than the usual, for tests.
    ///
    /// # Errors
    /// What the kernel denies.
    pub fn with(sizes: Sizes) -> io::Result<Self> {
        Ok(Ring {
            sys: sys::Ring::new(sizes)?,
            ports: Vec::new(),
            free: Vec::new(),
            chain: vec![(NONE, 0); usize::from(sizes.buffers)].into(),
            lent: NONE,
            starved: VecDeque::new(),
            watched: Vec::new(),
            doors: Vec::new(),
            fresh: 0,
            bell: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Whether this kernel has what is needed: a ring is made, and dropped.
    ///
    /// # Errors
    /// What is missing.
    pub fn probe() -> io::Result<()> {
        sys::Ring::new(Sizes { submissions: 8, completions: 16, buffers: 8, buffer_bytes: 4096 }).map(drop)
    }

    fn recycle_lent(&mut self) {
        if self.lent != NONE {
            self.sys.give_back(std::mem::replace(&mut self.lent, NONE));
        }
    }

    fn arm(&mut self, slot: u32) {
        let port = &mut self.ports[slot as usize];
        if let (Some(socket), false) = (&port.socket, port.armed || port.closing) {
            port.armed = self.sys.receive(socket.as_raw_fd(), slot).is_ok();
            port.lost |= !port.armed;
        }
    }

    /// Ports that found no buffer try again, as many as there are buffers now.
    fn arm_starved(&mut self) {
        for _ in 0..self.sys.buffers_provided() {
            let Some(slot) = self.starved.pop_front() else { return };
            if std::mem::take(&mut self.ports[slot as usize].starved) && !self.ports[slot as usize].paused {
                self.arm(slot);
            }
        }
    }

    /// Notes an arrival; whether the connection should hear of it.
    fn arrived(&mut self, slot: u32, result: Result<usize, Errno>, buffer: Option<u16>, more: bool) -> bool {
        let port = &mut self.ports[slot as usize];
        port.armed = more;
        match (result, buffer) {
            (Ok(1..), Some(buffer)) if !port.paused && !port.closing => {
                self.chain[usize::from(buffer)] = (NONE, 0);
                match port.last {
                    NONE => port.first = buffer,
                    last => self.chain[usize::from(last)].0 = buffer,
                }
                port.last = buffer;
            }
            (_, Some(buffer)) => {
                if port.paused {
                    port.spill.extend_from_slice(self.sys.bytes(buffer));
                }
                self.sys.give_back(buffer);
            }
            (_, None) => {}
        }
        if port.closing {
            self.release(slot);
            return false;
        }
        match result {
            Ok(0) => port.ended = true,
            Ok(_) => {}
            Err(Errno::NOBUFS) => {
                port.starved = true;
                self.starved.push_back(slot);
                return false;
            }
            Err(Errno::CANCELED | Errno::INTR | Errno::AGAIN) => {}
            Err(_) => port.lost = true,
        }
        let tell = port.ended || port.lost || (result.is_ok() && !port.paused);
        if !more && !port.paused && !port.ended && !port.lost {
            self.arm(slot);
        }
        tell
    }

    /// Notes the end of a send; whether the connection should hear of it.
    fn sent(&mut self, slot: u32, result: Result<usize, Errno>) -> bool {
        let port = &mut self.ports[slot as usize];
        port.sending = false;
        if port.closing {
            self.release(slot);
            return false;
        }
        match result {
            Ok(taken) => port.taken += taken,
            Err(Errno::INTR | Errno::AGAIN | Errno::NOBUFS) => {}
            Err(_) => {
                port.lost = true;
                return true;
            }
        }
        if let Some(socket) = &port.socket {
            match self.sys.send_on(socket.as_raw_fd(), slot) {
                Ok(more) => port.sending = more,
                Err(_) => port.lost = true,
            }
        }
        true
    }

    /// Frees a port whose connection is closed, once the kernel has nothing more to do with it.
    fn release(&mut self, slot: u32) {
        let port = &mut self.ports[slot as usize];
        if port.armed || port.sending {
            return;
        }
        port.socket = None;
        port.starved = false;
        self.free.push(slot);
    }

    fn event(&self, slot: u32, writable: bool) -> Event {
        let port = &self.ports[slot as usize];
        Event { token: port.token, readable: !writable, writable, ended: port.ended || port.lost }
    }

    /// Gives the buffers of a port back; what is in them is dropped, or kept in `spill`.
    fn empty_chain(&mut self, slot: u32, keep: bool) {
        let port = &mut self.ports[slot as usize];
        while port.first != NONE {
            let (next, from) = self.chain[usize::from(port.first)];
            if keep {
                port.spill.extend_from_slice(&self.sys.bytes(port.first)[from as usize..]);
            }
            self.sys.give_back(port.first);
            port.first = next;
        }
        port.last = NONE;
    }

    fn door_opened(&mut self, number: u32, socket: Result<OwnedFd, Errno>, more: bool) -> Event {
        let door = &mut self.doors[number as usize];
        match socket {
            Ok(socket) if !door.closed => door.arrived.push_back(socket),
            Ok(_too_late) => {}
            Err(Errno::CONNABORTED | Errno::INTR | Errno::PROTO | Errno::AGAIN | Errno::CANCELED) => {}
            Err(errno) => door.failed = Some(errno),
        }
        if !more && !door.closed && door.failed.is_none() && self.sys.accept(door.listener, number).is_err() {
            door.failed = Some(Errno::BUSY);
        }
        Event { token: listener_token(number as usize), readable: true, writable: false, ended: false }
    }
}

impl Driver for Ring {
    /// The number of its port.
    type Link = u32;

    fn new(_kind: Kind) -> io::Result<Self> {
        Ring::with(SIZES)
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.watched.push((descriptor.as_raw_fd(), token));
        self.sys.poll(descriptor.as_raw_fd(), self.watched.len() as u32 - 1)
    }

    /// With O_NONBLOCK the kernel would report at once that nobody waits, instead of waiting.
    fn listen(&mut self, listener: &Listener, number: usize) -> io::Result<()> {
        if self.doors.len() <= number {
            self.doors.resize_with(number + 1, Door::default);
            rustix::io::ioctl_fionbio(&listener.socket, false)?;
        }
        self.doors[number].listener = listener.socket.as_raw_fd();
        self.sys.accept(listener.socket.as_raw_fd(), number as u32)
    }

    fn accept(&mut self, _listener: &Listener, number: usize) -> io::Result<Option<OwnedFd>> {
        let door = &mut self.doors[number];
        match (door.arrived.pop_front(), door.failed.take()) {
            (Some(socket), failed) => {
                door.failed = failed;
                Ok(Some(socket))
            }
            (None, Some(errno)) => Err(errno.into()),
            (None, None) => Ok(None),
        }
    }

    fn deafen(&mut self, listener: &Listener, number: usize) {
        self.doors[number].closed = true;
        // Best effort: what cannot be cancelled now ends with the ring.
        let _ = self.sys.stop_accepting(number as u32);
        let _ = rustix::io::ioctl_fionbio(&listener.socket, true);
    }

    fn admit(&mut self, socket: OwnedFd, token: u64) -> io::Result<u32> {
        rustix::io::ioctl_fionbio(&socket, false)?;
        let port = Port {
            socket: Some(socket),
            token,
            first: NONE,
            last: NONE,
            spill: Vec::new(),
            armed: false,
            sending: false,
            taken: 0,
            starved: false,
            paused: false,
            ended: false,
            lost: false,
            closing: false,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.ports[slot as usize] = port;
                slot
            }
            None => {
                self.ports.push(port);
                (self.ports.len() - 1) as u32
            }
        };
        self.arm(slot);
        Ok(slot)
    }

    fn readable(&self, slot: &u32) -> bool {
        let port = &self.ports[*slot as usize];
        port.first != NONE || !port.spill.is_empty() || port.ended || port.lost || port.paused
    }

    /// Behind an incomplete frame no more is copied than makes it whole: what is behind it comes straight from its buffer.
    fn receive(&mut self, slot: &mut u32, input: &mut Vec<u8>, missing: usize) -> Received<'_> {
        self.recycle_lent();
        let port = &mut self.ports[*slot as usize];
        if !port.spill.is_empty() {
            let bytes = port.spill.len();
            input.extend_from_slice(&std::mem::take(&mut port.spill));
            return Received::Appended(bytes);
        }
        if port.first == NONE {
            return match (port.lost, port.ended) {
                (true, _) => Received::Lost,
                (_, true) => Received::End,
                _ => {
                    if std::mem::take(&mut port.paused) && !port.starved {
                        self.arm(*slot);
                    }
                    Received::Nothing
                }
            };
        }
        let buffer = port.first;
        let (next, from) = self.chain[usize::from(buffer)];
        let left = self.sys.bytes(buffer).len() - from as usize;
        if !input.is_empty() && (1..left).contains(&missing) {
            input.extend_from_slice(&self.sys.bytes(buffer)[from as usize..from as usize + missing]);
            self.chain[usize::from(buffer)].1 += missing as u32;
            return Received::Appended(missing);
        }
        port.first = next;
        if next == NONE {
            port.last = NONE;
        }
        self.lent = buffer;
        let bytes = &self.sys.bytes(buffer)[from as usize..];
        if input.is_empty() {
            return Received::Bytes(bytes);
        }
        input.extend_from_slice(bytes);
        Received::Appended(left)
    }

    fn pause(&mut self, slot: &mut u32) {
        let port = &mut self.ports[*slot as usize];
        if !std::mem::replace(&mut port.paused, true) {
            if port.armed && self.sys.stop_receiving(*slot).is_err() {
                port.lost = true;
            }
            self.empty_chain(*slot, true);
        }
    }

    fn send(&mut self, slot: &mut u32, output: &mut Output) -> Option<usize> {
        let port = &mut self.ports[*slot as usize];
        if port.lost {
            return None;
        }
        if output.bytes.is_empty() || port.sending {
            return Some(0);
        }
        output.flying += output.bytes.len();
        let socket = port.socket.as_ref()?;
        self.sys.send(socket.as_raw_fd(), *slot, &mut output.bytes).ok()?;
        port.sending = true;
        self.fresh += 1;
        Some(0)
    }

    /// A connection without a vector gets the one that was sent back: one is enough for those that wait for their answers.
    fn settle(&mut self, slot: &mut u32, _event: Event, output: &mut Output) -> Option<usize> {
        let port = &mut self.ports[*slot as usize];
        let taken = std::mem::take(&mut port.taken);
        output.flying -= taken;
        if taken > 0 && !port.sending && output.bytes.capacity() == 0 {
            output.bytes = self.sys.take_back(*slot);
        }
        if port.lost && output.flying > 0 { None } else { Some(taken) }
    }

    fn trim(&mut self, slot: &mut u32, kept_bytes: usize) {
        self.sys.trim(*slot, kept_bytes);
    }

    fn close(&mut self, slot: u32) {
        self.empty_chain(slot, false);
        let port = &mut self.ports[slot as usize];
        port.closing = true;
        port.spill = Vec::new();
        if let (Some(socket), true) = (&port.socket, port.armed || port.sending) {
            // Where even this cannot be asked for, the socket stays open until the peer ends it.
            let _ = self.sys.stop(socket.as_raw_fd(), slot);
        }
        self.release(slot);
    }

    async fn wait(&mut self, patience: Patience) -> io::Result<()> {
        self.recycle_lent();
        self.arm_starved();
        let fresh = std::mem::take(&mut self.fresh);
        match patience {
            Patience::None => self.sys.enter(0, Duration::ZERO),
            Patience::Short if fresh > 0 => self.sys.enter(fresh + 1, SEND_GRACE),
            Patience::Short => self.sys.enter(1, Duration::from_millis(PARK_AFTER_MS)),
            Patience::Long => {
                self.sys.ring_bell(&self.bell)?;
                self.sys.enter(0, Duration::ZERO)?;
                if !self.sys.has_completions() {
                    let watched = PollableFd::new(Watched(self.bell.as_raw_fd())).map_err(io::Error::other)?;
                    watched.readable().await.map_err(io::Error::other)?;
                }
                self.sys.mute_bell()?;
                let _ = rustix::io::read(&self.bell, &mut [0u8; 8]);
                self.sys.enter(0, Duration::ZERO)
            }
        }
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            match self.sys.take_completion()? {
                Completion::Received(slot, result, buffer, more) => {
                    if self.arrived(slot, result, buffer, more) {
                        return Some(self.event(slot, false));
                    }
                }
                Completion::Sent(slot, result) => {
                    if self.sent(slot, result) {
                        return Some(self.event(slot, true));
                    }
                }
                Completion::Accepted(number, socket, more) => return Some(self.door_opened(number, socket, more)),
                Completion::Ready(number, more) => {
                    let (descriptor, token) = self.watched[number as usize];
                    if !more {
                        // A full submission queue that cannot be emptied: the tick after the next enter would be missed, and the operator sees it.
                        let _ = self.sys.poll(descriptor, number);
                    }
                    return Some(Event { token, readable: true, writable: false, ended: false });
                }
                Completion::Other => {}
            }
        }
    }

    fn calls(&mut self) -> u64 {
        std::mem::take(&mut self.sys.calls)
    }
}

/// The bell, borrowed by number for as long as the wait lasts: `PollableFd` wants to own what it watches.
struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener;
    use futures_lite::future::block_on;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::net::UnixStream;

    const SMALL: Sizes = Sizes { submissions: 4, completions: 8, buffers: 4, buffer_bytes: 64 };

    /// `None` with a word where the kernel has no such ring.
    fn driver(sizes: Sizes) -> Option<Ring> {
        match Ring::with(sizes) {
            Ok(driver) => Some(driver),
            Err(error) => {
                println!("SKIPPED: {error}");
                None
            }
        }
    }

    fn pair(driver: &mut Ring, token: u64) -> (u32, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (driver.admit(ours.into(), token).unwrap(), theirs)
    }

    /// Waits until `holds`, and receives what arrives meanwhile for the one link.
    fn until(driver: &mut Ring, mut holds: impl FnMut(&mut Ring) -> bool) {
        for _ in 0..2000 {
            if holds(driver) {
                return;
            }
            block_on(driver.wait(Patience::Short)).unwrap();
            while driver.next().is_some() {}
        }
        panic!("it did not come to pass");
    }

    fn read(driver: &mut Ring, link: &mut u32, got: &mut Vec<u8>) -> bool {
        let mut input = Vec::new();
        loop {
            match driver.receive(link, &mut input, 0) {
                Received::Bytes(bytes) => got.extend_from_slice(bytes),
                Received::Appended(_) => got.append(&mut input),
                Received::Nothing => return false,
                Received::End => return true,
                Received::Lost => panic!("lost"),
            }
        }
    }

    /// Four buffers of 64 bytes, and 64 peers who send 1,000 bytes each: nobody is forgotten, nothing is lost, all are back at the end.
    #[test]
    fn more_arrivals_than_buffers_and_completions_are_all_served() {
        let Some(mut driver) = driver(SMALL) else { return };
        let mut all: Vec<_> = (0..64).map(|token| (pair(&mut driver, token), Vec::new(), false)).collect();
        for (number, ((_, peer), _, _)) in all.iter_mut().enumerate() {
            peer.write_all(&[number as u8; 1000]).unwrap();
            peer.shutdown(std::net::Shutdown::Write).unwrap();
        }
        until(&mut driver, |driver| {
            for ((link, _), got, ended) in &mut all {
                *ended |= read(driver, link, got);
            }
            all.iter().all(|(_, _, ended)| *ended)
        });
        for (number, ((link, _), got, _)) in all.into_iter().enumerate() {
            assert_eq!(got, [number as u8; 1000]);
            driver.close(link);
        }
        until(&mut driver, |driver| driver.free.len() == 64);
        driver.recycle_lent();
        assert_eq!(driver.sys.buffers_provided(), SMALL.buffers);
    }

    #[test]
    fn a_paused_connection_holds_no_buffer_and_goes_on_where_it_stopped() {
        let Some(mut driver) = driver(SMALL) else { return };
        let (mut link, mut peer) = pair(&mut driver, 1);
        let text: Vec<u8> = (0..=255).collect();
        peer.write_all(&text[..100]).unwrap();
        until(&mut driver, |driver| driver.readable(&link));
        driver.pause(&mut link);
        peer.write_all(&text[100..]).unwrap();
        until(&mut driver, |driver| !driver.ports[0].armed);
        assert_eq!(driver.sys.buffers_provided(), SMALL.buffers);
        let mut got = Vec::new();
        until(&mut driver, |driver| {
            read(driver, &mut link, &mut got);
            got.len() == text.len()
        });
        assert_eq!(got, text);
    }

    #[test]
    fn a_frame_cut_by_a_buffer_gets_what_it_misses_and_no_more() {
        let Some(mut driver) = driver(SMALL) else { return };
        let (mut link, mut peer) = pair(&mut driver, 1);
        peer.write_all(b"abcdefgh").unwrap();
        until(&mut driver, |driver| driver.readable(&link));
        let mut input = b"..".to_vec();
        assert_eq!(driver.receive(&mut link, &mut input, 3), Received::Appended(3));
        assert_eq!(input, b"..abc");
        input.clear();
        assert_eq!(driver.receive(&mut link, &mut input, 0), Received::Bytes(b"defgh"));
    }

    #[test]
    fn what_the_peer_does_not_take_stays_in_order_and_a_close_ends_it() {
        let Some(mut driver) = driver(SMALL) else { return };
        let (mut link, mut peer) = pair(&mut driver, 1);
        let all: Vec<u8> = (0..1 << 20).map(|i| (i % 251) as u8).collect();
        let mut output = Output { bytes: all.clone(), ..Output::default() };
        assert_eq!(driver.send(&mut link, &mut output), Some(0));
        assert_eq!(output.unsent(), all.len());
        let event = Event { token: 1, readable: false, writable: true, ended: false };
        let mut received = vec![0; all.len()];
        let reader = std::thread::spawn(move || {
            peer.read_exact(&mut received).unwrap();
            (received, peer)
        });
        until(&mut driver, |driver| driver.settle(&mut link, event, &mut output).is_some() && output.unsent() == 0);
        let (received, mut peer) = reader.join().unwrap();
        assert!(received == all);
        output.bytes = all;
        driver.send(&mut link, &mut output);
        block_on(driver.wait(Patience::None)).unwrap();
        driver.close(link);
        until(&mut driver, |driver| driver.free.len() == 1);
        let mut rest = Vec::new();
        assert!(peer.read_to_end(&mut rest).is_ok() && rest.len() < received.len());
    }

    #[test]
    fn a_peer_that_is_gone_is_noticed_by_whoever_sends() {
        let Some(mut driver) = driver(SMALL) else { return };
        let (mut link, peer) = pair(&mut driver, 1);
        drop(peer);
        let mut output = Output { bytes: vec![1], ..Output::default() };
        driver.send(&mut link, &mut output);
        let event = Event { token: 1, readable: false, writable: true, ended: true };
        until(&mut driver, |driver| driver.settle(&mut link, event, &mut output).is_none());
    }

    #[test]
    fn listeners_accept_until_they_are_deafened() {
        let Some(mut driver) = driver(SMALL) else { return };
        let listener =
            listener::tcp(listener::Bound { address: SocketAddr::from(([127, 0, 0, 1], 0)), protocol: crate::edge::Protocol::Binary }, 16)
                .unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&listener.socket).unwrap()).unwrap();
        driver.listen(&listener, 0).unwrap();
        let peers: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        let mut accepted = Vec::new();
        until(&mut driver, |driver| {
            accepted.extend(driver.accept(&listener, 0).unwrap());
            accepted.len() == peers.len()
        });
        driver.deafen(&listener, 0);
        until(&mut driver, |driver| driver.sys.is_idle());
        let _late = TcpStream::connect(address).unwrap();
        assert!(listener.accept().unwrap().is_some());
    }
}
