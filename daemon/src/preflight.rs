//! Asks the machine, before anything is opened, whether this daemon can run here: one line of cause and remedy for each refusal, exit 78.
//!
//! The executor panics without a usable message where io_uring is denied, so io_uring is tried here first, with a ring of our own.
//! Container runtimes deny it by seccomp, hardened hosts by sysctl, small memlock limits by ENOMEM: three causes, three remedies. The first two are a
//! host's policy, under which `shards.driver = "auto"` runs without a ring, and says so; a limit is a mistake to correct.

use crate::config::Shards;
use crate::driver::{Choice, Kind};
use io_uring::{IoUring, Probe, opcode};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `EX_CONFIG` of sysexits: a supervisor should not restart us, nothing will change by itself.
pub const EXIT_CONFIG: u8 = 78;

/// The executor refuses to start below this soft limit, whatever it needs.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// What one shard's rings and buffers are charged: three rings of 128 entries and 64 KiB of registered memory in each.
const MEMLOCK_BYTES_PER_SHARD: u64 = 3 * (16 + 64) * 1024;
/// Descriptors beside connections: rings, epoll, timers, listeners, logs; per shard.
const FILES_PER_SHARD: u64 = 32;

/// Why the daemon cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was found.
    pub cause: String,
    /// What to change.
    pub remedy: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}; {}", self.cause, self.remedy)
    }
}

impl std::error::Error for Refusal {}

/// What was found good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that shards will be pinned to, one each.
    pub cpus: Vec<usize>,
    /// Soft limit of locked memory, bytes, after it was raised to the hard limit; `None` = unlimited.
    pub memlock_bytes: Option<u64>,
    /// Soft limit of open files, after it was raised to the hard limit; `None` = unlimited.
    pub files: Option<u64>,
    /// How shards will speak to the kernel.
    pub driver: Kind,
    /// Why that is without io_uring, where nobody asked for it.
    pub without_ring: Option<Refusal>,
}

/// All checks, in the order in which their causes hide each other.
///
/// # Errors
/// The first thing that is missing, and what to do about it.
pub fn check(wanted: &Shards, connections_max: usize) -> Result<Machine, Refusal> {
    let cpus = choose_cpus(wanted.count, &wanted.cpus, &allowed_cpus())?;
    let memlock_bytes = raise(Resource::Memlock);
    let files = raise(Resource::Nofile);
    let shards = cpus.len() as u64;
    check_files(files, shards, connections_max as u64)?;
    let without_ring = match IoUring::new(8) {
        _ if wanted.driver == Choice::Plain => None,
        Ok(_) => check_memlock(memlock_bytes, shards).map(|()| None)?,
        Err(error) => {
            let refusal = explain_io_uring(&error, &IoUringFacts::read(), memlock_bytes);
            if wanted.driver != Choice::Auto || !is_policy(&error) {
                check_memlock(memlock_bytes, shards)?;
                return Err(refusal);
            }
            Some(refusal)
        }
    };
    let driver = if without_ring.is_some() { Choice::Plain } else { wanted.driver };
    match Kind::choose(driver) {
        Ok(driver) => Ok(Machine { cpus, memlock_bytes, files, driver, without_ring }),
        Err(error) => Err(explain_driver(wanted.driver, &error)),
    }
}

/// What was looked at, and what was found; or what is wrong, and whether that prevents a start.
pub type Looked = (&'static str, Result<String, (Refusal, bool)>);

/// The same checks, none of which hides another.
pub fn all(wanted: &Shards, connections_max: usize) -> Vec<Looked> {
    let (memlock_bytes, files) = (raise(Resource::Memlock), raise(Resource::Nofile));
    let number = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let allowed = allowed_cpus();
    let cpus = choose_cpus(wanted.count, &wanted.cpus, &allowed);
    let shards = cpus.as_ref().map_or(1, Vec::len) as u64;
    let ring = IoUring::new(8).map_err(|error| {
        let fatal = wanted.driver != Choice::Plain && (wanted.driver != Choice::Auto || !is_policy(&error));
        (explain_io_uring(&error, &IoUringFacts::read(), memlock_bytes), fatal)
    });
    let driver = if ring.is_ok() { wanted.driver } else { Choice::Plain };
    let driver = Kind::choose(driver).map_err(|error| (explain_driver(wanted.driver, &error), true));
    vec![
        ("cpus", cpus.map(|cpus| format!("shards on {cpus:?} of {allowed:?}")).map_err(|refusal| (refusal, true))),
        ("io_uring", ring.map(|_| "to be had".to_owned())),
        ("driver", driver.map(|kind| kind.name().to_owned())),
        (
            "memlock",
            check_memlock(memlock_bytes, shards)
                .map(|()| number(memlock_bytes))
                .map_err(|refusal| (refusal, wanted.driver != Choice::Plain)),
        ),
        ("nofile", check_files(files, shards, connections_max as u64).map(|()| number(files)).map_err(|refusal| (refusal, true))),
    ]
}

/// Whether the host lets nobody like us have a ring, as opposed to having none left.
fn is_policy(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS))
}

