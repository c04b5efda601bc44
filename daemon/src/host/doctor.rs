//! `verdictd --doctor`, and `verdictctl doctor` which runs it: everything that a host lacks for this configuration, a line of cause and remedy each.
//!
//! ```text
//!  ok       as it should be
//!  advice   it starts and serves; slower, or without a margin
//!  MISSING  it would not start, or not serve what it should
//! ```
//! `--check` reads every file that a start reads; this looks at the host around them, and says what could be better. Nothing is changed, and no port stays taken. It
//! looks with the rights, limits and CPUs of whoever runs it; the unit's own limits are those of `systemctl show verdictd`.

use crate::config::Config;
use crate::limits::LISTEN_BACKLOG;
use crate::preflight::{self, Refusal};
use crate::trust;
use rustix::fs::{Access, access};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use verdict_simd::{Backend, Selected};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It serves, but not at its best.
    Advice,
    /// It does not start, or does not serve what it should.
    Missing,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Advice => "advice",
            Level::Missing => "MISSING",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found, and unless it is well, what to do.
    pub text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:8} {:10} {}", self.level.name(), self.subject, self.text)
    }
}

/// Collects them.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, subject: &'static str, text: impl Into<String>) {
        self.0.push(Finding { level, subject, text: text.into() });
    }

    /// A condition, what was found, and what to do where it does not hold.
    fn hold(&mut self, subject: &'static str, holds: bool, otherwise: Level, found: &str, remedy: &str) {
        if holds { self.add(Level::Ok, subject, found) } else { self.add(otherwise, subject, format!("{found}; {remedy}")) }
    }
}

/// Looks at everything.
pub fn examine(config: &Config, backend: Selected) -> Vec<Finding> {
    let mut findings = Findings::default();
    machine(config, backend, &mut findings);
    memory(config, &mut findings);
    kernel(&mut findings);
    clock(&mut findings);
    files(config, backend, &mut findings);
    ports(config, &mut findings);
    findings.0
}

/// Whether it would start and serve.
pub fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.level != Level::Missing)
}

fn machine(config: &Config, backend: Selected, findings: &mut Findings) {
    for (subject, refusal) in preflight::all(&config.shards, config.limits.connections_max) {
        match refusal {
            Ok(found) => findings.add(Level::Ok, subject, found),
            Err((Refusal { cause, remedy }, is_fatal)) => {
                findings.add(if is_fatal { Level::Missing } else { Level::Advice }, subject, format!("{cause}; {remedy}"));
            }
        }
    }
    let name = Backend::name(backend);
    let remedy = "every other backend is several times faster: neon (any 64-bit ARM), avx2 (x86-64 since 2013)";
    findings.hold("backend", name != "portable", Level::Advice, name, remedy);
    if let Some(cpus) = quota("/sys/fs/cgroup", &read("/proc/self/cgroup")) {
        let shards =
            if config.shards.count == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { config.shards.count };
        let found = format!("the control group may use {cpus:.1} CPUs, for {shards} shards");
        let remedy = "a shard that is throttled answers late: raise CPUQuota=, or set shards.count to no more than that";
        findings.hold("quota", cpus >= shards as f64, Level::Advice, &found, remedy);
    }
}

fn memory(config: &Config, findings: &mut Findings) {
    let thp = read("/sys/kernel/mm/transparent_hugepage/enabled");
    let found = format!("transparent huge pages: {}", chosen(&thp).unwrap_or("not in this kernel"));
    let remedy = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, or reserve some by vm.nr_hugepages: without, a large snapshot costs TLB misses";
    findings.hold("huge pages", matches!(chosen(&thp), Some("madvise" | "always")), Level::Advice, &found, remedy);
    let snapshot = fs::metadata(&config.snapshot.path).map_or(0, |about| about.len());
    let available = kib(&read("/proc/meminfo"), "MemAvailable:").unwrap_or(u64::MAX / 1024) * 1024;
    let found = format!("{} MiB are available, a swap of the snapshot takes twice {} MiB", available >> 20, snapshot >> 20);
    findings.hold("memory", available / 2 >= snapshot, Level::Missing, &found, "give it more memory, or a smaller snapshot");
}

