//! From frames to answers: the batch of one turn, over all connections that were ready.
//!
//! ```text
//!  frames of connection 1 ┐                                                   ┌ answers into output 1
//!  frames of connection 2 ┼─► keys (canonicalise, hash) ─► lookup, overlay ─┬─► ┼ answers into output 2
//!  frames of connection 3 ┘                             unknown ─► models ──┘   └ ...
//! ```
//! The binary protocol (frames.rs) leaves room for its answers where they will be sent from; edges (HTTP, SPOP) say how to write theirs once they are
//! known. Either way replies stand in the order of their requests. `answer` looks the whole batch up and hands the answers out, but for requests with keys
//! that models are to be asked about: `score` does that, once the others were sent. The snapshot cannot change in between: a shard adopts a new one only
//! between turns. No lock, no await; no allocation once the vectors have grown to the largest turn.

mod frames;

pub(crate) use frames::rule_kind_on_wire;

use crate::driver::Output;
use crate::edge::guard::peer::Peer;
use crate::edge::{Edges, Speech, http, spop};
use crate::explain::explain;
use crate::inline::Inline;
use crate::inline::served::Served;
use crate::limits::{EXPLAINS_PER_TURN_MAX, Limits, SHARE_KEYS_MAX, SHARE_REQUESTS_MAX, TURN_KEYS_MAX};
use crate::metrics::ShardMetrics;
use crate::overlay::table::Overlay;
use crate::shadow::tap::Tap;
use std::collections::BTreeSet;
use std::sync::Arc;
use verdict_keys::{Batch, Kind};
use verdict_simd::Backend;
use verdict_tables::{Class, Scratch, Snapshot, Verdict, flag};
use verdict_wire as wire;
use wire::{Answer, Status};

/// The batch of one shard.
pub struct Pipeline<B> {
    backend: B,
    batch: Batch,
    scratch: Scratch,
    verdicts: Vec<Verdict>,
    pending: Vec<Pending>,
    /// How many keys were explained in this turn, and for which connection last.
    explained: (usize, Option<u32>),
    stale: bool,
    /// Enforcement is switched off.
    monitor: bool,
    /// Names of models that are switched off.
    models_off: Arc<BTreeSet<String>>,
    overlay: Option<Arc<Overlay>>,
    inline: Option<Inline>,
    tap: Option<Tap>,
    /// What HTTP keeps between requests.
    pub(crate) http: http::Scratch,
    /// Keys and requests of this turn before those of the connection that is read now.
    share: (usize, usize),
    /// Keys of the NOTIFY that is being read.
    pub(crate) question: spop::question::Question,
    /// When the first key of this turn was taken, on the clock of `inline`.
    began_ns: u64,
}

/// A request whose keys are in the batch.
struct Pending {
    connection: u32,
    count: usize,
    budget_us: u32,
    /// It waits for models: it has keys that they are to be asked about, or stands behind one that has.
    open: bool,
    reply: Reply,
}

/// How a request is answered once the verdicts of its keys are known.
pub enum Reply {
    /// Answers are copied to this offset of the connection's output, where room was left for them.
    Frame {
        /// Of the first one.
        at: usize,
    },
    /// An HTTP response is written behind the output.
    Http(http::Reply),
    /// An ACK is written behind the output.
    Spop(spop::Reply),
}

impl Reply {
    /// Its place in the output is where it is written, so it must be written in turn.
    fn is_written_behind(&self) -> bool {
        !matches!(self, Reply::Frame { .. })
    }
}

/// What a reply may say beside the answers.
pub struct Told<'a> {
    /// What was asked.
    pub snapshot: &'a Snapshot,
    /// The models that were asked, if there are any.
    pub models: Option<&'a Served>,
    /// How the listeners are configured.
    pub edges: &'a Edges,
    /// Where to count.
    pub metrics: &'a ShardMetrics,
    /// The daemon ends: the peer should go elsewhere.
    pub draining: bool,
}

impl Told<'_> {
    /// What stands behind a verdict id, with all its sources.
    pub fn describe(&self, id: u32) -> Option<(wire::Description, Vec<String>)> {
        if let Some((fixed, sources)) = self.models.and_then(|models| models.describe(id)) {
            return Some((fixed, sources.into()));
        }
        describe(self.snapshot, id)
    }
}

/// What stands behind a verdict id of the tables, with all its sources.
pub(crate) fn describe(snapshot: &Snapshot, id: u32) -> Option<(wire::Description, Vec<String>)> {
    let known = snapshot.describe(id)?;
    Some((frames::description(id, &known), known.sources().map(|source| source.name.to_owned()).collect()))
}

/// Where replies are written to.
pub trait Outputs {
    /// Of this connection, unless it is gone.
    fn output(&mut self, connection: u32) -> Option<&mut Output>;
}

