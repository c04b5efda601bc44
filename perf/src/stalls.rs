//! When a CPU was taken from everything on it: by other guests of a shared host, mostly.
//!
//! ```text
//! sentinel, SCHED_FIFO, one on each CPU: sleeps 250 us, looks at the clock ─ late? ─► stall: from when it was due to when it woke
//! latencies: replies under way during a stall, or while what it had delayed was caught up with, are left out
//! ```
//! No thread of a server, a proxy or the generator can keep a thread of the real-time class from its CPU, sched(7): when that one was late,
//! everything was, and a latency says nothing of the server. What a server does to itself leaves nothing out, but for what the kernel does for it
//! with preemption off for longer than `LATE`.

use std::io;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process;

/// Between two looks: a quarter of the shortest tail that the suites judge. Costs 11 to 15 us a look under `perf sched`, less without.
const TICK: Duration = Duration::from_micros(250);
/// What a CPU that nobody takes away is late by itself: timer, interrupts, a system call that cannot be preempted.
const LATE: Duration = Duration::from_micros(100);
/// At half load, what a stall has delayed is caught up with after as long again; twice that is left out.
const AFTERMATH: u64 = 2;
/// A CPU that comes back for less than this, in nanoseconds, was away all the time: a host that takes most of one gives it back in crumbs.
const CRUMB_NS: u64 = 1_000_000;

/// A reply, in nanoseconds of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// When its request was meant to start.
    pub meant_ns: u64,
    /// When it was there.
    pub done_ns: u64,
    /// By how much the generator itself was late with the request.
    pub late_ns: u64,
}

/// Threads that watch CPUs until they are asked what they saw.
#[derive(Debug)]
pub struct Sentinels {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Range<Instant>>>>,
}

impl Sentinels {
    /// One on each of these CPUs; an error where this process may not have real-time threads (CAP_SYS_NICE), or chrt(1) is missing.
    pub fn start(cpus: &[usize]) -> io::Result<Self> {
        let mut sentinels = Sentinels { over: Arc::default(), threads: Vec::new() };
        for &cpu in cpus {
            let (over, (ready, is_ready)) = (Arc::clone(&sentinels.over), mpsc::channel());
            sentinels.threads.push(std::thread::spawn(move || {
                let begun = process::pin_this_thread(cpu).and_then(|()| in_real_time());
                let may_watch = begun.is_ok();
                let _ = ready.send(begun);
                if may_watch { watch(&over) } else { Vec::new() }
            }));
            is_ready.recv().map_err(|_| io::Error::other("a sentinel panicked"))??;
        }
        Ok(sentinels)
    }

