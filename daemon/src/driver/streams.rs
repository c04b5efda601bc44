//! The executor's own streams: a task for each connection, which it wakes when the kernel has something.
//!
//! ```text
//!  executor's ring ─► tasks: poll_read into one buffer of the shard, copy to `arrived`, queue an event ─► turn ─► tasks: poll_write
//! ```
//! What this costs beside the other drivers is the executor's: its timers and polls, a wake-up a task, allocations in each. It is here as the
//! plain use of the executor, to be measured against. Tasks and the shard take turns on one thread, so a `RefCell` is never borrowed twice.

use super::{Driver, Event, Kind, Output, Patience, Received, listener_token, sys};
use crate::limits::READ_BYTES;
use crate::listener::Listener;
use futures_lite::future::{poll_fn, yield_now};
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::io::PollableFd;
use glommio::net::TcpStream;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The driver.
pub struct Streams {
    shared: Rc<Shared>,
    /// What the last `receive` handed out.
    lent: Vec<u8>,
    /// The task of each listener; dropping it ends it, and its hold on the socket.
    doors: Vec<Option<glommio::Task<()>>>,
}

/// Between the shard and its tasks.
struct Shared {
    ready: RefCell<VecDeque<Event>>,
    /// The shard's, while it waits.
    shard: RefCell<Option<Waker>>,
    /// Waits so far: an event queued before the last of them has been seen.
    waits: Cell<u64>,
    /// Of the tasks that watch a descriptor and wait for their event to be seen.
    watchers: RefCell<Vec<Waker>>,
    read_buffer: RefCell<Vec<u8>>,
}

impl Shared {
    fn tell(&self, event: Event) {
        self.ready.borrow_mut().push_back(event);
        if let Some(shard) = self.shard.take() {
            shard.wake();
        }
    }
}

/// One connection, shared with its task.
#[derive(Debug)]
pub struct Port {
    /// `None` once closed. A Unix socket is one to the executor as well: recv, send and poll is all that is done with it.
    stream: Option<TcpStream>,
    token: u64,
    arrived: Vec<u8>,
    outgoing: Vec<u8>,
    from: usize,
    /// Bytes sent since `settle`.
    taken: usize,
    paused: bool,
    ended: bool,
    lost: bool,
    task: Option<Waker>,
}

impl Port {
    /// Reads if there is room, writes what waits; what is new.
    fn progress(&mut self, context: &mut Context<'_>, space: &mut [u8]) -> Option<Event> {
        let mut event = Event { token: self.token, readable: false, writable: false, ended: false };
        let stream = self.stream.as_mut()?;
        while self.from < self.outgoing.len() && !self.lost {
            match Pin::new(&mut *stream).poll_write(context, &self.outgoing[self.from..]) {
                Poll::Ready(Ok(taken @ 1..)) => {
                    self.from += taken;
                    self.taken += taken;
                    event.writable = true;
                }
                Poll::Ready(_) => {
                    self.lost = true;
                    event.writable = true;
                }
                Poll::Pending => break,
            }
        }
        if self.arrived.is_empty() && !self.paused && !self.ended && !self.lost {
            match Pin::new(stream).poll_read(context, space) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(bytes)) => self.arrived.extend_from_slice(&space[..bytes]),
                Poll::Ready(Err(_)) => self.lost = true,
                Poll::Pending => return Some(event).filter(|event| event.writable),
            }
            event.readable = true;
        }
        Some(event).filter(|event| event.readable || event.writable)
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }
}

/// A connection's task: until it is closed.
async fn carry(port: Rc<RefCell<Port>>, shared: Rc<Shared>) {
    poll_fn(|context| {
        let mut port = port.borrow_mut();
        if port.stream.is_none() {
            return Poll::Ready(());
        }
        if !port.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            port.task = Some(context.waker().clone());
        }
        if let Some(event) = port.progress(context, &mut shared.read_buffer.borrow_mut()) {
            shared.tell(event);
        }
        Poll::Pending
    })
    .await;
}

