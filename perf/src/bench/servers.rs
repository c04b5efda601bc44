//! Servers as processes: started on loopback, kept to one CPU, ended when dropped. The same way for all.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::null_server::Twin;
use crate::process;
use crate::spawn::free_address;

/// A peer that runs.
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Peer {
    /// One of the null servers of this crate.
    pub fn null_server(verdict_perf: &Path, twin: Twin, cpu: Option<usize>) -> io::Result<Self> {
        Self::null_server_of(verdict_perf, twin, &[], cpu)
    }

    /// The same, speaking HTTP with responses of so many bytes.
    pub fn null_http_server(verdict_perf: &Path, twin: Twin, reply_bytes: usize, cpu: Option<usize>) -> io::Result<Self> {
        Self::null_server_of(verdict_perf, twin, &["--http", &reply_bytes.to_string()], cpu)
    }

    fn null_server_of(verdict_perf: &Path, twin: Twin, more: &[&str], cpu: Option<usize>) -> io::Result<Self> {
        let mut child = on_cpu(verdict_perf, cpu)
            .args(["null-server", "--listen", "127.0.0.1:0", "--twin", twin.name()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok()) {
            Some(address) => Ok(Peer { child, address }),
            None => {
                child.kill()?;
                child.wait()?;
                Err(io::Error::other(format!("the null server ({}) did not come up: {line:?}", twin.name())))
            }
        }
    }

    /// memcached with one worker thread and room for this many keys of 16 bytes; None where it is not installed.
    pub fn memcached(cpu: Option<usize>, keys: u64) -> io::Result<Option<Self>> {
        if memcached_version().is_none() {
            return Ok(None);
        }
        // Larger than needed is not used. The table of hashes at its final size: growing it would cost memcached time while it is measured.
        let mib = (64 + keys * 160 / (1 << 20)).to_string();
        let hash_power = keys.max(1 << 16).next_power_of_two().ilog2().min(32);
        let mut command = on_cpu(Path::new("memcached"), cpu);
        command.args(["-U", "0", "-t", "1", "-C", "-n", "32", "-m", &mib, "-o", &format!("hashpower={hash_power},no_lru_crawler")]);
        if rustix::process::getuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let address = free_address()?;
        Self::listening(command.args(["-l", "127.0.0.1", "-p", &address.port().to_string()]), "memcached", address).map(Some)
    }

    /// Redis without persistence; None where it is not installed.
    pub fn redis(cpu: Option<usize>) -> io::Result<Option<Self>> {
        if redis_version().is_none() {
            return Ok(None);
        }
        let address = free_address()?;
        let mut command = on_cpu(Path::new("redis-server"), cpu);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", "", "--appendonly", "no", "--dir", "/"]);
        Self::listening(&mut command, "redis-server", address).map(Some)
    }

    fn listening(command: &mut Command, name: &str, address: SocketAddr) -> io::Result<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let peer = Peer { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other(format!("{name} did not come up")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(peer)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It holds nothing that would need a clean end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps this thread to the second CPU and returns the first, for servers; None, and nothing kept, where there is only one.
pub fn part_cpus(notes: &mut Vec<String>) -> io::Result<Option<usize>> {
    match *process::cpus() {
        [server, client, ..] => {
            process::pin_this_thread(client)?;
            notes.push(format!("servers on CPU {server}, generator on CPU {client}"));
            Ok(Some(server))
        }
        _ => {
            notes.push("one CPU only: server and generator share it".to_owned());
            Ok(None)
        }
    }
}

/// As it calls itself; None where it is not installed.
pub fn memcached_version() -> Option<String> {
    let output = Command::new("memcached").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// As it calls itself; None where it is not installed.
pub fn redis_version() -> Option<String> {
    let output = Command::new("redis-server").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(format!("Redis {}", text.split_whitespace().find_map(|word| word.strip_prefix("v="))?))
}

fn on_cpu(binary: &Path, cpu: Option<usize>) -> Command {
    match cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.args(["-c", &cpu.to_string()]).arg(binary);
            command
        }
        None => Command::new(binary),
    }
}
