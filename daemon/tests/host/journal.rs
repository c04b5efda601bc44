//! What the journal gets of real events, field by field, by its own protocol; and where lines go when there is none.
//!
//! ```text
//!  unshare: a mount namespace for one daemon        scratch/journal/socket  ◄── datagrams, read here
//!     /run/systemd/journal ─► scratch/journal
//! ```
//! The journal's socket has one place, and on a machine that runs systemd there is one: the daemon under test sees another /run.

use crate::acts::{block, host, with_control};
use crate::support::switches::done;
use crate::support::{Peer, Scratch, config, free};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use verdict_wire as wire;
use verdictd::config::Config;
use verdictd::log::Format;
use wire::Act;

/// In the namespace: another /run, with the first argument in the journal's place; then the other arguments are run.
const ELSEWHERE: &str =
    "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && mount --bind \"$0\" /run/systemd/journal && exec \"$@\"";

pub fn elsewhere(scratch: &Scratch) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "--", "/bin/sh", "-c", ELSEWHERE]).arg(scratch.join("journal"));
    command
}

/// With a directory for the journal's socket; `None`, said aloud, where no daemon can be shown it.
pub fn prepare() -> Option<Scratch> {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.join("journal")).unwrap();
    if elsewhere(&scratch).arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Some(scratch);
    }
    println!("SKIPPED: a socket in the journal's place needs the command unshare, and leave to mount in a namespace of one's own");
    None
}

/// The journal, as far as a daemon sees it.
pub fn journal(scratch: &Scratch) -> UnixDatagram {
    let socket = UnixDatagram::bind(scratch.join("journal").join("socket")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    socket
}

/// A daemon that logs in some way; its standard error goes to the file `log`.
struct Logging {
    child: Child,
    config: Config,
    scratch: Scratch,
}

impl Logging {
    /// `stream` says whether standard error is what the service manager says it is.
    fn start(scratch: Scratch, format: Format, stream: bool) -> Self {
        let mut config = with_control(config(&scratch), &scratch);
        config.log.format = format;
        config.listen.tcp = vec![free()];
        let file = scratch.join("verdictd.toml");
        std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
        let log = File::create(scratch.join("log")).unwrap();
        let metadata = log.metadata().unwrap();
        let child = elsewhere(&scratch)
            .args([env!("CARGO_BIN_EXE_verdictd").as_ref(), "--config".as_ref(), file.as_os_str()])
            .env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino() + u64::from(!stream)))
            .stderr(log)
            .spawn()
            .unwrap();
        Logging { child, config, scratch }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.join("log")).unwrap()
    }

    /// Until this stands on standard error; what does.
    fn says(&self, what: &str) -> String {
        let began = std::time::Instant::now();
        while !self.log().contains(what) {
            assert!(began.elapsed() < Duration::from_secs(30), "no `{what}`: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.log()
    }

    fn signal(&self, signal: Signal) {
        // `exec` all the way: the daemon is our child itself.
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// One entry's fields.
pub type Entry = BTreeMap<String, String>;

/// `NAME=value`, or a name, eight bytes of length, and a value that may have more than one line.
fn entry(mut bytes: &[u8]) -> Entry {
    let mut fields = Entry::new();
    while !bytes.is_empty() {
        let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line");
        let line = std::str::from_utf8(&bytes[..end]).expect("text");
        bytes = &bytes[end + 1..];
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
                let (value, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
                bytes = rest.strip_prefix(b"\n").expect("an end");
                (line, String::from_utf8(value.to_vec()).expect("text"))
            }
        };
        assert_eq!(fields.insert(name.to_owned(), value), None, "{name} twice");
    }
    fields
}

/// Entries up to the one with this message, and that one last.
pub fn until(journal: &UnixDatagram, message: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    while entries.last().is_none_or(|last| last["MESSAGE"] != message) {
        let bytes = journal.recv(&mut buffer).unwrap_or_else(|error| panic!("no `{message}`: {error}; {entries:#?}"));
        if bytes > 0 {
            let entry = entry(&buffer[..bytes]);
            well_formed(&entry);
            entries.push(entry);
        }
    }
    entries
}

/// What `journalctl` shows, filters and matches by: without MESSAGE an entry is not shown at all.
fn well_formed(entry: &Entry) {
    let of = |name: &str| entry.get(name).map(String::as_str).unwrap_or_else(|| panic!("no {name}: {entry:#?}"));
    assert!(!of("MESSAGE").is_empty(), "{entry:#?}");
    assert!(["3", "4", "5", "6"].contains(&of("PRIORITY")), "{entry:#?}");
    assert_eq!(of("SYSLOG_IDENTIFIER"), "verdictd");
    assert!(of("TARGET").starts_with("verdictd") && of("CODE_FILE").ends_with(".rs") && of("CODE_LINE").parse::<u32>().is_ok());
    let known = ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "TARGET", "CODE_FILE", "CODE_LINE"];
    for name in entry.keys().filter(|name| !known.contains(&name.as_str())) {
        let own = name.strip_prefix("VERDICTD_").unwrap_or_else(|| panic!("{name}: {entry:#?}"));
        let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(!own.is_empty() && name.len() <= 64 && name.bytes().all(plain), "{name}");
    }
}

pub fn field<'a>(entry: &'a Entry, name: &str) -> &'a str {
    entry.get(name).unwrap_or_else(|| panic!("no {name}: {entry:#?}"))
}

