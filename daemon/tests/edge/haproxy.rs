//! The real HAProxy, as Debian installs it, with the very files of docs/balancers/haproxy.
//!
//! Ports and paths come from the environment, which the files leave room for. A test that finds no haproxy says so and skips; CI installs it.

use crate::support::{Scratch, eventually};
use rustix::process::{Pid, Signal, kill_process};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether there is one; said, where there is none.
pub fn is_there() -> bool {
    let there = Command::new("haproxy").arg("-v").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("SKIPPED: haproxy is not installed");
    }
    there
}

/// A file of docs/balancers/haproxy.
pub fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/balancers/haproxy").join(name)
}

/// A master and its workers.
pub struct Haproxy {
    master: Child,
    log: PathBuf,
}

impl Haproxy {
    /// With these files and these variables; returns when it answers at `site`.
    pub fn start(scratch: &Scratch, files: &[PathBuf], variables: &[(&str, String)], site: SocketAddr) -> Self {
        let log = scratch.join("haproxy.log");
        let mut command = Command::new("haproxy");
        command.arg("-W");
        for file in files {
            command.arg("-f").arg(file);
        }
        command.envs(variables.iter().map(|(name, value)| (*name, value)));
        let out = std::fs::File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let haproxy = Haproxy { master: command.spawn().unwrap(), log };
        eventually("haproxy listens", || TcpStream::connect(site).is_ok() || haproxy.panic_with_its_log());
        haproxy
    }

    fn panic_with_its_log(&self) -> bool {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(!text.contains("[ALERT]"), "haproxy: {text}");
        false
    }

    /// What it said.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn workers(&self) -> Vec<String> {
        let path = format!("/proc/{0}/task/{0}/children", self.master.id());
        std::fs::read_to_string(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }

    /// As `systemctl reload haproxy`: a new worker takes the listeners over, the old one finishes what it began. Returns when the new one is there.
    pub fn reload(&self) {
        let loaded = || self.said().matches("Loading success").count();
        let (before, mut asked) = (loaded(), None::<Instant>);
        eventually("haproxy reloads", || {
            // While the master replaces itself, after each load, it forgets the signal: it is told again.
            if asked.is_none_or(|at| at.elapsed() > Duration::from_millis(150)) {
                asked = Some(Instant::now());
                self.signal(Signal::USR2);
            }
            loaded() > before
        });
    }

    /// How many workers there are, those that finish included.
    pub fn count(&self) -> usize {
        self.workers().len()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.master), signal).unwrap();
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM); // takes its workers with it
        let _ = self.master.wait();
    }
}
