//! The control thread: one executor of its own, unpinned, that no lookup ever waits for.
//!
//! ```text
//! SIGHUP, reload(), a change of the published directory, a poll of it
//!                   -> load + verify, in the background -> Adopt(Arc<Snapshot>) to every shard -> wait until all answer from it -> drop the old, likewise
//! SIGTERM, SIGINT, drain() -> Drain to every shard -> each closes its listeners, finishes, exits -> the daemon ends
//! admin HTTP, metrics
//! ```
//! A snapshot that cannot be read or verified changes nothing: the last good one keeps serving. Requests to reload that arrive meanwhile coalesce
//! into one more. Where there is a directory or a bound on age the loop looks at the clock four times a second: is what is served stale, was it
//! served long enough, is it time to poll?

use crate::background::Background;
use crate::inline::keeper::{self, Keeper, Looked};
use crate::inline::served::Served;
use crate::limits::TICK_MS;
use crate::mailbox::{Mailbox, ToShard};
use crate::metrics::Metrics;
use crate::nearness::Bounded;
use crate::nodes::{Copies, Nodes};
use crate::overlay::desk::Desk;
use crate::pages;
use crate::shadow::page::Seen;
use crate::source::{Found, Freshness, Refused, Source};
use crate::trust::watch::{jittered, notice};
use crate::trust::{GOOD_AFTER, Terms, now_s};
use glommio::io::PollableFd;
use rustix::event::EventfdFlags;
use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use verdict_tables::manifest::Why;

/// A shard adopts a snapshot at its next turn; one that has not after so long is stuck, and said to be.
const ADOPT_DEADLINE: Duration = Duration::from_secs(10);

/// What other threads may ask of the control thread: bits, so that asking twice is asking once.
const RELOAD: u32 = 1;
const DRAIN: u32 = 2;

/// When it was asked for, what came of it, and how many of its bytes lie in huge pages: the kernel walks page tables to say so, which is no work for
/// beside a shard either.
type Loaded = (Instant, Result<Found<Copies>, Refused>, u64);

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
    /// Where the snapshot came from and what is wrong with it, a line each, for `/readyz`.
    pub notes: RefCell<String>,
    /// The models that are asked, for `/models`.
    pub models: RefCell<Option<Arc<Served>>>,
    /// What is wrong with the registry of models, for `/readyz`.
    pub models_note: RefCell<String>,
    /// SIGHUP: look at the registry again.
    pub models_asked: Cell<bool>,
    /// Rules on trial, where there are some.
    pub shadow: OnceCell<Seen>,
    started: Instant,
}

impl State {
    /// With a clock that shards already use.
    pub fn since(metrics: Arc<Metrics>, started: Instant) -> Self {
        State {
            metrics,
            notes: RefCell::default(),
            models: RefCell::default(),
            models_note: RefCell::default(),
            models_asked: Cell::new(false),
            shadow: OnceCell::new(),
            started,
        }
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
    pub snapshot: Copies,
    /// Who hands it to the shards, with what operators say over it.
    pub desk: Arc<Desk>,
    /// Where copies of the next one are to lie.
    pub nodes: Nodes,
    /// Who signed it, and until when.
    pub terms: Option<Terms>,
    /// Where the next one comes from.
    pub source: Source,
    /// The directory to be watched, and how often it is looked at anyway.
    pub watched: Option<(PathBuf, Duration)>,
    /// Seconds, 0 = as the manifest says.
    pub stale_after_s: u64,
    /// Who reads registries of models, and what came of the first.
    pub models: Option<(Keeper, Looked)>,
    /// How often what was refused is looked at again.
    pub poll: Duration,
    /// Of a published snapshot.
    pub bytes_max: u64,
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
        let mut clock = Clock::new(self.freshness());
        self.note_served(huge_bytes(&self.snapshot));
        self.spawn_helpers(signals);
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
            self.state.models_asked.set(self.state.models_asked.get() || asked & RELOAD != 0);
            if let Some(trial) = self.state.shadow.get().filter(|_| asked & RELOAD != 0) {
                trial.reload();
            }
            while let Ok((began, found, huge)) = loaded.try_recv() {
                loading = false;
                if self.judge(began, found, huge).await {
                    clock = Clock { stale: clock.stale, poll_at: clock.poll_at, ..Clock::new(self.freshness()) };
                }
            }
            again |= self.look_at_the_clock(&mut clock);
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
        // Ended in order, however soon: no failed start.
        self.source.good();
        self.state.metrics.control.draining.set(1);
        for shard in &self.shards {
            shard.send(ToShard::Drain);
        }
    }

