//! The control socket: who may open it may act. One act a connection, bounded, with deadlines; and the thread that ends entries in time. What is no
//! act on a key, a reload or a drain, goes on to the control thread.
//!
//! The socket's mode decides who may (0600: the daemon's user and root); the kernel says who did (SO_PEERCRED). Nothing here runs on a shard or on the
//! control thread: an act waits for a disk.

use super::desk::{Desk, Done};
use crate::control::Requests;
use crate::driver::sys;
use crate::switches::Switches;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use verdict_wire::{ACT_BYTES_MAX, Act, ActRequest, Outcome, Told, ToldHead, read_message};

/// Acts at a time; whoever comes then is cut off and may try again.
const CONNECTIONS_MAX: usize = 16;
/// For a message to come, and for a reply to be taken.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long an end waits for replies that are on their way.
const REPLY_DEADLINE: Duration = Duration::from_secs(1);
/// For a reload: a snapshot of tens of gigabytes takes minutes.
const RELOAD_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Ends are looked for at least so often, in milliseconds: the kernel's wait does not count sleep.
const LOOK_MS: u64 = 1000;

/// The thread; ends with this value.
pub struct Door {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Serves the socket, if there is one, and the clock.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn open(listener: Option<UnixListener>, desk: Arc<Desk>, requests: Requests) -> io::Result<Self> {
        let own = desk.clone();
        let thread = std::thread::Builder::new().name("overlay".into()).spawn(move || serve(listener.as_ref(), &own, &requests))?;
        Ok(Door { desk, thread: Some(thread) })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.desk.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic of it has been told
        }
    }
}

fn serve(listener: Option<&UnixListener>, desk: &Arc<Desk>, requests: &Requests) {
    let open = Arc::new(AtomicUsize::new(0));
    while !desk.has_ended() {
        let wait = desk.expire().map(|ms| ms.clamp(1, LOOK_MS));
        let wait = wait.map(|ms| Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000) as i64 * 1_000_000 });
        let woken = desk.woken();
        let mut polled = [PollFd::from_borrowed_fd(woken, PollFlags::IN), PollFd::from_borrowed_fd(woken, PollFlags::IN)];
        if let Some(listener) = listener {
            polled[1] = PollFd::new(listener, PollFlags::IN);
        }
        if poll(&mut polled, wait.as_ref()).is_err() {
            continue; // a signal
        }
        while let Some(Ok((stream, _))) = listener.map(UnixListener::accept) {
            if open.fetch_add(1, Ordering::AcqRel) >= CONNECTIONS_MAX {
                open.fetch_sub(1, Ordering::AcqRel);
                continue;
            }
            let (desk, count, requests) = (desk.clone(), open.clone(), requests.clone());
            let started = std::thread::Builder::new().name("act".into()).spawn(move || {
                if let Err(error) = answer(stream, &desk, &requests) {
                    tracing::warn!("an act broke off: {error}");
                }
                count.fetch_sub(1, Ordering::AcqRel);
            });
            if started.is_err() {
                open.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
    // Whoever asked for the end is told before the process is gone.
    let ended = Instant::now();
    while open.load(Ordering::Acquire) > 0 && ended.elapsed() < REPLY_DEADLINE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// An entry for each that holds. How many.
fn write_switches(switches: &Switches, out: &mut impl Write) -> io::Result<usize> {
    let off = switches.off.iter().map(|(part, mark)| (Act::Off, part.to_string(), mark));
    let pin = switches.pin.iter().map(|(pin, mark)| (Act::Pin, pin.to_string(), mark));
    let mut entries = 0;
    for (act, name, mark) in off.chain(pin) {
        let (uid, pid, at_ms) = (mark.uid.to_le_bytes(), mark.pid.to_le_bytes(), mark.at_ms.to_le_bytes());
        let head = ToldHead { act: act.raw(), uid, pid, at_ms, ..ToldHead::default() };
        let mut reply = Vec::new();
        Told { head, outcome: Outcome::Entry, key: name.as_bytes(), text: &mark.reason }.encode(&mut reply);
        out.write_all(&reply)?;
        entries += 1;
    }
    Ok(entries)
}

/// One act and what came of it.
fn answer(mut stream: UnixStream, desk: &Desk, requests: &Requests) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let (uid, pid) = sys::peer(stream.as_raw_fd())?;
    let message = read_message(&mut stream, ACT_BYTES_MAX)?;
    let mut out = BufWriter::new(&stream);
    let mut reply = Vec::new();
    let mut list = Vec::new();
    let done = match ActRequest::decode(&message) {
        Err(malformed) => desk.refuse(malformed.to_string(), uid, pid),
        Ok(request) if request.act == Act::List => {
            list = desk.list();
            Done { outcome: Outcome::Done, text: String::new(), entries: list.len(), took: Duration::ZERO }
        }
        Ok(request) if request.act.is_of_traffic() => desk.away(&request, uid, pid),
        Ok(request) if request.act.is_order() => order(&request, desk, requests, (uid, pid)),
        Ok(request) if request.act == Act::Switches => {
            let switches = desk.switches();
            let entries = write_switches(&switches, &mut out)?;
            Done { outcome: Outcome::Done, text: String::new(), entries, took: Duration::ZERO }
        }
        Ok(request) if request.act.is_of_part() => desk.switch(&request, uid, pid),
        Ok(request) => desk.act(&request, uid, pid),
    };
    for entry in &list {
        let head = ToldHead {
            act: entry.act().raw(),
            kind: entry.key.kind() as u8,
            class: entry.class as u8,
            uid: entry.uid.to_le_bytes(),
            pid: entry.pid.to_le_bytes(),
            at_ms: entry.at_ms.to_le_bytes(),
            until_ms: entry.until_ms.to_le_bytes(),
            ..ToldHead::default()
        };
        reply.clear();
        Told { head, outcome: Outcome::Entry, key: entry.key.bytes(), text: &entry.reason }.encode(&mut reply);
        out.write_all(&reply)?;
    }
    let took_us = u32::try_from(done.took.as_micros()).unwrap_or(u32::MAX);
    let head = ToldHead { entries: (done.entries as u32).to_le_bytes(), took_us: took_us.to_le_bytes(), ..ToldHead::default() };
    reply.clear();
    Told { head, outcome: done.outcome, key: b"", text: &done.text }.encode(&mut reply);
    out.write_all(&reply)?;
    out.flush()
}

/// What is no act on a key.
fn order(request: &ActRequest<'_>, desk: &Desk, requests: &Requests, (uid, pid): (u32, u32)) -> Done {
    let began = Instant::now();
    tracing::info!(act = request.act.name(), reason = ?request.reason, uid, pid, "asked over the control socket");
    let ended = match request.act {
        Act::Reload => requests.reload_and_wait(RELOAD_DEADLINE),
        _ => {
            requests.drain();
            Ok("draining".to_owned())
        }
    };
    let (outcome, text) = match ended {
        Ok(text) => (Outcome::Done, text),
        Err(text) => (Outcome::Refused, text),
    };
    Done { outcome, text: text.replace(char::is_control, " "), entries: desk.list().len(), took: began.elapsed() }
}
