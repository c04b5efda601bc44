//! The turn of the generator: start what is due, send, wait, receive. One thread, one epoll set, no allocation a request.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};

use super::connection::Connection;
use super::{Dialect, Outcome, Pace, Plan, Pool, Sent, Tally};
use crate::process;

/// Shown every whole reply, and the nanosecond of the run at which it was there.
pub(super) type Witness<'w> = &'w mut dyn FnMut(&Sent, &[u8], u64) -> io::Result<()>;

pub(super) struct Engine<'a, D: Dialect> {
    plan: Plan,
    pool: &'a Pool,
    dialect: &'a D,
    connections: Vec<Connection>,
    /// Of all connections; the data of an event is the connection's index.
    ready: OwnedFd,
    events: Vec<epoll::Event>,
    cursor: usize,
    measured_from_ns: u64,
    ends_ns: u64,
    cpu_from: Option<Duration>,
    outcome: Outcome,
}

impl<'a, D: Dialect> Engine<'a, D> {
    pub fn new(plan: Plan, pool: &'a Pool, dialect: &'a D) -> io::Result<Self> {
        let connections = (0..plan.connections).map(|_| Connection::open(plan.address, plan.trust)).collect::<io::Result<Vec<_>>>()?;
        let ready = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (at, connection) in connections.iter().enumerate() {
            epoll::add(&ready, &connection.stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN)?;
        }
        let histogram = || Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("these bounds are valid");
        let outcome = Outcome {
            started: Instant::now(),
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
        Ok(Engine {
            plan,
            pool,
            dialect,
            events: Vec::with_capacity(connections.len()),
            connections,
            ready,
            cursor: plan.first % pool.len(),
            measured_from_ns: plan.warm_up.as_nanos() as u64,
            ends_ns: (plan.warm_up + plan.duration).as_nanos() as u64,
            cpu_from: None,
            outcome,
        })
    }

    pub fn run(mut self, witness: Witness<'_>, enough: &mut dyn FnMut() -> bool) -> io::Result<Outcome> {
        self.outcome.started = Instant::now();
        match self.plan.pace {
            Pace::Open { per_second } => self.open_loop(per_second, witness, enough)?,
            Pace::Closed { in_flight } => self.closed_loop(in_flight, witness, enough)?,
        }
        Ok(self.outcome)
    }

    fn now(&self) -> u64 {
        self.outcome.started.elapsed().as_nanos() as u64
    }

    fn open_loop(&mut self, per_second: f64, witness: Witness<'_>, enough: &mut dyn FnMut() -> bool) -> io::Result<()> {
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
                self.schedule(at, due_ns(number));
                number += 1;
            }
            if due_ns(number) >= ends_ns && self.plan.gives_up {
                self.connections.iter_mut().for_each(|connection| connection.held.clear());
            }
            if due_ns(number) >= ends_ns && self.is_idle() {
                break;
            }
            self.bear_with(now, ends_ns)?;
            self.send_all()?;
            let wake = if due_ns(number) < ends_ns { due_ns(number) } else { now + 10_000_000 };
            self.wait(if self.plan.spins { 0 } else { wake })?;
            self.receive_all(witness, |_| 0)?;
            self.release_held();
        }
        self.outcome.elapsed = Duration::from_nanos(ends_ns.saturating_sub(self.measured_from_ns));
        self.end_metering()
    }

    /// How long after its end a schedule may still be worked off.
    fn bear_with(&mut self, now: u64, ends_ns: u64) -> io::Result<()> {
        self.outcome.behind |= now > ends_ns + 500_000_000;
        if now > ends_ns + 10_000_000_000 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "requests were still unanswered ten seconds after the last one started"));
        }
        Ok(())
    }

    fn closed_loop(&mut self, in_flight: usize, witness: Witness<'_>, enough: &mut dyn FnMut() -> bool) -> io::Result<()> {
        for at in 0..self.connections.len() {
            for _ in 0..in_flight {
                self.start_request(at, self.now(), 0);
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
            self.cpu_from = Some(process::cpu_time(pid)?);
        }
        Ok(())
    }

    fn end_metering(&mut self) -> io::Result<()> {
        if let (Some(from), Some(pid)) = (self.cpu_from, self.plan.server_pid) {
            self.outcome.server_cpu = Some(process::cpu_time(pid)?.saturating_sub(from));
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.connections.iter().all(|connection| connection.under_way.is_empty() && connection.held.is_empty())
    }

    fn measures(&self, meant_ns: u64) -> bool {
        (self.measured_from_ns..self.ends_ns).contains(&meant_ns)
    }

    fn schedule(&mut self, at: usize, meant_ns: u64) {
        if self.measures(meant_ns) {
            self.outcome.offered += 1;
        }
        let connection = &mut self.connections[at];
        if !connection.held.is_empty() || connection.under_way.len() >= self.plan.in_flight_max {
            connection.held.push_back(meant_ns);
            return;
        }
        let late_ns = self.now().saturating_sub(meant_ns);
        if self.measures(meant_ns) {
            self.outcome.lag.saturating_record(late_ns);
        }
        self.start_request(at, meant_ns, late_ns);
    }

    fn release_held(&mut self) {
        for at in 0..self.connections.len() {
            while self.connections[at].under_way.len() < self.plan.in_flight_max {
                let Some(meant_ns) = self.connections[at].held.pop_front() else { break };
                self.start_request(at, meant_ns, 0);
            }
        }
    }

    fn start_request(&mut self, at: usize, meant_ns: u64, late_ns: u64) {
        let index = self.cursor;
        self.cursor = if index + 1 == self.pool.len() { 0 } else { index + 1 };
        let (request, keys) = self.pool.request(index);
        let connection = &mut self.connections[at];
        let id = connection.next_id;
        connection.next_id = id.wrapping_add(1);
        let from = connection.outbox.len();
        connection.outbox.extend_from_slice(request);
        self.dialect.stamp(&mut connection.outbox[from..], id);
        connection.under_way.push_back(Sent { index, id, keys, meant_ns, late_ns });
    }

    /// What the kernel does not take now is watched for until it does.
    fn send_all(&mut self) -> io::Result<()> {
        let ready = |connection: &Connection| connection.has_to_send() && connection.has_room;
        for (at, connection) in self.connections.iter_mut().enumerate().filter(|(_, connection)| ready(connection)) {
            connection.send()?;
            let watch = connection.has_to_send();
            if watch != connection.watches_room {
                let room = if watch { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
                epoll::modify(&self.ready, &connection.stream, epoll::EventData::new_u64(at as u64), epoll::EventFlags::IN | room)?;
                connection.watches_room = watch;
            }
        }
        Ok(())
    }

    /// Until something is readable, or writable where something waits to be written, or `wake_ns` has come.
    fn wait(&mut self, wake_ns: u64) -> io::Result<()> {
        let left = wake_ns.saturating_sub(self.now());
        let timeout = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
        self.events.clear();
        match epoll::wait(&self.ready, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has come; for as many requests as `refill` makes of those answered on a connection, others start there.
    fn receive_all(&mut self, witness: Witness<'_>, refill: impl Fn(usize) -> usize) -> io::Result<()> {
        for event in 0..self.events.len() {
            let (at, flags) = (self.events[event].data.u64() as usize, self.events[event].flags);
            self.connections[at].has_room |= flags.contains(epoll::EventFlags::OUT);
            if !flags.intersects(!epoll::EventFlags::OUT) || !self.connections[at].receive()? {
                continue;
            }
            let now = self.now();
            let answered = self.take_replies(at, now, witness)?;
            for _ in 0..refill(answered) {
                self.start_request(at, now, 0);
            }
        }
        Ok(())
    }

    fn take_replies(&mut self, at: usize, now: u64, witness: Witness<'_>) -> io::Result<usize> {
        let (mut taken, mut answered) = (0, 0);
        let connection = &mut self.connections[at];
        while let Some(bytes) = self.dialect.reply_bytes(&connection.inbox[taken..connection.filled])? {
            let reply = &connection.inbox[taken..taken + bytes];
            let sent = connection.under_way.pop_front().ok_or_else(|| io::Error::other("a reply to no request"))?;
            self.dialect.check(&sent, self.pool.expected(sent.index), reply, &mut self.outcome.tally)?;
            witness(&sent, reply, now)?;
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
        Ok(answered)
    }
}
