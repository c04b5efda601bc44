//! Many connections driven by one thread: the engine under `load`, `closed`, the peer benches and the swap check.
//!
//! ```text
//!            ┌─ due now? take the next request of the pool, note when it was *meant* to start ─► outbox ─► send (never blocks)
//! ppoll ─────┤
//!            └─ readable? receive ─► whole replies, in order ─► latency = now - meant start ─► histogram, Witness
//! ```
//! One thread, because the client owns one core: threads would only add wake-ups to what they measure. Requests are encoded before the
//! run; a turn copies bytes, stamps ids and looks at the head of each reply.
//!
//! Open loop: the schedule is fixed (`start + n / rate`) and does not wait for anybody; a request that could not start in time keeps its
//! meant start, so a stall is charged to every request it delayed (no coordinated omission). Two kinds of delay are told apart: the
//! connection was full (the server's doing, part of the latency) and the generator itself came late (`lag`, which spoils the run).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Requests encoded beforehand, used in turn.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    bytes: Vec<u8>,
    requests: Vec<Request>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    at: usize,
    bytes: usize,
    keys: u32,
}

impl Pool {
    /// Appends what `encode` writes: one request of `keys` keys.
    pub fn push(&mut self, keys: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        encode(&mut self.bytes);
        self.requests.push(Request { at, bytes: self.bytes.len() - at, keys: keys as u32 });
    }

    /// How many requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// None at all?
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Mean keys of a request.
    pub fn keys_per_request(&self) -> f64 {
        self.requests.iter().map(|request| f64::from(request.keys)).sum::<f64>() / self.requests.len().max(1) as f64
    }

    /// Mean bytes of a request.
    pub fn bytes_per_request(&self) -> f64 {
        self.bytes.len() as f64 / self.requests.len().max(1) as f64
    }
}

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
}

/// How requests and replies look on the wire of one kind of server.
pub trait Dialect {
    /// Makes a copied request this connection's own.
    fn stamp(&self, request: &mut [u8], id: u32);
    /// Bytes of the first reply in `inbox`; None while it is incomplete.
    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>>;
    /// Looks at one whole reply; an error ends the run.
    fn check(&self, sent: &Sent, reply: &[u8], tally: &mut Tally) -> io::Result<()>;
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
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Outcome {
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
        !self.lag.is_empty() && self.lag.value_at_quantile(0.999) > LAG_NS_MAX
    }
}

struct Connection {
    stream: TcpStream,
    outbox: Vec<u8>,
    sent_to: usize,
    inbox: Vec<u8>,
    filled: usize,
    under_way: VecDeque<Sent>,
    /// Meant starts of scheduled requests that found the connection full.
    held: VecDeque<u64>,
    next_id: u32,
}

/// Room for replies; larger than any single reply of a run.
const INBOX_BYTES: usize = 1 << 20;

struct Engine<'a, D: Dialect> {
    plan: Plan,
    pool: &'a Pool,
    dialect: &'a D,
    connections: Vec<Connection>,
    cursor: usize,
    start: Instant,
    measured_from_ns: u64,
    ends_ns: u64,
    cpu_from: Option<Duration>,
    outcome: Outcome,
}

/// Runs a plan to its end. Every request that started is answered, or it is an error: a closed connection, a reply that is none.
pub fn run<D: Dialect>(plan: &Plan, pool: &Pool, dialect: &D) -> io::Result<Outcome> {
    run_witnessed(plan, pool, dialect, |_, _| Ok(()), || false)
}

/// `run`, with every whole reply shown to `witness`, ended early once `enough` says so.
pub fn run_witnessed<D: Dialect>(
    plan: &Plan,
    pool: &Pool,
    dialect: &D,
    mut witness: impl FnMut(&Sent, &[u8]) -> io::Result<()>,
    mut enough: impl FnMut() -> bool,
) -> io::Result<Outcome> {
    assert!(!pool.is_empty(), "a run needs requests");
    crate::process::wake_on_time();
    let mut engine = Engine::new(*plan, pool, dialect)?;
    match plan.pace {
        Pace::Open { per_second } => engine.open_loop(per_second, &mut witness, &mut enough)?,
        Pace::Closed { in_flight } => engine.closed_loop(in_flight, &mut witness, &mut enough)?,
    }
    Ok(engine.outcome)
}

