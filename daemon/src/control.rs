//! The control thread: one executor of its own, unpinned, that no lookup ever waits for.
//!
//! ```text
//! SIGHUP, reload()  -> load + verify, in the background -> Adopt(Arc<Snapshot>) to every shard -> wait until all answer from it -> drop the old, likewise
//! SIGTERM, SIGINT, drain() -> Drain to every shard -> each closes its listeners, finishes, exits -> the daemon ends
//! admin HTTP, metrics
//! ```
//! A snapshot that cannot be read or verified changes nothing: the last good one keeps serving. Requests to reload that arrive meanwhile coalesce
//! into one more.

use crate::background::Background;
use crate::limits::TICK_MS;
use crate::mailbox::{Mailbox, ToShard};
use crate::metrics::Metrics;
use crate::pages;
use glommio::io::PollableFd;
use rustix::event::EventfdFlags;
use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use verdict_tables::Snapshot;

/// A shard adopts a snapshot at its next turn; one that has not after so long is stuck, and said to be.
const ADOPT_DEADLINE: Duration = Duration::from_secs(10);

/// What other threads may ask of the control thread: bits, so that asking twice is asking once.
const RELOAD: u32 = 1;
const DRAIN: u32 = 2;

/// When it was asked for, and what came of it.
type Loaded = (Instant, Result<InMemory, verdict_tables::Error>);

/// A snapshot, and how many of its bytes lie in huge pages: the kernel walks page tables to say so, which is no work for beside a shard either.
type InMemory = (Snapshot, u64);

/// A handle that any thread may keep.
#[derive(Clone, Debug)]
pub struct Requests {
    bits: Arc<AtomicU32>,
    wake: Arc<OwnedFd>,
}

impl Requests {
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Requests { bits: Arc::default(), wake: Arc::new(wake) })
    }

    /// Reads, verifies and adopts the snapshot file again.
    pub fn reload(&self) {
        self.ask(RELOAD);
    }

    /// Finishes what was asked, then ends.
    pub fn drain(&self) {
        self.ask(DRAIN);
    }

    /// A shard has ended: look whether all have.
    pub fn shard_ended(&self) {
        self.ask(0);
    }

    fn ask(&self, bits: u32) {
        self.bits.fetch_or(bits, Ordering::AcqRel);
        // An eventfd refuses only when 2^64 wake-ups are already waiting.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }

    fn take(&self) -> u32 {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        self.bits.swap(0, Ordering::AcqRel)
    }
}

/// What admin and the control loop share.
#[derive(Debug)]
pub struct State {
    /// Every number of the daemon.
    pub metrics: Arc<Metrics>,
    started: Instant,
}

impl State {
    /// With a clock that shards already use.
    pub fn since(metrics: Arc<Metrics>, started: Instant) -> Self {
        State { metrics, started }
    }

    /// Milliseconds since start, the clock of `heartbeat_ms`.
    pub fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// What the control loop is made with.
pub struct Control {
    /// Where requests of other threads arrive.
    pub requests: Requests,
    /// One for each shard.
    pub shards: Vec<Mailbox>,
    /// What is served now.
    pub snapshot: Arc<Snapshot>,
    /// Where the next one comes from.
    pub path: PathBuf,
    /// Where it is loaded.
    pub background: Background,
    /// Shards that have not ended.
    pub running: Arc<AtomicU32>,
    /// Shared with admin.
    pub state: Rc<State>,
}

impl Control {
    /// Runs until every shard has ended.
    pub async fn run(mut self, signals: bool) {
        self.note_served(huge_bytes(&self.snapshot));
        if signals {
            glommio::spawn_local(forward_signals(self.requests.clone())).detach();
        }
        let Ok(wake) = PollableFd::new(self.requests.wake.clone()) else {
            tracing::error!("the control thread cannot wait for requests; it ends, the shards serve on");
            return;
        };
        let (done, loaded) = channel();
        let (mut loading, mut again) = (false, false);
        while self.running.load(Ordering::Acquire) > 0 {
            if wake.readable().await.is_err() {
                glommio::timer::sleep(Duration::from_millis(TICK_MS)).await;
            }
            let asked = self.requests.take();
            if asked & DRAIN != 0 {
                self.drain();
            }
            again |= asked & RELOAD != 0;
            while let Ok((began, next)) = loaded.try_recv() {
                loading = false;
                self.judge(began, next).await;
            }
            if again && !loading && self.state.metrics.control.draining.get() == 0 {
                (loading, again) = (true, false);
                self.load(done.clone());
            }
        }
    }

