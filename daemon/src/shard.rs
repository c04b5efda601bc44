//! A shard: one executor on one CPU, its own listeners, its connections, and one batch a turn over all of them that are ready.
//!
//! ```text
//!            ┌──────────────────────────────── one turn ────────────────────────────────┐
//!  epoll ──► │ accept │ recv from each ready connection ► batch │ lookup │ one send each │ ──► epoll
//!            └──────────────────────────────────────────────────────────────────────────┘
//! ```
//! Readiness comes from one edge-triggered epoll set, which the executor's ring watches while the shard is parked. The executor's own streams
//! were measured and left: 2.56 allocations a frame (8 connections, one frame in flight), and they hide which connections are ready together,
//! which is what a batch is made of. A busy shard waits in `epoll_wait` itself and allocates nothing.
//!
//! A turn never awaits. What bounds it: `TURN_KEYS_MAX` keys, one `recv` of `READ_BYTES` a connection; the rest of the queue comes next turn.

mod door;

use crate::connection::{Millis, Reason, Received};
use crate::limits::{ACCEPT_BATCH, BUFFER_KEPT_BYTES, LISTEN_BACKLOG, Limits, PARK_AFTER_MS, READ_BYTES, TICK_MS, TURN_KEYS_MAX};
use crate::listener::Listener;
use crate::mailbox::{Mailbox, ToShard};
use crate::metrics::ShardMetrics;
use crate::pipeline::{Pipeline, Turn};
use crate::slab::Slab;
use glommio::io::PollableFd;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use verdict_simd::{Backend, Selected, WithBackend};
use verdict_tables::Snapshot;
use verdict_wire as wire;

/// How the data plane waits for its sockets: the label of `verdictd_build_info` and a line of `/readyz`.
pub const DRIVER: &str = "epoll";

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;

/// Tokens above any connection's: the tick, the mailbox, then listeners.
const TOKEN_TICK: u64 = u64::MAX;
const TOKEN_MAIL: u64 = u64::MAX - 1;
const TOKEN_LISTENERS: u64 = u64::MAX - 1024;

/// What a shard is made with.
pub struct ShardSetup {
    /// Served first.
    pub snapshot: Arc<Snapshot>,
    /// The operator's bounds.
    pub limits: Limits,
    /// Non-blocking, listening.
    pub listeners: Vec<Listener>,
    /// Where control's messages arrive.
    pub mailbox: Mailbox,
    /// This shard's numbers.
    pub metrics: Arc<ShardMetrics>,
    /// Connections of all shards together.
    pub connections: Arc<AtomicUsize>,
    /// The clock of all `Millis`.
    pub started: Instant,
}

impl ShardSetup {
    /// Serves until drained. Call it on the shard's own executor.
    ///
    /// # Errors
    /// When the kernel has no descriptor left for the shard's epoll set or timer.
    pub async fn run(self, backend: Selected) -> io::Result<()> {
        /// Compiles the whole shard once for each backend, so that no kernel call branches on it.
        struct Run(ShardSetup);
        impl WithBackend for Run {
            type Output = std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>;
            fn run<B: Backend>(self, backend: B) -> Self::Output {
                Box::pin(async move { Shard::new(backend, self.0)?.run().await })
            }
        }
        backend.with(Run(self)).await
    }
}

/// The state of one shard.
struct Shard<B> {
    setup: ShardSetup,
    pipeline: Pipeline<B>,
    epoll: OwnedFd,
    tick: OwnedFd,
    connections: Slab,
    /// Connections that may have something to read, longest waiting first.
    queue: VecDeque<u32>,
    /// Connections of this turn, whose output is to be sent.
    touched: Vec<u32>,
    read_buffer: Vec<u8>,
    /// Listeners with connections waiting; a bit each.
    listeners_ready: u64,
    /// Listeners out of the epoll set until the next tick; a bit each.
    listeners_resting: u64,
    now: Millis,
    draining: Option<Millis>,
    swept: Millis,
}

