//! Work that no lookup may wait for: a thread that runs when nothing else wants the CPU, off the shards' CPUs where there are others.
//!
//! ```text
//! control ── start(work) ──► waiter, asleep ──► worker: SCHED_IDLE, its reads and writes idle too (the kernel derives that)
//!                                └── after LIFT_AFTER: the worker becomes an ordinary thread at nice 10, a tenth of a busy CPU
//! ```
//! A waking shard displaces a SCHED_IDLE thread at once; one of nice 19 may finish its slice now and then: p99 beside a busy one of the kinds, in one go,
//! 1.9 and 3.8 ms, and 7.2 ms beside one of nice 0 (perf/investigations/latency.md). The price: on a CPU that is never idle such a thread gets 0.3 %
//! (weight 3 beside 1024), hence the lift.
//! Leaving SCHED_IDLE takes CAP_SYS_NICE or RLIMIT_NICE >= 10; a daemon without either runs the work at nice 19 (1.5 %) from the beginning.
//! What holds up all of the process, a page table lock for instance, is given back as soon as a shard waits for it: then the CPU is free.

use crate::driver::sys;
use rustix::process::{Resource, getrlimit};
use rustix::thread::{CapabilitySet, CpuSet};
use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long work may wait for idle time.
pub const LIFT_AFTER: Duration = Duration::from_secs(5);
/// Beside a shard that never sleeps: 110 of 1134 parts.
const NICE_LIFTED: i32 = 10;
/// 15 of 1039 parts.
const NICE_LOWEST: i32 = 19;

/// Where the daemon's own threads leave CPUs to others, and whether a thread may come back from SCHED_IDLE.
#[derive(Clone, Debug)]
pub struct Background {
    cpus: Option<CpuSet>,
    may_lift: bool,
    lift_after: Duration,
}

impl Background {
    /// Beside shards on these CPUs.
    pub fn beside(shards: &[usize]) -> Self {
        let mut cpus = rustix::thread::sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
        shards.iter().for_each(|cpu| cpus.unset(*cpu));
        // The limit counts from 20 - nice upwards.
        let by_limit = getrlimit(Resource::Nice).current.is_none_or(|most| most >= 20 - NICE_LIFTED as u64);
        let by_right = rustix::thread::capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_NICE));
        Background { cpus: (cpus.count() > 0).then_some(cpus), may_lift: by_limit || by_right, lift_after: LIFT_AFTER }
    }

    /// Returns at once; `done` is told what became of the work, on a thread of no particular priority.
    ///
    /// # Errors
    /// When there is no thread to be had; the work is dropped.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(io::Result<T>) + Send + 'static,
    ) -> io::Result<()> {
        let own = self.clone();
        std::thread::Builder::new().name("waiter".into()).spawn(move || done(own.run(work))).map(drop)
    }

    /// Does the work on a thread of its own, and blocks until it is done.
    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (started, thread) = channel();
        let (own, done) = (self.clone(), channel());
        let worker = std::thread::Builder::new().name("background".into()).spawn(move || {
            let _ = started.send(rustix::thread::gettid());
            own.step_back();
            let result = work();
            let _ = done.0.send(());
            result
        })?;
        let thread = thread.recv().ok();
        if let (Err(RecvTimeoutError::Timeout), Some(thread)) = (done.1.recv_timeout(self.lift_after), thread)
            && self.may_lift
        {
            match sys::schedule(thread.as_raw_nonzero().get(), libc::SCHED_OTHER, NICE_LIFTED) {
                Ok(()) => tracing::info!(
                    "a snapshot or registry is in work for {:?} without idle time enough; it now takes a tenth of a CPU",
                    self.lift_after
                ),
                Err(error) => tracing::warn!("a snapshot or registry waits for idle time, and cannot be given other: {error}"),
            }
        }
        worker.join().map_err(|_| io::Error::other("work in the background panicked: a defect, please report it"))
    }

    /// This thread behind all others, for good: it has the time that nobody wants, and none while somebody wants all of it.
    pub fn only_when_idle(&self) {
        self.run_as(libc::SCHED_IDLE, 0);
    }

    /// This thread behind all others. What is refused leaves it where it is: slower lookups meanwhile, but a snapshot.
    fn step_back(&self) {
        let (policy, nice) = if self.may_lift { (libc::SCHED_IDLE, 0) } else { (libc::SCHED_OTHER, NICE_LOWEST) };
        self.run_as(policy, nice);
    }

    fn run_as(&self, policy: i32, nice: i32) {
        if let Some(cpus) = &self.cpus {
            let _ = rustix::thread::sched_setaffinity(None, cpus);
        }
        if let Err(error) = sys::schedule(0, policy, nice) {
            tracing::warn!("work in the background has the priority of a shard: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy (field 41) and nice value (19) of the calling thread, as proc(5) counts them.
    fn scheduling() -> (i32, i32) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        (fields[41 - 3].parse().unwrap(), fields[19 - 3].parse().unwrap())
    }

    #[test]
    fn work_steps_back_behind_everything() {
        let background = Background::beside(&[]);
        let (policy, nice) = background.run(scheduling).unwrap();
        let behind = if background.may_lift { policy == libc::SCHED_IDLE } else { nice == NICE_LOWEST };
        assert!(behind, "policy {policy}, nice {nice}");
        assert_eq!(scheduling().0, libc::SCHED_OTHER, "whoever waits is not concerned");
    }

    #[test]
    fn a_thread_that_may_wait_for_ever_needs_no_right_to_come_back() {
        let background = Background { may_lift: false, ..Background::beside(&[]) };
        let thread = std::thread::spawn(move || {
            background.only_when_idle();
            scheduling().0
        });
        assert_eq!(thread.join().unwrap(), libc::SCHED_IDLE);
    }

    #[test]
    fn work_that_waits_too_long_is_lifted() {
        let background = Background { lift_after: Duration::from_millis(10), ..Background::beside(&[]) };
        if !background.may_lift {
            println!("skipped: neither CAP_SYS_NICE nor RLIMIT_NICE");
            return;
        }
        let is_lifted = || {
            std::thread::sleep(Duration::from_millis(10));
            scheduling() == (libc::SCHED_OTHER, NICE_LIFTED)
        };
        let lifted = background.run(move || (0..500).any(|_| is_lifted()));
        assert!(lifted.unwrap());
    }

    #[test]
    fn work_that_may_not_be_lifted_is_only_nice() {
        let background = Background { may_lift: false, ..Background::beside(&[]) };
        assert_eq!(background.run(scheduling).unwrap(), (libc::SCHED_OTHER, NICE_LOWEST));
    }

    #[test]
    fn work_keeps_off_the_shards_where_it_can() {
        let allowed = rustix::thread::sched_getaffinity(None).unwrap();
        let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
        let seen = |shards: &[usize]| Background::beside(shards).run(|| rustix::thread::sched_getaffinity(None).unwrap()).unwrap();
        assert_eq!(seen(&cpus).count(), allowed.count(), "no CPU is left: any will do");
        if cpus.len() > 1 {
            assert!(!seen(&cpus[..1]).is_set(cpus[0]));
        }
    }

    #[test]
    fn work_that_panics_is_an_error() {
        let (told, error) = channel();
        Background::beside(&[]).start(|| -> u8 { panic!("on purpose") }, move |result| told.send(result).unwrap()).unwrap();
        assert!(error.recv().unwrap().unwrap_err().to_string().contains("defect"));
    }
}