    fn drain(&self) {
        if self.state.metrics.control.draining.get() != 0 {
            return;
        }
        tracing::info!("draining");
        self.state.metrics.control.draining.set(1);
        for shard in &self.shards {
            shard.send(ToShard::Drain);
        }
    }

    /// In the background; `done` gets what came of it.
    fn load(&self, done: Sender<Loaded>) {
        let (path, requests, began) = (self.path.clone(), self.requests.clone(), Instant::now());
        let without_thread = done.clone();
        let started = self.background.start(
            move || {
                let next = Snapshot::load(&path)?;
                let huge = huge_bytes(&next);
                Ok((next, huge))
            },
            move |loaded| {
                let _ = done.send((began, loaded.map_err(Into::into).flatten()));
                requests.ask(0);
            },
        );
        if let Err(error) = started {
            let _ = without_thread.send((began, Err(error.into())));
            self.requests.ask(0);
        }
    }

    async fn judge(&mut self, began: Instant, loaded: Result<InMemory, verdict_tables::Error>) {
        match loaded {
            Err(error) => {
                self.state.metrics.control.loads_refused.add(1);
                tracing::error!(path = %self.path.display(), serving = %format_args!("{:016x}", self.snapshot.generation()), "snapshot refused, the last good one keeps serving: {error}");
            }
            Ok((next, _)) if next.generation() == self.snapshot.generation() => {
                tracing::info!(generation = %format_args!("{:016x}", next.generation()), "snapshot is the one already served");
            }
            Ok((next, huge)) => self.adopt(Arc::new(next), huge, began).await,
        }
    }

    async fn adopt(&mut self, next: Arc<Snapshot>, huge: u64, began: Instant) {
        let generation = next.generation();
        for shard in &self.shards {
            shard.send(ToShard::Adopt(next.clone()));
        }
        // Kept until no shard has it any more, so that none of them is the last: unmapping a gigabyte takes milliseconds.
        let old = std::mem::replace(&mut self.snapshot, next);
        let deadline = Instant::now() + ADOPT_DEADLINE;
        while !self.state.metrics.shards.iter().all(|shard| shard.generation.get() == generation) {
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            if Instant::now() > deadline {
                tracing::error!(generation = %format_args!("{generation:016x}"), "not all shards adopted the snapshot in time; the old one is freed when they do");
                break;
            }
            glommio::timer::sleep(Duration::from_micros(500)).await;
        }
        self.note_served(huge);
        tracing::info!(generation = %format_args!("{generation:016x}"), ms = began.elapsed().as_millis() as u64, "snapshot adopted");
        // Without a thread the closure is dropped here, and the old snapshot with it.
        let _ = self.background.start(move || drop(old), |_| ());
    }

    fn note_served(&self, huge: u64) {
        let numbers = &self.state.metrics.control;
        let stats = self.snapshot.stats();
        numbers.entries.set(stats.rules_total());
        numbers.snapshot_bytes.set(stats.file_bytes);
        numbers.huge_bytes.set(huge);
        let page = pages::huge_page_bytes().unwrap_or(0);
        tracing::info!(bytes = stats.file_bytes, huge_page_bytes = huge, huge_page_size = page, "snapshot in memory");
        numbers.as_of_s.set(self.snapshot.as_of_s());
        numbers.loaded_timestamp_s.set(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    }
}

fn huge_bytes(snapshot: &Snapshot) -> u64 {
    pages::huge_bytes(snapshot.as_bytes().as_ptr() as usize).unwrap_or(0)
}

/// SIGHUP reloads, SIGTERM and SIGINT drain. The signals were blocked before any thread was made.
async fn forward_signals(requests: Requests) {
    let kinds = [SIGHUP, SIGTERM, SIGINT];
    let Ok(signals) = glommio::signal::Signals::new(&kinds) else {
        tracing::error!("cannot watch signals");
        return;
    };
    let failures = Cell::new(0u32);
    while failures.get() < 100 {
        match signals.recv().await {
            Ok(SIGHUP) => requests.reload(),
            Ok(_) => requests.drain(),
            Err(_) => failures.set(failures.get() + 1),
        }
    }
}

/// Signal numbers as the kernel gives them, equal on x86-64 and aarch64.
pub const SIGHUP: i32 = 1;
/// See `SIGHUP`.
pub const SIGINT: i32 = 2;
/// See `SIGHUP`.
pub const SIGTERM: i32 = 15;