/// The only connection there is.
impl Outputs for Output {
    fn output(&mut self, _connection: u32) -> Option<&mut Output> {
        Some(self)
    }
}

/// What `take` made of a connection's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes of whole frames that were taken.
    pub consumed: usize,
    /// Whole frames are left: the turn or the output is full.
    pub more: bool,
    /// The stream cannot be followed any further; close once the error is sent.
    pub malformed: bool,
    /// Nothing more is taken from the connection, as its protocol has it; close once everything is sent.
    pub finished: bool,
}

/// Everything `take` needs to know beside the bytes.
pub struct Turn<'a> {
    /// What is served in this turn.
    pub snapshot: &'a Snapshot,
    /// The operator's bounds.
    pub limits: &'a Limits,
    /// Where to count.
    pub metrics: &'a ShardMetrics,
    /// Set in every reply while the daemon ends.
    pub draining: bool,
    /// How the listeners are configured.
    pub edges: &'a Edges,
    /// Who asks.
    pub peer: Peer,
}

impl<B: Backend> Pipeline<B> {
    /// With room for a full turn.
    pub fn new(backend: B) -> Self {
        Pipeline {
            backend,
            batch: Batch::with_capacity(TURN_KEYS_MAX),
            scratch: Scratch::default(),
            verdicts: Vec::with_capacity(TURN_KEYS_MAX),
            pending: Vec::with_capacity(TURN_KEYS_MAX),
            explained: (0, None),
            stale: false,
            monitor: false,
            models_off: Arc::default(),
            overlay: None,
            inline: None,
            tap: None,
            http: http::Scratch::default(),
            share: (0, 0),
            question: spop::question::Question::default(),
            began_ns: 0,
        }
    }

    /// Asks these models from the next turn on.
    pub fn models(&mut self, served: Arc<Served>, shard: usize) {
        match &mut self.inline {
            Some(inline) => inline.adopt(served),
            None => self.inline = Some(Inline::new(served, shard)),
        }
        self.switch_models();
    }

    /// Does not ask models of these names, from the next turn on.
    pub fn models_off(&mut self, names: Arc<BTreeSet<String>>) {
        if names != self.models_off {
            self.models_off = names;
            self.switch_models();
        }
    }

    fn switch_models(&mut self) {
        if let Some(inline) = &mut self.inline {
            inline.switch(&self.models_off);
        }
    }

    /// Enforcement is off: whatever is known, the answer is *unknown*. Or on again.
    pub fn monitor(&mut self, monitor: bool) {
        self.monitor = monitor;
    }

    /// Leaves some of the keys there, with what was answered.
    pub fn tap(&mut self, tap: Option<Tap>) {
        self.tap = tap;
    }

    /// Answers are marked as older than their operator wants, or no more.
    pub fn mark_stale(&mut self, stale: bool) {
        self.stale = stale;
    }

    /// Answers by these entries from the next turn on; they must be for the keys of the snapshot of that turn.
    pub fn overlay(&mut self, overlay: Option<Arc<Overlay>>) {
        self.overlay = overlay;
    }

    /// Keys of this turn so far.
    pub fn keys(&self) -> usize {
        self.batch.items().len()
    }

    /// The connection that this turn explained something to.
    pub fn explained(&self) -> Option<u32> {
        self.explained.1
    }

