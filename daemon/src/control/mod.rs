//! The control thread: tasks of its own (tasks/mod.rs), unpinned, that no lookup ever waits for.
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

mod requests;
mod state;

pub use requests::{PinAsk, Requests, SIGHUP, SIGINT, SIGTERM};
pub use state::State;

use crate::background::Background;
use crate::edge::guard::keeper::Keeper as Certificates;
use crate::host::reload::{Ended, Reloads};
use crate::host::watchdog;
use crate::inline::keeper::{self, Keeper, Looked};
use crate::limits::TICK_MS;
use crate::mailbox::{Mailbox, ToShard};
use crate::nearness::Bounded;
use crate::nodes::{Copies, Nodes};
use crate::overlay::desk::Desk;
use crate::pages;
use crate::shadow::look;
use crate::source::{Found, Freshness, Refused, Source};
use crate::switches::Pin;
use crate::tasks::{self, Watched};
use crate::trust::watch::{jittered, notice};
use crate::trust::{GOOD_AFTER, Terms, now_s};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};
use verdict_tables::manifest::Why;
use verdict_wire::Outcome;

/// A shard adopts a snapshot at its next turn; one that has not after so long is stuck, and said to be.
const ADOPT_DEADLINE: Duration = Duration::from_secs(10);

/// When it was asked for, what came of it, and how many of its bytes lie in huge pages: the kernel walks page tables to say so, which is no work for
/// beside a shard either.
enum Loaded {
    /// What is published.
    Published(Instant, Result<Found<Copies>, Refused>, u64),
    /// One that is kept, since somebody wants to pin it.
    Kept(Instant, PinAsk, Kept, u64),
}

/// A kept generation, or why not.
type Kept = Result<(Found<Copies>, Pin), (Outcome, String)>;

