//! Peers that send what they should not, or do not send what they should.
//!
//! ```text
//! 10,000 mutated frames   flip bits │ cut short │ wrong length │ wrong kind, count or version │ noise ── then half-close, read to the end
//! 1,000 connections       a byte at a time │ half a frame, then silence │ half a frame, then gone (FIN or RST)
//! control                 asks known questions throughout; one wrong, late or missing answer ends the check
//! ```
//! A mutated connection must end by itself after our FIN: replies, an ERROR frame or nothing, then its own end. A daemon that keeps it
//! open forever would collect descriptors, so descriptors are counted as well as memory.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use verdict_keys::{Canonicalizer, Kind};
use verdict_simd::Backend;

use crate::data::Corpus;
use crate::frame;
use crate::oracle::Oracle;
use crate::process;
use crate::questions::{self, Questions};
use crate::rules::RuleSet;
use crate::seed::Rng;
use crate::soak::control::{Control, Known, QUEUE_DEADLINE_MS};
use crate::spawn::{Daemon, Served, Wanted};

/// Size of the check.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Mutated frames.
    pub frames: usize,
    /// Connections that trickle, stall or vanish.
    pub connections: usize,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Mutated frames sent.
    pub frames: usize,
    /// How many of those got at least one byte back.
    pub replied: usize,
    /// Connections that misbehaved.
    pub connections: usize,
    /// Those that sent a byte every 10 ms: their frame was whole before the deadline, so all were answered.
    pub trickled: usize,
    /// Those that sent a byte every 200 ms: cut off by the deadline.
    pub crawled_cut: usize,
    /// Of the stalling ones: cut off by the daemon while we watched.
    pub stalled_cut: usize,
    /// Frames of the control client, and its slowest answer.
    pub control: (u64, Duration),
    /// Resident bytes before and after.
    pub resident: (u64, u64),
    /// Descriptors before and after.
    pub descriptors: (usize, usize),
}

/// Resident memory may grow by this much: buffers of shards, and what the allocator keeps.
pub const RESIDENT_GROWTH_MAX: u64 = 32 << 20;
/// Descriptors may differ by this many: the control client's, and one in passing.
const DESCRIPTORS_GROWTH_MAX: usize = 8;
/// The daemon's deadline for an incomplete frame in this check.
const FRAME_DEADLINE_MS: u64 = 2_000;

/// Runs the check with a daemon of its own.
pub fn run<B: Backend>(backend: B, binary: &Path, driver: &str, size: Size, rng: &Rng) -> io::Result<Report> {
    let corpus = Corpus::generated(20_000, &rng.fork("hostile"));
    let mut set = RuleSet::from_corpus(&corpus);
    let built = set.compile(backend, verdict_keys::Scheme::Full).map_err(io::Error::other)?;
    let profile = verdict_tables::Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?.profile().clone();
    let oracle = Oracle::new(&set, profile);
    let questions = questions::about(&set, &corpus.benign, 5_000, rng);
    process::raise_descriptor_limit(size.connections as u64 + 512);
    let limits = format!(
        "frame_deadline_ms = {FRAME_DEADLINE_MS}\nwrite_deadline_ms = {FRAME_DEADLINE_MS}\nqueue_deadline_ms = {QUEUE_DEADLINE_MS}\n"
    );
    let mut daemon = Daemon::start(&Wanted { binary, driver, snapshot: Served::Bytes(&built.bytes), cpu: None, limits: &limits })?;
    let result = check(&mut daemon, &oracle, &questions, size, rng);
    match result {
        Ok(report) => daemon.stop().map(|()| report),
        Err(error) => Err(io::Error::other(format!("{error}\nthe daemon's log ends:\n{}", tail(&daemon.log())))),
    }
}

