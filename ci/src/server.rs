//! A `verdictd` of our own: written a config, started, waited for, asked, stopped.
//!
//! Everything it needs lies in one directory: `verdictd.toml`, `verdictd.sock`, `verdictd.log`. Ports are free ones on loopback. The server
//! is killed when its value is dropped, so that no failure on the way leaves a daemon behind; `stop` is the clean end and checks the exit
//! status, `keep` lets it run on.

use rustix::net::{self, AddressFamily, SocketType, sockopt};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The driver that the daemon takes by itself.
pub const AUTO: &str = "auto";
/// A sample snapshot loads in milliseconds; a hundred million entries take tens of seconds.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// More than the drain deadline of the daemon's defaults (10 s).
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
/// The daemon's default needs more descriptors than a bare init or a container may have.
const CONNECTIONS_MAX: usize = 256;
/// How often we look whether something has happened.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What not every daemon of ours has.
#[derive(Debug, Default)]
pub struct More {
    /// Serve HTTP too.
    pub http: bool,
    /// A file with the token that opens the pages of the admin listener.
    pub token: Option<PathBuf>,
}

/// A running daemon.
pub struct Server {
    child: Option<Child>,
    log: PathBuf,
    /// Where the binary protocol is served.
    pub tcp: SocketAddr,
    /// The same, on a Unix socket.
    pub unix: PathBuf,
    /// Metrics and health.
    pub admin: SocketAddr,
    /// Authorization and the JSON API, where it was told to serve them.
    pub http: SocketAddr,
    /// The configuration it was given.
    pub config: PathBuf,
}

impl Server {
    /// Starts `verdictd` on `snapshot` with `shards` shards (0: one per CPU) over `driver`, its files in `directory`, and returns when `/readyz` says 200.
    ///
    /// # Errors
    /// A sentence with the reason, and the daemon's own last words if it ended.
    pub fn start(verdictd: &Path, directory: &Path, snapshot: &Path, shards: usize, driver: &str) -> Result<Self, String> {
        Self::start_with(verdictd, directory, snapshot, shards, driver, &More::default())
    }