/// What the control loop is made with.
pub struct Control {
    /// Where requests of other threads arrive.
    pub requests: Requests,
    /// Who waits for what was asked.
    pub reloads: Reloads,
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
    /// Certificates and token.
    pub certificates: Option<Certificates>,
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
        let (has_models, has_guard) = (self.models.is_some(), self.certificates.as_ref().is_some_and(Certificates::has_work));
        self.note_served(huge_bytes(&self.snapshot));
        self.spawn_helpers(signals);
        let wake = Watched::new(self.requests.wake.clone());
        let (done, loaded) = channel();
        let (mut loading, mut again) = (false, false);
        while self.running.load(Ordering::Acquire) > 0 {
            wake.readable().await;
            let asked = self.requests.take();
            if asked & requests::DRAIN != 0 {
                self.drain();
            }
            if asked & requests::RELOAD != 0 {
                again = true;
                self.ask_for_the_rest(has_models, has_guard);
            }
            while let Ok(found) = loaded.try_recv() {
                loading = false;
                let is_another = match found {
                    Loaded::Published(began, found, huge) => {
                        let (is_another, told) = self.judge(began, found, huge).await;
                        self.reloads.judged(told);
                        is_another
                    }
                    Loaded::Kept(began, ask, found, huge) => self.judge_kept(began, ask, found, huge).await,
                };
                if is_another {
                    clock = Clock { stale: clock.stale, poll_at: clock.poll_at, ..Clock::new(self.freshness()) };
                }
            }
            again |= self.look_at_the_clock(&mut clock);
            let draining = self.state.metrics.control.draining.get() != 0;
            if let Some(ask) = if loading || draining { None } else { self.requests.take_pin() } {
                loading = true;
                self.load_kept(ask, done.clone());
            }
            if again && !loading && !draining {
                again = false;
                self.reloads.begin();
                if self.desk.is_frozen() {
                    let told = "updates are off, or a generation is pinned: what is published is not looked at (`verdictctl switch list`)";
                    if asked & requests::RELOAD != 0 {
                        tracing::warn!("{told}");
                    }
                    self.reloads.judged(Ok(told.to_owned()));
                } else {
                    loading = true;
                    self.load(done.clone());
                }
            }
            self.state.metrics.control.switches.loading.set(loading.into());
            if !self.state.is_looking() {
                self.reloads.end_if_judged(|| self.state.looked(), || watchdog::status(&self.state.metrics));
            }
        }
    }

    /// A reload is for models, rules on trial and certificates too.
    fn ask_for_the_rest(&mut self, has_models: bool, has_guard: bool) {
        self.reloads.asked(&self.requests.waiting);
        self.state.models_asked.set(has_models);
        if let Some(seen) = self.state.shadow.get() {
            look::ask(seen.shared(), &self.background, &self.state);
        }
        self.state.guard_asked.set(has_guard);
    }

    fn drain(&mut self) {
        if self.state.metrics.control.draining.get() != 0 {
            return;
        }
        tracing::info!("draining");
        // Ended in order, however soon: no failed start.
        self.source.good();
        self.reloads.stop(&self.requests.waiting);
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
                let _ = done.send(Loaded::Published(began, found, huge));
                requests.ask(0);
            },
        );
        if let Err(error) = started {
            let _ = without_thread.send(Loaded::Published(began, Err(no_thread(error)), 0));
            self.requests.ask(0);
        }
    }

    /// Likewise. Without a thread whoever asks is told that the daemon did not answer.
    fn load_kept(&self, ask: PinAsk, done: Sender<Loaded>) {
        let (source, nodes, requests, began) = (self.source.clone(), self.nodes.clone(), self.requests.clone(), Instant::now());
        let work = move || {
            let found = source.kept(ask.which).and_then(|(found, pin)| {
                let copies = found.copied(&nodes).map_err(|refused| (Outcome::Failed, refused.text))?;
                Ok((copies, pin))
            });
            let huge = if let Ok((Found::New(next, _), _)) = &found { huge_bytes(next) } else { 0 };
            Loaded::Kept(began, ask, found, huge)
        };
        let started = self.background.start(work, move |loaded| {
            if let Ok(loaded) = loaded {
                let _ = done.send(loaded);
            }
            requests.ask(0);
        });
        if let Err(error) = started {
            tracing::error!("no thread to load a kept generation: {error}");
        }
    }

    /// True if what is served is another now. It is written down before it holds.
    async fn judge_kept(&mut self, began: Instant, ask: PinAsk, found: Kept, huge: u64) -> bool {
        let PinAsk { mark, done, .. } = ask;
        let (found, pin) = match found {
            Ok(found) => found,
            Err(why) => {
                let _ = done.send(Err(why));
                return false;
            }
        };
        if let Err(text) = self.desk.write_pin(pin, mark) {
            self.source.serves(self.snapshot.sha256());
            let _ = done.send(Err((Outcome::Failed, text)));
            return false;
        }
        let (mut adopted, mut told) = (false, Ok(()));
        if let Found::New(next, terms) = found {
            self.terms = terms;
            told = self.adopt(next, huge, began).await;
            adopted = true;
        }
        let was = if adopted { "served by every shard" } else { "which was served already" };
        let _ = done.send(match told {
            Ok(()) => Ok(format!("pinned to {pin}, {was}; nothing newer is taken")),
            Err(why) => Err((Outcome::Failed, format!("pinned to {pin}, and written down; but {why}"))),
        });
        adopted
    }

    /// True if what is served, or until when, is another now; and what whoever asked is told.
    async fn judge(&mut self, began: Instant, found: Result<Found<Copies>, Refused>, huge: u64) -> (bool, Ended) {
        let serving = format!("{:016x}", self.snapshot.generation());
        let told = match found {
            Err(refused) => {
                self.refuse(&refused, &serving);
                return (false, Err(format!("{}; generation {serving} is served on", refused.text)));
            }
            Ok(Found::Same) => {
                let told = if self.watched.is_some() { "nothing newer is published" } else { "snapshot is the one already served" };
                if self.watched.is_some() {
                    tracing::debug!(generation = serving, "{told}")
                } else {
                    tracing::info!(generation = serving, "{told}")
                }
                told
            }
            Ok(Found::NotOurStage) => {
                tracing::info!(generation = serving, "what is published is for other nodes first");
                "what is published is for other nodes first"
            }
            Ok(Found::Renewed(terms)) => {
                tracing::info!(
                    generation = serving,
                    epoch = terms.epoch,
                    expires_s = terms.expires_s,
                    "snapshot confirmed by a newer manifest"
                );
                self.terms = Some(terms);
                self.note_terms(None);
                return (true, Ok(format!("generation {serving}: confirmed by a newer manifest, epoch {}", terms.epoch)));
            }
            Ok(Found::New(next, terms)) => {
                self.terms = terms;
                let adopted = self.adopt(next, huge, began).await;
                return (true, adopted.map(|()| format!("generation {:016x}: adopted, in place of {serving}", self.snapshot.generation())));
            }
        };
        self.note_terms(None);
        (false, Ok(format!("generation {serving}: {told}")))
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
            tasks::spawn(keep);
        }
        if let Some(keeper) = self.certificates.take().filter(Certificates::has_work) {
            tasks::spawn(keeper.keep(self.shards.clone(), self.state.clone()));
        }
        if signals {
            tasks::spawn(requests::forward_signals(self.requests.clone()));
        }
        if let Some((path, poll)) = &self.watched {
            tasks::spawn(notice(path.clone(), self.requests.clone(), *poll));
        }
        self.requests.ask(0);
        // A file that nobody signed, without a bound on its age, changes by request alone; timers would go off all day for nothing.
        if self.watched.is_some() || self.stale_after_s != 0 {
            tasks::spawn(tick(self.requests.clone()));
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

    /// Returns when every shard answers by it.
    ///
    /// # Errors
    /// When one did not take it in time.
    async fn adopt(&mut self, next: Copies, huge: u64, began: Instant) -> Result<(), String> {
        let generation = next.generation();
        // Kept until no shard has it any more, so that none of them is the last: unmapping a gigabyte takes milliseconds.
        let old = (self.desk.adopt(&next), std::mem::replace(&mut self.snapshot, next));
        let (deadline, mut told) = (Instant::now() + ADOPT_DEADLINE, Ok(()));
        while !self.state.metrics.shards.iter().all(|shard| shard.generation.get() == generation) {
            if self.running.load(Ordering::Acquire) == 0 {
                return Err("the daemon is ending".into());
            }
            if Instant::now() > deadline {
                let late = "not all shards adopted the snapshot in time; the old one is freed when they do";
                tracing::error!(generation = %format_args!("{generation:016x}"), "{late}");
                told = Err(late.to_owned());
                break;
            }
            tasks::sleep(Duration::from_micros(500)).await;
        }
        self.note_served(huge);
        tracing::info!(generation = %format_args!("{generation:016x}"), ms = began.elapsed().as_millis() as u64, "snapshot adopted");
        // Without a thread the closure is dropped here, and the old snapshot with it.
        let _ = self.background.start(move || drop(old), |_| ());
        told
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
        // It reads the whole table. Without a thread the feeds of the one before are shown on.
        let (metrics, snapshot) = (self.state.metrics.clone(), self.snapshot.near(0).clone());
        let _ = self.background.start(move || metrics.sources.read(&snapshot), |_| ());
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
        tasks::sleep(Duration::from_millis(TICK_MS)).await;
        requests.ask(0);
    }
}
