//! A shard: one executor on one CPU, its own listeners, its connections, and one batch a turn over all of them that are ready.
//!
//! ```text
//!             ┌──────────────────────────────── one turn ────────────────────────────────┐
//!  driver ──► │ accept │ bytes of each ready connection ► batch │ lookup │ one send each │ ──► driver
//!             └──────────────────────────────────────────────────────────────────────────┘
//! ```
//! The driver moves the bytes (driver.rs) and says who is ready; everything else is the same whichever it is. A busy shard waits in the driver and
//! allocates nothing; one that nobody asks anything parks in the executor.
//!
//! A turn never awaits. What bounds it: `TURN_KEYS_MAX` keys, of one connection `SHARE_KEYS_MAX`, a frame more, and `READ_BYTES`. Connections take
//! turns: who has more to ask comes again behind the others.

mod door;
mod guard;
mod tell;

use crate::connection::{Millis, Reason};
use crate::driver::epoll::Epoll;
use crate::driver::ring::Ring;
use crate::driver::streams::Streams;
use crate::driver::{Driver, Event, Kind, Patience, Received, TOKEN_LISTENERS};
use crate::edge::Edges;
use crate::edge::guard::HANDSHAKES_PER_TURN_MAX;
use crate::edge::guard::peer::Peer;
use crate::inline::served::Served;
use crate::limits::{BUFFER_KEPT_BYTES, Limits, PARK_AFTER_MS, READ_BYTES, TICK_MS, TURN_KEYS_MAX};
use crate::listener::Listener;
use crate::mailbox::{Mailbox, Overlaid, ToShard};
use crate::metrics::{ShardMetrics, ShardTimes};
use crate::nearness::Nearness;
use crate::pipeline::{Pipeline, Turn};
use crate::probes;
use crate::shadow::tap::Tap;
use crate::slab::Slab;
use rustix::event::Timespec;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use verdict_simd::{Backend, Selected, WithBackend};
use verdict_tables::Snapshot;
use verdict_wire as wire;

/// Connections that get room in the queues at once; more of them grow it.
const READY_MAX: usize = 1024;

/// Tokens above any connection's and any listener's.
const TOKEN_TICK: u64 = u64::MAX;
const TOKEN_MAIL: u64 = u64::MAX - 1;

/// What a shard is made with.
pub struct ShardSetup {
    /// Served first.
    pub snapshot: Arc<Snapshot>,
    /// What operators say over it.
    pub overlaid: Overlaid,
    /// Models to ask, if there are any.
    pub models: Option<Arc<Served>>,
    /// Where keys are left for rules on trial.
    pub tap: Option<Tap>,
    /// Its place among the shards.
    pub number: usize,
    /// The operator's bounds.
    pub limits: Limits,
    /// How the edges are configured.
    pub edges: Arc<Edges>,
    /// What TLS is spoken by, where it is.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Non-blocking, listening.
    pub listeners: Vec<Listener>,
    /// Where control's messages arrive.
    pub mailbox: Mailbox,
    /// This shard's numbers.
    pub metrics: Arc<ShardMetrics>,
    /// How its time goes by.
    pub times: Arc<ShardTimes>,
    /// How the kernel is spoken to.
    pub driver: Kind,
    /// Connections of all shards together.
    pub connections: Arc<AtomicUsize>,
    /// Whether these are nearly as many as there may be.
    pub near: Arc<Nearness>,
    /// The clock of all `Millis`.
    pub started: Instant,
}

impl ShardSetup {
    /// Serves until drained. Call it on the shard's own executor; the plain driver needs none, and its future is never pending.
    ///
    /// # Errors
    /// When the kernel denies what the driver or the shard's timer needs.
    pub async fn run(self, backend: Selected) -> io::Result<()> {
        /// Compiles the whole shard once for each backend and driver, so that no kernel call branches on either.
        struct Run(ShardSetup);
        impl WithBackend for Run {
            type Output = std::pin::Pin<Box<dyn Future<Output = io::Result<()>>>>;
            fn run<B: Backend>(self, backend: B) -> Self::Output {
                match self.0.driver {
                    Kind::Ring => Box::pin(async move { Shard::<B, Ring>::new(backend, self.0)?.run().await }),
                    Kind::Streams => Box::pin(async move { Shard::<B, Streams>::new(backend, self.0)?.run().await }),
                    Kind::Epoll | Kind::Plain => Box::pin(async move { Shard::<B, Epoll>::new(backend, self.0)?.run().await }),
                }
            }
        }
        backend.run(Run(self)).await
    }
}

