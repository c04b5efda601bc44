//! One connection: bytes out, frames in, and which reply is due next.
//!
//! ```text
//!  outbox ─► write_all        read ─► inbox ─► whole frame ─► id and kind checked against `waiting`
//! ```

use super::{ClientError, ClientOptions, Endpoint};
use crate::Reply;
use crate::frame::{Frame, next_frame};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the bytes of a TCP connection go through, such as TLS. Deadlines are the socket's own.
pub trait Carrier: Read + Write + Send {
    /// For each read of the socket.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}

/// How a TCP connection gets its carrier, handshake included: this crate does no cryptography, so whoever wants some brings it.
#[derive(Clone)]
pub struct Wrap(Arc<Wraps>);

type Wraps = dyn Fn(TcpStream) -> io::Result<Box<dyn Carrier>> + Send + Sync;

impl Wrap {
    /// Called for each connection; the socket has the timeouts of [`ClientOptions`].
    pub fn new(wraps: impl Fn(TcpStream) -> io::Result<Box<dyn Carrier>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(wraps))
    }
}

impl std::fmt::Debug for Wrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wrap")
    }
}

/// What the reply to a request must be, if it is no ERROR.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    Hello,
    Answers(usize),
    Descriptions(usize),
    Explanation,
    Pong,
}

impl Expected {
    fn check(self, reply: &Reply<'_>) -> Result<(), ClientError> {
        match (self, reply) {
            (_, Reply::Error(_))
            | (Self::Hello, Reply::Hello(_))
            | (Self::Pong, Reply::Pong(_))
            | (Self::Explanation, Reply::Explanation(_)) => Ok(()),
            (Self::Answers(count), Reply::Answers(list)) if list.answers.len() == count => Ok(()),
            (Self::Descriptions(count), Reply::Descriptions(list)) if list.len() == count => Ok(()),
            (Self::Answers(_), Reply::Answers(_)) => Err(ClientError::Mismatch("not as many answers as keys")),
            (Self::Descriptions(_), Reply::Descriptions(_)) => Err(ClientError::Mismatch("not as many descriptions as ids")),
            _ => Err(ClientError::Mismatch("a reply of another kind")),
        }
    }
}

