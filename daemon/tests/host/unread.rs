//! A log that nobody reads: standard error is a pipe that is full, or a journal that hangs. The daemon serves, reloads and ends as if it were read.

use super::journal::{elsewhere, field, journal, prepare, until};
use crate::acts::with_control;
use crate::support::{AUTHORIZATION, Peer, Scratch, config, eventually, free};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use verdict_wire as wire;
use verdictd::config::Config;
use verdictd::log::Format;

/// More lines than a pipe (64 KiB) and the daemon's own queue (4,096) hold.
const STRANGERS: u64 = 8_000;

/// A daemon that says at `debug` of every stranger that it is not let in.
fn chatty(scratch: &Scratch, format: Format) -> Config {
    let mut config = with_control(config(scratch), scratch);
    config.log.format = format;
    config.log.level = "debug".into();
    (config.listen.tcp, config.listen.admin) = (vec![free()], free());
    (config.proxy.on, config.proxy.from) = (vec!["tcp".into()], vec!["192.0.2.0/24".into()]);
    config
}

/// Ended with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

fn spawn(scratch: &Scratch, config: &Config, mut command: Command) -> Running {
    let file = scratch.join("verdictd.toml");
    std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
    command.args([env!("CARGO_BIN_EXE_verdictd").as_ref(), "--config".as_ref(), file.as_os_str()]);
    Running(command.stderr(Stdio::piped()).spawn().unwrap())
}

/// A series' value; none while the daemon does not answer.
fn metric(admin: SocketAddr, name: &str) -> Option<u64> {
    let mut stream = TcpStream::connect(admin).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\n{AUTHORIZATION}Connection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Strangers come until lines are dropped; then everything that an operator and a load balancer do.
fn serves_on(config: &Config, daemon: &Running) {
    let dropped = || metric(config.listen.admin, "verdictd_log_dropped_total");
    eventually("it serves", || dropped() == Some(0));
    for _ in 0..STRANGERS {
        let mut stranger = TcpStream::connect(config.listen.tcp[0]).unwrap();
        stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stranger.read(&mut [0; 64]);
        assert!(!matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "the shard stands still");
    }
    let counted = dropped().expect("it answers");
    assert!(counted > 0 && counted < STRANGERS, "{counted} of {STRANGERS}");
    let mut peer = Peer::over(UnixStream::connect(&config.listen.unix).unwrap());
    assert_eq!(peer.class_of("evil.test"), wire::Class::Malicious);
    kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
}

fn end(daemon: &mut Running) {
    kill_process(Pid::from_child(&daemon.0), Signal::TERM).unwrap();
    eventually("it ends", || daemon.0.try_wait().unwrap().is_some());
    assert!(daemon.0.wait().unwrap().success());
}

#[test]
fn a_full_pipe_on_standard_error_stops_nothing() {
    let scratch = Scratch::new();
    let config = chatty(&scratch, Format::Text);
    let mut daemon = spawn(&scratch, &config, Command::new("/usr/bin/env"));
    serves_on(&config, &daemon);
    end(&mut daemon);
    let mut text = String::new();
    daemon.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.len() >= 65_536 - 4_096 && text.lines().count() > 500, "the pipe was full: {} bytes", text.len());
    assert!(text.contains("a connection is not let in"));
}

#[test]
fn a_journal_that_hangs_stops_nothing_and_is_told_afterwards_what_it_missed() {
    let Some(scratch) = prepare() else { return };
    let journal = journal(&scratch);
    let config = chatty(&scratch, Format::Journald);
    let mut daemon = spawn(&scratch, &config, elsewhere(&scratch));
    serves_on(&config, &daemon);
    let entries = until(&journal, "log lines were dropped: nobody read them in time");
    let missed: u64 = field(entries.last().unwrap(), "VERDICTD_LINES").parse().unwrap();
    let read = entries.iter().filter(|entry| entry["MESSAGE"].starts_with("a connection is not let in: ")).count() as u64;
    assert!(read > 0 && read + missed >= STRANGERS, "{read} read, {missed} missed");
    let reloaded = entries.iter().any(|entry| entry["MESSAGE"] == "snapshot is the one already served");
    assert!(reloaded, "what is not for debugging had room");
    assert_eq!(metric(config.listen.admin, "verdictd_log_dropped_total"), Some(missed));
    end(&mut daemon);
    until(&journal, "ended");
}
