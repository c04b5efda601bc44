//! From frames to answers: the batch of one turn, over all connections that were ready.
//!
//! ```text
//!  frames of connection 1 ┐                                                   ┌ answers into output 1
//!  frames of connection 2 ┼─► keys (canonicalise, hash) ─► lookup, overlay ─┬─► ┼ answers into output 2
//!  frames of connection 3 ┘                             unknown ─► models ──┘   └ ...
//! ```
//! `take` leaves room for the answers where they will be sent from, so replies stand in request order whatever is answered at once (PING, HELLO,
//! DESCRIBE, errors); `answer` looks the whole batch up and fills them in, but for requests with keys that models are to be asked about: `score` does that,
//! once the others were sent. The snapshot cannot change in between: a shard adopts a new one only
//! between turns. No lock, no await; no allocation once the vectors have grown to the largest turn.

use crate::driver::Output;
use crate::explain::explain;
use crate::inline::Inline;
use crate::inline::served::Served;
use crate::limits::{EXPLAINS_PER_TURN_MAX, Limits, TURN_KEYS_MAX};
use crate::metrics::ShardMetrics;
use crate::overlay::table::Overlay;
use crate::shadow::tap::Tap;
use std::sync::Arc;
use verdict_keys::{Batch, Kind};
use verdict_simd::{Backend, Key128};
use verdict_tables::{RuleKind, Scratch, Snapshot, Verdict};
use verdict_wire as wire;
use wire::{Answer, Frames, Request, Status};

/// Requests that a client may leave unanswered; past `limits.out_bytes_max` of answers the shard stops reading, whatever their number.
const REQUESTS_IN_FLIGHT_MAX: u32 = 1024;

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
    overlay: Option<Arc<Overlay>>,
    inline: Option<Inline>,
    tap: Option<Tap>,
    /// When the first key of this turn was taken, on the clock of `inline`.
    began_ns: u64,
}

