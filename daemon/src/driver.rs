//! What a shard needs from the kernel, and the ways to get it: connections in, bytes in, bytes out, an end, and a wait.
//!
//! ```text
//!            wait ──► next, next, ... (who is ready) ──► receive (per connection) ──► pipeline ──► send (per connection) ──► wait
//!  ring      one io_uring_enter for all of them: it submits the sends of this turn and brings what arrived meanwhile
//!  epoll     epoll_wait, then one recv and one send for each connection that is ready
//!  streams   the executor's own sockets: a task for each connection, which it wakes
//!  plain     epoll again, on a thread without executor and ring: for where io_uring is denied
//! ```
//! The pipeline is the same for all, and so are limits, deadlines and order: a driver only moves bytes. `Shard` is compiled once for each, so
//! that nothing in a turn asks which one it is. Which is the default was measured: perf/investigations/drivers.md.

pub mod epoll;
pub mod ring;
pub mod streams;
pub mod sys;

use crate::listener::Listener;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What the operator may ask for: `shards.driver`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The one that measured best: epoll.
    #[default]
    Auto,
    /// An io_uring of the shard's own.
    Ring,
    /// The executor's streams.
    Streams,
    /// One epoll set a shard, which the executor's ring watches while the shard is parked.
    Epoll,
    /// One epoll set a shard, and no io_uring anywhere.
    Plain,
}

/// A way to the kernel that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An io_uring of the shard's own.
    Ring,
    /// The executor's streams.
    Streams,
    /// One epoll set a shard, which the executor's ring watches while the shard is parked.
    Epoll,
    /// One epoll set a shard, and no io_uring anywhere.
    Plain,
}

impl Kind {
    /// What an operator's choice means on this kernel. `auto` is epoll, which measured best and which every kernel has.
    ///
    /// # Errors
    /// Why the kernel lacks what was asked for by name.
    pub fn choose(choice: Choice) -> io::Result<Kind> {
        let kind = match choice {
            Choice::Auto | Choice::Epoll => Kind::Epoll,
            Choice::Ring => Kind::Ring,
            Choice::Streams => Kind::Streams,
            Choice::Plain => Kind::Plain,
        };
        kind.probe().map(|()| kind)
    }

    /// # Errors
    /// What this kernel lacks.
    fn probe(self) -> io::Result<()> {
        match self {
            Kind::Ring => ring::Ring::probe(),
            Kind::Streams | Kind::Epoll | Kind::Plain => Ok(()),
        }
    }

    /// As metrics, `/readyz` and the log call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ring => "ring",
            Kind::Streams => "streams",
            Kind::Epoll => "epoll",
            Kind::Plain => "plain",
        }
    }
}

/// How long a shard may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Not at all: there is work.
    None,
    /// A short while, in the driver's own wait, which allocates nothing.
    Short,
    /// As long as it takes, in the executor if there is one, together with everything else that it watches.
    Long,
}

/// Something happened to what `token` was given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// As given with `watch`, `listen` (see `listener_token`) or `admit`.
    pub token: u64,
    /// There may be something to read, if only an end.
    pub readable: bool,
    /// The kernel takes bytes again, or has taken some.
    pub writable: bool,
    /// The peer sends no more, or is gone.
    pub ended: bool,
}

/// What `receive` brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// These bytes, which belong to the driver and are gone with its next call.
    Bytes(&'a [u8]),
    /// So many bytes, behind those that were in `input`.
    Appended(usize),
    /// Nothing now.
    Nothing,
    /// The peer sends no more.
    End,
    /// The connection is lost.
    Lost,
}

/// Replies on their way out of one connection.
#[derive(Debug, Default)]
pub struct Output {
    /// In the order of their requests; the first `sent` of them are the kernel's.
    pub bytes: Vec<u8>,
    /// Bytes of `bytes` that the kernel has taken.
    pub sent: usize,
    /// Bytes that a driver has taken out of `bytes` and the kernel has not taken yet.
    pub flying: usize,
}

impl Output {
    /// Bytes of replies that the kernel has not taken.
    pub fn unsent(&self) -> usize {
        self.bytes.len() - self.sent + self.flying
    }

    /// The kernel took so many of `bytes`.
    pub fn took(&mut self, taken: usize) {
        self.sent += taken;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

/// Tokens above any connection's: listeners from here on.
pub const TOKEN_LISTENERS: u64 = u64::MAX - 1024;

/// The token of a listener.
pub fn listener_token(number: usize) -> u64 {
    TOKEN_LISTENERS + number as u64
}

/// The kernel, as one shard sees it. Calls never block; `wait` does.
pub trait Driver: Sized + 'static {
    /// What a connection keeps of it.
    type Link: std::fmt::Debug;

    /// As a driver of this kind, where one type is the driver of several.
    ///
    /// # Errors
    /// What the kernel denies.
    fn new(kind: Kind) -> io::Result<Self>;

    /// Reports `token` while `descriptor` is readable. The descriptor outlives the driver.
    ///
    /// # Errors
    /// What the kernel says.
    fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u64) -> io::Result<()>;

    /// Reports `listener_token(number)` while connections wait. Again after `accept` has failed.
    ///
    /// # Errors
    /// What the kernel says.
    fn listen(&mut self, listener: &Listener, number: usize) -> io::Result<()>;

    /// A connection that waits, if one does.
    ///
    /// # Errors
    /// What accept says; the listener is not reported any more until `listen` is called again.
    fn accept(&mut self, listener: &Listener, number: usize) -> io::Result<Option<OwnedFd>>;

    /// Ends the reports of a listener, for good; connections may still wait in it, and `Listener::accept` takes them.
    fn deafen(&mut self, listener: &Listener, number: usize);

    /// Takes a connection; its events have this token.
    ///
    /// # Errors
    /// What the kernel says; the connection is closed.
    fn admit(&mut self, socket: OwnedFd, token: u64) -> io::Result<Self::Link>;

    /// Whether `receive` may bring something.
    fn readable(&self, link: &Self::Link) -> bool;

    /// What has arrived, up to `READ_BYTES`. Where `input` holds the beginning of a frame already, it goes behind that, and `missing` is how
    /// much would make it whole.
    fn receive(&mut self, link: &mut Self::Link, input: &mut Vec<u8>, missing: usize) -> Received<'_>;

    /// Nothing will be received for a while: the connection's output is full.
    fn pause(&mut self, link: &mut Self::Link);

    /// Hands over what waits in `output`, in one call at most; how many bytes the kernel took at once, `None` when the connection is lost.
    fn send(&mut self, link: &mut Self::Link, output: &mut Output) -> Option<usize>;

    /// Notes an event of this connection; how many bytes the kernel took meanwhile, `None` when the connection is lost.
    fn settle(&mut self, link: &mut Self::Link, event: Event, output: &mut Output) -> Option<usize>;

    /// Gives memory back that the connection does not need while it is silent.
    fn trim(&mut self, link: &mut Self::Link, kept_bytes: usize);

    /// Closes the connection; what was handed over and is not sent is lost.
    fn close(&mut self, link: Self::Link);

    /// Waits for something to happen.
    ///
    /// # Errors
    /// Only what leaves the shard without its kernel.
    fn wait(&mut self, patience: Patience) -> impl Future<Output = io::Result<()>>;

    /// What has happened, one by one, until `None`.
    fn next(&mut self) -> Option<Event>;

    /// System calls since the last time somebody asked; 0 where they are the executor's.
    fn calls(&mut self) -> u64;
}