    /// In the background; `done` gets what came of it.
    fn load(&self, done: Sender<Loaded>) {
        let (source, nodes, requests, began) = (self.source.clone(), self.nodes.clone(), self.requests.clone(), Instant::now());
        let (serving, without_thread) = (self.snapshot.generation(), done.clone());
        let no_thread = |error: std::io::Error| Refused { why: Why::Io, text: error.to_string(), again: false };
        let started = self.background.start(
            move || {
                let found = source.look(serving).and_then(|found| found.copied(&nodes));
                let huge = if let Ok(Found::New(next, _)) = &found { huge_bytes(next) } else { 0 };
                (found, huge)
            },
            move |loaded| {
                let (found, huge) = loaded.unwrap_or_else(|error| (Err(no_thread(error)), 0));
                let _ = done.send((began, found, huge));
                requests.ask(0);
            },
        );
        if let Err(error) = started {
            let _ = without_thread.send((began, Err(no_thread(error)), 0));
            self.requests.ask(0);
        }
    }

    /// True if what is served, or until when, is another now.
    async fn judge(&mut self, began: Instant, found: Result<Found<Copies>, Refused>, huge: u64) -> bool {
        let serving = format!("{:016x}", self.snapshot.generation());
        match found {
            Err(refused) => {
                self.refuse(&refused, &serving);
                return false;
            }
            Ok(Found::Same) if self.watched.is_some() => tracing::debug!(generation = serving, "nothing newer is published"),
            Ok(Found::Same) => tracing::info!(generation = serving, "snapshot is the one already served"),
            Ok(Found::NotOurStage) => tracing::info!(generation = serving, "what is published is for other nodes first"),
            Ok(Found::Renewed(terms)) => {
                tracing::info!(
                    generation = serving,
                    epoch = terms.epoch,
                    expires_s = terms.expires_s,
                    "snapshot confirmed by a newer manifest"
                );
                self.terms = Some(terms);
                self.note_terms(None);
                return true;
            }
            Ok(Found::New(next, terms)) => {
                self.terms = terms;
                self.adopt(next, huge, began).await;
                return true;
            }
        }
        self.note_terms(None);
        false
    }

    fn refuse(&self, refused: &Refused, serving: &str) {
        self.note_terms(Some(refused));
        if refused.again {
            return;
        }
        self.state.metrics.control.refuse(refused.why);
        let (why, from) = (refused.why.name(), self.source.shown());
        tracing::error!(from, why, serving, "snapshot refused, the last good one keeps serving: {}", refused.text);
    }

    fn freshness(&self) -> Freshness {
        Freshness::of(self.terms.as_ref(), self.snapshot.as_of_s(), self.stale_after_s, now_s())
    }

    fn spawn_helpers(&mut self, signals: bool) {
        if let Some((keeper, first)) = self.models.take() {
            keeper::note(&first, &self.state);
            let keep = keeper::keep(keeper, self.shards.clone(), self.background.clone(), self.poll, self.state.clone());
            glommio::spawn_local(keep).detach();
        }
        if signals {
            glommio::spawn_local(forward_signals(self.requests.clone())).detach();
        }
        if let Some((path, poll)) = &self.watched {
            glommio::spawn_local(notice(path.clone(), self.requests.clone(), *poll)).detach();
        }
        self.requests.ask(0);
        // A file that nobody signed, without a bound on its age, changes by request alone; the executor's timers would allocate all day for nothing.
        if self.watched.is_some() || self.stale_after_s != 0 {
            glommio::spawn_local(tick(self.requests.clone())).detach();
        }
    }

