//! A daemon of our own for the time of a check: temporary directory, loopback ports, generated configuration, a clean end.
//!
//! The daemon is addressed as an operator would: config file, SIGHUP, SIGTERM, exit code. It is killed only when it does not stop by itself.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::{self, AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, Signal, kill_process};

use crate::frame;

/// How a daemon is started.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// The `verdictd` binary.
    pub binary: &'a Path,
    /// Its `shards.driver`; `AUTO` unless drivers are compared.
    pub driver: &'a str,
    /// What it serves.
    pub snapshot: Served<'a>,
    /// Kept to this CPU, with one shard; all CPUs where None.
    pub cpu: Option<usize>,
    /// Lines for the section `[limits]`, and sections behind it.
    pub limits: &'a str,
}

/// The driver that the daemon takes by itself.
pub const AUTO: &str = "auto";

/// Where its snapshot comes from.
#[derive(Clone, Copy, Debug)]
pub enum Served<'a> {
    /// These bytes, as a file of its own.
    Bytes(&'a [u8]),
    /// This file, where it is: for one that is too large to copy.
    File(&'a Path),
    /// What is published in this directory and signed with this key, now and later.
    Published {
        /// `verdictctl publish --to`.
        directory: &'a Path,
        /// The public key's file.
        key: &'a Path,
    },
}

/// A running daemon; stopped when dropped.
pub struct Daemon {
    child: Child,
    directory: PathBuf,
    /// Where it answers the binary protocol.
    pub address: SocketAddr,
    /// Where it answers the binary protocol too; `SECOND` in the sections that it is given stands for this address.
    pub second: SocketAddr,
    /// Where it answers HTTP.
    pub http: SocketAddr,
    /// Where it answers HAProxy.
    pub spop: SocketAddr,
    /// Where it tells its metrics.
    pub admin: SocketAddr,
}

/// How long start and stop may take: a snapshot of some hundred MiB is hashed and copied meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

impl Daemon {
    /// Starts it and waits for its first PONG.
    pub fn start(wanted: &Wanted<'_>) -> io::Result<Self> {
        let directory = temporary_directory()?;
        let own = directory.join("serving.snap");
        let served = match wanted.snapshot {
            Served::Bytes(bytes) => write_whole(&own, bytes).map(|()| format!("path = {own:?}"))?,
            Served::File(path) => format!("path = {:?}", std::path::absolute(path)?),
            Served::Published { directory: published, key } => {
                let state = directory.join("state");
                std::fs::create_dir(&state)?;
                format!("directory = {published:?}\nkeys = [{key:?}]\nstate = {state:?}")
            }
        };
        let [address, second, http, spop, admin] = [(); 5].map(|()| free_address());
        let (address, second, http, spop, admin) = (address?, second?, http?, spop?, admin?);
        let config = format!(
            "[snapshot]\n{2}\n[listen]\ntcp = [\"{address}\", \"{second}\"]\nhttp = [\"{http}\"]\nspop = [\"{spop}\"]\nunix = \"{0}/sock\"\nadmin = \"{admin}\"\n[shards]\ndriver = \"{3}\"\n[limits]\n{1}\n",
            directory.display(),
            wanted.limits.replace("SECOND", &second.to_string()),
            served,
            wanted.driver
        );
        std::fs::write(directory.join("verdictd.toml"), config)?;
        let mut command = match wanted.cpu {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &cpu.to_string()]).arg(wanted.binary);
                command
            }
            None => Command::new(wanted.binary),
        };
        let log = File::create(directory.join("log"))?;
        let child = command
            .arg("--config")
            .arg(directory.join("verdictd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut daemon = Daemon { child, directory, address, second, http, spop, admin };
        daemon.wait_until_ready()?;
        Ok(daemon)
    }

    /// Its process; `taskset` becomes the daemon by exec, so the id is the daemon's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that it serves; replaced by `replace_snapshot`.
    pub fn snapshot_path(&self) -> PathBuf {
        self.directory.join("serving.snap")
    }

    /// The sum of a counter over its labels, by its name in the metrics.
    pub fn counter(&self, name: &str) -> io::Result<f64> {
        self.counter_of(name, "")
    }

    /// The sum of those of its series whose labels have this text in them.
    pub fn counter_of(&self, name: &str, label: &str) -> io::Result<f64> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: verdictd\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.lines().filter(|line| line.contains(label)).filter_map(|line| value_of(line, name)).sum())
    }

    /// Puts another snapshot in place by rename, and says so by SIGHUP.
    pub fn replace_snapshot(&self, bytes: &[u8]) -> io::Result<()> {
        let next = self.directory.join("next.snap");
        write_whole(&next, bytes)?;
        std::fs::rename(next, self.snapshot_path())?;
        self.signal(Signal::HUP)
    }

    /// The same with a file that is already in the daemon's directory under this name, as a hard link: no bytes are copied.
    pub fn link_snapshot(&self, name: &str) -> io::Result<()> {
        let next = self.directory.join("next.snap");
        std::fs::hard_link(self.directory.join(name), &next)?;
        std::fs::rename(next, self.snapshot_path())?;
        self.signal(Signal::HUP)
    }

    /// Lays a file into the daemon's directory, for `link_snapshot`.
    pub fn keep_snapshot(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        write_whole(&self.directory.join(name), bytes)
    }

    /// Is it still there?
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// SIGTERM; an error where it does not end, or not with 0.
    pub fn stop(mut self) -> io::Result<()> {
        if !self.is_alive() {
            return Err(io::Error::other(format!("the daemon had ended before it was stopped:\n{}", self.log())));
        }
        self.signal(Signal::TERM)?;
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("the daemon ended with {status}:\n{}", self.log()))),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        Err(io::Error::other(format!("the daemon did not stop within {PATIENCE:?}:\n{}", self.log())))
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(kill_process(pid, signal)?)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        let started = Instant::now();
        loop {
            if generation(self.address).is_ok() {
                return Ok(());
            }
            if !self.is_alive() || started.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("the daemon did not come up:\n{}", self.log())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already stopped, or an error is on its way that matters more than these.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The generation that a server at `address` answers from, by PING on a fresh connection.
pub fn generation(address: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    frame::ping(&mut request, 1);
    stream.write_all(&request)?;
    let mut reply = [0u8; frame::HEAD_BYTES + frame::GENERATION_BYTES];
    stream.read_exact(&mut reply)?;
    let pong = frame::Received::first(&reply).map_err(io::Error::other)?;
    match pong {
        Some(pong) if pong.kind == frame::PONG => pong.generation().ok_or(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a PING was not answered by a PONG")),
    }
}

/// An address on loopback for a server that is told where to listen. A socket that never listens holds its port while this process lives: the kernel
/// chooses it for nobody, not for one of ten thousand clients either, and a server that names it may listen (both have SO_REUSEADDR).
pub fn free_address() -> io::Result<SocketAddr> {
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = net::getsockname(&socket)?.try_into().map_err(io::Error::other);
    let _held = socket.into_raw_fd();
    address
}

fn temporary_directory() -> io::Result<PathBuf> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("verdict-perf-{}-{number}", std::process::id()));
    std::fs::create_dir(&path)?;
    Ok(path)
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)
}

/// Of a series of this name, with labels or without.
fn value_of(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
    rest.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// `bind` without SO_REUSEADDR is refused where anybody holds the port.
    #[test]
    fn a_free_address_is_held_and_may_be_listened_on_again_and_again() {
        let (address, other) = (free_address().unwrap(), free_address().unwrap());
        assert_ne!(address, other);
        for _ in 0..3 {
            assert_eq!(TcpListener::bind(address).unwrap().local_addr().unwrap(), address);
            let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            assert_eq!(net::bind(&socket, &address), Err(rustix::io::Errno::ADDRINUSE));
        }
    }

    #[test]
    fn a_series_has_its_value_with_labels_or_without() {
        assert_eq!(value_of("verdictd_models_sequence 1", "verdictd_models_sequence"), Some(1.0));
        assert_eq!(value_of("verdictd_keys_total{kind=\"url\"} 7", "verdictd_keys_total"), Some(7.0));
        assert_eq!(value_of("verdictd_keys_total_more 7", "verdictd_keys_total"), None);
        assert_eq!(value_of("# TYPE verdictd_keys_total counter", "verdictd_keys_total"), None);
    }
}