impl<B: Backend> Shard<B> {
    fn new(backend: B, setup: ShardSetup) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let tick = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Timespec { tv_sec: (TICK_MS / 1000) as i64, tv_nsec: (TICK_MS % 1000) as i64 * 1_000_000 };
        rustix::time::timerfd_settime(&tick, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: period, it_value: period })?;
        epoll::add(&epoll, &tick, EventData::new_u64(TOKEN_TICK), EventFlags::IN)?;
        epoll::add(&epoll, setup.mailbox.wake(), EventData::new_u64(TOKEN_MAIL), EventFlags::IN)?;
        let mut shard = Shard {
            pipeline: Pipeline::new(backend),
            epoll,
            tick,
            connections: Slab::default(),
            queue: VecDeque::with_capacity(EVENTS_MAX),
            touched: Vec::with_capacity(EVENTS_MAX),
            read_buffer: vec![0; READ_BYTES],
            listeners_ready: 0,
            listeners_resting: 0,
            now: 0,
            draining: None,
            swept: 0,
            setup,
        };
        for number in 0..shard.setup.listeners.len() {
            shard.listen(number)?;
        }
        shard.setup.metrics.generation.set(shard.setup.snapshot.generation());
        shard.read_clock();
        Ok(shard)
    }

    async fn run(&mut self) -> io::Result<()> {
        // The executor watches the epoll set itself while this shard is parked.
        let parked = PollableFd::new(Watched(self.epoll.as_raw_fd())).map_err(io::Error::other)?;
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut busy_until = self.now;
        loop {
            let idle = self.queue.is_empty();
            let park = idle && self.now > busy_until;
            if park {
                self.setup.metrics.parks.add(1);
                parked.readable().await.map_err(io::Error::other)?;
            }
            let wait_ms = if idle && !park { PARK_AFTER_MS } else { 0 };
            self.wait(&mut events, Duration::from_millis(wait_ms))?;
            self.read_clock();
            if self.note_events(&events) {
                busy_until = self.now + PARK_AFTER_MS;
            }
            self.turn();
            if self.now >= self.swept + TICK_MS {
                self.sweep();
            }
            if self.draining.is_some() && self.connections.is_empty() {
                return Ok(());
            }
        }
    }

    fn wait(&mut self, events: &mut Vec<epoll::Event>, timeout: Duration) -> io::Result<()> {
        events.clear();
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn read_clock(&mut self) {
        self.now = self.setup.started.elapsed().as_millis() as Millis;
    }

    /// Notes who is ready; true if that is more than the tick.
    fn note_events(&mut self, events: &[epoll::Event]) -> bool {
        let mut work = false;
        for event in events {
            match event.data.u64() {
                TOKEN_TICK => {
                    let _ = rustix::io::read(&self.tick, &mut [0u8; 8]);
                    continue;
                }
                TOKEN_MAIL => self.read_mail(),
                token if token >= TOKEN_LISTENERS => self.listeners_ready |= 1 << (token - TOKEN_LISTENERS),
                token => self.note_connection(token, event.flags),
            }
            work = true;
        }
        work
    }

    fn note_connection(&mut self, token: u64, flags: EventFlags) {
        let Some(connection) = self.connections.get_if(token) else { return };
        if flags.contains(EventFlags::OUT) {
            connection.note_writable();
        }
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            connection.ended = true;
        }
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            connection.readable = true;
        }
        self.enqueue(token as u32);
    }

    fn enqueue(&mut self, index: u32) {
        let now = self.now;
        if let Some(connection) = self.connections.get(index)
            && !connection.queued
        {
            connection.queued = true;
            connection.queued_ms = now;
            self.queue.push_back(index);
        }
    }

    fn read_mail(&mut self) {
        while let Some(message) = self.setup.mailbox.take() {
            match message {
                ToShard::Adopt(snapshot) => {
                    self.setup.snapshot = snapshot;
                    self.setup.metrics.generation.set(self.setup.snapshot.generation());
                    self.setup.metrics.swaps.add(1);
                }
                ToShard::Drain => self.drain(),
            }
        }
    }

    /// Takes every connection that already waits, then closes the door: closing it first would reset them.
    fn drain(&mut self) {
        if self.draining.is_some() {
            return;
        }
        self.draining = Some(self.now);
        self.listeners_ready = u64::MAX;
        for _ in 0..=LISTEN_BACKLOG as usize / ACCEPT_BATCH {
            self.accept();
        }
        self.listeners_ready = 0;
        for listener in &self.setup.listeners {
            // The Unix socket is shared with other shards: dropping our descriptor alone would leave it in the set.
            let _ = epoll::delete(&self.epoll, &listener.socket);
        }
        self.setup.listeners.clear();
    }

    /// Everything between two waits. A panic in here is a defect; it costs the connections that took part, not the shard.
    fn turn(&mut self) {
        if self.listeners_ready != 0 {
            self.accept();
        }
        if self.queue.is_empty() {
            return;
        }
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.contain_panic();
        }
        self.setup.metrics.turns.add(1);
        self.setup.metrics.turn_nanoseconds.add(began.elapsed().as_nanos() as u64);
    }

    fn work(&mut self) {
        for _ in 0..self.queue.len() {
            if self.pipeline.keys() + wire::KEYS_MAX > TURN_KEYS_MAX {
                break;
            }
            let Some(index) = self.queue.pop_front() else { break };
            self.touched.push(index);
            self.receive(index);
        }
        let explained = self.pipeline.explained();
        let connections = &mut self.connections;
        self.pipeline.answer(&self.setup.snapshot, &self.setup.metrics, |index, at, answers| {
            if let Some(connection) = connections.get(index) {
                connection.output[at..at + answers.len()].copy_from_slice(answers);
            }
        });
        // Whoever got an explanation queues last, so that those who wait for one take turns.
        for place in 0..self.touched.len() {
            let index = self.touched[place];
            if explained != Some(index) {
                self.send(index);
            }
        }
        if let Some(index) = explained {
            self.send(index);
        }
        self.touched.clear();
    }

    /// One connection's share of the turn: what waits in `input`, then one `recv`.
    fn receive(&mut self, index: u32) {
        let Some(connection) = self.connections.get(index) else { return };
        connection.queued = false;
        if connection.closing.is_some() {
            return;
        }
        let queue_deadline_ms = self.setup.limits.queue_deadline_ms;
        let late = queue_deadline_ms > 0 && self.now.saturating_sub(connection.queued_ms) > queue_deadline_ms;
        if !connection.input.is_empty() && !self.take_input(index, late) {
            return;
        }
        let Some(connection) = self.connections.get(index) else { return };
        if !connection.readable {
            return;
        }
        let received = match connection.input.is_empty() {
            true => connection.receive_into(&mut self.read_buffer),
            false => {
                let missing = wire::bytes_wanted(&connection.input).saturating_sub(connection.input.len());
                connection.receive_more(missing.clamp(4096, READ_BYTES))
            }
        };
        match received {
            Received::Bytes(bytes) => {
                self.setup.metrics.bytes_in.add(bytes as u64);
                match connection.input.is_empty() {
                    true => self.take_read_buffer(index, bytes, late),
                    false => drop(self.take_input(index, late)),
                }
            }
            Received::Nothing => {}
            Received::End => {
                if connection.closing.is_none() {
                    connection.closing = Some(Reason::Peer);
                }
            }
            Received::Lost => self.close(index, Reason::Io),
        }
    }

    /// Frames straight from the shard's buffer; only an incomplete tail is copied.
    fn take_read_buffer(&mut self, index: u32, bytes: usize, late: bool) {
        let Some(connection) = self.connections.get(index) else { return };
        let turn = turn_of(&self.setup, self.draining);
        let input = &self.read_buffer[..bytes];
        let sent = connection.output.len() - connection.unsent();
        let taken = self.pipeline.take(&turn, index, input, &mut connection.output, sent, late);
        if taken.consumed > 0 {
            connection.asked_ms = self.now;
        }
        if taken.malformed {
            connection.closing = Some(Reason::Malformed);
        } else if taken.consumed < bytes {
            connection.keep(&input[taken.consumed..], self.now);
        }
    }

    /// Frames from what was kept; false while they cannot go on.
    fn take_input(&mut self, index: u32, late: bool) -> bool {
        let Some(connection) = self.connections.get(index) else { return false };
        let turn = turn_of(&self.setup, self.draining);
        let sent = connection.output.len() - connection.unsent();
        let input = std::mem::take(&mut connection.input);
        let taken = self.pipeline.take(&turn, index, &input, &mut connection.output, sent, late);
        connection.input = input;
        if taken.consumed > 0 {
            connection.asked_ms = self.now;
        }
        connection.consume(taken.consumed, self.now);
        if taken.malformed {
            connection.closing = Some(Reason::Malformed);
        }
        !taken.more && !taken.malformed
    }

    /// Sends what the turn wrote; then the connection waits, queues again, or is closed.
    fn send(&mut self, index: u32) {
        let Some(connection) = self.connections.get(index) else { return };
        let Some(taken) = connection.send(self.now) else { return self.close(index, Reason::Io) };
        self.setup.metrics.bytes_out.add(taken as u64);
        let unsent = connection.unsent();
        if unsent == 0
            && let Some(reason) = connection.closing
        {
            return self.close(index, reason);
        }
        // With the output full it waits for the peer to read; otherwise whatever is left goes to the end of the queue.
        let waits = wire::bytes_wanted(&connection.input) <= connection.input.len();
        if connection.closing.is_none() && unsent <= self.setup.limits.out_bytes_max && (connection.readable || waits) {
            self.enqueue(index);
        }
    }

    fn close(&mut self, index: u32, reason: Reason) {
        let Some(connection) = self.connections.remove(index) else { return };
        self.setup.connections.fetch_sub(1, Ordering::Relaxed);
        self.setup.metrics.connections.set(self.connections.len() as u64);
        self.setup.metrics.closed(reason).add(1);
        drop(connection); // and with it the socket: whoever sees the end can already read why
    }

    /// Deadlines, heartbeat, and listeners that rested; once a tick, over all connections.
    fn sweep(&mut self) {
        self.swept = self.now;
        self.setup.metrics.heartbeat_ms.set(self.now);
        for index in self.connections.slots() {
            let reason = match self.connections.get(index) {
                Some(connection) => connection.overdue(&self.setup.limits, self.draining, self.now),
                None => None,
            };
            if let Some(reason) = reason {
                self.close(index, reason);
            } else if let Some(connection) = self.connections.get(index)
                && self.now.saturating_sub(connection.asked_ms) > 4 * TICK_MS
            {
                connection.trim(BUFFER_KEPT_BYTES);
            }
        }
        let resting = std::mem::take(&mut self.listeners_resting);
        for number in (0..self.setup.listeners.len()).filter(|number| resting & (1 << number) != 0) {
            if self.listen(number).is_err() {
                self.listeners_resting |= 1 << number;
            }
        }
    }

    #[cold]
    fn contain_panic(&mut self) {
        self.setup.metrics.panics.add(1);
        tracing::error!("a turn panicked; its connections are closed");
        self.pipeline.clear();
        while let Some(index) = self.touched.pop() {
            self.close(index, Reason::Panic);
        }
    }
}

fn turn_of(setup: &ShardSetup, draining: Option<Millis>) -> Turn<'_> {
    Turn { snapshot: &setup.snapshot, limits: &setup.limits, metrics: &setup.metrics, draining: draining.is_some() }
}

/// The epoll set, borrowed by number for as long as the shard runs: `PollableFd` wants to own what it watches.
struct Watched(RawFd);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}