    /// Forgets an unfinished turn.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.pending.clear();
        self.explained = (0, None);
        self.share = (0, 0);
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
        if let Some(tap) = &mut self.tap {
            tap.clear();
        }
    }

    /// Takes the whole requests at the start of `input`. `late`: they waited too long, so they are answered *overloaded* at once.
    pub fn take(&mut self, turn: &Turn<'_>, connection: u32, speech: &mut Speech, input: &[u8], output: &mut Output, late: bool) -> Taken {
        match speech {
            Speech::Binary => self.take_frames(turn, connection, input, output, late),
            Speech::Http(session) => self.take_http(turn, connection, session, input, output, late),
            Speech::Spop(session) => self.take_spop(turn, connection, session, input, output, late),
        }
    }

    /// What is taken from here on is another connection's.
    pub fn begin_share(&mut self) {
        self.share = (self.keys(), self.pending.len());
    }

    /// Whether no further request of this connection is taken in this turn: its share or the turn is full.
    pub fn is_full(&self) -> bool {
        let (keys, requests) = self.share;
        self.keys() + wire::KEYS_MAX > TURN_KEYS_MAX
            || self.keys() - keys >= SHARE_KEYS_MAX
            || self.pending.len() - requests >= SHARE_REQUESTS_MAX
    }

    /// Puts keys into the batch; once they are answered `reply` is written. Replies of a connection are written in the order of `ask`, whatever waits for
    /// models; one that is known at once asks no key.
    pub(crate) fn ask<'k>(
        &mut self,
        turn: &Turn<'_>,
        connection: u32,
        keys: impl Iterator<Item = (Option<Kind>, &'k [u8])> + Clone,
        budget_us: u32,
        reply: Reply,
    ) {
        self.begin(turn);
        let before = self.keys();
        if let Some(tap) = &mut self.tap {
            tap.note(turn.metrics, before, keys.clone().count(), keys.clone());
        }
        self.batch.push_all(self.backend, turn.snapshot.schedule(), turn.snapshot.profile(), keys);
        self.pending.push(Pending { connection, count: self.keys() - before, budget_us, open: false, reply });
    }

    /// What a reply may say that is written now.
    pub(crate) fn told<'a>(&'a self, turn: &Turn<'a>) -> Told<'a> {
        told(turn, self.inline.as_ref())
    }

    /// Appends the EXPLANATION of a key; false if this turn has explained as many as it may.
    pub(crate) fn explain_now(&mut self, turn: &Turn<'_>, connection: u32, id: u32, kind: u8, key: &[u8], output: &mut Vec<u8>) -> bool {
        if self.explained.0 == EXPLAINS_PER_TURN_MAX {
            return false;
        }
        self.explained = (self.explained.0 + 1, Some(connection));
        explain(self.backend, turn.snapshot, (self.overlay.as_deref(), self.monitor), self.inline.as_mut(), id, kind, key, output);
        true
    }

    /// The EXPLANATION of a key, between two turns.
    pub(crate) fn explanation(&mut self, snapshot: &Snapshot, kind: u8, key: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        explain(self.backend, snapshot, (self.overlay.as_deref(), self.monitor), self.inline.as_mut(), 0, kind, key, &mut frame);
        frame
    }

    /// Before the first key of a turn.
    fn begin(&mut self, turn: &Turn<'_>) {
        if self.keys() == 0 {
            self.batch.keep_texts(turn.snapshot.reads_texts());
            self.batch.keep_spellings(self.inline.is_some());
            self.began_ns = self.inline.as_ref().map_or(0, Inline::now_ns);
        }
    }

    /// Looks the batch up and hands out every answer that was left open. True if models are to be asked about some keys: their requests are left open still,
    /// until `score`.
    pub fn answer(&mut self, turn: &Turn<'_>, outputs: &mut impl Outputs) -> bool {
        let keys = self.keys();
        let mut open = false;
        if !self.pending.is_empty() {
            self.verdicts.clear();
            self.verdicts.resize(keys, Verdict::default());
            verdict_tables::lookup(self.backend, turn.snapshot, &self.batch, &mut self.scratch, &mut self.verdicts);
            if let Some(overlay) = &self.overlay {
                debug_assert_eq!(overlay.generation(), turn.snapshot.generation());
                let decided = overlay.decide(self.backend, turn.snapshot.schedule(), &self.batch, &mut self.verdicts);
                turn.metrics.overlay_answers.add(decided);
            }
            open = self.sift(turn.snapshot, turn.metrics);
            self.hand_out(turn, false, outputs);
            if !open {
                self.note_answers(turn.metrics);
            }
        }
        if !open {
            self.clear();
        }
        open
    }

    /// The connections that wait for `score`, in the order of their first request; some more than once.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.pending.iter().filter(|pending| pending.open).map(|pending| pending.connection)
    }

    /// Asks the models, and hands out what was left open.
    pub fn score(&mut self, turn: &Turn<'_>, outputs: &mut impl Outputs) {
        if let Some(inline) = &mut self.inline {
            let began = inline.now_ns();
            inline.score(self.backend, &self.batch, &mut self.verdicts, turn.metrics);
            turn.metrics.model_nanoseconds.add(inline.now_ns() - began);
        }
        self.hand_out(turn, true, outputs);
        self.note_answers(turn.metrics);
        self.clear();
    }

    /// Counts the answers of the turn, which are final, and leaves some for rules on trial, unless nobody is told what is known.
    fn note_answers(&mut self, metrics: &ShardMetrics) {
        count_answers(metrics, &self.verdicts);
        if let (Some(tap), false) = (&mut self.tap, self.monitor) {
            tap.give(metrics, &self.verdicts);
        }
    }

    /// Whether models are to be asked about something; marks the requests that wait for it.
    fn sift(&mut self, snapshot: &Snapshot, metrics: &ShardMetrics) -> bool {
        let Some(inline) = &mut self.inline else { return false };
        let mut end = 0;
        for pending in &self.pending {
            end += pending.count;
            inline.expect(end, self.began_ns + inline.allowance_ns(pending.budget_us));
        }
        inline.sift(self.backend, snapshot.schedule(), &self.batch, &mut self.verdicts, metrics);
        let mut held = None;
        for (pending, open) in self.pending.iter_mut().zip(inline.open()) {
            // Requests of one connection stand together; what is written behind one that waits, waits with it.
            pending.open = open || (pending.reply.is_written_behind() && held == Some(pending.connection));
            if pending.open {
                held = Some(pending.connection);
            }
        }
        inline.is_open()
    }

    /// Writes answers to where they will be sent from: those of requests that waited for models, or of the others.
    fn hand_out(&mut self, turn: &Turn<'_>, waited: bool, outputs: &mut impl Outputs) {
        if self.stale {
            mark_stale(&mut self.verdicts);
        }
        if self.monitor {
            withhold(&mut self.verdicts, turn.metrics);
        }
        let told = told(turn, self.inline.as_ref());
        let mut answers: &[Answer] = bytemuck::cast_slice(&self.verdicts);
        for pending in &self.pending {
            let (mine, rest) = answers.split_at(pending.count);
            answers = rest;
            if pending.open != waited {
                continue;
            }
            let Some(output) = outputs.output(pending.connection) else { continue };
            match &pending.reply {
                Reply::Frame { at } => output.bytes[*at..*at + size_of_val(mine)].copy_from_slice(bytemuck::cast_slice(mine)),
                Reply::Http(reply) => reply.write(mine, &told, &mut output.bytes),
                Reply::Spop(reply) => reply.write(mine, &told, &mut output.bytes),
            }
        }
    }
}

