//! Peers as processes: started on loopback, kept to one CPU, ended when dropped.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::spawn::free_address;

/// A peer that runs.
pub struct Peer {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Peer {
    /// The null server of this crate.
    pub fn null_server(verdict_perf: &Path, cpu: Option<usize>) -> io::Result<Self> {
        let mut child = on_cpu(verdict_perf, cpu)
            .args(["null-server", "--listen", "127.0.0.1:0"])
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
                Err(io::Error::other(format!("the null server did not come up: {line:?}")))
            }
        }
    }

    /// memcached with one worker thread; None where it is not installed.
    pub fn memcached(cpu: Option<usize>, memory_mib: usize) -> io::Result<Option<Self>> {
        if memcached_version().is_none() {
            return Ok(None);
        }
        let address = free_address()?;
        let mut command = on_cpu(Path::new("memcached"), cpu);
        command.args(["-l", "127.0.0.1", "-p", &address.port().to_string(), "-U", "0", "-t", "1", "-m", &memory_mib.to_string()]);
        if rustix::process::getuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let peer = Peer { child, address };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other("memcached did not come up"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(peer))
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

/// As it calls itself; None where it is not installed.
pub fn memcached_version() -> Option<String> {
    let output = Command::new("memcached").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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