/// The state of one shard.
struct Shard<B, D: Driver> {
    setup: ShardSetup,
    pipeline: Pipeline<B>,
    /// Closed before what it watches.
    driver: D,
    tick: OwnedFd,
    connections: Slab<D::Link>,
    /// Connections that may have something to read, longest waiting first.
    queue: VecDeque<u32>,
    /// Connections of this turn, whose output is to be sent.
    touched: Vec<u32>,
    /// Of these, connections whose answers wait for models.
    aside: Vec<u32>,
    /// Listeners with connections waiting; a bit each.
    listeners_ready: u64,
    /// Listeners that are not watched until the next tick; a bit each.
    listeners_resting: u64,
    now: Millis,
    /// The same moment, more exactly.
    now_ns: u64,
    draining: Option<Millis>,
    /// Since when everybody is told to go elsewhere, by command.
    away: Option<Millis>,
    swept: Millis,
    /// Handshakes that this turn may still go on with.
    handshakes: usize,
}

impl<B: Backend, D: Driver> Shard<B, D> {
    fn new(backend: B, setup: ShardSetup) -> io::Result<Self> {
        let tick = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let period = Timespec { tv_sec: (TICK_MS / 1000) as i64, tv_nsec: (TICK_MS % 1000) as i64 * 1_000_000 };
        rustix::time::timerfd_settime(&tick, TimerfdTimerFlags::empty(), &Itimerspec { it_interval: period, it_value: period })?;
        let mut driver = D::new(setup.driver)?;
        driver.watch(tick.as_fd(), TOKEN_TICK)?;
        driver.watch(setup.mailbox.wake(), TOKEN_MAIL)?;
        for (number, listener) in setup.listeners.iter().enumerate() {
            driver.listen(listener, number)?;
        }
        let mut shard = Shard {
            pipeline: Pipeline::new(backend),
            driver,
            tick,
            connections: Slab::default(),
            queue: VecDeque::with_capacity(READY_MAX),
            touched: Vec::with_capacity(READY_MAX),
            aside: Vec::with_capacity(READY_MAX),
            listeners_ready: 0,
            listeners_resting: 0,
            now: 0,
            now_ns: 0,
            draining: None,
            away: None,
            swept: 0,
            handshakes: 0,
            setup,
        };
        shard.pipeline.tap(shard.setup.tap.take());
        shard.take_overlay(shard.setup.overlaid.clone());
        if let Some(served) = shard.setup.models.take() {
            shard.take_models(served);
        }
        shard.setup.metrics.generation.set(shard.setup.snapshot.generation());
        shard.read_clock();
        Ok(shard)
    }

    async fn run(&mut self) -> io::Result<()> {
        let mut busy_until = self.now;
        let mut turn_ended = Instant::now();
        loop {
            let patience = match self.queue.is_empty() {
                false => Patience::None,
                true if self.now > busy_until => Patience::Long,
                true => Patience::Short,
            };
            if patience == Patience::Long {
                self.setup.metrics.parks.add(1);
            }
            self.driver.wait(patience).await?;
            self.setup.metrics.calls.add(self.driver.calls());
            let began = Instant::now();
            self.setup.times.waits.note((began - turn_ended).as_nanos() as u64);
            self.now_ns = (began - self.setup.started).as_nanos() as u64;
            self.now = self.now_ns / 1_000_000;
            if self.note_events() {
                busy_until = self.now + PARK_AFTER_MS;
            }
            let worked = self.turn();
            if self.now >= self.swept + TICK_MS {
                self.sweep();
            }
            turn_ended = Instant::now();
            if worked {
                let took = (turn_ended - began).as_nanos() as u64;
                self.setup.metrics.turns.add(1);
                self.setup.metrics.turn_nanoseconds.add(took);
                self.setup.times.turns.note(took);
                probes::turn(took);
            }
            if self.draining.is_some() && self.connections.is_empty() {
                return Ok(());
            }
        }
    }