fn kernel(findings: &mut Findings) {
    let release = read("/proc/sys/kernel/osrelease");
    let remedy = "6.1 or later is what it is tested on";
    findings.hold("kernel", version(&release) >= (6, 1), Level::Advice, &format!("Linux {}", release.trim()), remedy);
    if let Ok(most) = read("/proc/sys/net/core/somaxconn").trim().parse::<i32>() {
        let remedy = format!("sysctl net.core.somaxconn=4096: {LISTEN_BACKLOG} waiting connections a shard are asked for");
        findings.hold("sysctl", most >= LISTEN_BACKLOG, Level::Advice, &format!("net.core.somaxconn = {most}"), &remedy);
    }
    if let Ok(migrate) = read("/proc/sys/net/ipv4/tcp_migrate_req").trim().parse::<u32>() {
        let remedy = "sysctl net.ipv4.tcp_migrate_req=1: a connection that waits when its shard closes goes to another one";
        findings.hold("sysctl", migrate == 1, Level::Advice, &format!("net.ipv4.tcp_migrate_req = {migrate}"), remedy);
    }
}

/// Manifests expire by the clock.
fn clock(findings: &mut Findings) {
    let now_s = trust::now_s();
    let remedy = "set the clock: manifests are too young or expired by it";
    findings.hold("clock", now_s > 1_767_225_600, Level::Missing, &format!("{now_s} seconds since 1970"), remedy);
    let is_kept = ["/run/systemd/timesync/synchronized", "/run/chrony", "/run/ntpd.pid", "/var/lib/ntpsec"]
        .iter()
        .any(|path| Path::new(path).exists());
    let found = if is_kept { "a time service keeps it" } else { "nothing seems to keep it" };
    findings.hold("clock", is_kept, Level::Advice, found, "install systemd-timesyncd or chrony: expiry and staleness go by it");
}

fn files(config: &Config, backend: Selected, findings: &mut Findings) {
    let snapshot = &config.snapshot;
    let served = match snapshot.is_signed() {
        true => trust::preview::published(snapshot, backend).map_err(|error| error.to_string()),
        false => readable(&snapshot.path, Access::READ_OK).map(|()| 0),
    };
    let shown = if snapshot.is_signed() { snapshot.directory.display() } else { snapshot.path.display() };
    match served {
        Ok(0) => findings.add(Level::Ok, "snapshot", format!("{shown} is there; `verdictd --check` reads it")),
        Ok(generation) => findings.add(Level::Ok, "snapshot", format!("{shown}: generation {generation:016x}")),
        Err(why) => findings.add(Level::Missing, "snapshot", format!("{why}; publish one: verdictctl publish (docs/manual.md)")),
    }
    for key in snapshot.keys.iter().chain(&config.models.keys) {
        match readable(key, Access::READ_OK) {
            Ok(()) => closed("key", key, findings),
            Err(why) => findings.add(Level::Missing, "key", format!("{why}; verdictctl keygen makes a pair, the .pub goes here")),
        }
    }
    let state = snapshot.is_signed().then_some(&snapshot.state);
    for directory in state.into_iter().chain(config.journal_directory().as_ref()).collect::<std::collections::BTreeSet<_>>() {
        match readable(directory, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => closed("state", directory, findings),
            Err(why) => findings.add(Level::Missing, "state", format!("{why}; it must be a directory that the daemon's user may write")),
        }
    }
    for socket in [&config.listen.unix, &config.listen.control].into_iter().filter(|path| !path.as_os_str().is_empty()) {
        let directory = socket.parent().unwrap_or(Path::new("/"));
        let found = readable(directory, Access::WRITE_OK | Access::EXEC_OK);
        let remedy = "RuntimeDirectory= of the unit makes it; by hand: install -d -o verdictd";
        match found {
            Ok(()) => findings.add(Level::Ok, "socket", socket.display().to_string()),
            Err(why) => findings.add(Level::Missing, "socket", format!("{why}; {remedy}")),
        }
    }
}

/// Whoever may write a key or the state decides the answers.
fn closed(subject: &'static str, path: &Path, findings: &mut Findings) {
    let open = fs::metadata(path).is_ok_and(|about| about.mode() & 0o022 != 0);
    let found = format!("{} {}", path.display(), if open { "may be written by others" } else { "is there" });
    findings.hold(subject, !open, Level::Advice, &found, &format!("chmod go-w {}", path.display()));
}

