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
use crate::soak::control::{Control, Known};
use crate::spawn::{Daemon, Wanted};

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
    /// Of the trickling ones: answered in full, and cut off before.
    pub trickled: (usize, usize),
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
pub fn run<B: Backend>(backend: B, binary: &Path, size: Size, rng: &Rng) -> io::Result<Report> {
    let corpus = Corpus::generated(20_000, &rng.fork("hostile"));
    let mut set = RuleSet::from_corpus(&corpus);
    let built = set.compile(backend, verdict_keys::Scheme::Full).map_err(io::Error::other)?;
    let profile = *verdict_tables::Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?.profile();
    let oracle = Oracle::new(&set, profile);
    let questions = questions::about(&set, &corpus.benign, 5_000, rng);
    process::raise_descriptor_limit(size.connections as u64 + 512);
    let limits = format!("frame_deadline_ms = {FRAME_DEADLINE_MS}\nwrite_deadline_ms = {FRAME_DEADLINE_MS}\n");
    let mut daemon = Daemon::start(&Wanted { binary, snapshot: &built.bytes, cpu: None, limits: &limits })?;
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
    let (trickled, stalled_cut) = misbehaving(daemon.address, questions, size.connections, &mut rng)?;
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

enum Manner {
    Trickle,
    Stall,
    Vanish,
}

struct Peer {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    manner: Manner,
}

/// All connections at once: some trickle to their end, some stall until they are cut, some vanish at once.
fn misbehaving(address: SocketAddr, questions: &Questions, count: usize, rng: &mut Rng) -> io::Result<((usize, usize), usize)> {
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let mut request = Vec::new();
        let question = (Kind::Host as u8, &b"trickle.example"[..]);
        let first = questions.get(rng.below(questions.len()));
        frame::lookup(&mut request, number as u32, [first, question].into_iter());
        request.truncate(request.len().min(400));
        let manner = match number % 3 {
            0 => Manner::Trickle,
            1 => Manner::Stall,
            _ => Manner::Vanish,
        };
        let stream = TcpStream::connect(address)?;
        stream.set_nonblocking(true)?;
        peers.push(Peer { stream, request, sent: 0, manner });
    }
    let mut trickled = (0, 0);
    for peer in &mut peers {
        let half = match peer.manner {
            Manner::Trickle => 1,
            Manner::Stall | Manner::Vanish => 1 + rng.below(peer.request.len() - 1),
        };
        let _ = peer.stream.write(&peer.request[..half]); // A peer that was refused is cut already.
        peer.sent = half;
    }
    peers.retain(|peer| {
        let vanishes = matches!(peer.manner, Manner::Vanish);
        if vanishes && rng.one_in(2) {
            reset(&peer.stream);
        }
        !vanishes
    });
    // The trickling ones send a byte per round. A frame of 16 to 60 bytes is through before the deadline, a longer one is cut by it.
    let started = Instant::now();
    let mut stalled_cut = 0;
    while started.elapsed() < Duration::from_millis(FRAME_DEADLINE_MS + 2_500) && !peers.is_empty() {
        peers.retain_mut(|peer| match peer.manner {
            Manner::Trickle => {
                if peer.sent < peer.request.len() && peer.stream.write(&peer.request[peer.sent..=peer.sent]).is_ok() {
                    peer.sent += 1;
                }
                match peek(&mut peer.stream) {
                    Seen::Nothing => true,
                    Seen::Bytes => {
                        trickled.0 += 1;
                        false
                    }
                    Seen::End => {
                        trickled.1 += 1;
                        false
                    }
                }
            }
            Manner::Stall | Manner::Vanish => match peek(&mut peer.stream) {
                Seen::Nothing => true,
                Seen::Bytes | Seen::End => {
                    stalled_cut += 1;
                    false
                }
            },
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    if let Some(peer) = peers.first() {
        let what = if matches!(peer.manner, Manner::Stall) { "stalled" } else { "trickled" };
        return Err(io::Error::other(format!("{} connections, one of them {what}, were kept past the frame deadline", peers.len())));
    }
    Ok((trickled, stalled_cut))
}

enum Seen {
    Nothing,
    Bytes,
    End,
}

fn peek(stream: &mut TcpStream) -> Seen {
    match stream.read(&mut [0; 512]) {
        Ok(0) => Seen::End,
        Ok(_) => Seen::Bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Seen::Nothing,
        Err(_) => Seen::End,
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