    fn read_clock(&mut self) {
        self.now_ns = self.setup.started.elapsed().as_nanos() as u64;
        self.now = self.now_ns / 1_000_000;
    }

    /// Notes who is ready; true if that is more than the tick.
    fn note_events(&mut self) -> bool {
        let mut work = false;
        while let Some(event) = self.driver.next() {
            match event.token {
                TOKEN_TICK => {
                    let _ = rustix::io::read(&self.tick, &mut [0u8; 8]);
                    continue;
                }
                TOKEN_MAIL => self.read_mail(),
                token if token >= TOKEN_LISTENERS => self.listeners_ready |= 1 << (token - TOKEN_LISTENERS),
                _ => self.note_connection(event),
            }
            work = true;
        }
        work
    }

    /// A connection takes part in the turn when it may have bytes for us, or when answers, frames or its end waited for room in the output.
    fn note_connection(&mut self, event: Event) {
        let Some(connection) = self.connections.get_if(event.token) else { return };
        let index = event.token as u32;
        let outgoing = guard::outgoing(&mut connection.guard, &mut connection.output);
        let Some(taken) = self.driver.settle(&mut connection.link, event, outgoing) else {
            return self.close(index, Reason::Io);
        };
        if taken > 0 {
            connection.note_taken(taken, self.now);
            self.setup.metrics.bytes_out.add(taken as u64);
        }
        let waited = connection.holds_replies() || !connection.input.is_empty() || connection.closing.is_some();
        if waited || self.driver.readable(&connection.link) {
            self.enqueue(index);
        }
    }

    fn enqueue(&mut self, index: u32) {
        let (now, now_ns) = (self.now, self.now_ns);
        if let Some(connection) = self.connections.get(index)
            && !connection.queued
        {
            connection.queued = true;
            connection.queued_ms = now;
            // Requests that were left have been known since before.
            if !connection.more {
                connection.ready_ns = now_ns;
            }
            self.queue.push_back(index);
        }
    }

    fn read_mail(&mut self) {
        while let Some(message) = self.setup.mailbox.take() {
            match message {
                ToShard::Overlay(overlaid) => self.take_overlay(overlaid),
                ToShard::Adopt(snapshot, overlaid) => {
                    self.setup.snapshot = snapshot;
                    self.take_overlay(overlaid);
                    self.setup.metrics.generation.set(self.setup.snapshot.generation());
                    self.setup.metrics.swaps.add(1);
                    probes::adopt(self.setup.snapshot.generation());
                }
                ToShard::Switch(snapshot, overlaid) => {
                    self.setup.snapshot = snapshot;
                    self.take_overlay(overlaid);
                }
                ToShard::Models(served) => self.take_models(served),
                ToShard::Tls(config) => self.setup.tls = Some(config),
                ToShard::Stale(stale) => self.pipeline.mark_stale(stale),
                ToShard::Explain { kind, key, reply } => self.tell(kind, &key, &reply),
                ToShard::Away(away) => {
                    self.away = away.then(|| self.away.unwrap_or(self.now));
                    self.setup.metrics.away.set(away.into());
                }
                ToShard::Drain => self.drain(),
            }
        }
    }

    fn take_overlay(&mut self, Overlaid { version, overlay, monitor, models_off }: Overlaid) {
        self.pipeline.overlay(overlay);
        self.pipeline.monitor(monitor);
        self.pipeline.models_off(models_off);
        self.setup.metrics.overlay.set(version);
    }

    fn take_models(&mut self, served: Arc<Served>) {
        self.setup.metrics.models.set(served.node().registry().sequence);
        self.pipeline.models(served, self.setup.number);
    }

