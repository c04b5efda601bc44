//! The daemon in a container's cage: under `container/seccomp.json`, and under what denies io_uring.
//!
//! A filter belongs to the thread that installs it, and to its children: a thread of the test confines itself and starts the daemon. Calls that the
//! profile does not list end the daemon here instead of failing, so that none of them goes unseen.

mod filter;

use crate::support::{EICAR_MD5, Peer, Scratch, config, eventually, write_snapshot};
use filter::{Filter, Unlisted};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use verdict_tables::Class;
use verdict_wire::{self as wire, KeyKind};
use verdictd::driver::Choice;

/// A daemon that runs, and what it has said so far.
struct Confined {
    scratch: Scratch,
    daemon: Child,
    said: String,
    tcp: SocketAddr,
    admin: SocketAddr,
}

fn spawn(scratch: &Scratch, driver: Choice, filters: Vec<Filter>) -> Child {
    let mut config = config(scratch);
    config.shards.driver = driver;
    config.listen.control = scratch.join("control.sock");
    config.overlay.directory = scratch.join("overlay");
    let path = scratch.join("verdictd.toml");
    std::fs::write(&path, toml::to_string(&config).unwrap()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdictd"));
    command.arg("--config").arg(path).stdin(Stdio::null()).stderr(Stdio::piped());
    std::thread::spawn(move || {
        filters.iter().for_each(Filter::install);
        command.spawn().unwrap()
    })
    .join()
    .unwrap()
}

impl Confined {
    fn start(driver: Choice, filters: Vec<Filter>) -> Self {
        let scratch = Scratch::new();
        let mut daemon = spawn(&scratch, driver, filters);
        let (mut said, mut log) = (String::new(), BufReader::new(daemon.stderr.take().unwrap()));
        while !said.contains(" serving ") {
            if log.read_line(&mut said).unwrap() == 0 {
                panic!("{} {:?}: {said}", daemon.wait().unwrap(), driver);
            }
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let after = |name: &str| said.rsplit_once(name).unwrap().1.split([']', ' ', '\n']).next().unwrap().parse().unwrap();
        let (tcp, admin) = (after(" tcp=["), after(" admin="));
        Confined { scratch, daemon, said, tcp, admin }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.daemon), signal).unwrap();
    }

    /// What a daemon does in its life: answers, swaps, tells, ends.
    fn live(mut self) -> ExitStatus {
        let mut peer = Peer::connect(self.tcp);
        assert_eq!(peer.class_of("evil.test"), wire::Class::Malicious);
        assert_eq!(peer.ask(&[(KeyKind::Md5, &EICAR_MD5)])[0].class(), wire::Class::Malicious);
        assert_eq!(peer.class_of("marker-two.test"), wire::Class::Unknown);
        write_snapshot(&self.scratch.join("current.snap"), "marker-two.test", Class::Malicious);
        self.signal(Signal::HUP);
        eventually("the swap", || peer.class_of("marker-two.test") == wire::Class::Malicious);
        std::thread::sleep(std::time::Duration::from_millis(100)); // longer than a shard waits before it parks
        assert_eq!(peer.class_of("evil.test"), wire::Class::Malicious, "a parked shard wakes");
        assert!(self.get("/metrics").contains("verdictd_build_info") && self.get("/livez").starts_with("HTTP/1.1 200"));
        drop(peer);
        self.signal(Signal::TERM);
        self.daemon.wait().unwrap()
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        // Where a test has failed.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[test]
fn the_profile_lets_every_driver_do_all_that_it_does() {
    for driver in [Choice::Auto, Choice::Ring, Choice::Streams, Choice::Plain] {
        let confined = Confined::start(driver, filter::profile(Unlisted::Kills));
        let name = if driver == Choice::Auto { "epoll".into() } else { format!("{driver:?}").to_lowercase() };
        let ready = confined.get("/readyz");
        assert!(ready.contains(&format!("\ndriver {name}\n")), "{ready}");
        assert!(!confined.said.contains("io_uring"), "{}", confined.said);
        assert_eq!(confined.live().code(), Some(0), "{driver:?}");
    }
}

/// As Docker and containerd do by default.
fn without_rings() -> Vec<Filter> {
    let mut filters = filter::profile(Unlisted::Fails);
    filters.insert(0, Filter::denying(&["io_uring_setup", "io_uring_enter", "io_uring_register"], 1));
    filters
}

#[test]
fn without_io_uring_it_serves_and_says_so() {
    let confined = Confined::start(Choice::Auto, without_rings());
    assert!(confined.said.contains("WARN runs without io_uring: io_uring is denied by a seccomp filter"), "{}", confined.said);
    let ready = confined.get("/readyz");
    assert!(ready.contains("\ndriver plain: io_uring is denied by a seccomp filter"), "{ready}");
    assert!(confined.get("/metrics").contains("driver=\"plain\""));
    assert_eq!(confined.live().code(), Some(0));
}

#[test]
fn who_asks_for_plain_is_not_warned() {
    let confined = Confined::start(Choice::Plain, without_rings());
    assert!(!confined.said.contains("WARN runs without") && confined.get("/readyz").contains("\ndriver plain\n"));
    assert_eq!(confined.live().code(), Some(0));
}

#[test]
fn a_driver_that_is_named_is_not_replaced() {
    for driver in [Choice::Epoll, Choice::Ring, Choice::Streams] {
        let refused = spawn(&Scratch::new(), driver, without_rings()).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(78), "{said}");
        assert!(said.contains("denied by a seccomp filter") && said.contains("io_uring_setup"), "{said}");
    }
}

/// A test that cannot fail proves nothing.
#[test]
fn what_the_profile_does_not_list_is_seen() {
    let mut filters = filter::profile(Unlisted::Kills);
    filters.insert(0, Filter::denying(&["timerfd_create"], 1));
    let ended = spawn(&Scratch::new(), Choice::Plain, filters).wait_with_output().unwrap();
    assert!(!ended.status.success() && String::from_utf8_lossy(&ended.stderr).contains("shard ended"));
}
