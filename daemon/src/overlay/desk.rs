//! Where acts are judged, written down, and handed to the shards; the one place that knows which entries hold, and what is switched off.
//!
//! ```text
//! act:   judge ─► journal, on disk ─► entries ─► table for the generation served ─► message to every shard ─► wait for all ─► confirm
//! part:  judge ─► switches, on disk ─► answers without it ───────────────────────► message to every shard ─► wait for all ─► confirm
//! swap:  table for the next generation, sent together with it: no shard ever has the one without the other
//! clock: an entry ends by a clock that nobody sets and that counts sleep; wall time is for people, and for the next start
//! ```
//! Two locks: one is held by an act from judging to confirming, disk included; the other only while entries change and messages are sent, so that
//! a swap never waits for a disk. A shard takes neither.

mod away;
mod switching;

use super::journal::{Journal, JournalError};
use super::table::Overlay;
use super::{Entry, Key};
use crate::config::Config;
use crate::control::Requests;
use crate::mailbox::{Mailbox, Overlaid, ToShard};
use crate::metrics::Metrics;
use crate::nearness::Bounded;
use crate::nodes::Copies;
use crate::switches::{Part, Switches};
use rustix::event::EventfdFlags;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use verdict_keys::Kind;
use verdict_simd::Selected;
use verdict_tables::{Class, Snapshot};
use verdict_wire::{Act, ActRequest, Outcome, TTL_S_MAX};

/// A shard takes a message at its next turn; one that has not after so long is stuck, and whoever acts is told.
const SHARDS_DEADLINE: Duration = Duration::from_secs(2);

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Kind of it.
    pub outcome: Outcome,
    /// For people.
    pub text: String,
    /// Entries in force.
    pub entries: usize,
    /// From judging to all shards answering by it.
    pub took: Duration,
}

#[derive(Debug)]
struct Held {
    entry: Arc<Entry>,
    /// By `clock_ms`.
    ends_ms: u64,
}

/// What changes when an act is enforced.
struct Live {
    entries: BTreeMap<Key, Held>,
    switches: Switches,
    /// Names of the models that there are, of this registry or one before.
    models: BTreeSet<String>,
    /// As it was compiled.
    compiled: Copies,
    /// Without what is off.
    served: Copies,
    shards: Vec<Mailbox>,
    overlaid: Overlaid,
    /// Kept, so that no shard is the last to have it, and frees it.
    previous: Option<Arc<Overlay>>,
}

/// See above.
pub struct Desk {
    backend: Selected,
    entries_max: usize,
    /// Where journal and switches are.
    directory: Option<PathBuf>,
    requests: Requests,
    metrics: Arc<Metrics>,
    /// Shards that have not ended.
    running: Arc<AtomicU32>,
    journal: Mutex<Option<Journal>>,
    live: Mutex<Live>,
    wake: OwnedFd,
    ended: AtomicBool,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// Whatever panicked under a lock left entries and journal whole: both change in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Milliseconds since boot, sleep included.
fn clock_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Milliseconds since 1970.
fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What is left of an entry at a start: never more than it was given, whatever the clock was set to meanwhile.
fn left_ms(entry: &Entry, wall_ms: u64) -> u64 {
    entry.until_ms.saturating_sub(wall_ms).min(entry.until_ms.saturating_sub(entry.at_ms))
}

fn refused(text: String) -> (Outcome, String) {
    (Outcome::Refused, text)
}

impl Desk {
    /// With what the journal holds and what is switched off, for the shards of this daemon.
    ///
    /// # Errors
    /// When the journal cannot be used.
    pub fn open(
        config: &Config,
        backend: Selected,
        (compiled, switches): (Copies, Switches),
        metrics: Arc<Metrics>,
        running: Arc<AtomicU32>,
        requests: Requests,
    ) -> Result<Self, JournalError> {
        let (wall_ms, clock_ms) = (wall_ms(), clock_ms());
        let directory = config.journal_directory();
        let journal = directory.as_deref().map(|directory| Journal::open(directory, wall_ms)).transpose()?;
        let held = |(key, (_, entry)): (Key, (u64, Entry))| {
            let left_ms = left_ms(&entry, wall_ms);
            (left_ms > 0).then(|| (key, Held { ends_ms: clock_ms + left_ms, entry: Arc::new(entry) }))
        };
        let entries: BTreeMap<Key, Held> = journal.iter().flat_map(Journal::entries).filter_map(held).collect();
        if !entries.is_empty() {
            tracing::warn!(entries = entries.len(), "the overlay holds entries: see `verdictctl overlay list`");
        }
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let wake = wake.map_err(|error| JournalError::Io { path: "eventfd".into(), error: error.into() })?;
        for (part, mark) in &switches.off {
            tracing::warn!(part = %part, mark = %mark, "switched off: see `verdictctl switch list`");
        }
        let served = compiled.switched(&switches.of_tables());
        let (models, shards, overlaid) = (switches.models(), Vec::new(), Overlaid::default());
        let live = Live { entries, switches, models, compiled, served, shards, overlaid, previous: None };
        let (journal, live) = (Mutex::new(journal), Mutex::new(live));
        let (entries_max, ended) = (config.overlay.entries_max, AtomicBool::new(false));
        let desk = Desk { backend, entries_max, directory, requests, metrics, running, journal, live, wake, ended };
        desk.publish(&mut locked(&desk.live));
        desk.note_switches(&locked(&desk.live));
        Ok(desk)
    }