const _: () = assert!(size_of::<Verdict>() == size_of::<Answer>());

fn told<'a>(turn: &Turn<'a>, inline: Option<&'a Inline>) -> Told<'a> {
    let models = inline.map(|inline| &**inline.served());
    Told { snapshot: turn.snapshot, models, edges: turn.edges, metrics: turn.metrics, draining: turn.draining }
}

/// The kind behind a number on the wire; `None` is answered *unsupported*.
#[inline]
pub(crate) fn kind_of(raw: u8) -> Option<Kind> {
    Some(match wire::KeyKind::from_raw(raw)? {
        wire::KeyKind::Url => Kind::Url,
        wire::KeyKind::Host => Kind::Host,
        wire::KeyKind::Ipv4 => Kind::Ipv4,
        wire::KeyKind::Ipv6 => Kind::Ipv6,
        wire::KeyKind::Sha256 => Kind::Sha256,
        wire::KeyKind::Sha1 => Kind::Sha1,
        wire::KeyKind::Md5 => Kind::Md5,
    })
}

/// Its name on the wire, for people and JSON: numbers of kinds are the same on both sides.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    wire::KeyKind::from_raw(kind as u8).map_or("", wire::KeyKind::name)
}

/// Of answers that are none there is nothing to withhold, of one that is withheld there is nothing left.
#[cold]
fn withhold(verdicts: &mut [Verdict], metrics: &ShardMetrics) {
    let mut withheld = [0; 4];
    let is_open = |verdict: &&mut Verdict| verdict.status() == Some(verdict_tables::Status::Ok) && verdict.flags & flag::MONITOR == 0;
    for verdict in verdicts.iter_mut().filter(is_open) {
        let class = verdict.class().unwrap_or(Class::Unknown);
        withheld[class as usize] += 1;
        let otherwise = if class == Class::Unknown { 0 } else { flag::SHADOW_DISAGREES };
        *verdict = Verdict { flags: flag::MONITOR | otherwise | verdict.flags & flag::STALE, ..Verdict::default() };
    }
    metrics.withheld_clean.add(withheld[Class::Clean as usize]);
    metrics.withheld_suspicious.add(withheld[Class::Suspicious as usize]);
    metrics.withheld_malicious.add(withheld[Class::Malicious as usize]);
}

/// Of answers that are none there is nothing to be stale.
#[cold]
fn mark_stale(verdicts: &mut [Verdict]) {
    for verdict in verdicts {
        if verdict.status() == Some(verdict_tables::Status::Ok) {
            verdict.flags |= verdict_tables::flag::STALE;
        }
    }
}

/// One pass over the answers of a turn; the shard's counters are touched once each.
fn count_answers(metrics: &ShardMetrics, verdicts: &[Verdict]) {
    let mut outcomes = [0u64; 256];
    for verdict in verdicts {
        outcomes[usize::from(verdict.outcome)] += 1;
    }
    let ok = |class: wire::Class| outcomes[usize::from((class.raw() << 4) | Status::Ok.raw())];
    let status = |status: Status| outcomes[usize::from(status.raw())];
    metrics.keys_malicious.add(ok(wire::Class::Malicious));
    metrics.keys_suspicious.add(ok(wire::Class::Suspicious));
    metrics.keys_clean.add(ok(wire::Class::Clean));
    metrics.keys_unknown.add(ok(wire::Class::Unknown));
    metrics.keys_unparseable.add(status(Status::Unparseable));
    metrics.keys_unsupported.add(status(Status::Unsupported));
}
