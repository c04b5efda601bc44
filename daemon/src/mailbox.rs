//! Where control leaves messages for one shard: a queue, and an eventfd in the shard's epoll set. The shard looks between turns.

use crate::inline::served::Served;
use crate::overlay::table::Overlay;
use crate::page::ask::Told;
use crossbeam::channel::{Receiver, Sender, unbounded};
use rustix::event::EventfdFlags;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use verdict_tables::Snapshot;

/// What control tells a shard.
pub enum ToShard {
    /// Answer from this generation, beginning with the next turn, and by the overlay as it is for its keys.
    Adopt(Arc<Snapshot>, Overlaid),
    /// Answer by the overlay as it is now, beginning with the next turn.
    Overlay(Overlaid),
    /// The same generation with other parts switched off, beginning with the next turn.
    Switch(Arc<Snapshot>, Overlaid),
    /// Ask these models, beginning with the next turn.
    Models(Arc<Served>),
    /// Speak TLS by this on connections from now on.
    Tls(Arc<rustls::ServerConfig>),
    /// Mark answers as older than their operator wants, or no more.
    Stale(bool),
    /// Tell how this key is read and which rules match it, as EXPLAIN does.
    Explain {
        /// Its number on the wire.
        kind: u8,
        /// Its bytes.
        key: Vec<u8>,
        /// Who wants to know; it may have gone.
        reply: Sender<Told>,
    },
    /// Tell everybody to go elsewhere, or no more.
    Away(bool),
    /// Accept nothing more, finish, end.
    Drain,
}

/// What operators say, over whatever the tables say.
#[derive(Clone, Debug, Default)]
pub struct Overlaid {
    /// Counts up with every change.
    pub version: u64,
    /// None without entries, and while the overlay is switched off.
    pub overlay: Option<Arc<Overlay>>,
    /// Enforcement is switched off.
    pub monitor: bool,
    /// Names of models that are switched off.
    pub models_off: Arc<BTreeSet<String>>,
}

/// Both ends; control and the shard keep a clone each.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<ToShard>,
    receiver: Receiver<ToShard>,
    wake: Arc<OwnedFd>,
}

impl Mailbox {
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = unbounded();
        let wake = Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        Ok(Mailbox { sender, receiver, wake })
    }

    /// Leaves a message and wakes the shard. A shard that has ended hears nothing.
    pub fn send(&self, message: ToShard) {
        // Neither can fail while we hold a receiver and the eventfd.
        let _ = self.sender.send(message);
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    /// The next message, and `None` when there is no more. The caller calls until then.
    pub fn take(&self) -> Option<ToShard> {
        let _ = rustix::io::read(&*self.wake, &mut [0u8; 8]);
        self.receiver.try_recv().ok()
    }

    /// Readable while a message may wait.
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
