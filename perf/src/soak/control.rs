//! A well-behaved client that asks one known question again and again while others misbehave.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::frame::{self, Received};
use crate::oracle::Expected;

/// How long the daemon may leave a question waiting, instead of its default: a busy machine is no peer's doing, two seconds are somebody's.
pub const QUEUE_DEADLINE_MS: u64 = 2_000;

/// Asks every few milliseconds until stopped.
pub struct Control {
    stop: Arc<AtomicBool>,
    slowest_ns: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<u64>>,
}

/// Questions of the control client and what they must be answered.
pub type Known = Vec<(u8, Vec<u8>, Expected)>;

impl Control {
    /// Connects and begins.
    pub fn start(address: SocketAddr, known: Known) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let (stop, slowest_ns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, slowest) = (stop.clone(), slowest_ns.clone());
        let thread = std::thread::spawn(move || {
            let mut asked = 0;
            while !stopped.load(Ordering::Relaxed) {
                let started = Instant::now();
                ask(&mut stream, &known, asked as u32)?;
                slowest.fetch_max(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
                asked += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(asked)
        });
        Ok(Control { stop, slowest_ns, thread })
    }

    /// How often it asked, and its slowest answer; an error where an answer was wrong or missing.
    pub fn finish(self) -> io::Result<(u64, Duration)> {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.thread.join().map_err(|_| io::Error::other("the control client panicked"))??;
        Ok((asked, Duration::from_nanos(self.slowest_ns.load(Ordering::Relaxed))))
    }
}

/// One frame with all known questions, on a connection of its own or a standing one.
pub fn ask(stream: &mut TcpStream, known: &Known, id: u32) -> io::Result<()> {
    let mut request = Vec::new();
    frame::lookup(&mut request, id, known.iter().map(|(kind, bytes, _)| (*kind, bytes.as_slice())));
    stream.write_all(&request)?;
    let mut reply = vec![0; frame::HEAD_BYTES + frame::GENERATION_BYTES + frame::ANSWER_BYTES * known.len()];
    stream.read_exact(&mut reply)?;
    let received = Received::first(&reply).map_err(io::Error::other)?;
    let answers = received.filter(|received| received.request_id == id).and_then(|received| received.answers());
    let told: Vec<Expected> = answers.ok_or_else(|| io::Error::other("control: no answers came back"))?.map(|answer| answer.told).collect();
    match known.iter().zip(&told).find(|((.., expected), told)| expected != *told) {
        None => Ok(()),
        Some(((_, bytes, expected), told)) => {
            Err(io::Error::other(format!("control: {} expected {expected:?}, answered {told:?}", bytes.escape_ascii())))
        }
    }
}