/// The executor's plain rings were to be had; what the data plane asks for beyond them was not.
fn explain_driver(driver: Choice, error: &std::io::Error) -> Refusal {
    Refusal {
        cause: format!("shards.driver = {driver:?} is not to be had on this kernel: {error}").to_lowercase(),
        remedy: "set shards.driver to \"auto\" or \"epoll\", or run Linux 6.1 or later".into(),
    }
}

/// CPUs in this process's affinity mask: cpusets and `taskset` are honoured.
fn allowed_cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

fn choose_cpus(count: usize, wanted: &[usize], allowed: &[usize]) -> Result<Vec<usize>, Refusal> {
    if let Some(cpu) = wanted.iter().find(|cpu| !allowed.contains(cpu)) {
        return Err(Refusal {
            cause: format!("shards.cpus names CPU {cpu}, but this process may only use {allowed:?}"),
            remedy: "correct shards.cpus, or widen CPUAffinity=/AllowedCPUs=/the cpuset".into(),
        });
    }
    if !wanted.is_empty() {
        return Ok(wanted.to_vec());
    }
    let count = if count == 0 { allowed.len() } else { count };
    if count == 0 || count > allowed.len() {
        return Err(Refusal {
            cause: format!("{count} shards were asked for, but this process may use {} CPUs", allowed.len()),
            remedy: "set shards.count to 0, or widen CPUAffinity=/AllowedCPUs=/the cpuset".into(),
        });
    }
    Ok(allowed[..count].to_vec())
}

/// Raises a soft limit to its hard limit; returns what is in force.
fn raise(resource: Resource) -> Option<u64> {
    let limit = getrlimit(resource);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

fn check_memlock(bytes: Option<u64>, shards: u64) -> Result<(), Refusal> {
    let needed = MEMLOCK_BYTES_MIN.max(MEMLOCK_BYTES_PER_SHARD * (shards + 1));
    match bytes {
        Some(bytes) if bytes < needed => Err(Refusal {
            cause: format!("RLIMIT_MEMLOCK is {bytes} bytes, {shards} shards need {needed}"),
            remedy: "set LimitMEMLOCK=infinity in the unit (or `ulimit -l`), or shards.driver to \"plain\", which needs none".into(),
        }),
        _ => Ok(()),
    }
}

fn check_files(files: Option<u64>, shards: u64, connections_max: u64) -> Result<(), Refusal> {
    let needed = connections_max + FILES_PER_SHARD * (shards + 1);
    match files {
        Some(files) if files < needed => Err(Refusal {
            cause: format!("RLIMIT_NOFILE is {files}, limits.connections_max = {connections_max} needs {needed}"),
            remedy: "set LimitNOFILE= in the unit (or `ulimit -n`), or lower limits.connections_max".into(),
        }),
        _ => Ok(()),
    }
}

/// What the ring driver asks for. Missing ones are named; flags of setup that are missing make the setup fail.
pub(crate) fn require_operations(ring: &IoUring) -> std::io::Result<()> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    for (name, code) in [
        ("accept", opcode::Accept::CODE),
        ("recv", opcode::Recv::CODE),
        ("send", opcode::Send::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
    ] {
        if !probe.is_supported(code) {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, format!("io_uring has no operation {name}")));
        }
    }
    Ok(())
}

/// What the host says about io_uring, read only once it has been denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct IoUringFacts {
    /// `kernel.io_uring_disabled`: 0 all, 1 privileged only, 2 nobody; `None` before Linux 6.6.
    sysctl: Option<u32>,
    /// `Seccomp:` of /proc/self/status: 0 none, 2 filter.
    seccomp: Option<u32>,
}

impl IoUringFacts {
    fn read() -> Self {
        let number = |text: &str| text.trim().parse().ok();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        IoUringFacts {
            sysctl: std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok().as_deref().and_then(number),
            seccomp: status.lines().find_map(|line| line.strip_prefix("Seccomp:")).and_then(number),
        }
    }
}

