//! Between who logs and who reads it: nobody waits for a reader.
//!
//! ```text
//!  any thread ── put ──► 4,096 lines ──► thread `log` ──► standard error, or the journal's socket
//!                 └ full: counted, dropped        └ told when it is empty again: "log lines were dropped"
//! ```
//! A write to a pipe or a datagram socket waits while its reader stands still (pipe(7), unix(7)). That would be a shard that says why it cannot accept, or
//! the control thread, for which the watchdog then ends the daemon: a journal that hangs would take verdicts down.

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait: half a megabyte of usual ones.
const LINES: usize = 4_096;

/// Of these, what lines for debugging may take: peers cause such lines, and what operators have to know finds room beside them.
const LINES_OF_DEBUGGING: usize = LINES / 2;

/// How long the end of the process waits for lines that are not written yet.
const END: Duration = Duration::from_secs(1);

enum Message {
    Line(Vec<u8>),
    /// All before it was written.
    End(Sender<()>),
}

/// Where lines are left.
#[derive(Clone, Debug)]
pub struct Outbox {
    lines: Sender<Message>,
    dropped: &'static AtomicU64,
}

impl Outbox {
    /// `write` gets a line at a time, in a thread that lives as long as the process, and may wait as long as it likes. Lines that found no room or that it
    /// failed to write are counted in `dropped`.
    ///
    /// # Errors
    /// The kernel had no thread for it, as it says.
    pub fn begin(dropped: &'static AtomicU64, write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let (lines, receiver) = bounded(LINES);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || empty(&receiver, dropped, write))
            .map_err(|error| io::Error::new(error.kind(), format!("a thread for the log: {error}")))?;
        Ok(Outbox { lines, dropped })
    }

    /// Never waits.
    pub fn put(&self, level: Level, line: Vec<u8>) {
        let has_room = level <= Level::INFO || self.lines.len() < LINES_OF_DEBUGGING;
        if !has_room || self.lines.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// What was put is written, unless that takes longer than a second.
    pub fn end(&self) {
        let (written, told) = bounded(1);
        if self.lines.try_send(Message::End(written)).is_ok() {
            let _ = told.recv_timeout(END);
        }
    }
}

impl<'a> MakeWriter<'a> for Outbox {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self, Level::INFO)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line(self, *metadata.level())
    }
}

/// For a formatter, which writes each event whole.
#[derive(Debug)]
pub struct Line<'a>(&'a Outbox, Level);

impl io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(self.1, line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn empty(receiver: &Receiver<Message>, dropped: &AtomicU64, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
    let (mut told, mut is_read) = (0, true);
    loop {
        let message = match receiver.try_recv() {
            Err(TryRecvError::Empty) => {
                let now = dropped.load(Relaxed);
                if is_read && now > told {
                    tracing::warn!(lines = now - told, "log lines were dropped: nobody read them in time");
                    told = now;
                }
                receiver.recv().ok()
            }
            other => other.ok(),
        };
        match message {
            Some(Message::Line(line)) => {
                is_read = write(&line).is_ok();
                dropped.fetch_add(u64::from(!is_read), Relaxed);
            }
            Some(Message::End(written)) => {
                let _ = written.send(()); // who asked may have gone
            }
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, PipeReader, Read, Write};

    /// Into a pipe.
    fn piped() -> (Outbox, PipeReader) {
        let (reader, mut pipe) = std::io::pipe().unwrap();
        (Outbox::begin(Box::leak(Box::default()), move |line| pipe.write_all(line)).unwrap(), reader)
    }

    #[test]
    fn lines_for_debugging_leave_room_for_the_others() {
        let (outbox, reader) = piped();
        outbox.put(Level::INFO, vec![b'-'; 65_536]); // fills the pipe
        (0..LINES).for_each(|_| outbox.put(Level::DEBUG, b"d".to_vec()));
        outbox.put(Level::WARN, b"w".to_vec());
        outbox.end();
        let text = BufReader::new(reader).bytes().map(Result::unwrap).skip(65_536).take_while(|byte| *byte != b'w').count();
        assert!((LINES_OF_DEBUGGING - 1..=LINES_OF_DEBUGGING + 1).contains(&text), "one is the pipe's, one is being written: {text}");
    }

    /// A million lines into a pipe that nobody reads.
    #[test]
    fn who_logs_never_waits_and_every_line_is_read_or_counted() {
        const PUT: u64 = 1_000_000;
        let (outbox, mut reader) = piped();
        for number in 0..PUT {
            outbox.put(Level::INFO, format!("{number:07}\n").into_bytes());
        }
        let dropped = outbox.dropped.load(Relaxed);
        assert!(dropped > PUT - 65_536 / 8 - 2 * LINES as u64, "a pipe holds 64 KiB: {dropped}");
        outbox.end(); // a second, in vain
        let mut text = vec![0; 8 * (PUT - dropped) as usize];
        reader.read_exact(&mut text).unwrap();
        let numbers: Vec<u64> = text.chunks(8).map(|line| std::str::from_utf8(line).unwrap().trim_end().parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "in their order, and whole");
        outbox.put(Level::INFO, b"at last\n".to_vec());
        outbox.end();
        let mut last = [0; 8];
        reader.read_exact(&mut last).unwrap();
        assert_eq!(&last, b"at last\n", "and nothing was between");
        assert_eq!(outbox.dropped.load(Relaxed), dropped);
    }
}
