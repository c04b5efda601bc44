//! Life signs for the service manager: only while every shard, and the control thread, show life themselves.
//!
//! ```text
//! each third of WATCHDOG_USEC:  shards' heartbeats young?  control thread answered the last wake-up?  ─► WATCHDOG=1
//! ```
//! Never fed from a timer alone: a thread that only proves that it runs itself would keep a daemon alive whose shards are stuck. While the daemon drains
//! it is fed on: shards end then, and a deadline bounds that.

use super::manager::Manager;
use crate::admin::ALIVE_MS;
use crate::control::Requests;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Status is refreshed at least so often.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The thread; ends with this value.
pub struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Whom it watches.
pub struct Watched {
    /// Of the daemon.
    pub metrics: Arc<Metrics>,
    /// Wakes the control thread.
    pub requests: Requests,
    /// Where the shards' clock began.
    pub started: Instant,
}

/// How often the manager wants to hear, if it does.
pub fn interval_from_environment() -> Option<Duration> {
    let own = |pid: String| pid == std::process::id().to_string();
    if !std::env::var("WATCHDOG_PID").map_or(true, own) {
        return None;
    }
    let us: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (us > 0).then(|| Duration::from_micros(us))
}

impl Watched {
    /// Who is silent, if anybody is. `beats` are those of the control thread that were seen last.
    pub fn silent(&self, beats: &mut u64) -> Option<String> {
        if self.metrics.control.draining.get() != 0 {
            return None;
        }
        let now_ms = self.started.elapsed().as_millis() as u64;
        let silent_ms = |last_ms: u64| now_ms.saturating_sub(last_ms);
        let shards = self.metrics.shards.iter().map(|shard| silent_ms(shard.heartbeat_ms.get())).enumerate();
        if let Some((shard, ms)) = shards.into_iter().find(|&(_, ms)| ms > ALIVE_MS) {
            return Some(format!("shard {shard} is silent for {ms} ms"));
        }
        let seen = self.requests.beats();
        let control_is_silent = *beats == seen;
        *beats = seen;
        self.requests.wake();
        control_is_silent.then(|| "the control thread is silent".to_owned())
    }

    /// A line for `systemctl status`.
    pub fn status(&self) -> String {
        status(&self.metrics)
    }
}

/// What is served, in a line.
pub fn status(metrics: &Metrics) -> String {
    let control = &metrics.control;
    if control.draining.get() != 0 {
        return "draining".into();
    }
    let generation = metrics.shards.first().map_or(0, |shard| shard.generation.get());
    let signed = match control.manifest_epoch.get() {
        0 => "unsigned".to_owned(),
        epoch => format!("epoch {epoch}"),
    };
    let stale = if control.stale.get() != 0 { ", stale" } else { "" };
    let (shards, entries) = (metrics.shards.len(), control.entries.get());
    format!("generation {generation:016x} ({signed}{stale}), {entries} rules, {shards} shards, {} and {}", metrics.backend, metrics.driver)
}

impl Watchdog {
    /// Begins at once.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(manager: Arc<Manager>, watched: Watched, interval: Option<Duration>) -> std::io::Result<Self> {
        let (end, ended) = channel();
        let every = interval.map_or(STATUS_EVERY, |interval| (interval / 3).min(STATUS_EVERY));
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let (mut beats, mut told) = (u64::MAX, String::new());
            loop {
                match watched.silent(&mut beats) {
                    None if interval.is_some() => manager.alive(),
                    None => {}
                    Some(who) => tracing::error!("{who}: the watchdog is not fed"),
                }
                let status = watched.status();
                if status != told {
                    manager.status(&status);
                    told = status;
                }
                if ended.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        })?;
        Ok(Watchdog { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of it has been told
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_shard_and_a_silent_control_thread_are_named() {
        let metrics = Metrics::new(2, "portable", "epoll");
        let started = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let watched = Watched { metrics: metrics.clone(), requests: Requests::new().unwrap(), started };
        let mut beats = u64::MAX;
        metrics.shards[0].heartbeat_ms.set(60_000);
        assert!(watched.silent(&mut beats).unwrap().starts_with("shard 1 is silent for 6"));
        metrics.shards[1].heartbeat_ms.set(60_000);
        assert_eq!(watched.silent(&mut beats), None, "nobody has asked control yet");
        assert_eq!(watched.silent(&mut beats).unwrap(), "the control thread is silent");
        metrics.control.draining.set(1);
        assert_eq!(watched.silent(&mut beats), None);
        assert_eq!(watched.status(), "draining");
    }
}
