//! What other threads may ask of the control thread, and its own signals: a bit each, and a wake-up.

use crate::driver::sys;
use crate::host::reload::{Ended, Waiting};
use crate::switches::{Mark, Which};
use crate::tasks::Watched;
use rustix::event::EventfdFlags;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use verdict_wire::Outcome;

/// What other threads may ask of the control thread: bits, so that asking twice is asking once.
pub(super) const RELOAD: u32 = 1;
pub(super) const DRAIN: u32 = 2;

/// Somebody wants a kept generation.
#[derive(Debug)]
pub struct PinAsk {
    /// Which.
    pub which: Which,
    /// Who, when and why.
    pub mark: Mark,
    /// What came of it.
    pub done: Sender<Result<String, (Outcome, String)>>,
}

/// A handle that any thread may keep.
#[derive(Clone, Debug)]
pub struct Requests {
    bits: Arc<AtomicU32>,
    beats: Arc<AtomicU64>,
    pub(super) waiting: Waiting,
    pin: Arc<Mutex<Option<PinAsk>>>,
    pub(super) wake: Arc<OwnedFd>,
}

impl Requests {
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Requests { bits: Arc::default(), beats: Arc::default(), waiting: Waiting::default(), pin: Arc::default(), wake: Arc::new(wake) })
    }

    /// Reads, verifies and adopts the snapshot file again.
    pub fn reload(&self) {
        self.ask(RELOAD);
    }

    /// The same, and waits until it is done, or for so long.
    ///
    /// # Errors
    /// Why what is there is not served; or that it lasts.
    pub fn reload_and_wait(&self, at_most: Duration) -> Ended {
        let ended = self.waiting.join();
        self.reload();
        ended.recv_timeout(at_most).unwrap_or_else(|_| Err(format!("the reload lasts longer than {} s: see the log", at_most.as_secs())))
    }

    /// Finishes what was asked, then ends.
    pub fn drain(&self) {
        self.ask(DRAIN);
    }

    /// Has the control thread look around once.
    pub fn wake(&self) {
        self.ask(0);
    }

    /// How often it has.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Loads and pins one of the kept generations; false while another is waiting for that.
    pub fn pin(&self, ask: PinAsk) -> bool {
        let mut waiting = self.pin.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_some() {
            return false;
        }
        *waiting = Some(ask);
        drop(waiting);
        self.ask(0);
        true
    }

    pub(super) fn take_pin(&self) -> Option<PinAsk> {
        self.pin.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A shard has ended: look whether all have.
    pub fn shard_ended(&self) {
        self.ask(0);
    }

    pub(super) fn ask(&self, bits: u32) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
        // An eventfd refuses only when 2^64 wake-ups are already waiting.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    pub(super) fn take(&self) -> u32 {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        self.beats.fetch_add(1, Ordering::AcqRel);
        self.bits.swap(0, Ordering::AcqRel)
    }
}

/// SIGHUP reloads, SIGTERM and SIGINT drain. The signals were blocked before any thread was made.
pub(super) async fn forward_signals(requests: Requests) {
    let signals = match sys::signals(&[SIGHUP, SIGTERM, SIGINT]) {
        Ok(signals) => Watched::new(signals),
        Err(error) => {
            tracing::error!("cannot watch signals: {error}");
            return;
        }
    };
    // A signalfd_siginfo, which begins with the signal's number.
    let mut info = [0u8; 128];
    loop {
        signals.readable().await;
        while rustix::io::read(&signals, &mut info).is_ok_and(|bytes| bytes == info.len()) {
            match i32::from_ne_bytes([info[0], info[1], info[2], info[3]]) {
                SIGHUP => requests.reload(),
                _ => requests.drain(),
            }
        }
    }
}

/// Signal numbers as the kernel gives them, equal on x86-64 and aarch64.
pub const SIGHUP: i32 = 1;
/// See `SIGHUP`.
pub const SIGINT: i32 = 2;
/// See `SIGHUP`.
pub const SIGTERM: i32 = 15;