#[test]
fn every_field_of_an_event_is_a_field_of_its_entry_and_standard_error_stays_empty() {
    let Some(scratch) = prepare() else { return };
    let journal = journal(&scratch);
    let mut daemon = Logging::start(scratch, Format::Auto, true);
    let entries = until(&journal, "serving");
    let (serving, config) = (entries.last().unwrap(), &daemon.config);
    let fields = ["PRIORITY", "VERDICTD_SHARDS", "VERDICTD_TCP", "VERDICTD_UNIX"].map(|name| field(serving, name).to_owned());
    let unix = config.listen.unix.display().to_string();
    assert_eq!(fields, ["5".to_owned(), "1".to_owned(), format!("{:?}", config.listen.tcp), unix]);
    let unsigned = entries.iter().find(|entry| entry["MESSAGE"].starts_with("served unsigned")).expect("it is said");
    assert_eq!((field(unsigned, "PRIORITY"), field(unsigned, "VERDICTD_PATH")), ("4", &*config.snapshot.path.display().to_string()));

    let mut peer = Peer::connect(config.listen.tcp[0]);
    assert_eq!(peer.class_of("asked.evil.test"), wire::Class::Malicious);
    done(config, Act::Off, "rule md5");
    let switch = until(&journal, "switch").pop().unwrap();
    let names = ["PRIORITY", "VERDICTD_ACT", "VERDICTD_PART", "VERDICTD_RESULT", "VERDICTD_ENTRIES", "VERDICTD_REASON"];
    assert_eq!(names.map(|name| field(&switch, name)), ["4", "off", "rule md5", "done", "1", "\"a test\""]);
    assert_eq!(field(&switch, "VERDICTD_PID"), std::process::id().to_string());
    let took_us: u64 = field(&switch, "VERDICTD_TOOK_US").parse().unwrap();
    assert!(took_us > 0);
    block(config, host("blocked.test"), 600);
    let blocked = until(&journal, "overlay").pop().unwrap();
    assert_eq!([field(&blocked, "VERDICTD_ACT"), field(&blocked, "VERDICTD_KEY")], ["block", "blocked.test"]);

    daemon.signal(Signal::HUP);
    let same = until(&journal, "snapshot is the one already served").pop().unwrap();
    assert_eq!(field(&same, "VERDICTD_GENERATION").len(), 16);
    daemon.signal(Signal::TERM);
    let last = until(&journal, "ended");
    assert!(last.iter().any(|entry| entry["MESSAGE"] == "draining"));
    assert!(daemon.child.wait().unwrap().success());
    assert_eq!(daemon.log(), "", "nothing is told twice");
    let everything = format!("{entries:?}{last:?}");
    assert!(!everything.contains("asked.evil.test"), "keys that are asked are never logged");
}

#[test]
fn standard_error_that_leads_elsewhere_has_the_lines_and_the_journal_nothing() {
    let Some(scratch) = prepare() else { return };
    let journal = journal(&scratch);
    let mut daemon = Logging::start(scratch, Format::Auto, false);
    let log = daemon.says(" serving ");
    assert!(log.contains(" INFO serving shards=1 ") || log.contains(" INFO verdictd: serving shards=1 "), "{log}");
    daemon.signal(Signal::TERM);
    assert!(daemon.child.wait().unwrap().success());
    journal.set_nonblocking(true).unwrap();
    let got = journal.recv(&mut [0; 16]);
    assert_eq!(got.map_err(|error| error.kind()), Err(std::io::ErrorKind::WouldBlock), "not even a try");
}

#[test]
fn without_a_journal_lines_are_written_unless_it_was_asked_for_by_name() {
    let Some(scratch) = prepare() else { return };
    let mut daemon = Logging::start(scratch, Format::Auto, true);
    daemon.says(" serving ");
    daemon.signal(Signal::TERM);
    assert!(daemon.child.wait().unwrap().success());

    let mut daemon = Logging::start(prepare().unwrap(), Format::Journald, true);
    let status = daemon.child.wait().unwrap();
    let log = daemon.log();
    assert_eq!(status.code(), Some(69), "{log}");
    assert!(log.contains("log.format = \"journald\", and the journal does not answer: "), "{log}");
}

#[test]
fn a_line_of_json_has_the_fields_beside_the_message() {
    let Some(scratch) = prepare() else { return };
    let mut daemon = Logging::start(scratch, Format::Json, true);
    daemon.says("\"serving\"");
    daemon.signal(Signal::TERM);
    assert!(daemon.child.wait().unwrap().success());
    let log = daemon.log();
    let events: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let serving = events.iter().find(|event| event["message"] == "serving").expect("it is said");
    assert_eq!((&serving["level"], &serving["shards"]), (&"INFO".into(), &1.into()), "{serving}");
    assert_eq!(serving["tcp"], format!("{:?}", daemon.config.listen.tcp));
    assert!(events.iter().all(|event| event["timestamp"].is_string() && event["message"].is_string()), "{log}");
}