impl<'a, D: Dialect> Engine<'a, D> {
    fn new(plan: Plan, pool: &'a Pool, dialect: &'a D) -> io::Result<Self> {
        let connections = (0..plan.connections).map(|_| Connection::open(plan.address)).collect::<io::Result<Vec<_>>>()?;
        let histogram = || Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("these bounds are valid");
        let outcome = Outcome {
            offered: 0,
            answered: 0,
            keys: 0,
            elapsed: Duration::ZERO,
            latency: histogram(),
            lag: histogram(),
            tally: Tally::default(),
            checked_keys: 0,
            server_cpu: None,
            behind: false,
        };
        let measured_from_ns = plan.warm_up.as_nanos() as u64;
        let ends_ns = (plan.warm_up + plan.duration).as_nanos() as u64;
        Ok(Engine {
            plan,
            pool,
            dialect,
            connections,
            cursor: 0,
            start: Instant::now(),
            measured_from_ns,
            ends_ns,
            cpu_from: None,
            outcome,
        })
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn open_loop(
        &mut self,
        per_second: f64,
        witness: &mut dyn FnMut(&Sent, &[u8]) -> io::Result<()>,
        enough: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        let due_ns = |number: u64| (number as f64 * 1e9 / per_second) as u64;
        let mut number = 0u64;
        let mut ends_ns = self.ends_ns;
        let mut turns = 0u32;
        loop {
            let now = self.now();
            turns = turns.wrapping_add(1);
            self.begin_metering(now)?;
            if turns.is_multiple_of(64) && enough() {
                ends_ns = ends_ns.min(now);
            }
            while due_ns(number) <= now && due_ns(number) < ends_ns {
                let at = (number % self.plan.connections as u64) as usize;
                self.schedule(at, due_ns(number), now);
                number += 1;
            }
            if due_ns(number) >= ends_ns && self.is_idle() {
                break;
            }
            if now > ends_ns + 500_000_000 {
                self.outcome.behind = true;
            }
            if now > ends_ns + 10_000_000_000 {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "requests were still unanswered ten seconds after the last one started",
                ));
            }
            self.send_all()?;
            let wake = if due_ns(number) < ends_ns { due_ns(number) } else { now + 10_000_000 };
            self.wait(wake)?;
            self.receive_all(witness, |_| 0)?;
            self.release_held();
        }
        self.outcome.elapsed = Duration::from_nanos(ends_ns.saturating_sub(self.measured_from_ns));
        self.end_metering()
    }

    fn closed_loop(
        &mut self,
        in_flight: usize,
        witness: &mut dyn FnMut(&Sent, &[u8]) -> io::Result<()>,
        enough: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        for at in 0..self.connections.len() {
            for _ in 0..in_flight {
                self.start_request(at, self.now());
            }
        }
        let mut stopping = false;
        while !(stopping && self.is_idle()) {
            self.send_all()?;
            self.wait(self.now() + 100_000_000)?;
            self.begin_metering(self.now())?;
            if !stopping {
                stopping = self.now() >= self.ends_ns || enough();
                if stopping {
                    self.outcome.elapsed = Duration::from_nanos(self.now().saturating_sub(self.measured_from_ns));
                    self.end_metering()?;
                }
            }
            let goes_on = !stopping;
            self.receive_all(witness, |answered| if goes_on { answered } else { 0 })?;
        }
        self.outcome.offered = self.outcome.answered;
        Ok(())
    }

    /// Reads the server's CPU time once the warm-up is over.
    fn begin_metering(&mut self, now: u64) -> io::Result<()> {
        if let (None, Some(pid), true) = (self.cpu_from, self.plan.server_pid, now >= self.measured_from_ns) {
            self.cpu_from = Some(crate::process::cpu_time(pid)?);
        }
        Ok(())
    }

    fn end_metering(&mut self) -> io::Result<()> {
        if let (Some(from), Some(pid)) = (self.cpu_from, self.plan.server_pid) {
            self.outcome.server_cpu = Some(crate::process::cpu_time(pid)?.saturating_sub(from));
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.connections.iter().all(|connection| connection.under_way.is_empty() && connection.held.is_empty())
    }

    fn measures(&self, meant_ns: u64) -> bool {
        (self.measured_from_ns..self.ends_ns).contains(&meant_ns)
    }

    fn schedule(&mut self, at: usize, meant_ns: u64, now: u64) {
        if self.measures(meant_ns) {
            self.outcome.offered += 1;
        }
        let connection = &mut self.connections[at];
        if !connection.held.is_empty() || connection.under_way.len() >= self.plan.in_flight_max {
            connection.held.push_back(meant_ns);
            return;
        }
        if self.measures(meant_ns) {
            self.outcome.lag.saturating_record(now - meant_ns);
        }
        self.start_request(at, meant_ns);
    }

    fn release_held(&mut self) {
        for at in 0..self.connections.len() {
            while self.connections[at].under_way.len() < self.plan.in_flight_max {
                let Some(meant_ns) = self.connections[at].held.pop_front() else { break };
                self.start_request(at, meant_ns);
            }
        }
    }

    fn start_request(&mut self, at: usize, meant_ns: u64) {
        let index = self.cursor;
        self.cursor = if index + 1 == self.pool.requests.len() { 0 } else { index + 1 };
        let request = self.pool.requests[index];
        let connection = &mut self.connections[at];
        let id = connection.next_id;
        connection.next_id = id.wrapping_add(1);
        let from = connection.outbox.len();
        connection.outbox.extend_from_slice(&self.pool.bytes[request.at..request.at + request.bytes]);
        self.dialect.stamp(&mut connection.outbox[from..], id);
        connection.under_way.push_back(Sent { index, id, keys: request.keys, meant_ns });
    }

    fn send_all(&mut self) -> io::Result<()> {
        self.connections.iter_mut().try_for_each(Connection::send)
    }

    /// Until something is readable, or writable where something waits to be written, or `wake_ns` has come.
    fn wait(&self, wake_ns: u64) -> io::Result<()> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(self.connections.len());
        for connection in &self.connections {
            let writes = if connection.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&connection.stream, PollFlags::IN | writes));
        }
        let left = wake_ns.saturating_sub(self.now());
        let timeout = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come; for as many requests as `refill` makes of those answered on a connection, others start there.
    fn receive_all(&mut self, witness: &mut dyn FnMut(&Sent, &[u8]) -> io::Result<()>, refill: impl Fn(usize) -> usize) -> io::Result<()> {
        for at in 0..self.connections.len() {
            if !self.connections[at].receive()? {
                continue;
            }
            let now = self.now();
            let mut taken = 0;
            let mut answered = 0;
            let connection = &mut self.connections[at];
            while let Some(bytes) = self.dialect.reply_bytes(&connection.inbox[taken..connection.filled])? {
                let reply = &connection.inbox[taken..taken + bytes];
                let sent = connection.under_way.pop_front().ok_or_else(|| io::Error::other("a reply to no request"))?;
                self.dialect.check(&sent, reply, &mut self.outcome.tally)?;
                witness(&sent, reply)?;
                self.outcome.checked_keys += u64::from(sent.keys);
                if (self.measured_from_ns..self.ends_ns).contains(&sent.meant_ns) {
                    self.outcome.latency.saturating_record(now.saturating_sub(sent.meant_ns).max(1));
                    self.outcome.answered += 1;
                    self.outcome.keys += u64::from(sent.keys);
                }
                taken += bytes;
                answered += 1;
            }
            connection.inbox.copy_within(taken..connection.filled, 0);
            connection.filled -= taken;
            for _ in 0..refill(answered) {
                self.start_request(at, now);
            }
        }
        Ok(())
    }
}