    /// Whether there is a journal, and so anything to wait for.
    pub fn has_journal(&self) -> bool {
        locked(&self.journal).is_some()
    }

    /// What the shard of this number begins with.
    pub fn first(&self, shard: usize) -> (Arc<Snapshot>, Overlaid) {
        let live = locked(&self.live);
        (live.served.near(shard).clone(), live.overlaid.clone())
    }

    /// Who is to be told from now on.
    pub fn attach(&self, shards: Vec<Mailbox>) {
        locked(&self.live).shards = shards;
    }

    /// Hands every shard the next generation without what is off, and the entries by its keys. What they had before, to be let go when none of them has it.
    pub fn adopt(&self, next: &Copies) -> Copies {
        let mut live = locked(&self.live);
        live.compiled = next.clone();
        let switched = next.switched(&live.switches.of_tables());
        let before = std::mem::replace(&mut live.served, switched);
        self.compile(&mut live);
        self.note_switches(&live);
        for (number, shard) in live.shards.iter().enumerate() {
            shard.send(ToShard::Adopt(live.served.near(number).clone(), live.overlaid.clone()));
        }
        before
    }

    fn compile(&self, live: &mut Live) {
        let is_on = !live.switches.is_off(&Part::Overlay);
        let entries = live.entries.values().filter(|_| is_on).map(|held| held.entry.clone()).collect();
        let overlay = Overlay::of(self.backend, &live.compiled, entries).map(Arc::new);
        live.overlaid.monitor = live.switches.is_off(&Part::Enforcement);
        live.overlaid.models_off = Arc::new(live.switches.models());
        live.previous = std::mem::replace(&mut live.overlaid.overlay, overlay);
    }

    /// The entries as they are now, to every shard. The version that they will show.
    fn publish(&self, live: &mut Live) -> u64 {
        self.compile(live);
        live.overlaid.version += 1;
        for shard in &live.shards {
            shard.send(ToShard::Overlay(live.overlaid.clone()));
        }
        let counts = &self.metrics.control.overlay_entries;
        counts.iter().flatten().for_each(|count| count.set(0));
        for Held { entry, .. } in live.entries.values() {
            counts[usize::from(entry.is_unblock())][entry.key.kind() as usize - 1].add(1);
        }
        let near = self.metrics.control.near(Bounded::OverlayEntries);
        near.note(Bounded::OverlayEntries, live.entries.len() as u64, self.entries_max as u64);
        live.overlaid.version
    }

