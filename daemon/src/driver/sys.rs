//! The unsafe code of the daemon, all of it: an io_uring with memory that the kernel reads and writes, sockets that arrive as numbers, and two
//! system calls that no crate at hand makes.
//!
//! ```text
//!  provided buffers   [ 0 | 1 | 2 | ... ]   each is the kernel's (it may write) or ours (we may read); `held` knows which
//!  outgoing           one Vec a slot        the kernel's from `send` to the completion of that send; nobody else has it meanwhile
//! ```
//! What is promised to the rest, which is safe code: no memory is reachable from both sides at once, and none is freed before the kernel is done
//! with it. All kernel work on a ring with DEFER_TASKRUN happens inside our own `io_uring_enter`, so nothing changes between two of them.
#![allow(unsafe_code)]

use glommio::net::TcpStream;
use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, Submitter, cqueue, opcode, squeue, types::BufRingEntry};
use memmap2::MmapMut;
use rustix::io::Errno;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// The only group of provided buffers.
const GROUP: u16 = 0;

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Operations between two enters; more are submitted on the way. A power of two.
    pub submissions: u32,
    /// Completions that fit; more wait in the kernel's own list. A power of two.
    pub completions: u32,
    /// Provided buffers. A power of two.
    pub buffers: u16,
    /// Bytes of each.
    pub buffer_bytes: u32,
}

/// What an operation was asked for; the high half of its user data, beside the slot.
#[derive(Clone, Copy)]
enum Op {
    Accept = 1,
    Poll,
    Receive,
    Send,
    Cancel,
}

fn user_data(op: Op, slot: u32) -> u64 {
    (op as u64) << 32 | u64::from(slot)
}

/// What the kernel has done. `more`: the operation goes on, another completion of it will follow.
#[derive(Debug)]
pub enum Completion {
    /// A connection, or why there is none.
    Accepted(u32, Result<OwnedFd, Errno>, bool),
    /// A watched descriptor is ready.
    Ready(u32, bool),
    /// Bytes in a buffer that is ours now; 0 is the end.
    Received(u32, Result<usize, Errno>, Option<u16>, bool),
    /// Bytes taken from what is outgoing.
    Sent(u32, Result<usize, Errno>),
    /// Nothing of interest.
    Other,
}

/// Bytes on their way out of one slot.
#[derive(Debug, Default)]
struct Outgoing {
    bytes: Vec<u8>,
    from: usize,
    flying: bool,
}

/// A ring of this thread, with its buffers.
pub struct Ring {
    /// Knows the ring by its registered number. Borrows `ring`.
    submitter: ManuallyDrop<Submitter<'static>>,
    /// Ours alone, freed in `drop`.
    ring: &'static IoUring,
    buffers: Buffers,
    outgoing: Vec<Outgoing>,
    /// Operations whose last completion has not been seen.
    in_flight: usize,
    /// System calls made.
    pub calls: u64,
}