fn check(daemon: &mut Daemon, oracle: &Oracle, questions: &Questions, size: Size, rng: &Rng) -> io::Result<Report> {
    let known = known(oracle, questions);
    let mut rng = rng.fork("hostile peers");
    // Buffers that live as long as the daemon are there after a first round.
    mutated_frames(daemon.address, questions, size.frames / 20 + 1, &mut rng.fork("first round"))?;
    let before = (process::resident_bytes(daemon.pid())?, process::descriptors(daemon.pid())?);
    let control = Control::start(daemon.address, known)?;
    let replied = mutated_frames(daemon.address, questions, size.frames, &mut rng)?;
    let (trickled, crawled_cut, stalled_cut) = misbehaving(daemon.address, questions, size.connections, &mut rng)?;
    let control = control.finish()?;
    if !daemon.is_alive() {
        return Err(io::Error::other("the daemon died"));
    }
    // What the peers left behind is swept by the daemon's deadlines.
    std::thread::sleep(Duration::from_millis(FRAME_DEADLINE_MS + 1_500));
    let after = (process::resident_bytes(daemon.pid())?, process::descriptors(daemon.pid())?);
    if after.0 > before.0 + RESIDENT_GROWTH_MAX {
        return Err(io::Error::other(format!("resident memory grew from {} to {} bytes", before.0, after.0)));
    }
    if after.1 > before.1 + DESCRIPTORS_GROWTH_MAX {
        return Err(io::Error::other(format!("descriptors grew from {} to {}", before.1, after.1)));
    }
    Ok(Report {
        frames: size.frames,
        replied,
        connections: size.connections,
        trickled,
        crawled_cut,
        stalled_cut,
        control,
        resident: (before.0, after.0),
        descriptors: (before.1, after.1),
    })
}

/// A dozen questions with their answers, of all kinds that there are.
pub fn known(oracle: &Oracle, questions: &Questions) -> Known {
    let mut canonicalizer = Canonicalizer::new();
    let told = questions.iter().map(|(kind, bytes)| (kind, bytes.to_vec(), oracle.answer(&mut canonicalizer, kind, bytes)));
    told.filter(|(_, bytes, _)| bytes.len() < 200).take(64).collect()
}

fn mutated_frames(address: SocketAddr, questions: &Questions, count: usize, rng: &mut Rng) -> io::Result<usize> {
    let mut replied = 0;
    for number in 0..count {
        let mut request = Vec::new();
        let first = rng.below(questions.len() - 8);
        let some = 1 + rng.below(8);
        frame::lookup(&mut request, number as u32, (first..first + some).map(|index| questions.get(index)));
        mutate(&mut request, rng);
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_millis(2 * FRAME_DEADLINE_MS + 2_000)))?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        // The daemon may refuse and close before everything is written.
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(Shutdown::Write);
        replied += usize::from(read_to_end(&mut stream)? > 0);
    }
    Ok(replied)
}

/// Bytes until the daemon ends the connection; an error where it keeps it open.
fn read_to_end(stream: &mut TcpStream) -> io::Result<usize> {
    let mut buffer = [0; 4096];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => total += read,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(total),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(io::Error::other("a connection that we had half-closed was kept open past every deadline"));
            }
            Err(error) => return Err(error),
        }
    }
}