    /// Judges, writes down, enforces, waits.
    pub fn act(&self, request: &ActRequest<'_>, uid: u32, pid: u32) -> Done {
        let began = Instant::now();
        let numbers = &self.metrics.control;
        let mut journal = locked(&self.journal);
        let (outcome, text) = match self.try_act(&mut journal, request, (uid, pid)) {
            Ok(text) => (Outcome::Done, text),
            Err(other) => other,
        };
        if outcome == Outcome::Done {
            numbers.overlay_acts[request.act as usize - 1].add(1);
        } else {
            numbers.overlay_refused.add(1);
        }
        let entries = locked(&self.live).entries.len();
        drop(journal);
        let took = began.elapsed();
        let kind = request.kind.map_or("", |kind| kind.name());
        let told = verdict_keys::Kind::try_from(request.kind.map_or(0, |kind| kind.raw())).ok().map(|kind| shown(kind, request.key));
        tracing::warn!(
            act = request.act.name(),
            kind,
            key = told.unwrap_or_default(),
            class = request.class.name(),
            ttl_s = request.ttl_s,
            reason = ?request.reason,
            uid,
            pid,
            result = outcome.name(),
            text,
            entries,
            took_us = took.as_micros() as u64,
            "overlay"
        );
        Done { outcome, text, entries, took }
    }

    /// Bytes that are no act: told, counted and logged as one that was refused.
    pub fn refuse(&self, text: String, uid: u32, pid: u32) -> Done {
        let began = Instant::now();
        // Whoever holds this counts.
        let judged = locked(&self.journal);
        self.metrics.control.overlay_refused.add(1);
        drop(judged);
        let entries = locked(&self.live).entries.len();
        let result = Outcome::Refused;
        tracing::warn!(act = "none", uid, pid, result = result.name(), text, entries, "overlay");
        Done { outcome: result, text, entries, took: began.elapsed() }
    }

    fn try_act(
        &self,
        journal: &mut Option<Journal>,
        request: &ActRequest<'_>,
        (uid, pid): (u32, u32),
    ) -> Result<String, (Outcome, String)> {
        let journal = journal.as_mut().ok_or_else(|| refused(NO_JOURNAL.to_owned()))?;
        let kind = request.kind.and_then(|kind| Kind::try_from(kind.raw()).ok()).ok_or_else(|| refused("no such kind of key".into()))?;
        let key = Key::new(kind, request.key).map_err(|why| refused(format!("`{}` is no key: {why}", shown(kind, request.key))))?;
        self.judge(request, &key)?;
        let class = if request.act == Act::Block { Class::from_u8(request.class.raw()) } else { None };
        let class = class.unwrap_or(if request.act == Act::Unblock { Class::Clean } else { Class::Unknown });
        let (at_ms, lasts_ms) = (wall_ms(), u64::from(request.ttl_s) * 1000);
        let entry = Entry { key: key.clone(), class, at_ms, until_ms: at_ms + lasts_ms, uid, pid, reason: request.reason.to_owned() };
        if let Err(error) = journal.append(request.act, entry.clone()) {
            self.metrics.control.overlay_journal_errors.add(1);
            return Err((Outcome::Failed, format!("nothing changed, since it cannot be written down: {error}")));
        }
        let (version, before) = {
            let mut live = locked(&self.live);
            let before = match request.act {
                Act::Remove => live.entries.remove(&key),
                _ => live.entries.insert(key.clone(), Held { ends_ms: clock_ms() + lasts_ms, entry: Arc::new(entry.clone()) }),
            };
            (self.publish(&mut live), before)
        };
        self.wake();
        if !self.wait_for_shards(version) {
            let late = format!("it is written down and holds, but a shard has not taken it within {SHARDS_DEADLINE:?}: see /livez");
            return Err((Outcome::Failed, late));
        }
        let instead = before.filter(|_| request.act != Act::Remove);
        let instead = instead.map_or(String::new(), |held| format!("; in place of: {}", held.entry));
        let idle = if locked(&self.live).switches.is_off(&Part::Overlay) {
            "; but the overlay is switched off: it holds when that is on again"
        } else {
            ""
        };
        Ok(match request.act {
            Act::Remove => format!("{key}: its entry is gone{idle}"),
            _ => format!("{key}: {entry}{instead}{idle}"),
        })
    }