impl Connection {
    fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            outbox: Vec::with_capacity(1 << 20),
            sent_to: 0,
            inbox: vec![0; INBOX_BYTES],
            filled: 0,
            under_way: VecDeque::with_capacity(1024),
            held: VecDeque::new(),
            next_id: 1,
        })
    }

    fn send(&mut self) -> io::Result<()> {
        while self.sent_to < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent_to..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.sent_to += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        self.outbox.drain(..self.sent_to);
        self.sent_to = 0;
        Ok(())
    }

    /// One receive: is there anything new?
    fn receive(&mut self) -> io::Result<bool> {
        if self.filled == self.inbox.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a reply is longer than any should be"));
        }
        match self.stream.read(&mut self.inbox[self.filled..]) {
            Ok(0) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed by the server with {} requests unanswered", self.under_way.len()),
            )),
            Ok(read) => {
                self.filled += read;
                Ok(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The daemon's and the null server's frames.
#[derive(Clone, Copy, Debug)]
pub struct Binary;

impl Dialect for Binary {
    fn stamp(&self, request: &mut [u8], id: u32) {
        crate::frame::set_request_id(request, id);
    }

    fn reply_bytes(&self, inbox: &[u8]) -> io::Result<Option<usize>> {
        let received = crate::frame::Received::first(inbox).map_err(io::Error::other)?;
        Ok(received.map(|received| received.bytes()))
    }

    fn check(&self, sent: &Sent, reply: &[u8], tally: &mut Tally) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, format!("{what} in reply to request {}", sent.id)));
        let Some(received) = crate::frame::Received::first(reply).map_err(io::Error::other)? else { return wrong("half a frame") };
        if received.request_id != sent.id {
            return wrong(&format!("request id {}", received.request_id));
        }
        let answers = received.body.get(crate::frame::GENERATION_BYTES..).unwrap_or_default();
        if received.kind != crate::frame::ANSWERS || answers.len() != 8 * sent.keys as usize {
            return wrong(&format!("a frame of kind {:#04x} with {} bytes", received.kind, received.body.len()));
        }
        for answer in answers.as_chunks::<8>().0 {
            match answer[0] {
                0 => (),
                outcome if outcome & 15 == 0 => tally.known += 1,
                3 => tally.overloaded += 1,
                _ => tally.odd += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;

    fn null_server() -> SocketAddr {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || crate::null_server::serve(([127, 0, 0, 1], 0).into(), |address| send.send(address).unwrap()));
        receive.recv().unwrap()
    }

    fn pool(requests: usize, keys: usize) -> Pool {
        let mut pool = Pool::default();
        for _ in 0..requests {
            pool.push(keys, |out| frame::lookup(out, 0, (0..keys).map(|_| (2u8, &b"a.example"[..]))));
        }
        pool
    }

    fn plan(pace: Pace, duration_ms: u64) -> Plan {
        let duration = Duration::from_millis(duration_ms);
        Plan {
            address: null_server(),
            connections: 3,
            pace,
            in_flight_max: 64,
            warm_up: Duration::from_millis(50),
            duration,
            server_pid: None,
        }
    }

    #[test]
    fn an_open_loop_offers_exactly_its_schedule_and_answers_all_of_it() {
        let outcome = run(&plan(Pace::Open { per_second: 2_000.0 }, 500), &pool(7, 10), &Binary).unwrap();
        assert!((999..=1_001).contains(&outcome.offered), "{}", outcome.offered);
        assert_eq!((outcome.answered, outcome.keys), (outcome.offered, outcome.offered * 10));
        assert_eq!(outcome.latency.len(), outcome.offered);
    }

    #[test]
    fn a_stall_of_the_server_is_charged_to_every_request_that_it_delayed() {
        // A server that answers nothing for 300 ms, then all at once: with 1,000 requests a second, latencies must spread evenly over 300 ms.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let mut inbox = vec![0; 1 << 20];
            let (mut filled, mut out) = (0, Vec::new());
            while let Ok(read @ 1..) = stream.read(&mut inbox[filled..]) {
                filled += read;
                let mut taken = 0;
                while let Some(received) = frame::Received::first(&inbox[taken..filled]).unwrap() {
                    frame::unknown_answers(&mut out, received.request_id, 1, received.count);
                    taken += received.bytes();
                }
                inbox.copy_within(taken..filled, 0);
                filled -= taken;
                stream.write_all(&out).unwrap();
                out.clear();
            }
        });
        let pace = Pace::Open { per_second: 1_000.0 };
        let plan = Plan {
            address,
            connections: 1,
            pace,
            in_flight_max: 8,
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(300),
            server_pid: None,
        };
        let outcome = run(&plan, &pool(1, 1), &Binary).unwrap();
        let median_ms = outcome.latency.value_at_quantile(0.5) / 1_000_000;
        assert!((100..=250).contains(&median_ms), "median {median_ms} ms, although only 8 requests could be under way");
        assert!(outcome.latency.max() >= 290_000_000);
        assert_eq!(outcome.answered, 300);
    }

    #[test]
    fn a_closed_loop_answers_what_it_started() {
        let outcome = run(&plan(Pace::Closed { in_flight: 4 }, 200), &pool(5, 3), &Binary).unwrap();
        assert!(outcome.answered > 100, "{}", outcome.answered);
        assert_eq!(outcome.keys, 3 * outcome.answered);
        assert_eq!(outcome.tally, Tally::default());
    }

    #[test]
    fn a_connection_that_ends_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || drop(listener.accept()));
        let pace = Pace::Closed { in_flight: 1 };
        let plan = Plan {
            address,
            connections: 1,
            pace,
            in_flight_max: 8,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(1),
            server_pid: None,
        };
        assert!(run(&plan, &pool(1, 1), &Binary).is_err());
    }

    #[test]
    fn lag_of_one_request_in_five_hundred_spoils_a_run() {
        let mut outcome = run(&plan(Pace::Closed { in_flight: 1 }, 60), &pool(1, 1), &Binary).unwrap();
        assert!(!outcome.lagged());
        for number in 0..1_000u64 {
            outcome.lag.record(if number % 500 == 0 { 5_000_000 } else { 10_000 }).unwrap();
        }
        assert!(outcome.lagged());
    }
}