/// A descriptor's task: reports that it is readable, each time the shard has seen the last report.
async fn watch(descriptor: RawFd, token: u64, shared: Rc<Shared>) {
    loop {
        let readable = async { PollableFd::new(Watched(descriptor))?.readable().await };
        if readable.await.is_err() {
            return;
        }
        shared.tell(Event { token, readable: true, writable: false, ended: false });
        // The wait that goes on brings the event to the shard; with the next one it has been dealt with.
        let seen = shared.waits.get() + 1;
        poll_fn(|context| {
            if shared.waits.get() >= seen {
                return Poll::Ready(());
            }
            shared.watchers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Driver for Streams {
    type Link = Rc<RefCell<Port>>;

    fn new(_kind: Kind) -> io::Result<Self> {
        let shared = Shared {
            ready: RefCell::default(),
            shard: RefCell::default(),
            waits: Cell::new(0),
            watchers: RefCell::default(),
            read_buffer: RefCell::new(vec![0; READ_BYTES]),
        };
        Ok(Streams { shared: Rc::new(shared), lent: Vec::new(), doors: Vec::new() })
    }

    fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        glommio::spawn_local(watch(descriptor.as_raw_fd(), token, self.shared.clone())).detach();
        Ok(())
    }

    fn listen(&mut self, listener: &Listener, number: usize) -> io::Result<()> {
        if self.doors.len() <= number {
            self.doors.resize_with(number + 1, || None);
        }
        let task = watch(listener.socket.as_raw_fd(), listener_token(number), self.shared.clone());
        self.doors[number] = Some(glommio::spawn_local(task));
        Ok(())
    }

    fn accept(&mut self, listener: &Listener, number: usize) -> io::Result<Option<OwnedFd>> {
        let accepted = listener.accept();
        if accepted.is_err() {
            self.deafen(listener, number);
        }
        accepted
    }

    fn deafen(&mut self, _listener: &Listener, number: usize) {
        self.doors[number] = None;
    }

    fn admit(&mut self, socket: OwnedFd, token: u64) -> io::Result<Self::Link> {
        let port = Port {
            stream: Some(sys::stream(socket)),
            token,
            arrived: Vec::new(),
            outgoing: Vec::new(),
            from: 0,
            taken: 0,
            paused: false,
            ended: false,
            lost: false,
            task: None,
        };
        let port = Rc::new(RefCell::new(port));
        glommio::spawn_local(carry(port.clone(), self.shared.clone())).detach();
        Ok(port)
    }

    fn readable(&self, port: &Self::Link) -> bool {
        let port = port.borrow();
        !port.arrived.is_empty() || port.ended || port.lost || port.paused
    }

    fn receive(&mut self, port: &mut Self::Link, input: &mut Vec<u8>, _missing: usize) -> Received<'_> {
        let mut port = port.borrow_mut();
        if port.arrived.is_empty() {
            return match (port.lost, port.ended) {
                (true, _) => Received::Lost,
                (_, true) => Received::End,
                _ => {
                    if std::mem::take(&mut port.paused) {
                        port.wake();
                    }
                    Received::Nothing
                }
            };
        }
        port.wake();
        if input.is_empty() {
            self.lent.clear();
            std::mem::swap(&mut self.lent, &mut port.arrived);
            return Received::Bytes(&self.lent);
        }
        input.extend_from_slice(&port.arrived);
        let bytes = port.arrived.len();
        port.arrived.clear();
        Received::Appended(bytes)
    }

    /// Its task reads no more than it has read.
    fn pause(&mut self, port: &mut Self::Link) {
        port.borrow_mut().paused = true;
    }

    fn send(&mut self, port: &mut Self::Link, output: &mut Output) -> Option<usize> {
        let mut port = port.borrow_mut();
        if port.lost {
            return None;
        }
        if output.bytes.is_empty() || port.from < port.outgoing.len() {
            return Some(0);
        }
        port.outgoing.clear();
        port.from = 0;
        output.flying += output.bytes.len();
        std::mem::swap(&mut port.outgoing, &mut output.bytes);
        port.wake();
        Some(0)
    }

    fn settle(&mut self, port: &mut Self::Link, _event: Event, output: &mut Output) -> Option<usize> {
        let mut port = port.borrow_mut();
        let taken = std::mem::take(&mut port.taken);
        output.flying -= taken;
        if port.lost && output.flying > 0 { None } else { Some(taken) }
    }

    fn trim(&mut self, port: &mut Self::Link, kept_bytes: usize) {
        let mut port = port.borrow_mut();
        if port.arrived.is_empty() {
            port.arrived.shrink_to(0);
        }
        if port.from == port.outgoing.len() && port.outgoing.capacity() > kept_bytes {
            port.outgoing = Vec::new();
            port.from = 0;
        }
    }

    fn close(&mut self, port: Self::Link) {
        let mut port = port.borrow_mut();
        if let Some(stream) = port.stream.take() {
            // The executor's polls hold the socket open until it has cancelled them, which it does not where the shard ends first.
            sys::shut(&stream);
        }
        port.wake();
    }

    async fn wait(&mut self, patience: Patience) -> io::Result<()> {
        self.shared.waits.set(self.shared.waits.get() + 1);
        self.shared.watchers.borrow_mut().drain(..).for_each(Waker::wake);
        // The tasks that were woken by this turn send and read before the next one; then whoever is ready joins the batch.
        yield_now().await;
        if patience != Patience::None {
            let shared = self.shared.clone();
            poll_fn(|context| {
                if !shared.ready.borrow().is_empty() {
                    return Poll::Ready(());
                }
                shared.shard.replace(Some(context.waker().clone()));
                Poll::Pending
            })
            .await;
            yield_now().await;
        }
        Ok(())
    }

    fn next(&mut self) -> Option<Event> {
        self.shared.ready.borrow_mut().pop_front()
    }

    /// The executor makes them, and does not count.
    fn calls(&mut self) -> u64 {
        0
    }
}

/// A descriptor, borrowed by number for as long as it is watched: `PollableFd` wants to own it.
struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}
