//! What the kernel counts for a process: CPU time, memory, and which CPUs it may use. proc(5), sched_setaffinity(2).
//!
//! A server's cost is its own user and system time, not the wall clock: the client may well be the slower end of the wire.
//! `/proc/PID/task/*/schedstat` has it in nanoseconds, as of each thread's last tick; `/proc/PID/stat` in hundredths of a second.

use std::io;
use std::time::Duration;

use rustix::process::Pid;
use rustix::thread::CpuSet;

/// User and system time of all living threads of a process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    match scheduled_ns(pid) {
        Some(ns) => Ok(Duration::from_nanos(ns)),
        // A kernel built without it.
        None => ticked(pid),
    }
}

/// Nanoseconds on a CPU, the first field of each thread's `schedstat`. A thread that ends between the listing and the reading had its last turn.
fn scheduled_ns(pid: u32) -> Option<u64> {
    let mut sum = None;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let ns = std::fs::read_to_string(task.path().join("schedstat")).ok().and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        sum = ns.map(|ns| sum.unwrap_or(0) + ns).or(sum);
    }
    sum
}

/// CPU time of every thread that lives now, of all processes but these two (a server and its generator): what else the machine was doing. Threads
/// that ended between two readings are missing from the second.
pub fn cpu_time_of_others(server: u32) -> Duration {
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Duration::from_nanos(ids.filter(|pid| *pid != own && *pid != server).filter_map(scheduled_ns).sum())
}

/// Fields 14 and 15 of `/proc/PID/stat`, in ticks of 10 ms; threads that ended count as well.
fn ticked(pid: u32) -> io::Result<Duration> {
    stat_time(&format!("/proc/{pid}/stat"), OWN)
}

/// User and system time of all children of this process that have ended and were waited for, in ticks of 10 ms.
pub fn cpu_time_of_ended_children() -> io::Result<Duration> {
    stat_time("/proc/self/stat", OF_CHILDREN)
}

fn stat_time(path: &str, fields: usize) -> io::Result<Duration> {
    let ticks = stat_ticks(&std::fs::read_to_string(path)?, fields).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Duration::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second())))
}

/// Fields between the command's name and `utime`, `stime`.
const OWN: usize = 11;
/// And before `cutime`, `cstime`.
const OF_CHILDREN: usize = 13;

/// The command name may hold spaces and parentheses: fields are counted after the last `)`.
fn stat_ticks(stat: &str, before: usize) -> Option<u64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(before);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Resident memory in bytes (`VmRSS`).
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

/// The most that ever was resident, in bytes (`VmHWM`).
pub fn peak_resident_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_ascii_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).map(|kib| kib * 1024).ok_or(io::ErrorKind::InvalidData.into())
}

/// Open file descriptors.
pub fn descriptors(pid: u32) -> io::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Keeps all threads of a process to one CPU, those included that they will start.
pub fn pin(pid: u32, cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        rustix::thread::sched_setaffinity(Some(task.ok_or(io::ErrorKind::InvalidData)?), &set)?;
    }
    Ok(())
}

/// Keeps this thread to one CPU.
pub fn pin_this_thread(cpu: usize) -> io::Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    if pinned { Ok(()) } else { Err(io::Error::other(format!("this thread cannot be kept to CPU {cpu}"))) }
}

/// CPUs that this process could use when it was first asked, in order.
pub fn cpus() -> &'static [usize] {
    static CPUS: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    CPUS.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect())
}

/// Memory that can be had without swapping (`MemAvailable`), in bytes; 0 where the kernel does not say.
pub fn available_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
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
        let stat = "12 (a) b) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 3 4 20 0 3 0 100 0 0";
        assert_eq!((stat_ticks(stat, OWN), stat_ticks(stat, OF_CHILDREN)), (Some(300), Some(7)));
        assert_eq!(stat_ticks("12 a S 1", OWN), None);
        assert_eq!(stat_ticks("12 (a) S 1 2", OWN), None);
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 1024 * 1024);
        let before = cpu_time(pid).unwrap();
        let mut x = 1u64;
        while cpu_time(pid).unwrap().saturating_sub(before) < Duration::from_millis(20) {
            x = std::hint::black_box(x.wrapping_mul(3));
        }
        let (fine, coarse) = (cpu_time(pid).unwrap(), ticked(pid).unwrap());
        // The coarse one also counts threads that have ended, such as those of other tests.
        assert!(fine < coarse + Duration::from_millis(500), "{fine:?} {coarse:?}");
        let pid = std::process::id();
        assert!(cpu_time_of_others(pid) <= cpu_time_of_others(0) + Duration::from_secs(1), "the server is not among the others");
        assert!(available_bytes() > 0);
        assert!(descriptors(pid).unwrap() >= 3);
        assert!(!cpus().is_empty());
    }
}