fn ports(config: &Config, findings: &mut Findings) {
    let addresses = config.listen.addresses().into_iter().map(|bound| bound.address);
    for address in addresses.chain([config.listen.admin]) {
        match TcpListener::bind(address) {
            Ok(_closed_at_once) => findings.add(Level::Ok, "port", format!("{address} is free")),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && serves(config.listen.admin) => {
                findings.add(Level::Ok, "port", format!("{address}: a verdictd serves there"));
            }
            Err(error) => findings.add(Level::Missing, "port", format!("{address}: {error}; `ss -ltnp` tells who has it")),
        }
        if !address.ip().is_loopback() {
            findings.add(Level::Advice, "port", format!("{address} is open beyond this host; let a firewall say to whom"));
        }
    }
}

/// Whether a daemon of ours answers there.
fn serves(admin: SocketAddr) -> bool {
    use std::io::{Read, Write};
    let within = std::time::Duration::from_secs(1);
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&admin, within) else { return false };
    let mut reply = [0; 512];
    let asked = stream.set_read_timeout(Some(within)).and_then(|()| write!(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    asked.and_then(|()| stream.read(&mut reply)).is_ok_and(|bytes| reply[..bytes].ends_with(b"alive\n"))
}

fn readable(path: &Path, how: Access) -> Result<(), String> {
    access(path, how).map_err(|error| format!("{}: {}", path.display(), std::io::Error::from(error)))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The word in brackets.
fn chosen(text: &str) -> Option<&str> {
    text.split_once('[')?.1.split_once(']').map(|(word, _)| word)
}

fn kib(meminfo: &str, name: &str) -> Option<u64> {
    meminfo.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.trim().parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// CPUs that the control group of this process may use; none where there is no bound.
fn quota(root: &str, own: &str) -> Option<f64> {
    let group = own.lines().find_map(|line| line.strip_prefix("0::"))?.trim();
    let text = read(&format!("{root}{group}/cpu.max"));
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(directory: &Path) -> Config {
        let mut config = Config::serving(directory.join("none.snap"));
        config.listen.tcp = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.listen.admin = SocketAddr::from(([127, 0, 0, 1], 0));
        config.limits.connections_max = 10;
        config
    }

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(chosen("always [madvise] never\n"), Some("madvise"));
        assert_eq!(chosen(""), None);
        assert_eq!(kib("MemTotal:  1 kB\nMemAvailable:    2048 kB\n", "MemAvailable:"), Some(2048));
        assert_eq!((version("6.1.0-56-cloud-arm64\n"), version("5.10.2"), version("x")), ((6, 1), (5, 10), (0, 0)));
        let root = std::env::temp_dir().join(format!("verdictd-doctor-quota-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota(&root.display().to_string(), "0::/a/b\n"), Some(1.5));
        fs::write(root.join("a/b/cpu.max"), "max 100000\n").unwrap();
        assert_eq!(quota(&root.display().to_string(), "0::/a/b\n"), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once_with_its_remedy() {
        let directory = std::env::temp_dir().join(format!("verdictd-doctor-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = config(&directory);
        config.listen.tcp.push(taken.local_addr().unwrap());
        config.listen.control = directory.join("nowhere/control.sock");
        config.overlay.directory = directory.join("nowhere");
        config.shards.cpus = vec![4095];
        let findings = examine(&config, verdict_simd::detect().unwrap());
        assert!(!is_well(&findings));
        let missing: Vec<String> = findings.iter().filter(|finding| finding.level == Level::Missing).map(ToString::to_string).collect();
        for wanted in ["CPU 4095", "none.snap", "nowhere", &config.listen.tcp[1].to_string()] {
            assert!(missing.iter().any(|line| line.contains(wanted)), "{wanted}: {missing:#?}");
        }
        assert!(missing.iter().all(|line| line.contains("; ")), "each has a remedy: {missing:#?}");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_file_that_others_may_write_is_advised_against() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("verdictd-doctor-key-{}", std::process::id()));
        fs::write(&path, "x").unwrap();
        let mut findings = Findings::default();
        for mode in [0o644, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            closed("key", &path, &mut findings);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(findings.0.iter().map(|finding| finding.level).collect::<Vec<_>>(), [Level::Ok, Level::Advice]);
        assert!(findings.0[1].text.contains("chmod go-w"), "{}", findings.0[1]);
    }
}