fn explain_io_uring(error: &std::io::Error, facts: &IoUringFacts, memlock_bytes: Option<u64>) -> Refusal {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let (cause, remedy) = match errno {
        Some(Errno::NOSYS) => {
            ("this kernel has no io_uring".to_owned(), "run Linux 6.1 or later (not an emulated user process)".to_owned())
        }
        Some(Errno::PERM) if facts.sysctl.is_some_and(|value| value > 0) => (
            format!("io_uring is denied by kernel.io_uring_disabled = {}", facts.sysctl.unwrap_or_default()),
            "set `sysctl kernel.io_uring_disabled=0`, or add this user to kernel.io_uring_group".to_owned(),
        ),
        Some(Errno::PERM | Errno::ACCESS) if facts.seccomp == Some(2) => (
            "io_uring is denied by a seccomp filter (the default of Docker and containerd)".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile".to_owned(),
        ),
        Some(Errno::NOMEM) => (
            format!(
                "io_uring got no memory under RLIMIT_MEMLOCK = {}",
                memlock_bytes.map_or("unlimited".into(), |bytes| bytes.to_string())
            ),
            "set LimitMEMLOCK=infinity in the unit; other processes of this user share the limit".to_owned(),
        ),
        Some(Errno::MFILE | Errno::NFILE) => {
            ("no descriptor is left for io_uring".to_owned(), "raise LimitNOFILE= in the unit, or fs.file-max".to_owned())
        }
        _ => (
            format!("io_uring_setup failed: {error}"),
            "see `verdictd --check` on a host where it works; Linux 6.1 or later is needed".to_owned(),
        ),
    };
    Refusal { cause, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(errno: Errno, sysctl: Option<u32>, seccomp: Option<u32>) -> String {
        explain_io_uring(&errno.into(), &IoUringFacts { sysctl, seccomp }, Some(65536)).to_string()
    }

    #[test]
    fn tells_the_causes_of_denied_io_uring_apart() {
        assert!(denied(Errno::PERM, Some(2), Some(0)).contains("sysctl kernel.io_uring_disabled=0"));
        assert!(denied(Errno::PERM, Some(0), Some(2)).contains("seccomp profile"));
        assert!(denied(Errno::NOMEM, Some(0), Some(0)).contains("LimitMEMLOCK"));
        assert!(denied(Errno::NOSYS, None, None).contains("6.1"));
        assert!(denied(Errno::MFILE, None, None).contains("LimitNOFILE"));
    }

    #[test]
    fn a_policy_is_told_from_a_limit() {
        let policy = |errno: Errno| is_policy(&errno.into());
        assert!(policy(Errno::PERM) && policy(Errno::ACCESS) && policy(Errno::NOSYS));
        assert!(!policy(Errno::NOMEM) && !policy(Errno::MFILE));
    }

    #[test]
    fn a_driver_that_is_not_to_be_had_is_named_with_another_that_is() {
        let error = std::io::Error::new(std::io::ErrorKind::Unsupported, "no multishot receive");
        assert_eq!(
            explain_driver(Choice::Ring, &error).to_string(),
            "shards.driver = ring is not to be had on this kernel: no multishot receive; set shards.driver to \"auto\" or \"epoll\", or run Linux 6.1 or later"
        );
    }

    #[test]
    fn honours_the_affinity_mask() {
        assert_eq!(choose_cpus(0, &[], &[2, 5]).unwrap(), vec![2, 5]);
        assert_eq!(choose_cpus(1, &[], &[2, 5]).unwrap(), vec![2]);
        assert_eq!(choose_cpus(0, &[5], &[2, 5]).unwrap(), vec![5]);
        assert!(choose_cpus(3, &[], &[2, 5]).unwrap_err().to_string().contains("may use 2 CPUs"));
        assert!(choose_cpus(0, &[0], &[2, 5]).unwrap_err().to_string().contains("CPU 0"));
    }

    #[test]
    fn small_limits_are_refused_with_the_line_to_change() {
        assert!(check_memlock(Some(65536), 2).unwrap_err().to_string().contains("LimitMEMLOCK=infinity"));
        assert!(check_memlock(Some(8 << 20), 2).is_ok() && check_memlock(None, 64).is_ok());
        assert!(check_files(Some(1024), 2, 10_000).unwrap_err().to_string().contains("LimitNOFILE"));
    }
}