    /// Everything between two waits. A panic in here is a defect; it costs the connections that took part, not the shard.
    /// Whether anybody took part.
    fn turn(&mut self) -> bool {
        if self.listeners_ready != 0 {
            self.accept();
        }
        if self.queue.is_empty() {
            return false;
        }
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            self.contain_panic();
        }
        true
    }

    fn work(&mut self) {
        self.handshakes = HANDSHAKES_PER_TURN_MAX;
        for _ in 0..self.queue.len() {
            if self.pipeline.keys() + wire::KEYS_MAX > TURN_KEYS_MAX {
                break;
            }
            let Some(index) = self.queue.pop_front() else { break };
            self.touched.push(index);
            self.receive(index);
        }
        self.setup.times.keys.note(self.pipeline.keys() as u64);
        probes::batch(self.pipeline.keys(), self.touched.len());
        let explained = self.pipeline.explained();
        if self.pipeline.answer(&turn_of(&self.setup, self.draining.or(self.away), Peer::ANYBODY), &mut self.connections) {
            // Whoever waits for no model does not wait for those who do.
            self.set_aside();
            self.send_touched(explained);
            std::mem::swap(&mut self.touched, &mut self.aside);
            self.pipeline.score(&turn_of(&self.setup, self.draining.or(self.away), Peer::ANYBODY), &mut self.connections);
        }
        self.send_touched(explained);
    }

    /// Moves those of `touched` that wait for models to `aside`; both are in the order of their requests.
    fn set_aside(&mut self) {
        let mut open = self.pipeline.open().peekable();
        let aside = &mut self.aside;
        self.touched.retain(|index| {
            let waits = open.peek() == Some(index);
            while open.peek() == Some(index) {
                open.next();
            }
            if waits {
                aside.push(*index);
            }
            !waits
        });
    }

    /// Whoever got an explanation queues last, so that those who wait for one take turns.
    fn send_touched(&mut self, explained: Option<u32>) {
        for place in 0..self.touched.len() {
            let index = self.touched[place];
            if explained != Some(index) {
                self.send(index);
            }
        }
        if let Some(index) = explained.filter(|index| self.touched.contains(index)) {
            self.send(index);
        }
        self.touched.clear();
    }

    /// One connection's share of the turn: what waits in `input`, then what has arrived.
    fn receive(&mut self, index: u32) {
        let Some(connection) = self.connections.get(index) else { return };
        connection.queued = false;
        if connection.closing.is_some() {
            return;
        }
        self.pipeline.begin_share();
        let queue_deadline_ms = self.setup.limits.queue_deadline_ms;
        let late = queue_deadline_ms > 0 && self.now.saturating_sub(connection.queued_ms) > queue_deadline_ms;
        if late {
            probes::late(index, self.now.saturating_sub(connection.queued_ms));
        }
        if !connection.input.is_empty() && !self.take_input(index, late) {
            return;
        }
        let mut received = 0;
        while received < READ_BYTES && !self.pipeline.is_full() {
            match self.receive_once(index, late) {
                Some(bytes) => received += bytes,
                None => return,
            }
        }
    }

    /// Bytes received and taken; `None` when there are no more now, or no more are wanted.
    fn receive_once(&mut self, index: u32, late: bool) -> Option<usize> {
        let connection = self.connections.get(index)?;
        if connection.guard.as_ref().is_some_and(|guard| guard.reads()) {
            return self.receive_guarded(index, late);
        }
        let missing = connection.speech.missing(&connection.input);
        match self.driver.receive(&mut connection.link, &mut connection.input, missing) {
            Received::Bytes(input) => {
                // Frames straight from where the driver has them; only an incomplete tail is copied.
                self.setup.metrics.bytes_in.add(input.len() as u64);
                let turn = turn_of(&self.setup, self.draining.or(self.away), connection.peer());
                let taken = self.pipeline.take(&turn, index, &mut connection.speech, input, &mut connection.output, late);
                connection.note(&taken, self.now);
                if connection.closing.is_none() && taken.consumed < input.len() {
                    connection.keep(&input[taken.consumed..], self.now);
                }
                connection.goes_on().then_some(input.len())
            }
            Received::Appended(bytes) => {
                self.setup.metrics.bytes_in.add(bytes as u64);
                self.take_input(index, late).then_some(bytes)
            }
            Received::Nothing => None,
            Received::End => {
                connection.closing = connection.closing.or(Some(Reason::Peer));
                None
            }
            Received::Lost => {
                self.close(index, Reason::Io);
                None
            }
        }
    }

    /// Frames from what was kept; false while they cannot go on.
    fn take_input(&mut self, index: u32, late: bool) -> bool {
        let Some(connection) = self.connections.get(index) else { return false };
        let turn = turn_of(&self.setup, self.draining.or(self.away), connection.peer());
        let taken = self.pipeline.take(&turn, index, &mut connection.speech, &connection.input, &mut connection.output, late);
        connection.note(&taken, self.now);
        connection.consume(taken.consumed, self.now);
        connection.goes_on()
    }

    /// Sends what the turn wrote; then the connection waits, queues again, or is closed.
    fn send(&mut self, index: u32) {
        let taken = self.hand_over(index);
        let Some(connection) = self.connections.get(index) else { return };
        let asked = std::mem::take(&mut connection.asked);
        let Some(taken) = taken else { return self.close(index, Reason::Io) };
        if asked {
            tell::note_reply(&self.setup, index, connection.ready_ns);
        }
        connection.note_taken(taken, self.now);
        self.setup.metrics.bytes_out.add(taken as u64);
        let unsent = connection.unsent();
        if let Some(reason) = connection.closing {
            match unsent {
                0 => self.close(index, reason),
                _ => self.driver.pause(&mut connection.link),
            }
        } else if unsent > self.setup.limits.out_bytes_max {
            // The output is full: it waits for the peer to read.
            self.driver.pause(&mut connection.link);
        } else if self.driver.readable(&connection.link) || connection.more {
            // Whatever is left goes to the end of the queue.
            self.enqueue(index);
        }
    }

    fn close(&mut self, index: u32, reason: Reason) {
        let Some(connection) = self.connections.remove(index) else { return };
        self.setup.connections.fetch_sub(1, Ordering::Relaxed);
        self.setup.metrics.connections.set(self.connections.len() as u64);
        self.setup.metrics.closed(reason).add(1);
        probes::close(index, reason);
        self.driver.close(connection.link); // last: whoever sees the end can already read why
    }

    /// Deadlines, heartbeat, and listeners that rested; once a tick, over all connections.
    fn sweep(&mut self) {
        self.swept = self.now;
        self.setup.metrics.heartbeat_ms.set(self.now);
        for index in self.connections.slots() {
            let reason = match self.connections.get(index) {
                Some(connection) => connection.overdue(&self.setup.limits, self.draining, self.away, self.now),
                None => None,
            };
            if let Some(reason) = reason {
                self.close(index, reason);
            } else if let Some(connection) = self.connections.get(index)
                && self.now.saturating_sub(connection.asked_ms) > 4 * TICK_MS
            {
                connection.trim(BUFFER_KEPT_BYTES);
                self.driver.trim(&mut connection.link, BUFFER_KEPT_BYTES);
            }
        }
        self.listen_again();
    }

    #[cold]
    fn contain_panic(&mut self) {
        self.setup.metrics.panics.add(1);
        tracing::error!("a turn panicked; its connections are closed");
        self.pipeline.clear();
        while let Some(index) = self.touched.pop().or_else(|| self.aside.pop()) {
            self.close(index, Reason::Panic);
        }
    }
}

fn turn_of(setup: &ShardSetup, draining: Option<Millis>, peer: Peer) -> Turn<'_> {
    let ShardSetup { snapshot, limits, metrics, edges, .. } = setup;
    Turn { snapshot, limits, metrics, draining: draining.is_some(), edges, peer }
}