/// A LOOKUP whose answers have their place but not their values.
struct Pending {
    connection: u32,
    /// Offset of the first answer in the connection's output.
    at: usize,
    count: usize,
    budget_us: u32,
    /// Models are to be asked before it is answered.
    open: bool,
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
            overlay: None,
            inline: None,
            tap: None,
            began_ns: 0,
        }
    }

    /// Asks these models from the next turn on.
    pub fn models(&mut self, served: Arc<Served>, shard: usize) {
        match &mut self.inline {
            Some(inline) => inline.adopt(served),
            None => self.inline = Some(Inline::new(served, shard)),
        }
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
        if let Some(inline) = &mut self.inline {
            inline.clear();
        }
        if let Some(tap) = &mut self.tap {
            tap.clear();
        }
    }

    /// Takes the whole frames at the start of `input`. `late`: they waited too long, so lookups are answered *overloaded* at once.
    pub fn take(&mut self, turn: &Turn<'_>, connection: u32, input: &[u8], output: &mut Output, late: bool) -> Taken {
        let mut taken = Taken::default();
        if self.keys() == 0 {
            self.batch.keep_texts(turn.snapshot.reads_texts());
            self.batch.keep_spellings(self.inline.is_some());
            self.began_ns = self.inline.as_ref().map_or(0, Inline::now_ns);
        }
        let mut frames = Frames::within(input, turn.limits.frame_bytes_max);
        let Output { bytes: output, sent, flying } = output;
        loop {
            if output.len() - *sent + *flying > turn.limits.out_bytes_max || self.keys() + wire::KEYS_MAX > TURN_KEYS_MAX {
                let rest = &input[taken.consumed..];
                taken.more = rest.len() >= wire::bytes_wanted(rest);
                return taken;
            }
            let Some(frame) = frames.next() else { return taken };
            let at = output.len();
            match frame {
                Ok(frame) => {
                    let request = frame.request();
                    if matches!(request, Ok(Request::Explain { .. })) && !late && self.explained.0 == EXPLAINS_PER_TURN_MAX {
                        taken.more = true;
                        return taken;
                    }
                    match request {
                        Ok(request) => self.request(turn, connection, frame.header.request_id, request, output, late),
                        Err(refusal) => refuse(turn, &refusal, output),
                    }
                    taken.consumed = frames.consumed();
                }
                Err(refusal) => {
                    refuse(turn, &refusal, output);
                    taken.malformed = true;
                }
            }
            if turn.draining {
                wire::mark_reply(output, at, wire::REPLY_DRAINING);
            }
            if taken.malformed {
                return taken;
            }
        }
    }

    fn request(&mut self, turn: &Turn<'_>, connection: u32, id: u32, request: Request<'_>, output: &mut Vec<u8>, late: bool) {
        let generation = turn.snapshot.generation();
        match request {
            Request::Lookup(keys) => {
                turn.metrics.frames_lookup.add(1);
                let (at, count) = reserve(output, id, generation, keys.len(), late, turn.metrics);
                if late {
                    return;
                }
                self.pending.push(Pending { connection, at, count, budget_us: keys.budget_us(), open: false });
                let (schedule, profile) = (turn.snapshot.schedule(), turn.snapshot.profile());
                let count = keys.len();
                let keys = keys.map(|(kind, bytes)| (kind_of(kind), bytes));
                if let Some(tap) = &mut self.tap {
                    tap.note(turn.metrics, self.batch.items().len(), count, keys.clone());
                }
                self.batch.push_all(self.backend, schedule, profile, keys);
            }
            Request::LookupHashed(lookup) => {
                turn.metrics.frames_hashed.add(1);
                let keys = match lookup.keys(generation) {
                    Ok(keys) => keys,
                    Err(refusal) => return refuse(turn, &refusal, output),
                };
                let (at, count) = reserve(output, id, generation, keys.len(), late, turn.metrics);
                if late {
                    return;
                }
                self.pending.push(Pending { connection, at, count, budget_us: 0, open: false });
                let wire::Place { suffix, prefix } = lookup.place();
                for key in keys {
                    self.batch.push_hashed(Key128 { lo: key.lo, hi: key.hi }, suffix, prefix);
                }
            }
            Request::LookupFiles(files) => self.files(turn, connection, id, files, output, late),
            Request::Describe(describe) => {
                turn.metrics.frames_other.add(1);
                match describe.ids(generation) {
                    Ok(ids) => descriptions(turn.snapshot, self.inline.as_ref().map(|inline| &**inline.served()), id, ids, output),
                    Err(refusal) => refuse(turn, &refusal, output),
                }
            }
            Request::Explain { kind, key } => {
                turn.metrics.frames_explain.add(1);
                if late {
                    let refusal = wire::Refusal::new(id, wire::ErrorCode::Overloaded, 0, "it waited for too long");
                    return refuse(turn, &refusal, output);
                }
                self.explained = (self.explained.0 + 1, Some(connection));
                explain(self.backend, turn.snapshot, self.overlay.as_deref(), self.inline.as_mut(), id, kind, key, output);
            }
            Request::Ping(payload) => {
                turn.metrics.frames_other.add(1);
                wire::encode_pong(output, id, generation, payload);
            }
            Request::Hello(hello) => {
                turn.metrics.frames_other.add(1);
                wire::encode_hello_reply(output, id, &server_hello(turn, hello.version()));
            }
        }
    }

    /// Files are asked by their digests; what is said of their headers is kept for models.
    fn files(&mut self, turn: &Turn<'_>, connection: u32, id: u32, files: wire::FileList<'_>, output: &mut Vec<u8>, late: bool) {
        turn.metrics.frames_files.add(1);
        let (at, count) = reserve(output, id, turn.snapshot.generation(), files.len(), late, turn.metrics);
        if late {
            return;
        }
        self.pending.push(Pending { connection, at, count, budget_us: files.budget_us(), open: false });
        if let Some(inline) = &mut self.inline {
            inline.keep_files(self.batch.items().len(), files.clone());
        }
        let (schedule, profile) = (turn.snapshot.schedule(), turn.snapshot.profile());
        let keys = files.map(|file| (Some(Kind::Sha256), &file.sha256[..]));
        if let Some(tap) = &mut self.tap {
            tap.note(turn.metrics, self.batch.items().len(), count, keys.clone());
        }
        self.batch.push_all(self.backend, schedule, profile, keys);
    }

    /// Looks the batch up and hands out every answer that was left open: `fill(connection, offset in its output, bytes)`. True if models are to be asked
    /// about some keys: their requests are left open still, until `score`.
    pub fn answer(&mut self, snapshot: &Snapshot, metrics: &ShardMetrics, mut fill: impl FnMut(u32, usize, &[u8])) -> bool {
        let keys = self.keys();
        let mut open = false;
        if keys > 0 {
            self.verdicts.clear();
            self.verdicts.resize(keys, Verdict::default());
            verdict_tables::lookup(self.backend, snapshot, &self.batch, &mut self.scratch, &mut self.verdicts);
            if let Some(overlay) = &self.overlay {
                debug_assert_eq!(overlay.generation(), snapshot.generation());
                let decided = overlay.decide(self.backend, snapshot.schedule(), &self.batch, &mut self.verdicts);
                metrics.overlay_answers.add(decided);
            }
            open = self.sift(snapshot, metrics);
            self.hand_out(false, &mut fill);
            if !open {
                self.note_answers(metrics);
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
    pub fn score(&mut self, metrics: &ShardMetrics, mut fill: impl FnMut(u32, usize, &[u8])) {
        if let Some(inline) = &mut self.inline {
            let began = inline.now_ns();
            inline.score(self.backend, &self.batch, &mut self.verdicts, metrics);
            metrics.model_nanoseconds.add(inline.now_ns() - began);
        }
        self.hand_out(true, &mut fill);
        self.note_answers(metrics);
        self.clear();
    }

    /// Counts the answers of the turn, which are final, and leaves some for rules on trial.
    fn note_answers(&mut self, metrics: &ShardMetrics) {
        count_answers(metrics, &self.verdicts);
        if let Some(tap) = &mut self.tap {
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
        for (pending, open) in self.pending.iter_mut().zip(inline.open()) {
            pending.open = open;
        }
        inline.is_open()
    }

    /// Copies answers to where they will be sent from: those of requests that waited for models, or of the others.
    fn hand_out(&mut self, waited: bool, fill: &mut impl FnMut(u32, usize, &[u8])) {
        if self.stale {
            mark_stale(&mut self.verdicts);
        }
        let mut answers: &[Answer] = bytemuck::cast_slice(&self.verdicts);
        for pending in &self.pending {
            let (mine, rest) = answers.split_at(pending.count);
            answers = rest;
            if pending.open == waited {
                fill(pending.connection, pending.at, bytemuck::cast_slice(mine));
            }
        }
    }
}

const _: () = assert!(size_of::<Verdict>() == size_of::<Answer>());

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

/// An ANSWERS frame whose answers say *overloaded* until they are filled in; returns where the first one stands.
fn reserve(output: &mut Vec<u8>, id: u32, generation: u64, count: usize, late: bool, metrics: &ShardMetrics) -> (usize, usize) {
    let answers = wire::answers_in_place(output, id, generation, count);
    if late {
        answers.fill(Answer::without_verdict(Status::Overloaded));
        metrics.keys_overloaded.add(count as u64);
    }
    (output.len() - count * size_of::<Answer>(), count)
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

#[cold]
fn refuse(turn: &Turn<'_>, refusal: &wire::Refusal, output: &mut Vec<u8>) {
    turn.metrics.frames_refused.add(1);
    wire::encode_refusal(output, turn.snapshot.generation(), refusal);
}

fn server_hello<'a>(turn: &Turn<'a>, version: u8) -> wire::ServerHello<'a> {
    let (profile, hash_key) = (turn.snapshot.profile(), turn.snapshot.hash_key());
    wire::ServerHello {
        generation: turn.snapshot.generation(),
        version,
        version_min: wire::VERSION_MIN,
        version_max: wire::VERSION_MAX,
        limits: wire::Limits {
            frame_bytes_max: turn.limits.frame_bytes_max as u32,
            requests_in_flight_max: REQUESTS_IN_FLIGHT_MAX,
            ..wire::Limits::default()
        },
        profile: wire::Profile {
            scheme: profile.scheme as u8,
            host_labels_max: profile.host_labels_max,
            path_prefixes_max: profile.path_prefixes_max,
        },
        hash_key: wire::HashKey { h: hash_key.h, k: hash_key.k },
        server: concat!("verdictd/", env!("CARGO_PKG_VERSION")),
    }
}

fn descriptions(snapshot: &Snapshot, models: Option<&Served>, id: u32, ids: wire::IdList<'_>, output: &mut Vec<u8>) {
    let mut writer = wire::DescriptionsWriter::new(output, id, snapshot.generation(), ids.len());
    for verdict_id in ids {
        if let Some((fixed, sources)) = models.and_then(|models| models.describe(verdict_id)) {
            writer.push(fixed, sources.iter().map(String::as_str));
            continue;
        }
        match snapshot.describe(verdict_id) {
            Some(known) => {
                let fixed = wire::Description {
                    id: verdict_id,
                    class: known.class as u8,
                    score: known.score,
                    confidence: known.confidence,
                    rule_kind: rule_kind_on_wire(known.rule_kind).raw(),
                    categories: known.categories,
                    flags: known.flags.into(),
                    first_seen_day: known.first_seen_day,
                    last_seen_day: known.last_seen_day,
                    ttl_s: known.ttl_s,
                    ..wire::Description::default()
                };
                writer.push(fixed, known.sources().map(|source| source.name));
            }
            None => writer.push(wire::Description::absent(verdict_id), []),
        }
    }
}

/// The wire does not tell address families or digests apart: the question already did.
fn rule_kind_on_wire(kind: RuleKind) -> wire::RuleKind {
    match kind {
        RuleKind::Host => wire::RuleKind::Host,
        RuleKind::HostSubdomains => wire::RuleKind::HostBelow,
        RuleKind::Url => wire::RuleKind::Url,
        RuleKind::UrlSubdomains => wire::RuleKind::UrlBelow,
        RuleKind::UrlPrefix => wire::RuleKind::UrlPrefix,
        RuleKind::UrlPrefixSubdomains => wire::RuleKind::UrlPrefixBelow,
        RuleKind::Ipv4 | RuleKind::Ipv6 => wire::RuleKind::Network,
        RuleKind::Sha256 | RuleKind::Sha1 | RuleKind::Md5 => wire::RuleKind::File,
        RuleKind::HostSubstring => wire::RuleKind::HostSubstring,
        RuleKind::UrlSubstring => wire::RuleKind::UrlSubstring,
        RuleKind::HostToken => wire::RuleKind::HostToken,
        RuleKind::UrlToken => wire::RuleKind::UrlToken,
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