impl Ring {
    /// Needs Linux 6.1: SINGLE_ISSUER (6.0), DEFER_TASKRUN (6.1), rings of provided buffers (5.19), and with them multishot accept and recv.
    ///
    /// # Errors
    /// `Unsupported` with the missing operation, or what the kernel says of the setup.
    pub fn new(sizes: Sizes) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all().setup_cqsize(sizes.completions);
        let ring = builder.build(sizes.submissions)?;
        crate::preflight::require_operations(&ring)?;
        let buffers = Buffers::new(sizes)?;
        // From here on `drop` sees to it that the ring is closed before the buffers are freed.
        let ring: &'static IoUring = Box::leak(Box::new(ring));
        let mut this = Ring { submitter: ManuallyDrop::new(ring.submitter()), ring, buffers, outgoing: Vec::new(), in_flight: 0, calls: 0 };
        this.buffers.register(&this.submitter)?;
        // Saves the kernel one look-up an enter; a thread has room for 16 of them, and without it all else is the same.
        let _ = this.submitter.register_ring_fd();
        Ok(this)
    }

    /// Accepts until told otherwise. The sockets are blocking ones: with O_NONBLOCK the kernel would not wait for them.
    pub fn accept(&mut self, listener: RawFd, slot: u32) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(listener)).flags(rustix::net::SocketFlags::CLOEXEC.bits() as i32);
        self.push(accept.build().user_data(user_data(Op::Accept, slot)))
    }

    /// Reports while `descriptor` becomes readable.
    pub fn poll(&mut self, descriptor: RawFd, slot: u32) -> io::Result<()> {
        let flags = u32::from(rustix::event::PollFlags::IN.bits());
        self.push(opcode::PollAdd::new(Fd(descriptor), flags).multi(true).build().user_data(user_data(Op::Poll, slot)))
    }

    /// Receives into provided buffers until told otherwise.
    pub fn receive(&mut self, socket: RawFd, slot: u32) -> io::Result<()> {
        self.push(opcode::RecvMulti::new(Fd(socket), GROUP).build().user_data(user_data(Op::Receive, slot)))
    }

    /// Takes `bytes` and sends them; `bytes` gets the empty vector of the last time. Only when nothing of the slot is flying.
    pub fn send(&mut self, socket: RawFd, slot: u32, bytes: &mut Vec<u8>) -> io::Result<()> {
        if self.outgoing.len() <= slot as usize {
            self.outgoing.resize_with(slot as usize + 1, Outgoing::default);
        }
        let outgoing = &mut self.outgoing[slot as usize];
        assert!(!outgoing.flying, "one send at a time in a slot");
        outgoing.bytes.clear();
        outgoing.from = 0;
        std::mem::swap(&mut outgoing.bytes, bytes);
        self.send_rest(socket, slot)
    }

    /// Sends what a send has left over; false where nothing is.
    pub fn send_on(&mut self, socket: RawFd, slot: u32) -> io::Result<bool> {
        let outgoing = &self.outgoing[slot as usize];
        let more = !outgoing.flying && outgoing.from < outgoing.bytes.len();
        if more {
            self.send_rest(socket, slot)?;
        }
        Ok(more)
    }

    fn send_rest(&mut self, socket: RawFd, slot: u32) -> io::Result<()> {
        let outgoing = &mut self.outgoing[slot as usize];
        let rest = &outgoing.bytes[outgoing.from..];
        let flags = rustix::net::SendFlags::NOSIGNAL.bits() as i32;
        let send = opcode::Send::new(Fd(socket), rest.as_ptr(), rest.len() as u32).flags(flags).build();
        outgoing.flying = true;
        let pushed = self.push(send.user_data(user_data(Op::Send, slot)));
        self.outgoing[slot as usize].flying = pushed.is_ok();
        pushed
    }

    /// The empty vector of a slot whose bytes are all sent.
    pub fn take_back(&mut self, slot: u32) -> Vec<u8> {
        let outgoing = &mut self.outgoing[slot as usize];
        if outgoing.flying {
            return Vec::new();
        }
        outgoing.bytes.clear();
        outgoing.from = 0;
        std::mem::take(&mut outgoing.bytes)
    }

    /// Frees the empty vector of a slot, if it is larger than this.
    pub fn trim(&mut self, slot: u32, kept_bytes: usize) {
        if self.outgoing.get(slot as usize).is_some_and(|outgoing| !outgoing.flying && outgoing.bytes.capacity() > kept_bytes) {
            drop(self.take_back(slot));
        }
    }

    /// Ends the accepting of a slot.
    pub fn stop_accepting(&mut self, slot: u32) -> io::Result<()> {
        self.push(opcode::AsyncCancel::new(user_data(Op::Accept, slot)).build().user_data(user_data(Op::Cancel, slot)))
    }

    /// Ends the receiving of a slot.
    pub fn stop_receiving(&mut self, slot: u32) -> io::Result<()> {
        self.push(opcode::AsyncCancel::new(user_data(Op::Receive, slot)).build().user_data(user_data(Op::Cancel, slot)))
    }

    /// Ends everything that goes on with a socket.
    pub fn stop(&mut self, socket: RawFd, slot: u32) -> io::Result<()> {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::fd(Fd(socket)).all());
        self.push(cancel.build().user_data(user_data(Op::Cancel, slot)))
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        for _ in 0..2 {
            // SAFETY: `self.ring` is reachable through `self` only, which is borrowed mutably, so this is its only submission queue.
            let mut queue = unsafe { self.ring.submission_shared() };
            // SAFETY: entries come from the functions above only. The memory they name is a vector in `outgoing`, which is not touched while it is
            // `flying`, or provided buffers; `drop` frees neither before every operation has ended. Descriptors are looked up at the enter:
            // a wrong one gives an error, not access to memory.
            if unsafe { queue.push(&entry) }.is_ok() {
                self.in_flight += 1;
                return Ok(());
            }
            drop(queue);
            self.calls += 1;
            self.submitter.submit()?;
        }
        Err(Errno::BUSY.into())
    }

    /// Submits what was asked for, and waits until `want` operations have completed or the time is over. Without `want` it only looks, and that
    /// only if there is something to look for.
    pub fn enter(&mut self, want: usize, timeout: Duration) -> io::Result<()> {
        self.buffers.publish();
        if want == 0 {
            // SAFETY: as in `push`.
            let queue = unsafe { self.ring.submission_shared() };
            if queue.is_empty() && !queue.taskrun() && !queue.cq_overflow() {
                return Ok(());
            }
        }
        let timeout = Timespec::new().sec(timeout.as_secs()).nsec(timeout.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&timeout);
        self.calls += 1;
        let entered = self.submitter.submit_with_args(want, &arguments);
        match entered.map_err(|error| Errno::from_io_error(&error)) {
            // BUSY and AGAIN: completions must be taken first, or memory is short; nothing is lost, the next enter submits the rest.
            Ok(_) | Err(Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN)) => Ok(()),
            Err(Some(errno)) => Err(errno.into()),
            Err(None) => Err(io::ErrorKind::Other.into()),
        }
    }

    /// Whether completions wait to be taken.
    pub fn has_completions(&mut self) -> bool {
        // SAFETY: `self.ring` is reachable through `self` only, which is borrowed mutably, so this is its only completion queue.
        let queue = unsafe { self.ring.completion_shared() };
        !queue.is_empty()
    }

    /// The next completion.
    pub fn take_completion(&mut self) -> Option<Completion> {
        // SAFETY: as in `has_completions`.
        let entry = unsafe { self.ring.completion_shared() }.next()?;
        let (slot, op) = (entry.user_data() as u32, entry.user_data() >> 32);
        let more = cqueue::more(entry.flags());
        if !more {
            self.in_flight -= 1;
        }
        let result = match entry.result() {
            result if result < 0 => Err(Errno::from_raw_os_error(-result)),
            result => Ok(result as usize),
        };
        Some(match op {
            op if op == Op::Accept as u64 => {
                // SAFETY: the kernel made this descriptor for this completion, which we see once; nobody else knows its number.
                let socket = result.map(|number| unsafe { OwnedFd::from_raw_fd(number as RawFd) });
                Completion::Accepted(slot, socket, more)
            }
            op if op == Op::Poll as u64 => Completion::Ready(slot, more),
            op if op == Op::Receive as u64 => {
                let buffer = cqueue::buffer_select(entry.flags());
                if let Some(buffer) = buffer {
                    self.buffers.held[usize::from(buffer)] = Some(result.unwrap_or(0) as u32);
                    self.buffers.provided -= 1;
                }
                Completion::Received(slot, result, buffer, more)
            }
            op if op == Op::Send as u64 => {
                let outgoing = &mut self.outgoing[slot as usize];
                outgoing.flying = false;
                outgoing.from += result.unwrap_or(0);
                Completion::Sent(slot, result)
            }
            _ => Completion::Other,
        })
    }

    /// The bytes in a buffer that is ours; none in one that is not.
    pub fn bytes(&self, buffer: u16) -> &[u8] {
        match self.buffers.held[usize::from(buffer)] {
            // SAFETY: the buffer is ours: the kernel has said that it filled it, and does not get it back while this borrow lasts, since `give_back`
            // needs `&mut self`. It lies within `memory`, and its first `bytes` bytes were written.
            Some(bytes) => unsafe { std::slice::from_raw_parts(self.buffers.at(buffer), bytes as usize) },
            None => &[],
        }
    }

    /// Gives a buffer that is ours to the kernel again.
    pub fn give_back(&mut self, buffer: u16) {
        if self.buffers.held[usize::from(buffer)].take().is_some() {
            self.buffers.provide(buffer);
        }
    }

    /// Buffers that the kernel may fill.
    pub fn buffers_provided(&self) -> u16 {
        self.buffers.provided
    }

    /// From now on `bell` is written to when there is something to `enter` for. A ring with DEFER_TASKRUN is not readable itself before it is entered.
    pub fn ring_bell(&self, bell: &OwnedFd) -> io::Result<()> {
        self.submitter.register_eventfd(bell.as_raw_fd())
    }

    /// The end of that.
    pub fn mute_bell(&self) -> io::Result<()> {
        self.submitter.unregister_eventfd()
    }

    /// Whether the kernel has nothing more to do for this ring.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Cancels everything and waits for its end; false if that does not come.
    fn quiesce(&mut self) -> bool {
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build().user_data(user_data(Op::Cancel, 0));
        for _ in 0..50 {
            while let Some(completion) = self.take_completion() {
                drop(completion);
            }
            if self.in_flight == 0 {
                return true;
            }
            if self.push(cancel.clone()).is_err() || self.enter(1, Duration::from_millis(20)).is_err() {
                return false;
            }
        }
        false
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if !self.quiesce() {
            // The kernel may still write: the memory stays its own. Not seen yet; a shard ends once in the life of its process.
            tracing::error!("a ring did not come to rest");
            std::mem::forget(std::mem::take(&mut self.outgoing));
            self.buffers.leak();
        }
        // It holds the ring open under its registered number.
        let _ = self.submitter.unregister_ring_fd();
        // SAFETY: neither is used again, and the submitter, which borrows the ring, goes first. `new` made the ring by `Box::leak`, and
        // nobody but `self` and the submitter had a reference to it.
        unsafe {
            ManuallyDrop::drop(&mut self.submitter);
            drop(Box::from_raw(std::ptr::from_ref(self.ring).cast_mut()));
        }
    }
}