/// One to four changes: bits, lengths, kinds, cuts, noise.
fn mutate(request: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..1 + rng.below(4) {
        match rng.below(8) {
            0 | 1 if !request.is_empty() => {
                let bit = rng.below(8 * request.len());
                request[bit / 8] ^= 1 << (bit % 8);
            }
            2 => request.truncate(rng.below(request.len() + 1)),
            3 if request.len() >= 4 => {
                let lengths = [0, 1, 15, 16, 17, request.len() as u32 - 1, request.len() as u32 + 1, 1 << 20, (1 << 20) + 1, u32::MAX];
                request[..4].copy_from_slice(&rng.pick(&lengths).to_le_bytes());
            }
            4 if request.len() >= 8 => request[4 + rng.below(4)] = rng.bits() as u8,
            5 if request.len() >= 20 => {
                let at = 16 + rng.below(4);
                request[at] = rng.bits() as u8;
            }
            6 => request.extend((0..rng.below(40)).map(|_| rng.bits() as u8)),
            _ => {
                let at = rng.below(request.len() + 1);
                request.insert(at, rng.bits() as u8);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A byte in every round: slow, but in time.
    Trickle,
    /// A byte in every twentieth round: never in time.
    Crawl,
    /// Half a frame, then silence.
    Stall,
    /// Half a frame, then gone.
    Vanish,
}

struct Peer {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    manner: Manner,
    heard: Vec<u8>,
}

const ROUND: Duration = Duration::from_millis(10);

/// All connections at once: some trickle to their end, some crawl or stall until they are cut, some vanish.
fn misbehaving(address: SocketAddr, questions: &Questions, count: usize, rng: &mut Rng) -> io::Result<(usize, usize, usize)> {
    let short: Vec<_> = questions.iter().filter(|(_, bytes)| bytes.len() <= 32).collect();
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let mut request = Vec::new();
        frame::lookup(&mut request, number as u32, [*rng.pick(&short), (Kind::Host as u8, b"trickle.example")].into_iter());
        let manner = [Manner::Trickle, Manner::Stall, Manner::Vanish, Manner::Trickle, Manner::Crawl, Manner::Vanish][number % 6];
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let sent = if matches!(manner, Manner::Trickle | Manner::Crawl) { 1 } else { 1 + rng.below(request.len() - 1) };
        stream.write_all(&request[..sent])?;
        peers.push(Peer { stream, request, sent, manner, heard: Vec::new() });
    }
    peers.retain(|peer| {
        if peer.manner == Manner::Vanish && rng.one_in(2) {
            reset(&peer.stream);
        }
        peer.manner != Manner::Vanish
    });
    let (mut trickled, mut crawled_cut, mut stalled_cut) = (0, 0, 0);
    let started = Instant::now();
    let mut round = 0;
    while started.elapsed() < Duration::from_millis(FRAME_DEADLINE_MS + 2_500) && !peers.is_empty() {
        let mut at = 0;
        while at < peers.len() {
            let peer = &mut peers[at];
            if peer.manner == Manner::Trickle || (peer.manner == Manner::Crawl && round % 20 == 0) {
                peer.send_one();
            }
            match (peer.listen(), peer.manner) {
                (Heard::Nothing, _) => {
                    at += 1;
                    continue;
                }
                (Heard::Frame(frame::ANSWERS), Manner::Trickle) => trickled += 1,
                (Heard::Frame(frame::ERROR) | Heard::End, Manner::Crawl) => crawled_cut += 1,
                (Heard::Frame(frame::ERROR) | Heard::End, Manner::Stall) => stalled_cut += 1,
                (Heard::End, Manner::Trickle) => {
                    return Err(io::Error::other(format!(
                        "a frame that trickled in time was cut after {} of {} bytes",
                        peer.sent,
                        peer.request.len()
                    )));
                }
                (Heard::Frame(kind), _) => {
                    return Err(io::Error::other(format!("a reply of kind {kind:#04x} to {} bytes of {}", peer.sent, peer.request.len())));
                }
                (Heard::End, Manner::Vanish) => return Err(io::Error::other("a peer that had vanished was heard")),
            }
            peers.swap_remove(at);
        }
        round += 1;
        std::thread::sleep(ROUND);
    }
    match peers.len() {
        0 => Ok((trickled, crawled_cut, stalled_cut)),
        left => Err(io::Error::other(format!("{left} connections without a whole frame were kept past the deadline"))),
    }
}

enum Heard {
    Nothing,
    /// A whole frame of this kind.
    Frame(u8),
    End,
}

impl Peer {
    fn send_one(&mut self) {
        // Where the daemon has cut us, listening will say so.
        if self.sent < self.request.len() && self.stream.write(&self.request[self.sent..=self.sent]).is_ok() {
            self.sent += 1;
        }
    }

    fn listen(&mut self) -> Heard {
        let mut buffer = [0; 512];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Heard::End,
            Ok(read) => self.heard.extend_from_slice(&buffer[..read]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Heard::Nothing,
            Err(_) => return Heard::End,
        }
        match frame::Received::first(&self.heard) {
            Ok(Some(received)) => Heard::Frame(received.kind),
            Ok(None) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }
}

/// Closing with a linger of zero sends RST instead of FIN. tcp(7), SO_LINGER.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_change_most_frames_and_never_panic() {
        let mut rng = Rng::new(9);
        let mut whole = Vec::new();
        frame::lookup(&mut whole, 1, [(2u8, &b"a.example"[..])].into_iter());
        let mut changed = 0;
        for _ in 0..5_000 {
            let mut request = whole.clone();
            mutate(&mut request, &mut rng);
            changed += usize::from(request != whole);
        }
        assert!(changed > 4_500, "{changed}");
        for _ in 0..100 {
            mutate(&mut Vec::new(), &mut rng);
        }
    }
}
