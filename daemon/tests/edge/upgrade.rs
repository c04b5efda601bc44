//! Two daemons, each a process, behind the real HAProxy: the program of each is exchanged for another file under load, as docs/upgrade.md has it.
//!
//! What front.rs cannot see within one process: that SIGTERM under load ends with status 0, that locks and sockets of one process pass to the next, and that
//! what operators did, what is pinned and what is kept is taken over from the disk alone, with nothing published any more.

use crate::front::{Node, Seen, clients, front};
use crate::haproxy::is_there;
use crate::support::{Peer, Scratch, Site};
use crate::visitors::Ending;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use verdict_wire::{Act, Answer, Class, Flags, KeyKind};

/// Processes start and end, on a machine that runs other tests.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "did not happen: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program under a path of its own; another build: what is behind the last section of a program is nobody's.
fn program(scratch: &Scratch, version: &str) -> PathBuf {
    let path = scratch.join(version);
    fs::copy(env!("CARGO_BIN_EXE_verdictd"), &path).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(version.as_bytes()).unwrap();
    path
}

/// A daemon in a process of its own, with a published directory.
struct Running {
    node: Node,
    site: Site,
    directory: Scratch,
    child: Option<Child>,
}

impl Running {
    fn new() -> Self {
        let site = Site::new();
        site.publish(1, "marker-one.test", &|_| {});
        let node = Node::of(site.config(), Scratch::new()).behind();
        Running { node, site, directory: Scratch::new(), child: None }
    }

    /// Returns when it takes traffic.
    fn start(&mut self, program: &Path) {
        let file = self.directory.join("verdictd.toml");
        fs::write(&file, toml::to_string(&self.node.config).unwrap()).unwrap();
        let log = File::options().create(true).append(true).open(self.directory.join("log")).unwrap();
        let child = self.child.insert(Command::new(program).arg("--config").arg(&file).stderr(log).spawn().unwrap());
        eventually("it is ready", || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", fs::read_to_string(self.directory.join("log")).unwrap());
            self.node.is_ready()
        });
        assert_eq!(fs::read_link(format!("/proc/{}/exe", child.id())).unwrap(), program, "another file runs");
    }

    /// As `systemctl stop`; the traffic has gone elsewhere.
    fn end(&mut self) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success(), "{}", fs::read_to_string(self.directory.join("log")).unwrap());
    }

    fn ask(&self, kind: KeyKind, key: &[u8]) -> Answer {
        Peer::over(UnixStream::connect(&self.node.config.listen.unix).unwrap()).ask(&[(kind, key)])[0]
    }

    fn class(&self, host: &str) -> Class {
        self.ask(KeyKind::Host, host.as_bytes()).class()
    }

    /// Two generations are kept and the older is pinned; one host is blocked, one kind of rules is off. Then nothing is published any more.
    fn operate(&self) {
        self.site.publish(2, "marker-two.test", &|_| {});
        eventually("the second generation is served", || self.class("marker-two.test") == Class::Malicious);
        self.node.act_on(Act::Pin, (None, b"epoch 1"), 0);
        self.node.act_on(Act::Off, (None, b"rule ipv4"), 0);
        self.node.act_on(Act::Block, (Some(KeyKind::Host), b"blocked.test"), 3600);
        fs::remove_dir_all(self.site.path()).unwrap();
    }

    fn is_as_it_was(&self) {
        let blocked = self.ask(KeyKind::Host, b"blocked.test");
        assert!(blocked.class() == Class::Malicious && blocked.flags().contains(Flags::FROM_DELTA), "the journal: {blocked:?}");
        assert_eq!((self.class("marker-one.test"), self.class("marker-two.test")), (Class::Malicious, Class::Unknown), "the pin");
        assert_eq!(self.ask(KeyKind::Ipv4, &[192, 0, 2, 9]).class(), Class::Unknown, "the switch");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let _ = child.kill(); // it may have ended by itself
        let _ = child.wait();
    }
}

#[test]
fn the_program_is_exchanged_under_load_and_what_operators_did_goes_on() {
    if !is_there() {
        return;
    }
    let scratch = Scratch::new();
    let (old, new) = (program(&scratch, "old"), program(&scratch, "new"));
    let mut both = [Running::new(), Running::new()];
    for running in &mut both {
        running.start(&old);
        running.operate();
        running.is_as_it_was();
    }
    let (_haproxy, address) = front(&scratch, [&both[0].node, &both[1].node]);
    let (seen, end) = (Seen::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ending = Ending(&end);
        for _ in 0..4 {
            scope.spawn(|| clients(address, &end, &seen));
        }
        for running in &mut both {
            eventually("it has clients", || running.node.act(Act::Join) > 0);
            running.node.act(Act::Leave);
            eventually("all clients go elsewhere", || running.node.act(Act::Leave) == 0);
            let before = seen.right.load(Ordering::Relaxed);
            running.end();
            eventually("the other goes on alone", || seen.right.load(Ordering::Relaxed) > before + 100);
            running.start(&new);
            running.is_as_it_was();
            // HAProxy sees it with its next check, and sends somebody when somebody comes: the next round sees to that.
        }
        eventually("the first has clients again", || both[0].node.act(Act::Join) > 0);
    });
    assert_eq!(*seen.wrong.lock().unwrap(), Vec::<String>::new());
    for running in &mut both {
        running.node.act_on(Act::Pin, (None, b"epoch 2"), 0);
        assert_eq!(running.class("marker-two.test"), Class::Malicious, "the other generation is kept too");
        running.end();
    }
}
