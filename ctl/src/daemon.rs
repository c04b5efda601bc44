//! Asking a daemon: what the subcommands share of connecting, questions, verdict records and failures.
//!
//! ```text
//!  ask_together   all keys in as few frames as they need, all answers of one generation; one time for the whole
//!  ask_each       one key a frame, up to IN_FLIGHT frames under way on one connection; a time per question, from its write to its reply
//! ```

use crate::exit::Failure;
use crate::question::Question;
use crate::text;
use crate::tls::{TlsArguments, Trouble};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};
use verdict_keys::Kind;
use verdict_wire::{
    Answer, Client, ClientError, ClientOptions, Described, Endpoint, ErrorCode, FileQuestion, KeyKind, Reply, Status, Wrap,
};

/// Where the daemon listens unless told otherwise.
const ENDPOINT: &str = "tcp:127.0.0.1:7700";
/// Requests under way in `ask_each`; the daemon allows more.
const IN_FLIGHT: usize = 16;

/// How to reach the daemon.
#[derive(Debug, clap::Args)]
pub struct Connection {
    /// Where the daemon listens: HOST:PORT, or the path of a Unix socket
    #[arg(long, value_name = "ENDPOINT", env = "VERDICT_CONNECT", hide_env_values = true, default_value = ENDPOINT, help_heading = "Connection")]
    connect: String,
    /// Wait at most this long for a connection, and for each reply
    #[arg(long, value_name = "MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=3_600_000), help_heading = "Connection")]
    timeout_ms: u64,
    #[command(flatten)]
    tls: TlsArguments,
}

/// An answer, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// The eight bytes.
    pub answer: Answer,
    /// Which snapshot they are of.
    pub generation: u64,
    /// From writing the request to having the reply.
    pub time: Duration,
}

/// What stands behind verdict ids, by generation and id.
#[derive(Debug, Default)]
pub struct Records(BTreeMap<(u64, u32), Described>);

impl Records {
    /// The record behind an answer; none if the answer has no id, or its generation was replaced before the record was asked for.
    pub fn of(&self, answered: &Answered) -> Option<&Described> {
        self.0.get(&(answered.generation, answered.answer.id()))
    }
}

/// A connected daemon.
pub struct Daemon {
    client: Client,
    endpoint: Endpoint,
}

impl Daemon {
    /// Connects.
    pub fn connect(connection: &Connection) -> Result<Self, Failure> {
        let endpoint = endpoint(&connection.connect)?;
        let timeout = Duration::from_millis(connection.timeout_ms);
        let wrap = match (&endpoint, connection.tls.read()?) {
            (Endpoint::Tcp(address), Some(tls)) => {
                let address = address.clone();
                Some(Wrap::new(move |stream| Ok(Box::new(tls.shake_hands(stream, &address)?))))
            }
            _ => None,
        };
        let options = ClientOptions {
            connect_timeout: timeout,
            read_timeout: timeout,
            write_timeout: timeout,
            connect_attempts: 1,
            // People have the time that a load balancer has not.
            budget_us: 20_000,
            name: concat!("verdictctl/", env!("CARGO_PKG_VERSION")).to_owned(),
            wrap,
            ..ClientOptions::default()
        };
        let client = Client::connect(&endpoint, options).map_err(|error| failure(&endpoint, &error))?;
        Ok(Self { client, endpoint })
    }

    /// Where it listens, fit to print.
    pub fn endpoint(&self) -> String {
        text::visible(self.endpoint.to_string().as_bytes())
    }

    /// What the protocol's calls return, with their errors told as failures.
    pub fn call<T>(&mut self, call: impl FnOnce(&mut Client) -> Result<T, ClientError>) -> Result<T, Failure> {
        call(&mut self.client).map_err(|error| failure(&self.endpoint, &error))
    }

    /// All questions together: one generation, one time.
    pub fn ask_together(&mut self, questions: &[Question]) -> Result<Vec<Answered>, Failure> {
        let keys: Vec<(KeyKind, &[u8])> = questions.iter().map(|question| (wire_kind(question.kind), question.key.as_slice())).collect();
        let begun = Instant::now();
        let answers = self.call(|client| client.lookup(&keys))?;
        let time = begun.elapsed();
        Ok(answers.answers.into_iter().map(|answer| Answered { answer, generation: answers.generation, time }).collect())
    }

