//! Where log lines go, and in which form. Nobody who logs waits for who reads: `outbox.rs` has the lines in between, `journal.rs` the journal's form of them.
//!
//! | `log.format` | what |
//! |---|---|
//! | `auto` | the journal's own protocol when standard error is connected to it (`JOURNAL_STREAM`, systemd.exec(5)), else text |
//! | `text` | a line an event on standard error: time, level, message, `name=value` |
//! | `json` | a JSON object a line on standard error, fields beside the message |
//! | `journald` | the journal's own protocol, or no start: every field becomes `VERDICTD_NAME=value`, the level `PRIORITY=` |
//!
//! Shards never log in a turn, so none of this is on a lookup's way; keys that are asked are never logged.

mod journal;
mod outbox;

pub use outbox::Outbox;

use journal::Journal;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The journal where standard error leads there, else text.
    #[default]
    Auto,
    /// Lines for people.
    Text,
    /// Lines for programs.
    Json,
    /// The journal's own protocol.
    Journald,
}

/// Of this process, which has one log.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines that nobody read in time, or that the journal did not take.
pub fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Sends every event up to `level` there, for as long as the process lives. What it returns is to be ended before the process.
///
/// # Errors
/// When the journal was asked for by name and does not answer; when the kernel has no thread for the log.
pub fn begin(format: Format, level: Level) -> io::Result<Outbox> {
    let journal = match format {
        Format::Journald => Some(journal::connect().map_err(|error| {
            io::Error::new(error.kind(), format!("log.format = \"journald\", and the journal does not answer: {error}"))
        })?),
        // Where the journal cannot be spoken to, standard error still leads to it, as lines.
        Format::Auto if leads_to_the_journal() => journal::connect().ok(),
        Format::Auto | Format::Text | Format::Json => None,
    };
    let filtered = tracing_subscriber::registry().with(LevelFilter::from_level(level));
    if let Some(socket) = journal {
        let outbox = Outbox::begin(&DROPPED, move |entry| journal::send(&socket, entry))?;
        filtered.with(Journal(outbox.clone())).init();
        return Ok(outbox);
    }
    let outbox = Outbox::begin(&DROPPED, |line| io::stderr().write_all(line))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(outbox.clone()).with_target(false).with_ansi(false);
    match format {
        Format::Json => filtered.with(lines.json().flatten_event(true)).init(),
        _ => filtered.with(lines).init(),
    }
    Ok(outbox)
}

/// `JOURNAL_STREAM` is `DEVICE:INODE` of the stream that the service manager made; a redirected standard error is another.
fn leads_to_the_journal() -> bool {
    let Ok(stated) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(ours) = rustix::fs::fstat(rustix::stdio::stderr()) else { return false };
    is_stream(&stated, ours.st_dev, ours.st_ino)
}

fn is_stream(stated: &str, device: u64, inode: u64) -> bool {
    let parts = stated.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    parts == Some((device, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_stream_of_the_journal_is_taken_for_it() {
        assert!(is_stream("8:4711", 8, 4711));
        for stated in ["", "8", "8:", ":4711", "8:4712", "9:4711", "8:4711:1", "x:y"] {
            assert!(!is_stream(stated, 8, 4711), "{stated:?}");
        }
    }
}
