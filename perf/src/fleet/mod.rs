//! Many connections driven by one thread: the engine under `load`, `closed`, the peer benches and the swap check.
//!
//! ```text
//!            ┌─ due now? take the next request of the pool, note when it was *meant* to start ─► outbox ─► send (never blocks)
//! epoll ─────┤
//!            └─ readable? receive ─► whole replies, in order ─► latency = now - meant start ─► histogram, checks
//! ```
//! One thread, because the client owns one core: threads would only add wake-ups to what they measure. Requests are encoded before the
//! run; a turn copies bytes, stamps ids and looks at the head of each reply.
//!
//! Open loop: the schedule is fixed (`start + n / rate`) and does not wait for anybody; a request that could not start in time keeps its
//! meant start, so a stall is charged to every request it delayed (no coordinated omission). Two kinds of delay are told apart: the
//! connection was full (the server's doing, part of the latency) and the generator itself came late (`lag`, which spoils the run).

mod binary;
mod connection;
mod engine;
mod http;
mod pool;
#[cfg(test)]
mod tests;
mod trust;

pub use binary::{Binary, Nothing};
pub use http::Http;
pub use pool::Pool;
pub use trust::Trust;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A request that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which of the pool.
    pub index: usize,
    /// Its id on this connection.
    pub id: u32,
    /// Keys in it.
    pub keys: u32,
    /// Nanoseconds from the start of the run to when it was meant to start.
    pub meant_ns: u64,
    /// By how much the generator itself was late with it.
    pub late_ns: u64,
}

/// How requests and replies look on the wire of one kind of server.
pub trait Dialect {
    /// Makes a copied request this connection's own.
    fn stamp(&self, request: &mut [u8], id: u32);
    /// Bytes of the first reply in `inbox`; None while it is incomplete.
    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>>;
    /// Looks at one whole reply; an error ends the run.
    /// `expected` has a byte a key, or none where the pool foretells nothing.
    fn check(&self, sent: &Sent, expected: &[u8], reply: &[u8], tally: &mut Tally) -> io::Result<()>;
}

/// What the replies said, as far as a dialect looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Keys answered with something known.
    pub known: u64,
    /// Keys answered *overloaded*.
    pub overloaded: u64,
    /// Keys answered with any other status than ok.
    pub odd: u64,
    /// Keys answered otherwise than was foretold.
    pub wrong: u64,
}

impl Tally {
    /// Notes a reply with this many values of a server that says nothing of the keys that it does not have.
    pub fn count_values(&mut self, sent: &Sent, expected: &[u8], values: u64) -> io::Result<()> {
        if values > u64::from(sent.keys) {
            return Err(io::Error::other("the server found more than it was asked for"));
        }
        self.known += values;
        if !expected.is_empty() {
            self.wrong += values.abs_diff(expected.iter().filter(|byte| **byte != 0).count() as u64);
        }
        Ok(())
    }
}

/// When requests start.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// A fixed schedule of this many requests a second, over all connections.
    Open {
        /// Requests a second.
        per_second: f64,
    },
    /// As soon as one of this many per connection is answered.
    Closed {
        /// Requests under way on each connection.
        in_flight: usize,
    },
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where the server is.
    pub address: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// When requests start.
    pub pace: Pace,
    /// Requests under way on one connection at most; further ones wait, and their wait is latency. PROTOCOL.md promises 64.
    pub in_flight_max: usize,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured.
    pub duration: Duration,
    /// Whose CPU time is read at the start and at the end of the measured part.
    pub server_pid: Option<u32>,
    /// The request of the pool that comes first.
    pub first: usize,
    /// Connections are encrypted, and the server must be of this authority.
    pub trust: Option<&'static Trust>,
    /// Scheduled requests that could not start until the schedule's end are given up, as a caller gives up who has waited too long.
    pub gives_up: bool,
    /// The generator never sleeps, where it has a CPU to itself: its own wake-up is then no part of a latency.
    pub spins: bool,
}

impl Plan {
    /// A second of this pace after a tenth of warm-up.
    pub fn new(address: SocketAddr, connections: usize, pace: Pace) -> Self {
        Plan {
            address,
            connections,
            pace,
            in_flight_max: 64,
            warm_up: Duration::from_millis(100),
            duration: Duration::from_secs(1),
            server_pid: None,
            first: 0,
            trust: None,
            gives_up: false,
            spins: false,
        }
    }
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Nanosecond 0 of the run.
    pub started: Instant,
    /// Requests that the schedule held (open loop), or that were answered (closed).
    pub offered: u64,
    /// Requests answered.
    pub answered: u64,
    /// Keys answered.
    pub keys: u64,
    /// Wall clock of the measured part.
    pub elapsed: Duration,
    /// Nanoseconds from the meant start to the whole reply.
    pub latency: Histogram<u64>,
    /// Nanoseconds by which the generator itself started late.
    pub lag: Histogram<u64>,
    /// What the replies said, those of the warm-up included.
    pub tally: Tally,
    /// Keys that `tally` speaks of.
    pub checked_keys: u64,
    /// User and system time of the server while measured.
    pub server_cpu: Option<Duration>,
    /// Whether the schedule could not be kept: half a second after its end requests were still waiting to start or to be answered.
    pub behind: bool,
}

/// Nanoseconds of lag that spoil an open-loop run when more than one request in a thousand has it.
pub const LAG_NS_MAX: u64 = 1_000_000;

impl Outcome {
    /// Was the generator itself too slow for its schedule? Then the run says nothing about the server.
    pub fn lagged(&self) -> bool {
        self.lagged_beyond(LAG_NS_MAX)
    }

    /// The same with another bound: more than one request in a thousand started later than this.
    pub fn lagged_beyond(&self, lag_ns_max: u64) -> bool {
        !self.lag.is_empty() && self.lag.value_at_quantile(0.999) > lag_ns_max
    }
}

/// Runs a plan to its end. Every request that started is answered, or it is an error: a closed connection, a reply that is none.
pub fn run<D: Dialect>(plan: &Plan, pool: &Pool, dialect: &D) -> io::Result<Outcome> {
    run_witnessed(plan, pool, dialect, |_, _, _| Ok(()), || false)
}

/// `run`, with every whole reply and its nanosecond shown to `witness`, ended early once `enough` says so.
pub fn run_witnessed<D: Dialect>(
    plan: &Plan,
    pool: &Pool,
    dialect: &D,
    mut witness: impl FnMut(&Sent, &[u8], u64) -> io::Result<()>,
    mut enough: impl FnMut() -> bool,
) -> io::Result<Outcome> {
    assert!(!pool.is_empty(), "a run needs requests");
    crate::process::wake_on_time();
    engine::Engine::new(*plan, pool, dialect)?.run(&mut witness, &mut enough)
}