/// A stream of the executor on a connected socket.
pub fn stream(socket: OwnedFd) -> TcpStream {
    // SAFETY: the descriptor is given away, and with it the right to close it.
    unsafe { TcpStream::from_raw_fd(socket.into_raw_fd()) }
}

/// Ends both directions of a stream.
pub fn shut(stream: &TcpStream) {
    // SAFETY: the stream owns the descriptor and outlives this borrow of it.
    let socket = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    // A peer that is gone already has ended it.
    let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
}

/// Memory for the kernel to receive into, and the ring by which it is handed over.
struct Buffers {
    sizes: Sizes,
    /// `sizes.buffers` entries; in what the first entry does not use of itself, the tail.
    ring: ManuallyDrop<MmapMut>,
    memory: ManuallyDrop<MmapMut>,
    tail: u16,
    /// Bytes in each buffer that is ours.
    held: Box<[Option<u32>]>,
    provided: u16,
}

impl Buffers {
    fn new(sizes: Sizes) -> io::Result<Self> {
        assert!(sizes.buffers.is_power_of_two() && sizes.buffers <= 1 << 15);
        let count = usize::from(sizes.buffers);
        Ok(Buffers {
            sizes,
            ring: ManuallyDrop::new(MmapMut::map_anon(count * size_of::<BufRingEntry>())?),
            memory: ManuallyDrop::new(MmapMut::map_anon(count * sizes.buffer_bytes as usize)?),
            tail: 0,
            held: vec![None; count].into(),
            provided: 0,
        })
    }

    fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.ring.as_ptr() as u64;
        // SAFETY: a mapping of its own, page-aligned, with room for this many entries, which `drop` of `Ring` frees after the ring only.
        unsafe { submitter.register_buf_ring_with_flags(address, self.sizes.buffers, GROUP, 0)? };
        for buffer in 0..self.sizes.buffers {
            self.provide(buffer);
        }
        self.publish();
        Ok(())
    }

    /// Within `memory`.
    fn at(&self, buffer: u16) -> *const u8 {
        assert!(buffer < self.sizes.buffers);
        // `wrapping_add` of less than the mapping's length.
        self.memory.as_ptr().wrapping_add(usize::from(buffer) * self.sizes.buffer_bytes as usize)
    }

    /// Behind the tail, where the kernel does not look before `publish`.
    fn provide(&mut self, buffer: u16) {
        let address = self.at(buffer) as u64;
        let place = usize::from(self.tail & (self.sizes.buffers - 1));
        let entries = self.ring.as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: `place` is below the number of entries; a page-aligned mapping is aligned for them, and zeroed memory is a valid one. The kernel
        // reads entries below the tail only and writes none, and this is the only reference.
        let entry = unsafe { &mut *entries.add(place) };
        entry.set_addr(address);
        entry.set_len(self.sizes.buffer_bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        self.provided += 1;
    }

    fn publish(&mut self) {
        // SAFETY: the mapping begins with an initialised entry.
        let tail = unsafe { BufRingEntry::tail(self.ring.as_ptr().cast()) }.cast::<AtomicU16>();
        // SAFETY: the tail lies within the first entry, aligned; nothing on our side holds a reference to it, and the kernel reads it as an atomic.
        unsafe { &*tail }.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory for ever.
    fn leak(&mut self) {
        self.sizes.buffers = 0;
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.sizes.buffers == 0 {
            return;
        }
        // SAFETY: neither is used again.
        unsafe {
            ManuallyDrop::drop(&mut self.ring);
            ManuallyDrop::drop(&mut self.memory);
        }
    }
}

/// sched_setattr(2) of a thread of this process; 0 is the calling one.
///
/// # Errors
/// What the kernel says, such as `PERM` for a better place than the thread has.
pub fn schedule(thread: i32, policy: i32, nice: i32) -> Result<(), Errno> {
    // SAFETY: a struct of integers, for which zeros are a value.
    let mut wanted: libc::sched_attr = unsafe { std::mem::zeroed() };
    wanted.size = size_of::<libc::sched_attr>() as u32;
    (wanted.sched_policy, wanted.sched_nice) = (policy as u32, nice);
    // SAFETY: the kernel reads `size` bytes of the struct, all of which are there, and keeps nothing of it.
    let refused = unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const wanted, 0) } != 0;
    if refused { Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)) } else { Ok(()) }
}

/// User and process at the other end of a Unix socket; process 0 is in another namespace, which rustix has no value for.
pub fn peer(socket: RawFd) -> io::Result<(u32, u32)> {
    let (mut peer, mut bytes) = (libc::ucred { pid: 0, uid: 0, gid: 0 }, size_of::<libc::ucred>() as u32);
    // SAFETY: the kernel writes at most `bytes` bytes to `peer`, and any bytes are a value of it.
    let refused = unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_PEERCRED, (&raw mut peer).cast(), &raw mut bytes) };
    if refused == 0 { Ok((peer.uid, peer.pid as u32)) } else { Err(io::Error::last_os_error()) }
}

/// Readable while one of these signals waits; every thread has them blocked (main.rs).
pub fn signals(wanted: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: zeros are a value of a set, of which the calls keep nothing.
    let descriptor = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        wanted.iter().for_each(|signal| _ = libc::sigaddset(&raw mut set, *signal));
        libc::signalfd(-1, &raw const set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC)
    };
    // SAFETY: it is new, and nobody else's.
    if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }) }
}
