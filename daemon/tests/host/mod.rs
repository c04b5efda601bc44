//! The daemon as a service manager starts it: what it is told, what sockets it hands down, when a reload is over.

mod journal;
mod probes;
mod unread;

use crate::acts::{act, host, with_control};
use crate::support::{Peer, Scratch, Site, config, start, stop, write_snapshot};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use verdict_tables::Class;
use verdict_wire as wire;
use verdictd::config::Config;
use wire::{Act, Outcome};

fn order(config: &Config, what: Act) -> (Outcome, String) {
    let (outcome, text, _) = act(config, what, wire::Class::Unknown, host(""), 0);
    (outcome, text)
}

fn a_reload_is_over_when_every_shard_answers_by_what_is_there_or_says_why_not() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    for marker in ["marker-two.test", "marker-one.test", "marker-two.test"] {
        write_snapshot(&config.snapshot.path, marker, Class::Malicious);
        let (outcome, text) = order(&config, Act::Reload);
        assert_eq!((outcome, text.contains("adopted, in place of")), (Outcome::Done, true), "{text}");
        assert_eq!(Peer::connect(daemon.tcp[0]).class_of(marker), wire::Class::Malicious);
    }
    let (outcome, text) = order(&config, Act::Reload);
    assert_eq!((outcome, text.contains("already served")), (Outcome::Done, true), "{text}");
    std::fs::write(&config.snapshot.path, b"no snapshot").unwrap();
    let (outcome, text) = order(&config, Act::Reload);
    assert_eq!((outcome, text.contains("is served on")), (Outcome::Refused, true), "{text}");
    assert_eq!(Peer::connect(daemon.tcp[0]).class_of("marker-two.test"), wire::Class::Malicious);
    assert_eq!(order(&config, Act::Drain).0, Outcome::Done);
    daemon.join().unwrap();
}

#[test]
fn reloads_that_meet_are_all_answered() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(order(&config, Act::Reload).0, Outcome::Done));
        }
    });
    stop(daemon);
}

#[test]
fn a_reload_tells_a_token_that_is_refused() {
    let scratch = Scratch::new();
    let config = with_control(config(&scratch), &scratch);
    let daemon = start(&config);
    std::fs::write(&config.admin.token, "short").unwrap();
    let (outcome, text) = order(&config, Act::Reload);
    assert_eq!((outcome, text.contains("token refused, that of before is taken on: admin.token: ")), (Outcome::Refused, true), "{text}");
    std::fs::write(&config.admin.token, "long-enough-for-a-token").unwrap();
    assert_eq!(order(&config, Act::Reload).0, Outcome::Done);
    stop(daemon);
}

#[test]
fn a_reload_looks_at_what_is_published_too() {
    let site = Site::new();
    site.publish(1, "marker-one.test", &|_| {});
    let mut config = site.config();
    config.snapshot.poll_s = 86_400;
    config.listen.control = site.path().with_file_name("control.sock");
    let daemon = start(&config);
    let next = site.publish(2, "marker-two.test", &|_| {});
    assert_eq!(order(&config, Act::Reload).0, Outcome::Done);
    assert_eq!(daemon.metrics.shards[0].generation.get(), next);
    stop(daemon);
}

/// A daemon in a process of its own, with what a service manager gives it.
struct Managed {
    child: Child,
    notes: UnixDatagram,
    config: Config,
}

impl Managed {
    /// `listener` becomes descriptor 3.
    fn start(scratch: &Scratch, listener: &TcpListener) -> Self {
        let mut config = with_control(config(scratch), scratch);
        config.listen.tcp = vec![listener.local_addr().unwrap()];
        let file = scratch.join("verdictd.toml");
        std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        let socket = scratch.join("notify.sock");
        let _ = std::fs::remove_file(&socket);
        let notes = UnixDatagram::bind(&socket).unwrap();
        notes.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1 WATCHDOG_PID=$$; exec \"$0\" --config \"$1\""])
            .args([env!("CARGO_BIN_EXE_verdictd").as_ref(), file.as_os_str()])
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "900000")
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().unwrap())))
            .stderr(std::fs::File::create(scratch.join("log")).unwrap())
            .spawn()
            .unwrap();
        Managed { child, notes, config }
    }

    /// Messages up to the one that has this line, and that one.
    fn until(&self, line: &str) -> String {
        let (mut buffer, began) = ([0; 4096], Instant::now());
        while began.elapsed() < Duration::from_secs(30) {
            let bytes = self.notes.recv(&mut buffer).unwrap_or_else(|error| panic!("no `{line}`: {error}"));
            let message = String::from_utf8_lossy(&buffer[..bytes]).into_owned();
            if message.lines().any(|said| said == line) {
                return message;
            }
        }
        panic!("no `{line}` within half a minute")
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

#[test]
fn a_manager_is_told_of_start_reload_life_and_end_and_keeps_the_socket() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = listener.local_addr().unwrap();
    // Asked before the daemon is there: it waits in the socket's queue.
    let mut early = Peer::connect(address);
    let mut managed = Managed::start(&scratch, &listener);
    let ready = managed.until("READY=1");
    assert!(ready.contains("STATUS=generation ") && ready.contains("(unsigned), "), "{ready}");
    assert_eq!(early.class_of("evil.test"), wire::Class::Malicious);
    managed.until("WATCHDOG=1");
    managed.until("WATCHDOG=1");

    write_snapshot(&managed.config.snapshot.path, "marker-two.test", Class::Malicious);
    managed.signal(rustix::process::Signal::HUP);
    let reloading = managed.until("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    managed.until("READY=1");
    assert_eq!(early.class_of("marker-two.test"), wire::Class::Malicious);

    managed.signal(rustix::process::Signal::TERM);
    managed.until("STOPPING=1");
    assert!(managed.child.wait().unwrap().success());
    // Nobody serves, and nobody is refused: the next daemon finds whoever came meanwhile.
    let mut waiting = Peer::connect(address);
    let next = Managed::start(&scratch, &listener);
    next.until("READY=1");
    assert_eq!(waiting.class_of("evil.test"), wire::Class::Malicious);
}

#[test]
fn a_socket_that_the_configuration_does_not_name_ends_the_start() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let file = scratch.join("verdictd.toml");
    std::fs::write(&file, toml::to_string(&config(&scratch)).unwrap()).unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", "exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" --config \"$1\""])
        .args([env!("CARGO_BIN_EXE_verdictd").as_ref(), file.as_os_str()])
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener.try_clone().unwrap())))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&listener.local_addr().unwrap().to_string()) && said.contains("make them agree"), "{said}");
    assert_eq!(output.status.code(), Some(78), "{said}");
}

every_driver!(a_reload_is_over_when_every_shard_answers_by_what_is_there_or_says_why_not,);
