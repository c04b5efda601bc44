//! Visitors of a site: many connections of HTTP/1.1, a few threads, every response held against what it has to be.
//!
//! A request whose connection ends before the first byte of a response is sent again by another connection, as RFC 9112 has it for requests that change
//! nothing; that is counted apart. Anything else that is not the whole right response counts as lost or wrong.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    pub right: AtomicU64,
    pub wrong: AtomicU64,
    pub lost: AtomicU64,
    /// Sent again, by a fresh connection.
    pub again: AtomicU64,
    /// Of each request, in microseconds.
    pub took_us: std::sync::Mutex<Vec<u32>>,
    /// The first that was not right.
    pub first: std::sync::Mutex<Option<String>>,
}

impl Tally {
    pub fn assert_all_right(&self, least: u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let first = self.first.lock().unwrap();
        println!("{} right, {} wrong, {} lost, {} sent again", of(&self.right), of(&self.wrong), of(&self.lost), of(&self.again));
        println!("half within {} us, 99 of 100 within {} us", self.per_mille(500), self.per_mille(990));
        assert_eq!((of(&self.wrong), of(&self.lost)), (0, 0), "{:?}", first.as_deref());
        assert!(of(&self.right) >= least, "only {} requests", of(&self.right));
    }

    fn note(&self, count: &AtomicU64, text: impl FnOnce() -> String) {
        count.fetch_add(1, Ordering::Relaxed);
        self.first.lock().unwrap().get_or_insert_with(text);
    }

    /// Microseconds that so much of a thousand requests needed at most.
    fn per_mille(&self, part: usize) -> u32 {
        let mut took = self.took_us.lock().unwrap();
        took.sort_unstable();
        took.get((took.len() * part / 1000).min(took.len().saturating_sub(1))).copied().unwrap_or(0)
    }
}

/// A response, its head in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub head: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
    }
}

/// One connection.
pub struct Visitor {
    site: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Visitor {
    pub fn new(site: SocketAddr) -> Self {
        Visitor { site, stream: None, buffer: Vec::new() }
    }

    fn stream(&mut self) -> std::io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.site)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            self.buffer.clear();
            self.stream = Some(stream);
        }
        Ok(self.stream.as_mut().unwrap())
    }

    pub fn send(&mut self, request: &str) -> std::io::Result<()> {
        self.stream()?.write_all(request.as_bytes())
    }

    /// A whole response; `None`: the connection ended before its first byte.
    pub fn receive(&mut self) -> std::io::Result<Option<Response>> {
        let mut chunk = [0; 4096];
        loop {
            if let Some((response, bytes)) = whole(&self.buffer) {
                self.buffer.drain(..bytes);
                if response.header("connection") == Some("close") {
                    self.stream = None;
                }
                return Ok(Some(response));
            }
            let Some(stream) = &mut self.stream else { return Ok(None) };
            match stream.read(&mut chunk) {
                Ok(0) if self.buffer.is_empty() => {
                    self.stream = None;
                    return Ok(None);
                }
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => self.buffer.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && self.buffer.is_empty() => {
                    self.stream = None;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends and receives, again where the connection had ended; how often again.
    pub fn ask(&mut self, request: &str) -> std::io::Result<(Response, u64)> {
        for again in 0..5 {
            if self.send(request).is_err() {
                self.stream = None;
            } else if let Some(response) = self.receive()? {
                return Ok((response, again));
            }
        }
        Err(std::io::ErrorKind::ConnectionAborted.into())
    }
}

fn whole(bytes: &[u8]) -> Option<(Response, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let response = Response { status: head.split(' ').nth(1)?.parse().ok()?, head };
    let length: usize = response.header("content-length").map_or(0, |length| length.trim().parse().unwrap());
    (bytes.len() >= end + length).then_some((response, end + length))
}

/// A question to a site, and what has to come of it.
pub struct Visit {
    pub request: String,
    pub right: Box<dyn Fn(&Response) -> bool>,
}

/// Tells a crowd to end, also where a test fails in between.
pub struct Ending<'a>(pub &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `threads` × `connections` visitors that each send one request at a time, until told to end: each connection's request is sent before the first
/// response is read, so that `threads * connections` are under way.
pub fn crowd(site: SocketAddr, threads: usize, connections: usize, end: &AtomicBool, tally: &Tally, visit: impl Fn(u64) -> Visit + Sync) {
    let number = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut visitors: Vec<Visitor> = (0..connections).map(|_| Visitor::new(site)).collect();
                let mut took = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let visits: Vec<Visit> = visitors.iter().map(|_| visit(number.fetch_add(1, Ordering::Relaxed))).collect();
                    let began: Vec<Instant> = visitors
                        .iter_mut()
                        .zip(&visits)
                        .map(|(visitor, visit)| {
                            let began = Instant::now();
                            if visitor.send(&visit.request).is_err() {
                                visitor.stream = None;
                            }
                            began
                        })
                        .collect();
                    for ((visitor, visit), began) in visitors.iter_mut().zip(&visits).zip(began) {
                        receive(visitor, visit, tally);
                        took.push(began.elapsed().as_micros() as u32);
                    }
                }
                tally.took_us.lock().unwrap().extend(took);
            });
        }
    });
}

fn receive(visitor: &mut Visitor, visit: &Visit, tally: &Tally) {
    let answer = match visitor.receive() {
        Ok(Some(response)) => Ok((response, 0)),
        Ok(None) => visitor.ask(&visit.request).map(|(response, again)| (response, again + 1)),
        Err(error) => Err(error),
    };
    match answer {
        Ok((response, again)) => {
            tally.again.fetch_add(again, Ordering::Relaxed);
            if (visit.right)(&response) {
                tally.right.fetch_add(1, Ordering::Relaxed);
            } else {
                tally.note(&tally.wrong, || format!("{} got {response:?}", visit.request));
            }
        }
        Err(error) => {
            visitor.stream = None;
            tally.note(&tally.lost, || format!("{}: {error}", visit.request));
        }
    }
}
