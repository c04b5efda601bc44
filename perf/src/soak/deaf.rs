//! A peer that asks and asks and never reads an answer: cut off at a bound of bytes and of time, while others are served.
//!
//! ```text
//! we        LOOKUP LOOKUP LOOKUP ... until writing fails; never a read
//! daemon    answers until its send buffer is full, holds out_bytes_max, stops reading us, closes us after write_deadline_ms
//! bound     bytes it took from us: both socket buffers, and what 256 KiB of answers cost to ask; memory: RESIDENT_GROWTH_MAX
//! ```

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use verdict_keys::Kind;
use verdict_simd::Backend;

use crate::data::Corpus;
use crate::frame;
use crate::oracle::Oracle;
use crate::process;
use crate::questions;
use crate::rules::RuleSet;
use crate::seed::Rng;
use crate::soak::control::{Control, QUEUE_DEADLINE_MS};
use crate::soak::hostile::known;
use crate::spawn::{Daemon, Served, Wanted};

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Peers that never read.
    pub peers: usize,
    /// Most bytes that the daemon and the kernel took from one of them.
    pub taken_bytes_max: usize,
    /// Longest time until one was cut off.
    pub cut_after_max: Duration,
    /// Frames of the control client meanwhile, and its slowest answer.
    pub control: (u64, Duration),
    /// Resident bytes before, and the highest meanwhile.
    pub resident: (u64, u64),
}

/// Resident memory may grow by this much while the deaf peers are there.
pub const RESIDENT_GROWTH_MAX: u64 = 64 << 20;
/// Bytes of requests that one deaf peer may get rid of: its own send buffer and the daemon's receive buffer grow to some MiB each.
pub const TAKEN_BYTES_MAX: usize = 64 << 20;
/// A deaf peer is cut off within this time of its last accepted byte.
pub const CUT_AFTER_MAX: Duration = Duration::from_secs(8);

const WRITE_DEADLINE_MS: u64 = 2_000;

/// Runs the check with a daemon of its own.
pub fn run<B: Backend>(backend: B, binary: &Path, driver: &str, peers: usize, rng: &Rng) -> io::Result<Report> {
    let corpus = Corpus::generated(20_000, &rng.fork("deaf"));
    let mut set = RuleSet::from_corpus(&corpus);
    let built = set.compile(backend, verdict_keys::Scheme::Full).map_err(io::Error::other)?;
    let profile = verdict_tables::Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?.profile().clone();
    let oracle = Oracle::new(&set, profile);
    let questions = questions::about(&set, &corpus.benign, 500, rng);
    let limits = format!("write_deadline_ms = {WRITE_DEADLINE_MS}\nqueue_deadline_ms = {QUEUE_DEADLINE_MS}\n");
    let mut daemon = Daemon::start(&Wanted { binary, driver, snapshot: Served::Bytes(&built.bytes), cpu: None, limits: &limits })?;
    let before = process::resident_bytes(daemon.pid())?;
    let control = Control::start(daemon.address, known(&oracle, &questions))?;
    let address = daemon.address;
    let threads: Vec<_> = (0..peers).map(|_| std::thread::spawn(move || never_read(address))).collect();
    let mut highest = before;
    while threads.iter().any(|thread| !thread.is_finished()) {
        highest = highest.max(process::resident_bytes(daemon.pid())?);
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut report =
        Report { peers, taken_bytes_max: 0, cut_after_max: Duration::ZERO, control: control.finish()?, resident: (before, highest) };
    for thread in threads {
        let (taken, waited) = thread.join().map_err(|_| io::Error::other("a deaf peer panicked"))??;
        report.taken_bytes_max = report.taken_bytes_max.max(taken);
        report.cut_after_max = report.cut_after_max.max(waited);
    }
    if !daemon.is_alive() {
        return Err(io::Error::other("the daemon died"));
    }
    if highest > before + RESIDENT_GROWTH_MAX {
        return Err(io::Error::other(format!("resident memory grew from {before} to {highest} bytes")));
    }
    daemon.stop()?;
    Ok(report)
}

/// Writes until the connection is cut; bytes taken, and the longest that a piece waited: that is how long the daemon bore with us.
fn never_read(address: SocketAddr) -> io::Result<(usize, Duration)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(CUT_AFTER_MAX))?;
    // Short questions, long answers: 13 bytes ask for 8.
    let mut request = Vec::new();
    frame::lookup(&mut request, 1, (0..frame::KEYS_MAX).map(|_| (Kind::Host as u8, &b"a.example"[..])));
    let mut taken = 0;
    let mut longest = Duration::ZERO;
    loop {
        let started = Instant::now();
        let result = stream.write(&request[taken % request.len()..]);
        longest = longest.max(started.elapsed());
        match result {
            Ok(written) => taken += written,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(io::Error::other(format!(
                    "a peer that never reads was not cut off within {CUT_AFTER_MAX:?}; it got rid of {taken} bytes"
                )));
            }
            Err(_) => return Ok((taken, longest)),
        }
        if taken > TAKEN_BYTES_MAX {
            return Err(io::Error::other(format!("a peer that never reads got rid of {taken} bytes of requests")));
        }
    }
}