    /// When any of the CPUs was away, and what that delayed was being caught up with: nanoseconds since `started`, in order, apart.
    pub fn end(mut self, started: Instant) -> Vec<Range<u64>> {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.threads.drain(..).flat_map(|thread| thread.join().unwrap_or_default());
        let ns = |at: Instant| at.saturating_duration_since(started).as_nanos() as u64;
        caught_up(seen.map(|stall| ns(stall.start)..ns(stall.end)).collect())
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// This thread before all others of its CPU.
fn in_real_time() -> io::Result<()> {
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let chrt = Command::new("chrt").args(["--fifo", "--pid", "1", &thread]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if chrt.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn watch(over: &AtomicBool) -> Vec<Range<Instant>> {
    let mut stalls = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let due = Instant::now() + TICK;
        std::thread::sleep(TICK);
        let woke = Instant::now();
        if woke > due + LATE {
            stalls.push(due..woke);
        }
    }
    stalls
}

/// Stalls with the time that it takes to catch up with each.
fn caught_up(stalls: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let long = apart(stalls, CRUMB_NS).into_iter().map(|stall| stall.start..stall.end + AFTERMATH * (stall.end - stall.start));
    apart(long.collect(), 0)
}

/// In order, those made one that are no further apart than this.
fn apart(mut stalls: Vec<Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    stalls.sort_unstable_by_key(|stall| stall.start);
    let mut apart: Vec<Range<u64>> = Vec::with_capacity(stalls.len());
    for stall in stalls {
        match apart.last_mut() {
            Some(last) if stall.start <= last.end + gap => last.end = last.end.max(stall.end),
            _ => apart.push(stall),
        }
    }
    apart
}

/// Replies that were never under way while a CPU was away; `stalls` as [`Sentinels::end`] gives them.
pub fn undisturbed<'a>(replies: &'a [Reply], stalls: &'a [Range<u64>]) -> impl Iterator<Item = &'a Reply> {
    replies.iter().filter(|reply| {
        let next = stalls.partition_point(|stall| stall.end <= reply.meant_ns);
        stalls.get(next).is_none_or(|stall| stall.start > reply.done_ns)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_during_a_stall_is_left_out() {
        let reply = |meant_ns, done_ns| Reply { meant_ns, done_ns, late_ns: 0 };
        let stalls = apart(vec![500..600, 100..200, 150..250, 250..260], 0);
        assert_eq!(stalls, [100..260, 500..600]);
        let (before, across, within, between, after) = (reply(10, 99), reply(90, 700), reply(120, 130), reply(260, 499), reply(600, 900));
        let into = reply(90, 100);
        let replies = [before, across, within, between, after, into];
        assert_eq!(undisturbed(&replies, &stalls).collect::<Vec<_>>(), [&before, &between, &after]);
        assert_eq!(undisturbed(&replies, &[]).count(), replies.len());
    }

    #[test]
    fn what_a_stall_of_many_crumbs_has_delayed_takes_as_long_as_all_of_it() {
        let ms = |from: u64, to: u64| from * 1_000_000..to * 1_000_000;
        assert_eq!(caught_up(vec![ms(10, 11), ms(12, 14), ms(15, 20), ms(100, 101)]), [ms(10, 40), ms(100, 103)]);
        assert_eq!(caught_up(vec![ms(10, 20), ms(35, 36)]), [ms(10, 40)], "one within another's aftermath");
    }

    #[test]
    fn a_sentinel_is_not_kept_from_its_cpu_by_what_runs_there() {
        let cpu = process::cpus()[0];
        let Ok(sentinels) = Sentinels::start(&[cpu]) else {
            eprintln!("skipped: no real-time threads here");
            return;
        };
        // Field 41 of proc(5)'s stat: 1 is SCHED_FIFO.
        let stats = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        let policies = stats.filter_map(|stat| stat[stat.rfind(')')? + 1..].split_ascii_whitespace().nth(38).map(str::to_owned));
        assert_eq!(policies.filter(|policy| policy == "1").count(), 1);
        let started = Instant::now();
        // What a thread of the usual class sees of the same CPU, while it runs: gaps of its clock.
        let spinning = std::thread::spawn(move || {
            process::pin_this_thread(cpu).unwrap();
            let (mut gaps, mut last) = (Vec::new(), Instant::now());
            while started.elapsed() < Duration::from_millis(300) {
                let now = Instant::now();
                if now > last + LATE / 2 {
                    gaps.push((last - started).as_nanos() as u64..(now - started).as_nanos() as u64);
                }
                last = now;
            }
            gaps
        });
        let gaps = spinning.join().unwrap();
        let stalls = sentinels.end(started);
        assert!(stalls.windows(2).all(|pair| pair[0].end < pair[1].start), "{stalls:?}");
        // How much a host takes is not ours to say; but what stood still, stood still for both.
        let alone = |stall: &&Range<u64>| !gaps.iter().any(|gap| gap.start < stall.end && gap.end > stall.start);
        let during = stalls.iter().filter(|stall| (5_000_000..300_000_000).contains(&stall.start));
        assert_eq!(during.filter(alone).collect::<Vec<_>>(), Vec::<&Range<u64>>::new(), "{gaps:?}");
    }
}
