//! Rules on trial: a second snapshot that answers nobody. A share of what was looked up is looked up in it as well, and where it would have said otherwise is told.
//!
//! ```text
//!  shard: answers are final ─► one key of so many, copied ─► a queue of its own ─┐ full: dropped, counted
//!  shard: ...                                                                    ├─► thread `shadow`, SCHED_IDLE: looks up, compares
//!  PATH, at start ─► loaded by the same thread ──────────────────────────────────┤        └─► metrics, /shadow, /readyz
//!        at a reload ─► loaded in the background, as what is served is (look.rs) ─┘
//! ```
//! A shard cannot look anything up there: two snapshots have two hash keys, so none of a turn's work could be shared, and its tables would push those that serve
//! out of the caches. What it pays is the copy. Nothing waits for the thread: it has the time that nobody wants, and under load it has none.

pub mod look;
pub mod numbers;
pub mod page;
pub mod tap;
mod worker;

use crate::background::Background;
use crate::host::reload::Ended;
use crate::metrics::Metrics;
use crossbeam::channel::{Sender, unbounded};
use page::Told;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tap::{Feed, Tap};
use verdict_simd::Selected;
use verdict_tables::Snapshot;
use worker::Worker;

/// An end waits for a candidate that is being loaded no longer than this; the process takes the thread along.
const END_WAITS: Duration = Duration::from_secs(5);

/// Rules on trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShadowConfig {
    /// A snapshot that is asked as well and answers nobody; read at start and at SIGHUP. Default empty: none. Memory: its size, twice while another is taken.
    pub snapshot: PathBuf,
    /// One of so many keys is asked of it, by chance; 1: every key. Default 64.
    pub one_in: u32,
    /// Show the keys that are answered otherwise, at /shadow of the admin listener. Default false: they are counted only.
    pub sample_keys: bool,
}

impl Default for ShadowConfig {
    fn default() -> Self {
        ShadowConfig { snapshot: PathBuf::new(), one_in: 64, sample_keys: false }
    }
}

impl ShadowConfig {
    /// Whether there is to be one.
    pub fn wanted(&self) -> bool {
        !self.snapshot.as_os_str().is_empty()
    }

    /// What is wrong with the values.
    pub fn check(&self) -> Option<String> {
        let bad = !(1..=1_000_000).contains(&self.one_in);
        bad.then(|| format!("shadow.one_in = {} is not within 1..=1000000", self.one_in))
    }
}

enum Order {
    /// What came of a look at the file, and who is told what became of it.
    Judge(Box<Loaded>, mpsc::Sender<Ended>),
    End,
}

type Loaded = Result<Snapshot, verdict_tables::Error>;

/// What shards, the thread and admin share.
#[derive(Debug)]
pub struct Shared {
    settings: ShadowConfig,
    /// One for each shard.
    feeds: Vec<Arc<Feed>>,
    told: Mutex<Told>,
    orders: Sender<Order>,
}

impl Shared {
    /// As the operator set it.
    pub fn settings(&self) -> &ShadowConfig {
        &self.settings
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether shards give anything.
    fn listen(&self, wanted: bool) {
        self.feeds.iter().for_each(|feed| feed.want(wanted));
    }
}

/// The thread; ends with this value.
pub struct Trial {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Trial {
    /// None where nothing is on trial. Returns before the file is read, and whatever is in it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(
        settings: &ShadowConfig,
        backend: Selected,
        metrics: Arc<Metrics>,
        background: Background,
    ) -> std::io::Result<Option<Self>> {
        if !settings.wanted() {
            return Ok(None);
        }
        let (orders, taken) = unbounded();
        let feeds = metrics.shards.iter().map(|_| Arc::new(Feed::new(tap::QUEUE))).collect();
        let shared = Arc::new(Shared { settings: settings.clone(), feeds, told: Mutex::default(), orders });
        let (own, panicked) = (shared.clone(), shared.clone());
        let thread = std::thread::Builder::new().name("shadow".into()).spawn(move || {
            background.only_when_idle();
            let worker = Worker::new(backend, own, metrics);
            if catch_unwind(AssertUnwindSafe(|| worker.run(&taken))).is_err() {
                panicked.listen(false);
                panicked.told().note = "shadow: ended by a panic, a defect: please report it\n".into();
                tracing::error!("rules are on trial no more: a panic, a defect, please report it");
            }
        })?;
        Ok(Some(Trial { shared, thread: Some(thread) }))
    }

    /// The end of one shard.
    pub fn tap(&self, shard: usize) -> Option<Tap> {
        Some(Tap::new(self.shared.feeds.get(shard)?.clone(), self.shared.settings.one_in, shard))
    }

    /// For control and admin.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let _ = self.shared.orders.send(Order::End);
        let Some(thread) = self.thread.take() else { return };
        let began = Instant::now();
        while !thread.is_finished() && began.elapsed() < END_WAITS {
            std::thread::sleep(Duration::from_millis(1));
        }
        if thread.is_finished() {
            let _ = thread.join(); // a panic of it has been told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_the_daemon() {
        let settings = ShadowConfig { snapshot: "/nonexistent.snap".into(), ..ShadowConfig::default() };
        let metrics = Metrics::new(1, "portable", "epoll");
        let backend = verdict_simd::detect().unwrap();
        let trial = Trial::start(&settings, backend, metrics.clone(), Background::beside(&[])).unwrap().unwrap();
        let shared = Arc::downgrade(trial.shared());
        drop(trial);
        assert_eq!((shared.strong_count(), Arc::strong_count(&metrics)), (0, 1), "nobody is left who holds them");
        assert!(Trial::start(&ShadowConfig::default(), backend, metrics, Background::beside(&[])).unwrap().is_none());
    }

    #[test]
    fn a_share_that_cannot_be_is_refused() {
        assert!(ShadowConfig::default().check().is_none());
        for one_in in [0, 1_000_001] {
            assert!(ShadowConfig { one_in, ..ShadowConfig::default() }.check().unwrap().contains("shadow.one_in"));
        }
    }
}