    /// All files together: one generation, one time.
    pub fn ask_files(&mut self, files: &[FileQuestion<'_>]) -> Result<Vec<Answered>, Failure> {
        let begun = Instant::now();
        let answers = self.call(|client| client.lookup_files(files))?;
        let time = begun.elapsed();
        Ok(answers.answers.into_iter().map(|answer| Answered { answer, generation: answers.generation, time }).collect())
    }

    /// Each question in a frame of its own, pipelined, and the time of all. A PING goes first, so that no time holds the waking of a shard.
    pub fn ask_each(&mut self, questions: &[Question]) -> Result<(Vec<Answered>, Duration), Failure> {
        self.call(|client| client.ping(&[]))?;
        let begun_all = Instant::now();
        let mut under_way = VecDeque::new();
        let mut answered = Vec::with_capacity(questions.len());
        for question in questions {
            if under_way.len() == IN_FLIGHT {
                self.receive_one(&mut under_way, &mut answered)?;
            }
            let key = if question.key.len() > verdict_wire::KEY_BYTES_MAX { &[] } else { question.key.as_slice() };
            let begun = Instant::now();
            self.call(|client| {
                client.send_lookup([(wire_kind(question.kind).raw(), key)])?;
                client.flush()
            })?;
            under_way.push_back(begun);
        }
        while !under_way.is_empty() {
            self.receive_one(&mut under_way, &mut answered)?;
        }
        Ok((answered, begun_all.elapsed()))
    }

    fn receive_one(&mut self, under_way: &mut VecDeque<Instant>, answered: &mut Vec<Answered>) -> Result<(), Failure> {
        let (answer, generation) = self.call(|client| match client.receive()?.1 {
            Reply::Answers(list) => list.answers.first().map(|&answer| (answer, list.generation)).ok_or(ClientError::Mismatch("no answer")),
            Reply::Error(error) if error.code() == ErrorCode::Overloaded && !error.closing => {
                Ok((Answer::without_verdict(Status::Overloaded), error.generation))
            }
            Reply::Error(error) => Err(ClientError::Refused {
                code: error.code(),
                detail: error.detail,
                generation: error.generation,
                message: error.message.to_owned(),
            }),
            _ => Err(ClientError::Mismatch("another reply than ANSWERS")),
        })?;
        // One reply per request, in order.
        let time = under_way.pop_front().map_or(Duration::ZERO, |begun| begun.elapsed());
        answered.push(Answered { answer, generation, time });
        Ok(())
    }

    /// Adds the records behind `answered` that are not there yet. A generation that is no longer served has no records to give: those stay absent.
    pub fn describe(&mut self, answered: &[Answered], records: &mut Records) -> Result<(), Failure> {
        let mut wanted = BTreeMap::<u64, BTreeSet<u32>>::new();
        for one in answered {
            if one.answer.id() != 0 && records.of(one).is_none() {
                wanted.entry(one.generation).or_default().insert(one.answer.id());
            }
        }
        for (generation, ids) in wanted {
            let ids: Vec<u32> = ids.into_iter().collect();
            match self.client.describe(generation, &ids) {
                Ok(described) => records.0.extend(ids.iter().map(|&id| (generation, id)).zip(described)),
                Err(ClientError::Refused { code: ErrorCode::StaleGeneration, .. }) => {}
                Err(error) => return Err(failure(&self.endpoint, &error)),
            }
        }
        Ok(())
    }
}

/// A path with a slash is a Unix socket, also without `unix:` before it.
fn endpoint(text: &str) -> Result<Endpoint, Failure> {
    if text.contains('/') && !text.starts_with("unix:") {
        return Ok(Endpoint::Unix(text.into()));
    }
    let shown = text::visible(text.as_bytes());
    Endpoint::parse(text).map_err(|_| Failure::Usage(format!("--connect `{shown}` is neither HOST:PORT nor the path of a Unix socket")))
}

/// The kind's number on the wire.
pub fn wire_kind(kind: Kind) -> KeyKind {
    match kind {
        Kind::Url => KeyKind::Url,
        Kind::Host => KeyKind::Host,
        Kind::Ipv4 => KeyKind::Ipv4,
        Kind::Ipv6 => KeyKind::Ipv6,
        Kind::Sha256 => KeyKind::Sha256,
        Kind::Sha1 => KeyKind::Sha1,
        Kind::Md5 => KeyKind::Md5,
    }
}

/// Sorts by who can do something about it; the text may hold the daemon's own words, so it is made fit to print.
fn failure(endpoint: &Endpoint, error: &ClientError) -> Failure {
    let said = error.to_string();
    let told = if matches!(error, ClientError::Connect { .. }) { said } else { format!("{endpoint}: {said}") };
    let told = text::visible(told.as_bytes());
    if let ClientError::Connect { error, .. } | ClientError::Io(error) = error
        && let Some(failure) = Trouble::of(error, &text::visible(endpoint.to_string().as_bytes()))
    {
        return failure;
    }
    match error {
        ClientError::Connect { .. } => Failure::Unavailable(format!("{told} (is verdictd running there?)")),
        ClientError::TimedOut(_) => Failure::Unavailable(told),
        ClientError::Closed { .. } | ClientError::Io(_) | ClientError::Unsettled => Failure::Temporary(told),
        ClientError::Refused { code, .. } => match code {
            ErrorCode::Overloaded | ErrorCode::Draining | ErrorCode::StaleGeneration | ErrorCode::Internal => Failure::Temporary(told),
            ErrorCode::NotPermitted => Failure::Refused(told),
            _ => Failure::Protocol(told),
        },
        ClientError::Encode(_) => Failure::Data(told),
        ClientError::SpeaksTls => Failure::Protocol(format!("{told}: give --tls-ca FILE")),
        ClientError::Malformed(_)
        | ClientError::BadLength { .. }
        | ClientError::WrongRequestId { .. }
        | ClientError::Mismatch(_)
        | ClientError::InFlight(_) => Failure::Protocol(told),
    }
}