    /// Whether it may be.
    fn judge(&self, request: &ActRequest<'_>, key: &Key) -> Result<(), (Outcome, String)> {
        let live = locked(&self.live);
        let known = live.entries.contains_key(key);
        if request.act == Act::Remove {
            return if known { Ok(()) } else { Err((Outcome::NotThere, format!("no entry of {key} is in force"))) };
        }
        if request.ttl_s > TTL_S_MAX {
            return Err(refused(format!("a ttl of {} s: at most {TTL_S_MAX} s (24 h) are possible", request.ttl_s)));
        }
        let unblocked = key.covering().into_iter().find(|key| live.entries.get(key).is_some_and(|held| held.entry.is_unblock()));
        if let (Act::Block, Some(by)) = (request.act, unblocked) {
            return Err(refused(format!(
                "{by} is unblocked, and an unblock beats every block: take it back first, by `verdictctl overlay remove {by}`"
            )));
        }
        if !known && live.entries.len() >= self.entries_max {
            return Err(refused(format!(
                "{} entries are in force, as many as overlay.entries_max allows: remove some",
                live.entries.len()
            )));
        }
        Ok(())
    }

    /// Whether all shards answer by this version.
    fn wait_for_shards(&self, version: u64) -> bool {
        let deadline = Instant::now() + SHARDS_DEADLINE;
        while !self.metrics.shards.iter().all(|shard| shard.overlay.get() >= version) {
            if self.running.load(Ordering::Acquire) == 0 {
                return true; // nobody answers anything any more
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        true
    }

    /// Everything in force, by key.
    pub fn list(&self) -> Vec<Arc<Entry>> {
        locked(&self.live).entries.values().map(|held| held.entry.clone()).collect()
    }

    /// Takes away what has ended. How long until the next one does, in milliseconds.
    pub fn expire(&self) -> Option<u64> {
        let mut live = locked(&self.live);
        let now_ms = clock_ms();
        let is_over = |held: &Held| held.ends_ms <= now_ms;
        let over = live.entries.values().filter(|held| is_over(held)).count();
        if over > 0 {
            for Held { entry, .. } in live.entries.values().filter(|held| is_over(held)) {
                tracing::warn!(act = "expire", kind = ?entry.key.kind(), key = %entry.key, was = %entry, "overlay");
            }
            live.entries.retain(|_, held| !is_over(held));
            self.metrics.control.overlay_expired.add(over as u64);
            self.publish(&mut live);
        }
        live.entries.values().map(|held| held.ends_ms.saturating_sub(now_ms)).min()
    }

    /// Readable when `expire` should be called again, or when all is over.
    pub fn woken(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&self) {
        // An eventfd refuses only when 2^64 wake-ups are already waiting.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Whether the daemon ends.
    pub fn has_ended(&self) -> bool {
        let _ = rustix::io::read(&self.wake, &mut [0u8; 8]);
        self.ended.load(Ordering::Acquire)
    }

    /// The daemon ends.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.wake();
    }
}

/// A key that may be none, fit to print and bounded.
fn shown(kind: Kind, bytes: &[u8]) -> String {
    match Key::new(kind, bytes) {
        Ok(key) => key.to_string(),
        Err(_) => bytes[..bytes.len().min(200)].escape_ascii().to_string(),
    }
}

const NO_JOURNAL: &str =
    "there is no directory for the overlay's journal: add to the configuration, and restart: [overlay] directory = \"/var/lib/verdictd\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_clock_that_is_set_makes_an_entry_last_longer_than_it_was_given() {
        let key = Key::new(Kind::Host, b"a.test").unwrap();
        let entry = Entry { key, class: Class::Clean, at_ms: 10_000, until_ms: 13_000, uid: 0, pid: 0, reason: "r".into() };
        let left: Vec<u64> = [0, 9_999, 10_000, 12_999, 13_000, u64::MAX].map(|wall_ms| left_ms(&entry, wall_ms)).to_vec();
        assert_eq!(left, [3_000, 3_000, 3_000, 1, 0, 0]);
    }
}