    /// Tells the shards when answers become stale, and writes down a good start. True when it is time to poll.
    fn look_at_the_clock(&self, clock: &mut Clock) -> bool {
        let stale = clock.freshness.is_stale(now_s());
        if clock.stale != Some(stale) {
            clock.stale = Some(stale);
            self.state.metrics.control.stale.set(stale.into());
            for shard in &self.shards {
                shard.send(ToShard::Stale(stale));
            }
            if stale {
                tracing::warn!(as_of_s = self.snapshot.as_of_s(), "what is served is older than it may be: answers are marked stale");
            }
        }
        let now = Instant::now();
        if clock.good_at.is_some_and(|at| now >= at) {
            clock.good_at = None;
            self.source.good();
        }
        let Some((_, poll)) = &self.watched else { return false };
        let due = clock.poll_at.is_some_and(|at| now >= at);
        if due || clock.poll_at.is_none() {
            clock.poll_at = Some(now + jittered(*poll, &mut clock.random));
        }
        due
    }

    /// What `/readyz` tells beside the generation.
    fn note_terms(&self, refused: Option<&Refused>) {
        let numbers = &self.state.metrics.control;
        let quarantined = self.source.quarantined();
        if quarantined < numbers.quarantined.get() {
            tracing::warn!(quarantined, "a snapshot was lifted from quarantine by hand: it is tried again where it is published");
        }
        numbers.quarantined.set(quarantined);
        let mut notes = match &self.terms {
            None => "unsigned: anybody who can write the file decides the answers (snapshot.keys)\n".to_owned(),
            Some(terms) => {
                numbers.manifest_epoch.set(terms.epoch);
                numbers.manifest_expires_s.set(terms.expires_s);
                let rollback = if terms.rollback { ", a rollback" } else { "" };
                format!("signed, epoch {}{rollback}, created {} expires {} (Unix seconds)\n", terms.epoch, terms.created_s, terms.expires_s)
            }
        };
        if let Some(refused) = refused {
            notes += &format!("refused ({}): {}\n", refused.why.name(), refused.text.escape_debug());
        }
        if quarantined > 0 {
            notes += &format!("quarantined {quarantined}\n");
        }
        self.state.notes.replace(notes);
    }

    async fn adopt(&mut self, next: Copies, huge: u64, began: Instant) {
        let generation = next.generation();
        self.desk.adopt(&next);
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
        if self.watched.is_some() {
            numbers.near(Bounded::SnapshotBytes).note(Bounded::SnapshotBytes, stats.file_bytes, self.bytes_max);
        }
        numbers.huge_bytes.set(huge);
        let page = pages::huge_page_bytes().unwrap_or(0);
        tracing::info!(
            bytes = stats.file_bytes,
            copies = self.snapshot.all().len(),
            huge_page_bytes = huge,
            huge_page_size = page,
            "snapshot in memory"
        );
        numbers.as_of_s.set(self.snapshot.as_of_s());
        numbers.loaded_timestamp_s.set(now_s());
        self.note_terms(None);
    }
}

/// What happens by the clock alone.
struct Clock {
    freshness: Freshness,
    /// As the shards were told.
    stale: Option<bool>,
    good_at: Option<Instant>,
    poll_at: Option<Instant>,
    random: u64,
}

impl Clock {
    fn new(freshness: Freshness) -> Self {
        let now = Instant::now();
        let random = now_s() ^ u64::from(std::process::id()) << 32;
        Clock { freshness, stale: None, good_at: Some(now + GOOD_AFTER), poll_at: None, random }
    }
}

/// Of all copies.
fn huge_bytes(snapshot: &Copies) -> u64 {
    snapshot.all().iter().filter_map(|copy| pages::huge_bytes(copy.as_bytes().as_ptr() as usize)).sum()
}

async fn tick(requests: Requests) {
    loop {
        glommio::timer::sleep(Duration::from_millis(TICK_MS)).await;
        requests.ask(0);
    }
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
