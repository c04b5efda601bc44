//! What the kernel counts for a process: CPU time, memory, and which CPUs it may use. proc(5), sched_setaffinity(2).
//!
//! A server's cost is its own user and system time, not the wall clock: the client may well be the slower end of the wire.
//! `utime` and `stime` advance in ticks of 10 ms, so a run shorter than a second says little.

use std::io;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::CpuSet;

/// User and system time of all threads of a process, living and ended (fields 14 and 15 of `/proc/PID/stat`).
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = stat_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Duration::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second())))
}

/// The command name may hold spaces and parentheses: fields are counted after the last `)`.
fn stat_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Resident memory in bytes (`VmRSS`).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).and_then(|rest| rest.split_ascii_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024).ok_or(io::ErrorKind::InvalidData.into())
}

/// Open file descriptors.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Keeps a process, or this thread where `pid` is None, to one CPU.
pub fn pin(pid: Option<u32>, cpu: usize) -> io::Result<()> {
    let pid = pid.and_then(|pid| Pid::from_raw(pid as i32));
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(pid, &set)?)
}

/// CPUs that this process may use, in order.
pub fn cpus() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Lets sleeps of this thread end when they should, instead of up to 50 us later.
pub fn wake_on_time() {
    let nanosecond = std::num::NonZeroU64::MIN;
    // Refused only by kernels older than 2.6.28; the lag would be seen and reported.
    let _ = rustix::thread::set_current_timer_slack(Some(nanosecond));
}

/// Room for this many descriptors, as far as the hard limit allows; returns the limit now in force.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    let reachable = wanted.min(limit.maximum.unwrap_or(u64::MAX));
    if reachable > current && setrlimit(Resource::Nofile, Rlimit { current: Some(reachable), maximum: limit.maximum }).is_ok() {
        return reachable;
    }
    current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_command_name() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        assert_eq!(stat_ticks(stat), Some(300));
        assert_eq!(stat_ticks("12 a S 1"), None);
        assert_eq!(stat_ticks("12 (a) S 1 2"), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 1024 * 1024);
        let before = cpu_time(pid).unwrap();
        let mut x = 1u64;
        while cpu_time(pid).unwrap() - before < Duration::from_millis(20) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(!cpus().is_empty());
    }
}