/// One connection and its buffers. `dead` once its bytes can no longer be trusted to line up; then nothing is in flight.
pub(super) struct Connection {
    stream: Stream,
    pub(super) outbox: Vec<u8>,
    /// Received bytes are `inbox[taken..filled]`; the rest is room.
    inbox: Vec<u8>,
    taken: usize,
    filled: usize,
    pub(super) waiting: VecDeque<(u32, Expected)>,
    /// As the socket has it; set again only where it changes.
    read_timeout: Option<Option<Duration>>,
    pub(super) dead: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            outbox: Vec::new(),
            inbox: vec![0; 16 << 10],
            taken: 0,
            filled: 0,
            waiting: VecDeque::new(),
            read_timeout: None,
            dead: false,
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), ClientError> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        let written = self.stream.write_all(&self.outbox);
        self.outbox.clear();
        written.map_err(|error| {
            self.bury(if timed_out(&error) { ClientError::TimedOut("writing the request") } else { ClientError::Io(error) })
        })
    }

    fn bury(&mut self, error: ClientError) -> ClientError {
        self.dead = true;
        self.waiting.clear();
        self.outbox.clear();
        error
    }

    pub(super) fn receive(&mut self, timeout: Option<Duration>) -> Result<(u32, Reply<'_>), ClientError> {
        self.flush()?;
        let end = match self.complete_frame(timeout) {
            Ok(end) => end,
            Err(error @ ClientError::TimedOut(_)) => return Err(error),
            Err(error) => return Err(self.bury(error)),
        };
        let frame = next_frame(&self.inbox[self.taken..end]);
        self.taken = end;
        let due = self.waiting.pop_front();
        // `bury` would borrow the whole of self while the reply borrows the inbox.
        let checked = check_reply(frame, due);
        let closing = matches!(&checked, Ok((_, Reply::Error(error))) if error.closing);
        if checked.is_err() || closing {
            self.dead = true;
            self.waiting.clear();
            self.outbox.clear();
        }
        checked
    }

    /// Reads until `inbox[taken..]` starts with a whole frame, and returns where that ends.
    fn complete_frame(&mut self, timeout: Option<Duration>) -> Result<usize, ClientError> {
        let mut deadline = None;
        loop {
            let received = &self.inbox[self.taken..self.filled];
            match next_frame(received) {
                Ok(Some(frame)) => return Ok(self.taken + frame.bytes()),
                Ok(None) => {}
                Err(_) => {
                    let frame_bytes = received.first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
                    return Err(ClientError::BadLength { frame_bytes });
                }
            }
            self.make_room();
            let late = ClientError::TimedOut("waiting for the reply");
            // The whole wait is bounded, not each read: a peer that trickles does not move the deadline.
            let left = match (timeout, deadline) {
                (None, _) => None,
                (Some(timeout), None) => {
                    deadline = Some(Instant::now() + timeout);
                    Some(timeout)
                }
                (Some(_), Some(deadline)) => match deadline.saturating_duration_since(Instant::now()) {
                    Duration::ZERO => return Err(late),
                    left => Some(left),
                },
            };
            if self.read_timeout != Some(left) {
                self.stream.set_read_timeout(left).map_err(ClientError::Io)?;
                self.read_timeout = Some(left);
            }
            match self.stream.read(&mut self.inbox[self.filled..]) {
                Ok(bytes @ 1..) => self.filled += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => return Err(late),
                Ok(0) | Err(_) if is_alert(&self.inbox[self.taken..self.filled]) => return Err(ClientError::SpeaksTls),
                Ok(_) => return Err(ClientError::Closed { mid_frame: self.filled > self.taken }),
                Err(error) => return Err(ClientError::Io(error)),
            }
        }
    }

    /// Room for the frame that has begun, at least one byte.
    fn make_room(&mut self) {
        if self.taken > 0 {
            self.inbox.copy_within(self.taken..self.filled, 0);
            self.filled -= self.taken;
            self.taken = 0;
        }
        let wanted = crate::bytes_wanted(&self.inbox[..self.filled]).max(self.filled + 1);
        if self.inbox.len() < wanted {
            self.inbox.resize(wanted, 0);
        }
    }
}

fn check_reply<'a>(
    frame: Result<Option<Frame<'a>>, crate::Refusal>,
    due: Option<(u32, Expected)>,
) -> Result<(u32, Reply<'a>), ClientError> {
    let (Ok(Some(frame)), Some((expected_id, expected))) = (frame, due) else {
        return Err(ClientError::Mismatch("no request is in flight"));
    };
    let reply = frame.reply()?;
    let got = frame.header.request_id;
    let for_connection = matches!(&reply, Reply::Error(error) if error.closing && got == 0);
    if got != expected_id && !for_connection {
        return Err(ClientError::WrongRequestId { expected: expected_id, got });
    }
    expected.check(&reply)?;
    Ok((got, reply))
}

/// Whether all that came is an alert of TLS, of any version: what a server says to whoever speaks in the open, before it closes.
fn is_alert(received: &[u8]) -> bool {
    matches!(received, [0x15, 3, _, 0, 2, _, _])
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Zero means without a bound.
pub(super) fn bound(timeout: Duration) -> Option<Duration> {
    (!timeout.is_zero()).then_some(timeout)
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Carried(Box<dyn Carrier>),
}

impl Stream {
    pub(super) fn connect(endpoint: &Endpoint, options: &ClientOptions) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = connect_tcp(address, bound(options.connect_timeout))?;
                stream.set_nodelay(options.nodelay)?;
                stream.set_write_timeout(bound(options.write_timeout))?;
                let Some(wrap) = &options.wrap else { return Ok(Self::Tcp(stream)) };
                stream.set_read_timeout(bound(options.read_timeout))?;
                wrap.0(stream).map(Self::Carried)
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(bound(options.write_timeout))?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
            Self::Unix(stream) => stream.set_read_timeout(timeout),
            Self::Carried(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
            Self::Carried(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Carried(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// The first address of the name that answers; the timeout is for each.
fn connect_tcp(address: &str, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
