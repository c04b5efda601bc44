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

mod connection;
mod endpoint;
mod error;

use crate::frame::{VERSION_MAX, VERSION_MIN};
use crate::{
    Answer, ClientHello, Description, EncodeError, Explained, FRAME_BYTES_MAX, FileQuestion, FilesWriter, HashKey, HashedKey, IDS_MAX,
    KEY_BYTES_MAX, KEYS_MAX, KeyKind, Limits, LookupWriter, Place, Profile, Reply, encode_describe, encode_explain, encode_hello,
    encode_lookup_hashed, encode_ping,
};
pub use connection::{Carrier, Wrap};
use connection::{Connection, Expected, Stream, bound};
pub use endpoint::{Endpoint, EndpointError};
pub use error::ClientError;
use std::collections::VecDeque;
use std::time::Duration;

/// Requests of one long `lookup` that are under way at a time: enough to keep a server busy, few enough that its replies always fit
/// into socket buffers, so that two sides never wait for each other to read.
const FRAMES_UNDER_WAY: usize = 4;
/// Queued requests are written at the latest when they are this many bytes.
const OUTBOX_BYTES: usize = 64 << 10;
/// How often a long `lookup` asks frames again because the generation changed under it.
const GENERATION_ROUNDS: usize = 4;

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
    /// Microseconds that models may take for each LOOKUP and LOOKUP_FILES; 0: as the server's operator has it.
    pub budget_us: u32,
    /// What TCP connections are wrapped in; none: nothing. Unix sockets are never wrapped.
    pub wrap: Option<Wrap>,
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
            budget_us: 0,
            wrap: None,
        }
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
        let budget_us = self.options.budget_us;
        self.ask_spans(keys.len(), &spans, |out, id, (from, to)| {
            let mut writer = LookupWriter::new(out, id).budget_us(budget_us);
            (from..to).map(key).try_for_each(|(kind, key)| writer.push(kind, key))?;
            writer.finish().map(drop)
        })
    }

    /// One answer per key that the caller hashed with the hash key of `generation`; refused as stale if another one is served.
    /// `place`: where their expressions stand in their questions. Any number of keys.
    pub fn lookup_hashed(&mut self, generation: u64, keys: &[HashedKey], place: Place) -> Result<Answers, ClientError> {
        let spans = self.spans(keys.len(), crate::FRAME_HEADER_BYTES + 8, |_| size_of::<HashedKey>());
        self.ask_spans(keys.len(), &spans, |out, id, (from, to)| encode_lookup_hashed(out, id, generation, &keys[from..to], place))
    }

    /// One answer per file, all of one generation, for any number of files: by their digests, and by models that read their values.
    pub fn lookup_files(&mut self, files: &[FileQuestion<'_>]) -> Result<Answers, ClientError> {
        let spans = self.spans(files.len(), crate::FRAME_HEADER_BYTES, |index| files[index].bytes());
        let budget_us = self.options.budget_us;
        self.ask_spans(files.len(), &spans, |out, id, (from, to)| {
            let mut writer = FilesWriter::new(out, id).budget_us(budget_us);
            files[from..to].iter().try_for_each(|file| writer.push(file))?;
            writer.finish().map(drop)
        })
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

    /// How the server reads one key, what it asks its tables, which rules match, and which of them wins. A key longer than KEY_BYTES_MAX
    /// cannot be asked.
    pub fn explain(&mut self, kind: KeyKind, key: &[u8]) -> Result<Explained, ClientError> {
        self.once_more(|client| {
            let id = client.send_explain(kind.raw(), key)?;
            client.receive_for(id, |reply| match reply {
                Reply::Explanation(explanation) => Some(explanation.to_owned()),
                _ => None,
            })
        })
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
        let budget_us = self.options.budget_us;
        self.send(|out, id| {
            let mut writer = LookupWriter::new(out, id).budget_us(budget_us);
            for (kind, key) in keys {
                writer.push(kind, key)?;
            }
            writer.finish().map(Expected::Answers)
        })
    }

    /// Queues one LOOKUP_HASHED frame and returns its request id.
    pub fn send_lookup_hashed(&mut self, generation: u64, keys: &[HashedKey], place: Place) -> Result<u32, ClientError> {
        self.send(|out, id| encode_lookup_hashed(out, id, generation, keys, place).map(|()| Expected::Answers(keys.len())))
    }

    /// Queues one LOOKUP_FILES frame and returns its request id.
    pub fn send_lookup_files<'v>(&mut self, files: impl IntoIterator<Item = FileQuestion<'v>>) -> Result<u32, ClientError> {
        let budget_us = self.options.budget_us;
        self.send(|out, id| {
            let mut writer = FilesWriter::new(out, id).budget_us(budget_us);
            files.into_iter().try_for_each(|file| writer.push(&file))?;
            writer.finish().map(Expected::Answers)
        })
    }

    /// Queues one DESCRIBE frame and returns its request id.
    pub fn send_describe(&mut self, generation: u64, ids: &[u32]) -> Result<u32, ClientError> {
        self.send(|out, id| encode_describe(out, id, generation, ids).map(|()| Expected::Descriptions(ids.len())))
    }

    /// Queues an EXPLAIN of one key and returns its request id. The kind is a raw number, as in LOOKUP.
    pub fn send_explain(&mut self, kind: u8, key: &[u8]) -> Result<u32, ClientError> {
        self.send(|out, id| encode_explain(out, id, kind, key).map(|()| Expected::Explanation))
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
