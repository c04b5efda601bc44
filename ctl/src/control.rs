//! Acting on a daemon over its control socket: one act a connection, one or many replies (PROTOCOL.md section 13).

use crate::date;
use crate::exit::Failure;
use crate::question::{Question, kind_name};
use crate::text;
use serde::Serialize;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;
use verdict_wire::{Act, ActRequest, Class, KeyKind, Outcome, TOLD_BYTES_MAX, Told, read_message};

/// Longer than any disk that is alive takes.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// How to reach the daemon's control socket.
#[derive(Debug, clap::Args)]
pub struct Control {
    /// The daemon's control socket, `listen.control` in its configuration
    #[arg(
        long,
        value_name = "PATH",
        env = "VERDICT_CONTROL",
        hide_env_values = true,
        default_value = "/run/verdictd/control.sock",
        help_heading = "Connection"
    )]
    control: PathBuf,
}

/// What the daemon says in the end.
#[derive(Debug, Serialize)]
pub struct Done {
    /// `done`.
    pub outcome: &'static str,
    /// Its own words, fit to print.
    pub text: String,
    /// Entries in force.
    pub entries: u32,
    /// From the act's arrival at the daemon until every shard answered by it.
    pub took_us: u32,
}

/// An entry in force.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// `block` or `unblock`.
    pub act: &'static str,
    /// Of the key.
    pub kind: &'static str,
    /// Canonical, fit to print.
    pub key: String,
    /// What it answers.
    pub class: &'static str,
    /// `2026-06-01T12:00:00Z`.
    pub at: String,
    /// Likewise.
    pub until: String,
    /// Who.
    pub uid: u32,
    /// By which process.
    pub pid: u32,
    /// Why.
    pub reason: String,
}

impl Control {
    /// Sends an act on a key; every entry goes to `entry`.
    pub fn act(&self, request: &ActRequest<'_>, mut entry: impl FnMut(Entry)) -> Result<Done, Failure> {
        self.told(request, |told| entry(entry_of(told)))
    }

    /// Sends it; every entry goes to `entry`, as it came.
    pub fn told(&self, request: &ActRequest<'_>, entry: impl FnMut(&Told<'_>)) -> Result<Done, Failure> {
        self.told_within(DEADLINE, request, entry)
    }

    /// The same, where an answer may take so long.
    pub fn told_within(&self, deadline: Duration, request: &ActRequest<'_>, mut entry: impl FnMut(&Told<'_>)) -> Result<Done, Failure> {
        let shown = text::path(&self.control);
        let mut stream = UnixStream::connect(&self.control).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::PermissionDenied => "only users may act whom the socket's mode lets in: listen.control_mode",
                _ => "is verdictd running, with listen.control in its configuration? --control names another socket",
            };
            Failure::Unavailable(format!("{shown}: {error} ({hint})"))
        })?;
        let broken = |error: io::Error| match error.kind() {
            io::ErrorKind::InvalidData => Failure::Protocol(format!("{shown}: {error}")),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Failure::Temporary(format!("{shown}: no answer within {} s; it may still be done", deadline.as_secs()))
            }
            _ if request.act.is_of_part() => {
                Failure::Temporary(format!("{shown}: {error}; `verdictctl switch list` tells whether it was done"))
            }
            _ if !request.act.is_order() => {
                Failure::Temporary(format!("{shown}: {error}; `verdictctl overlay list` tells whether it was done"))
            }
            _ => Failure::Temporary(format!("{shown}: {error}")),
        };
        stream.set_read_timeout(Some(deadline)).and_then(|()| stream.set_write_timeout(Some(DEADLINE))).map_err(broken)?;
        let mut message = Vec::new();
        request.encode(&mut message);
        stream.write_all(&message).map_err(broken)?;
        let mut stream = io::BufReader::new(stream);
        loop {
            let message = read_message(&mut stream, TOLD_BYTES_MAX).map_err(broken)?;
            let told = Told::decode(&message).map_err(|why| Failure::Protocol(format!("{shown}: {why}")))?;
            if told.outcome != Outcome::Entry {
                return done(&told);
            }
            entry(&told);
        }
    }
}

fn done(told: &Told<'_>) -> Result<Done, Failure> {
    let said = text::visible(told.text.as_bytes());
    match told.outcome {
        Outcome::Refused | Outcome::NotThere => Err(Failure::Refused(said)),
        Outcome::Failed => Err(Failure::Temporary(said)),
        Outcome::Done | Outcome::Entry => Ok(Done {
            outcome: told.outcome.name(),
            text: said,
            entries: u32::from_le_bytes(told.head.entries),
            took_us: u32::from_le_bytes(told.head.took_us),
        }),
    }
}

fn entry_of(told: &Told<'_>) -> Entry {
    let date = |ms: [u8; 8]| date::from_seconds(u64::from_le_bytes(ms) / 1000);
    let kind = verdict_keys::Kind::try_from(told.head.kind).ok();
    let key = kind.map_or_else(|| text::visible(told.key), |kind| key_text(kind, told.key));
    Entry {
        act: Act::from_raw(told.head.act).map_or("unknown", Act::name),
        kind: kind.map_or("unknown", kind_name),
        key,
        class: Class::from_raw(told.head.class).map_or("unknown", Class::name),
        at: date(told.head.at_ms),
        until: date(told.head.until_ms),
        uid: u32::from_le_bytes(told.head.uid),
        pid: u32::from_le_bytes(told.head.pid),
        reason: text::visible(told.text.as_bytes()),
    }
}

/// As people type it, so that it can be typed again.
fn key_text(kind: verdict_keys::Kind, key: &[u8]) -> String {
    use verdict_keys::Kind;
    match kind {
        Kind::Url | Kind::Host => text::visible(key),
        Kind::Ipv4 => <[u8; 4]>::try_from(key).map_or_else(|_| text::visible(key), |octets| std::net::Ipv4Addr::from(octets).to_string()),
        Kind::Ipv6 => <[u8; 16]>::try_from(key).map_or_else(|_| text::visible(key), |octets| std::net::Ipv6Addr::from(octets).to_string()),
        Kind::Sha256 | Kind::Sha1 | Kind::Md5 => key.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// The act on a typed key.
pub fn request<'a>(act: Act, class: Class, question: &'a Question, ttl_s: u32, reason: &'a str) -> ActRequest<'a> {
    ActRequest { act, kind: KeyKind::from_raw(question.kind as u8), class, ttl_s, key: &question.key, reason }
}
