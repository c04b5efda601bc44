//! A small blocking client over TCP or a Unix socket.
//!
//! ```text
//!  lookup, describe, ping, hello        one call, one result; batches of any size; asked once more over a new connection if it broke
//!  send_* … flush … receive             pipelined: many requests in flight, replies in request order, nothing is repeated for you
//! ```
//! Every request of the protocol is a question, so asking twice does no harm: the first family repeats a request once when the connection
//! broke under it (closed, reset; not on a timeout, which a repetition would only double). Connecting is tried `connect_attempts` times with
//! a pause that doubles up to `backoff_max`. After a timeout of a whole call the connection is dropped, so that a late reply cannot be taken
//! for the answer to another question. Replies are matched by order *and* id; a server that mixes them up is an error, not a wrong verdict.

use crate::frame::{Frame, VERSION_MAX, VERSION_MIN, next_frame};
use crate::{
    Answer, ClientHello, Description, EncodeError, ErrorCode, FRAME_BYTES_MAX, HashKey, HashedKey, IDS_MAX, KEY_BYTES_MAX, KEYS_MAX,
    KeyKind, Limits, LookupWriter, Malformed, Profile, Reply, encode_describe, encode_hello, encode_lookup, encode_lookup_hashed,
    encode_ping,
};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Requests of one long `lookup` that are under way at a time: enough to keep a server busy, few enough that its replies always fit
/// into socket buffers, so that two sides never wait for each other to read.
const FRAMES_UNDER_WAY: usize = 4;
/// Queued requests are written at the latest when they are this many bytes.
const OUTBOX_BYTES: usize = 64 << 10;
/// How often a long `lookup` asks frames again because the generation changed under it.
const GENERATION_ROUNDS: usize = 4;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`; a name is resolved at every connect.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no endpoint: write tcp:HOST:PORT, HOST:PORT, unix:/PATH or /PATH")]
pub struct EndpointError {
    /// What was given.
    pub text: String,
}

impl Endpoint {
    /// `tcp:127.0.0.1:7700`, `127.0.0.1:7700`, `[::1]:7700`, `unix:/run/verdictd/verdictd.sock`, `/run/verdictd/verdictd.sock`.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let address = text.strip_prefix("tcp:").unwrap_or(text);
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        if host.is_empty() || bare_ipv6 || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self::Tcp(address.to_owned()))
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How long to wait, and how often to try.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// For one TCP connect. A Unix connect waits only while the server's backlog is full, and then without a bound.
    pub connect_timeout: Duration,
    /// For one whole reply, however slowly its bytes trickle in.
    pub read_timeout: Duration,
    /// For one write to make progress.
    pub write_timeout: Duration,
    /// Send small frames at once.
    pub nodelay: bool,
    /// Connects tried before giving up, at least 1.
    pub connect_attempts: u32,
    /// The pause after the first failed connect; it doubles after each.
    pub backoff_min: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// Sent with HELLO, for the server's logs; at most 64 bytes.
    pub name: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            read_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            nodelay: true,
            connect_attempts: 3,
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            name: concat!("verdict-wire/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection after `connect_attempts`.
    #[error("cannot connect to {endpoint}: {error}")]
    Connect {
        /// Where to.
        endpoint: Endpoint,
        /// The last attempt's error.
        error: io::Error,
    },
    /// No reply, or no room to write, in time.
    #[error("timed out {0}")]
    TimedOut(&'static str),
    /// The server closed the connection; what was in flight is unanswered.
    #[error("the server closed the connection{}", if *.mid_frame { " in the middle of a frame" } else { "" })]
    Closed {
        /// A reply had begun.
        mid_frame: bool,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
    /// The server refused the request.
    #[error("refused, {code}: {message} (detail {detail}, generation {generation:016x})")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// The offending value.
        detail: u32,
        /// The generation that is served.
        generation: u64,
        /// For people.
        message: String,
    },
    /// The server's bytes are not the protocol.
    #[error("the reply is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// A reply longer than FRAME_BYTES_MAX, or shorter than a header.
    #[error("the reply's length of {frame_bytes} bytes cannot be")]
    BadLength {
        /// As the server wrote it.
        frame_bytes: u32,
    },
    /// A reply to another request than the oldest one in flight.
    #[error("a reply with id {got} where {expected} was due")]
    WrongRequestId {
        /// The oldest request in flight.
        expected: u32,
        /// What came.
        got: u32,
    },
    /// A reply of another kind or count than the request asks for.
    #[error("the reply does not fit its request: {0}")]
    Mismatch(&'static str),
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// A whole call while pipelined requests are unanswered, or `receive` with none.
    #[error("{0} requests are in flight")]
    InFlight(usize),
    /// The generation changed more often than a long lookup could follow.
    #[error("the generation kept changing during the lookup")]
    Unsettled,
}

impl ClientError {
    /// The connection broke under the request: a new one may answer.
    const fn broken(&self) -> bool {
        matches!(self, Self::Closed { .. } | Self::Io(_))
    }
}

/// Answers of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Which all of them are from; 0 for no keys.
    pub generation: u64,
    /// One per key, in order.
    pub answers: Vec<Answer>,
}

/// What stands behind a verdict id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The fixed part.
    pub description: Description,
    /// Names of the sources.
    pub sources: Vec<String>,
}

/// A server's HELLO, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The generation served now; 0 if none is.
    pub generation: u64,
    /// The version spoken.
    pub version: u8,
    /// Oldest version the server speaks.
    pub version_min: u8,
    /// Newest version the server speaks.
    pub version_max: u8,
    /// What the server takes.
    pub limits: Limits,
    /// Which expressions the generation is asked by.
    pub profile: Profile,
    /// The key of the generation's hash.
    pub hash_key: HashKey,
    /// `verdictd/0.1.0`
    pub server: String,
}

/// One server, one connection at a time.
pub struct Client {
    endpoint: Endpoint,
    options: ClientOptions,
    connection: Option<Connection>,
    connects: u64,
    request_id: u32,
    /// What `lookup` splits by: the protocol's, or lower ones that a HELLO announced.
    limits: Limits,
}

impl Client {
    /// A connected client.
    pub fn connect(endpoint: &Endpoint, options: ClientOptions) -> Result<Self, ClientError> {
        let mut client = Self::lazy(endpoint, options);
        client.connected()?;
        Ok(client)
    }

    /// A client that connects at its first request.
    pub fn lazy(endpoint: &Endpoint, options: ClientOptions) -> Self {
        Self { endpoint: endpoint.clone(), options, connection: None, connects: 0, request_id: 0, limits: Limits::default() }
    }

    /// Where the server listens.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Connections made so far.
    pub const fn connects(&self) -> u64 {
        self.connects
    }

    /// Requests without a reply yet.
    pub fn in_flight(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.waiting.len())
    }

    /// Drops the connection and whatever is in flight; the next request connects anew.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Versions, limits, generation, hash key and profile. Later calls of `lookup` keep to limits that are lower than the protocol's.
    pub fn hello(&mut self) -> Result<Hello, ClientError> {
        let hello = self.once_more(|client| {
            let id = client.send_hello()?;
            client.receive_for(id, |reply| match reply {
                Reply::Hello(hello) => Some(Hello {
                    generation: hello.generation,
                    version: hello.version,
                    version_min: hello.version_min,
                    version_max: hello.version_max,
                    limits: hello.limits,
                    profile: hello.profile,
                    hash_key: hello.hash_key,
                    server: hello.server.to_owned(),
                }),
                _ => None,
            })
        })?;
        self.limits = hello.limits;
        Ok(hello)
    }

    /// One answer per key, all of one generation, for any number of keys.
    ///
    /// Keys are spread over as many frames as they need; frames that fell into another generation than the last one are asked again. A key
    /// longer than KEY_BYTES_MAX is asked as an empty one of its kind: both are unparseable.
    pub fn lookup<K: AsRef<[u8]>>(&mut self, keys: &[(KeyKind, K)]) -> Result<Answers, ClientError> {
        let key_bytes_max = KEY_BYTES_MAX.min(self.limits.key_bytes_max as usize);
        let key = |index: usize| {
            let (kind, key) = &keys[index];
            let key = key.as_ref();
            (kind.raw(), if key.len() > key_bytes_max { &[] } else { key })
        };
        let spans = self.spans(keys.len(), crate::FRAME_HEADER_BYTES, |index| crate::KEY_HEAD_BYTES + key(index).1.len());
        self.ask_spans(keys.len(), &spans, |out, id, (from, to)| encode_lookup(out, id, (from..to).map(key)))
    }

    /// One answer per key that the caller hashed with the hash key of `generation`; refused as stale if another one is served.
    /// `parent`: the keys are of suffix or prefix expressions. Any number of keys.
    pub fn lookup_hashed(&mut self, generation: u64, keys: &[HashedKey], parent: bool) -> Result<Answers, ClientError> {
        let spans = self.spans(keys.len(), crate::FRAME_HEADER_BYTES + 8, |_| size_of::<HashedKey>());
        self.ask_spans(keys.len(), &spans, |out, id, (from, to)| encode_lookup_hashed(out, id, generation, &keys[from..to], parent))
    }

    /// What stands behind verdict ids of `generation`, in order; refused as stale if another one is served. Any number of ids.
    pub fn describe(&mut self, generation: u64, ids: &[u32]) -> Result<Vec<Described>, ClientError> {
        let mut described = Vec::with_capacity(ids.len());
        for ids in ids.chunks(IDS_MAX) {
            let mut part = self.once_more(|client| {
                let id = client.send_describe(generation, ids)?;
                client.receive_for(id, |reply| match reply {
                    Reply::Descriptions(list) => {
                        let owned = |(description, sources): (Description, crate::SourceNames<'_>)| Described {
                            description,
                            sources: sources.map(str::to_owned).collect(),
                        };
                        Some(list.map(owned).collect::<Vec<_>>())
                    }
                    _ => None,
                })
            })?;
            described.append(&mut part);
        }
        Ok(described)
    }

    /// The generation served now. `payload`: at most 64 bytes, which must come back.
    pub fn ping(&mut self, payload: &[u8]) -> Result<u64, ClientError> {
        let (generation, echoed) = self.once_more(|client| {
            let id = client.send_ping(payload)?;
            client.receive_for(id, |reply| match reply {
                Reply::Pong(pong) => Some((pong.generation, pong.payload == payload)),
                _ => None,
            })
        })?;
        if echoed {
            return Ok(generation);
        }
        self.disconnect();
        Err(ClientError::Mismatch("a PONG with other bytes than the PING"))
    }

    /// Queues a HELLO and returns its request id.
    pub fn send_hello(&mut self) -> Result<u32, ClientError> {
        let name = self.options.name.clone();
        let hello = ClientHello { version_min: VERSION_MIN, version_max: VERSION_MAX, name: &name };
        self.send(|out, id| encode_hello(out, id, &hello).map(|()| Expected::Hello))
    }

    /// Queues one LOOKUP frame and returns its request id. Kinds are raw numbers, so that a forwarder may pass on what it does not know.
    pub fn send_lookup<'k>(&mut self, keys: impl IntoIterator<Item = (u8, &'k [u8])>) -> Result<u32, ClientError> {
        self.send(|out, id| {
            let mut writer = LookupWriter::new(out, id);
            for (kind, key) in keys {
                writer.push(kind, key)?;
            }
            writer.finish().map(Expected::Answers)
        })
    }

    /// Queues one LOOKUP_HASHED frame and returns its request id.
    pub fn send_lookup_hashed(&mut self, generation: u64, keys: &[HashedKey], parent: bool) -> Result<u32, ClientError> {
        self.send(|out, id| encode_lookup_hashed(out, id, generation, keys, parent).map(|()| Expected::Answers(keys.len())))
    }

    /// Queues one DESCRIBE frame and returns its request id.
    pub fn send_describe(&mut self, generation: u64, ids: &[u32]) -> Result<u32, ClientError> {
        self.send(|out, id| encode_describe(out, id, generation, ids).map(|()| Expected::Descriptions(ids.len())))
    }

    /// Queues a PING and returns its request id.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<u32, ClientError> {
        self.send(|out, id| encode_ping(out, id, payload).map(|()| Expected::Pong))
    }

    /// Writes what is queued. `receive` does so too.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.connection.as_mut().map_or(Ok(()), Connection::flush)
    }

    /// The reply to the oldest request in flight, with its id; an ERROR is a reply too.
    ///
    /// An ERROR that closes the connection for bytes the server could not read has id 0. After a time-out the request is still in flight, and
    /// `receive` may be called again; after any other error, and after a reply that closes, nothing is in flight any more.
    pub fn receive(&mut self) -> Result<(u32, Reply<'_>), ClientError> {
        match &mut self.connection {
            Some(connection) if !connection.waiting.is_empty() => connection.receive(bound(self.options.read_timeout)),
            _ => Err(ClientError::InFlight(0)),
        }
    }

    fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>, u32) -> Result<Expected, EncodeError>) -> Result<u32, ClientError> {
        self.request_id = self.request_id.checked_add(1).unwrap_or(1); // 0 is the id of no request
        let id = self.request_id;
        let connection = self.connected()?;
        let expected = encode(&mut connection.outbox, id)?;
        connection.waiting.push_back((id, expected));
        if connection.outbox.len() >= OUTBOX_BYTES {
            connection.flush()?;
        }
        Ok(id)
    }

    fn idle(&self) -> Result<(), ClientError> {
        match self.in_flight() {
            0 => Ok(()),
            count => Err(ClientError::InFlight(count)),
        }
    }

    /// A whole call: once more over a new connection if the first one broke; no connection is kept that a late reply could come over.
    fn once_more<T>(&mut self, mut ask: impl FnMut(&mut Self) -> Result<T, ClientError>) -> Result<T, ClientError> {
        self.idle()?;
        let mut outcome = ask(self);
        if outcome.as_ref().is_err_and(ClientError::broken) {
            self.disconnect();
            outcome = ask(self);
        }
        if outcome.is_err() && self.in_flight() > 0 {
            self.disconnect();
        }
        outcome
    }

    fn receive_for<T>(&mut self, id: u32, owned: impl FnOnce(Reply<'_>) -> Option<T>) -> Result<T, ClientError> {
        let (got, reply) = self.receive()?;
        match reply {
            Reply::Error(error) => Err(ClientError::Refused {
                code: error.code(),
                detail: error.detail,
                generation: error.generation,
                message: error.message.to_owned(),
            }),
            _ if got != id => Err(ClientError::WrongRequestId { expected: id, got }),
            reply => owned(reply).ok_or(ClientError::Mismatch("a reply of another kind")),
        }
    }

    /// Cuts `keys` keys into spans that fit into a frame each: `head` bytes, then `bytes_of(index)` for each key.
    fn spans(&self, keys: usize, head: usize, bytes_of: impl Fn(usize) -> usize) -> Vec<(usize, usize)> {
        let frame_bytes_max = FRAME_BYTES_MAX.min(self.limits.frame_bytes_max as usize);
        let keys_max = KEYS_MAX.min(self.limits.keys_max as usize);
        let mut spans: Vec<(usize, usize)> = Vec::with_capacity(keys.div_ceil(keys_max.max(1)));
        let mut frame_bytes = 0;
        for index in 0..keys {
            let bytes = bytes_of(index);
            match spans.last_mut() {
                Some((from, to)) if *to - *from < keys_max && frame_bytes + bytes <= frame_bytes_max => {
                    *to += 1;
                    frame_bytes += bytes;
                }
                _ => {
                    spans.push((index, index + 1));
                    frame_bytes = head + bytes;
                }
            }
        }
        spans
    }

    /// Asks every span of keys in a frame of its own, until all answers are of one generation.
    fn ask_spans(
        &mut self,
        keys: usize,
        spans: &[(usize, usize)],
        encode: impl Fn(&mut Vec<u8>, u32, (usize, usize)) -> Result<(), EncodeError>,
    ) -> Result<Answers, ClientError> {
        let mut answers = vec![Answer::default(); keys];
        let mut generations = vec![0; spans.len()];
        let mut pending: Vec<usize> = (0..spans.len()).collect();
        for _ in 0..GENERATION_ROUNDS {
            let Some(&last) = pending.last() else { return Ok(Answers { generation: generations.first().copied().unwrap_or(0), answers }) };
            self.once_more(|client| {
                let mut ids = VecDeque::with_capacity(FRAMES_UNDER_WAY);
                let mut unsent = pending.iter();
                for &index in &pending {
                    while ids.len() < FRAMES_UNDER_WAY
                        && let Some(&next) = unsent.next()
                    {
                        let (from, to) = spans[next];
                        ids.push_back(client.send(|out, id| encode(out, id, (from, to)).map(|()| Expected::Answers(to - from)))?);
                    }
                    let Some(id) = ids.pop_front() else { break };
                    let (from, to) = spans[index];
                    generations[index] = client.receive_for(id, |reply| match reply {
                        Reply::Answers(list) => {
                            answers[from..to].copy_from_slice(list.answers);
                            Some(list.generation)
                        }
                        _ => None,
                    })?;
                }
                Ok(())
            })?;
            let settled = generations[last];
            pending = (0..spans.len()).filter(|&index| generations[index] != settled).collect();
        }
        if pending.is_empty() {
            Ok(Answers { generation: generations.first().copied().unwrap_or(0), answers })
        } else {
            Err(ClientError::Unsettled)
        }
    }

    fn connected(&mut self) -> Result<&mut Connection, ClientError> {
        let alive = self.connection.take().filter(|connection| !connection.dead);
        let connection = match alive {
            Some(connection) => connection,
            None => {
                let stream = self.dial()?;
                self.connects += 1;
                Connection::new(stream)
            }
        };
        Ok(self.connection.insert(connection))
    }

    fn dial(&self) -> Result<Stream, ClientError> {
        let mut pause = self.options.backoff_min;
        let mut attempt = 1;
        loop {
            match Stream::connect(&self.endpoint, &self.options) {
                Ok(stream) => return Ok(stream),
                Err(error) if attempt >= self.options.connect_attempts => {
                    return Err(ClientError::Connect { endpoint: self.endpoint.clone(), error });
                }
                Err(_) => {
                    std::thread::sleep(pause.min(self.options.backoff_max));
                    pause = pause.saturating_mul(2);
                    attempt += 1;
                }
            }
        }
    }
}

/// What the reply to a request must be, if it is no ERROR.
#[derive(Clone, Copy)]
enum Expected {
    Hello,
    Answers(usize),
    Descriptions(usize),
    Pong,
}

impl Expected {
    fn check(self, reply: &Reply<'_>) -> Result<(), ClientError> {
        match (self, reply) {
            (_, Reply::Error(_)) | (Self::Hello, Reply::Hello(_)) | (Self::Pong, Reply::Pong(_)) => Ok(()),
            (Self::Answers(count), Reply::Answers(list)) if list.answers.len() == count => Ok(()),
            (Self::Descriptions(count), Reply::Descriptions(list)) if list.len() == count => Ok(()),
            (Self::Answers(_), Reply::Answers(_)) => Err(ClientError::Mismatch("not as many answers as keys")),
            (Self::Descriptions(_), Reply::Descriptions(_)) => Err(ClientError::Mismatch("not as many descriptions as ids")),
            _ => Err(ClientError::Mismatch("a reply of another kind")),
        }
    }
}

/// One connection and its buffers. `dead` once its bytes can no longer be trusted to line up; then nothing is in flight.
struct Connection {
    stream: Stream,
    outbox: Vec<u8>,
    /// Received bytes are `inbox[taken..filled]`; the rest is room.
    inbox: Vec<u8>,
    taken: usize,
    filled: usize,
    waiting: VecDeque<(u32, Expected)>,
    /// As the socket has it; set again only where it changes.
    read_timeout: Option<Option<Duration>>,
    dead: bool,
}

impl Connection {
    fn new(stream: Stream) -> Self {
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

    fn flush(&mut self) -> Result<(), ClientError> {
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

    fn receive(&mut self, timeout: Option<Duration>) -> Result<(u32, Reply<'_>), ClientError> {
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
                Ok(0) => return Err(ClientError::Closed { mid_frame: self.filled > self.taken }),
                Ok(bytes) => self.filled += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if timed_out(&error) => return Err(late),
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

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Zero means without a bound.
fn bound(timeout: Duration) -> Option<Duration> {
    (!timeout.is_zero()).then_some(timeout)
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(endpoint: &Endpoint, options: &ClientOptions) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp(address) => {
                let stream = connect_tcp(address, bound(options.connect_timeout))?;
                stream.set_nodelay(options.nodelay)?;
                stream.set_write_timeout(bound(options.write_timeout))?;
                Ok(Self::Tcp(stream))
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
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_every_documented_form() {
        let check = |text: &str, shown: &str| assert_eq!(Endpoint::parse(text).map(|e| e.to_string()), Ok(shown.to_owned()));
        check("tcp:127.0.0.1:7700", "tcp:127.0.0.1:7700");
        check("127.0.0.1:7700", "tcp:127.0.0.1:7700");
        check("localhost:7700", "tcp:localhost:7700");
        check("[::1]:7700", "tcp:[::1]:7700");
        check("unix:/run/v.sock", "unix:/run/v.sock");
        check("/run/v.sock", "unix:/run/v.sock");
        check("unix:v.sock", "unix:v.sock");
    }

    #[test]
    fn text_that_is_no_endpoint_is_refused_with_the_forms_that_are() {
        for text in ["", "unix:", "7700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":7700", "::1:7700", "tcp:"] {
            let error = Endpoint::parse(text).expect_err(text).to_string();
            assert!(error.contains("HOST:PORT"), "{error}");
        }
    }
}