    /// The same, with more than is always there.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        verdictd: &Path,
        directory: &Path,
        snapshot: &Path,
        shards: usize,
        driver: &str,
        more: &More,
    ) -> Result<Self, String> {
        let [tcp, admin, http] = [free()?, free()?, free()?];
        let unix = directory.join("verdictd.sock");
        let config = directory.join("verdictd.toml");
        let log = directory.join("verdictd.log");
        let text = format!(
            "# Written by cargo xtask; every key: verdictd --print-config\n\
             [snapshot]\npath = '{}'\n\n[listen]\ntcp = [\"{tcp}\"]\n{}unix = '{}'\nadmin = \"{admin}\"\n\n[shards]\ncount = {shards}\ndriver = \"{driver}\"\n\n\
             [limits]\nconnections_max = {CONNECTIONS_MAX} # fits the descriptor limit of any shell\n{}",
            snapshot.display(),
            if more.http { format!("http = [\"{http}\"]\n") } else { String::new() },
            unix.display(),
            more.token.as_ref().map_or_else(String::new, |file| format!("\n[admin]\ntoken = '{}'\n", file.display()))
        );
        fs::write(&config, text).map_err(|error| format!("{}: {error}", config.display()))?;
        let out = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let err = out.try_clone().map_err(|error| format!("{}: {error}", log.display()))?;
        let child = Command::new(verdictd)
            .arg("--config")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0) // Ctrl-C is for us; we then stop the daemon ourselves, or keep it
            .spawn()
            .map_err(|error| format!("{}: {error}", verdictd.display()))?;
        let mut server = Server { child: Some(child), log, tcp, unix, admin, http, config };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        let mut last = String::from("no answer");
        while begun.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose().map_err(|error| error.to_string())?.flatten() {
                self.child = None;
                return Err(format!("verdictd ended while starting ({status}):\n{}", self.last_words()));
            }
            match http_get(self.admin, "/readyz") {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => last = format!("{status} {}", body.trim()),
                Err(error) => last = error.to_string(),
            }
            sleep(LOOK_EVERY);
        }
        Err(format!("/readyz was not 200 within {} s: {last}\n{}", READY_WITHIN.as_secs(), self.last_words()))
    }

    /// Its process id; 0 after it ended.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// SIGHUP: asks it to load its snapshot again.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn reload(&self) -> Result<(), String> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?)).ok_or("verdictd does not run")?;
        kill_process(pid, signal).map_err(|error| format!("verdictd cannot be signalled: {error}"))
    }

    /// SIGTERM, then waits for exit status 0. Says how long that took.
    ///
    /// # Errors
    /// When it does not end in time (it is killed then), or ends otherwise than with status 0.
    pub fn stop(mut self) -> Result<Duration, String> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        while begun.elapsed() < STOPPED_WITHIN {
            let ended = self.child.as_mut().map(Child::try_wait).transpose().map_err(|error| error.to_string())?.flatten();
            if let Some(status) = ended {
                self.child = None;
                return if status.success() {
                    Ok(begun.elapsed())
                } else {
                    Err(format!("verdictd ended with {status} at SIGTERM:\n{}", self.last_words()))
                };
            }
            sleep(LOOK_EVERY);
        }
        Err(format!("verdictd did not end within {} s of SIGTERM:\n{}", STOPPED_WITHIN.as_secs(), self.last_words()))
    }

    /// Lets it run on after us.
    pub fn keep(mut self) {
        self.child = None;
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        tail(&fs::read_to_string(&self.log).unwrap_or_default(), 20)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself: nothing is left to do then.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The last `count` lines.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// An address on loopback for a server that is told where to listen. A socket that never listens holds its port while this process lives: the kernel
/// chooses it for nobody, and who names it may listen (both have SO_REUSEADDR).
///
/// # Errors
/// What the kernel said, as a sentence.
pub fn free() -> Result<SocketAddr, String> {
    let held = || {
        let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = net::getsockname(&socket)?.try_into();
        let _held = socket.into_raw_fd();
        address
    };
    held().map_err(|error| format!("no free port on loopback: {error}"))
}

/// Status and body of one GET. The peer is our own daemon, so a reply longer than 4 MiB is an error, not a case.
///
/// # Errors
/// Of the connection; also when the reply is not HTTP.
pub fn http_get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    http_get_as(address, path, "*/*")
}

/// The same, where the reply may come in several formats.
///
/// # Errors
/// As `http_get`.
pub fn http_get_as(address: SocketAddr, path: &str, accept: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.take(4 << 20).read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("the reply has no end of head"))?;
    let status =
        head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| io::Error::other("the reply has no status"))?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// `bind` without SO_REUSEADDR is refused where anybody holds the port.
    #[test]
    fn a_free_address_is_held_and_may_be_listened_on_again_and_again() {
        let (address, other) = (free().unwrap(), free().unwrap());
        assert_ne!(address, other);
        for _ in 0..3 {
            assert_eq!(TcpListener::bind(address).unwrap().local_addr().unwrap(), address);
            let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            assert_eq!(net::bind(&socket, &address), Err(rustix::io::Errno::ADDRINUSE));
        }
    }

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
        assert_eq!(tail("", 5), "");
    }

    #[test]
    fn a_program_that_ends_at_once_is_told_with_its_last_words() {
        let directory = std::env::temp_dir().join(format!("xtask-server-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let error = Server::start(Path::new("/bin/false"), &directory, Path::new("none.snap"), 1, AUTO).err().unwrap();
        fs::remove_dir_all(&directory).unwrap();
        assert!(error.contains("ended while starting"), "{error}");
    }

    #[test]
    fn http_get_reads_status_and_body() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nloading\n").unwrap();
            head
        });
        let (status, body) = http_get(address, "/readyz").unwrap();
        assert_eq!((status, body.as_str()), (503, "loading\n"));
        assert!(peer.join().unwrap().starts_with(b"GET /readyz HTTP/1.1\r\n"));
    }
}
