//! Events as entries of the journal, by its own protocol: a datagram an entry, a field a line. systemd.io/JOURNAL_NATIVE_PROTOCOL.

use super::outbox::Outbox;
use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

const SOCKET: &str = "/run/systemd/journal/socket";

/// A way to the journal.
///
/// # Errors
/// There is none: what the kernel said.
pub fn connect() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    // An empty datagram, which the journal throws away; a full queue is the queue of a journal.
    socket.set_nonblocking(true)?;
    match socket.send_to(&[], SOCKET) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
        _ => {}
    }
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Sends an entry; waits for a journal that does not read.
///
/// # Errors
/// Nobody listens there, or the entry is longer than a datagram may be (`net.core.wmem_default`, some 200 KiB).
pub fn send(socket: &UnixDatagram, entry: &[u8]) -> io::Result<()> {
    socket.send_to(entry, SOCKET).map(|_| ())
}

/// Puts an entry for each event.
#[derive(Debug)]
pub struct Journal(pub Outbox);

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::default();
        // syslog(3)'s: err, warning, notice, info, debug.
        let priority = match *metadata.level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            Level::TRACE => 7,
        };
        entry.field("PRIORITY", format_args!("{priority}"));
        entry.field("SYSLOG_IDENTIFIER", format_args!("verdictd"));
        entry.field("TARGET", format_args!("{}", metadata.target()));
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.field("CODE_FILE", format_args!("{file}"));
            entry.field("CODE_LINE", format_args!("{line}"));
        }
        event.record(&mut entry);
        self.0.put(*metadata.level(), entry.bytes);
    }
}

/// One being written.
#[derive(Debug, Default)]
struct Entry {
    bytes: Vec<u8>,
    value: String,
}

impl Entry {
    /// `NAME=value`; where the value has lines, `NAME`, its length in eight bytes, least first, and the value.
    fn field(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.value.clear();
        let _ = self.value.write_fmt(value); // a String takes everything; a Display that fails has said what it could
        self.bytes.extend_from_slice(name.as_bytes());
        if self.value.contains('\n') {
            self.bytes.push(b'\n');
            self.bytes.extend_from_slice(&(self.value.len() as u64).to_le_bytes());
        } else {
            self.bytes.push(b'=');
        }
        self.bytes.extend_from_slice(self.value.as_bytes());
        self.bytes.push(b'\n');
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.field("MESSAGE", format_args!("{value:?}")),
            // Rust's names have letters, digits and underscores; tracing's may have points.
            name => self.field(&format!("VERDICTD_{}", name.to_ascii_uppercase().replace('.', "_")), format_args!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_more_than_one_line_has_its_length_before_it() {
        let mut entry = Entry::default();
        entry.field("MESSAGE", format_args!("one"));
        entry.field("MESSAGE", format_args!("one\ntwo=2\n"));
        assert_eq!(entry.bytes, b"MESSAGE=one\nMESSAGE\n\x0a\0\0\0\0\0\0\0one\ntwo=2\n\n");
    }
}
