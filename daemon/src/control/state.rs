//! What admin and the control loop share, on one thread.

use super::Requests;
use crate::edge::guard::admin::AdminDoor;
use crate::host::reload::Ended;
use crate::inline::served::Served;
use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::overlay::desk::Desk;
use crate::shadow::page::Seen;
use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// What admin and the control loop share.
#[derive(Debug)]
pub struct State {
    /// Every number of the daemon.
    pub metrics: Arc<Metrics>,
    /// Where the snapshot came from and what is wrong with it, a line each, for `/readyz`.
    pub notes: RefCell<String>,
    /// The models that are asked, for `/models`.
    pub models: RefCell<Option<Arc<Served>>>,
    /// What is wrong with the registry of models, for `/readyz`.
    pub models_note: RefCell<String>,
    /// SIGHUP: look at the registry again.
    pub models_asked: Cell<bool>,
    /// Why the shards run without io_uring, where nobody asked them to.
    pub without_ring: RefCell<Option<String>>,
    /// That look is under way.
    pub models_looking: Cell<bool>,
    /// To tell the control loop that it is not any more.
    pub wake: OnceCell<Requests>,
    /// A shard that explains.
    pub asked_of: OnceCell<Mailbox>,
    /// Who knows what is switched off. It has a lock of the state directory, and a task that waits for a scrape may outlive the daemon.
    pub desk: OnceCell<Weak<Desk>>,
    /// Rules on trial, where there are some.
    pub shadow: OnceCell<Seen>,
    /// A look at these is wanted.
    pub trial_asked: Cell<bool>,
    /// One is under way.
    pub trial_looking: Cell<bool>,
    /// What came of the last.
    pub trial: RefCell<Option<Ended>>,
    /// Who sees what of the admin listener.
    pub door: AdminDoor,
    /// SIGHUP: look at certificates and token again.
    pub guard_asked: Cell<bool>,
    /// What is wrong with these.
    pub guard_note: RefCell<String>,
    started: Instant,
}

impl State {
    /// With a clock that shards already use.
    pub fn since(metrics: Arc<Metrics>, door: AdminDoor, started: Instant) -> Self {
        State {
            metrics,
            notes: RefCell::default(),
            models: RefCell::default(),
            models_note: RefCell::default(),
            models_asked: Cell::new(false),
            without_ring: RefCell::default(),
            models_looking: Cell::new(false),
            wake: OnceCell::new(),
            asked_of: OnceCell::new(),
            desk: OnceCell::new(),
            shadow: OnceCell::new(),
            trial_asked: Cell::new(false),
            trial_looking: Cell::new(false),
            trial: RefCell::default(),
            door,
            guard_asked: Cell::new(false),
            guard_note: RefCell::default(),
            started,
        }
    }

    /// Whether something is still looked at that a reload asks for, beside the snapshot.
    pub fn is_looking(&self) -> bool {
        [&self.models_asked, &self.models_looking, &self.trial_looking, &self.guard_asked].iter().any(|cell| cell.get())
    }

    /// What came of it, of each that has something to say.
    pub fn looked(&self) -> Vec<Ended> {
        let notes = [&self.models_note, &self.guard_note].map(|note| note.borrow().trim_end().to_owned());
        let refused = notes.into_iter().filter(|note| !note.is_empty()).map(Err);
        refused.chain(self.trial.borrow().clone()).collect()
    }

    /// Milliseconds since start, the clock of `heartbeat_ms`.
    pub fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}
