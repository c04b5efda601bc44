//! What no table knows is asked of models: in the turn, within a share of the CPU and a deadline, or not at all.
//!
//! ```text
//!  a turn's answers ─► unknown URLs, hosts, files ─► cache ── known ─────────────────────────────► answers
//!                                                  └ not ─► lanes: who is asked by which model, 128 keys at a time
//!                                                            ├ enforced, in the registry's order ─► word ─► answers, cache
//!                                                            └ on trial, if time is left ─► disagreements
//! ```
//! Requests without such keys are answered before anything is scored. Whom share or deadline leave out gets the table's answer, marked *degraded*; that is
//! not kept. Models on trial are asked last and left out first. No lock, no await, and no allocation once a registry is taken over.

pub mod cache;
pub mod files;
pub mod keeper;
pub mod lanes;
pub mod page;
pub mod served;
pub mod share;
mod told;
pub mod word;

use crate::metrics::ShardMetrics;
use cache::Cache;
use files::Files;
use lanes::Lanes;
use served::{SAMPLE_BYTES, Sample, Served};
use share::Share;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;
use verdict_keys::{Batch, Item, Spelling};
use verdict_models::native::{BATCH_MAX, HEADS_MAX, Scorer};
use verdict_models::registry::{Entry, Says, Subject, Word, tld};
use verdict_simd::{Backend, HashSchedule, Key128};
use verdict_tables::{Class, Status, Verdict, flag};
use verdict_wire::FileList;
use word::Held;

/// Between two samples of disagreements of one shard: they are for reading, not for counting.
const SAMPLE_EVERY_NS: u64 = 100_000_000;

/// The models as one shard asks them.
pub struct Inline {
    served: Arc<Served>,
    shard: usize,
    /// None of a model that is not loaded, or switched off.
    scorers: Vec<Option<Scorer>>,
    /// Whether some are switched off.
    some_off: bool,
    shares: Vec<Share>,
    cache: Cache,
    lanes: Lanes,
    /// Where the items of each request end, its deadline, and whether one of them is a candidate.
    requests: Vec<(usize, u64, bool)>,
    candidates: Vec<Candidate>,
    files: Files,
    keys: Vec<u8>,
    sums: Vec<i32>,
    clock: Instant,
    sampled_ns: u64,
    /// The models that are asked first, by kind of key.
    first: [Vec<u16>; Subject::ALL.len()],
    /// How many more keys of a kind are noted in this turn.
    room: [usize; Subject::ALL.len()],
    /// It is the deadline, not the share, that allows no more.
    room_is_time: [bool; Subject::ALL.len()],
    left_out: u64,
}

/// A key of this turn that models are asked about.
struct Candidate {
    item: u32,
    /// Of a file its place in `Files::list`, of others in `Batch::spellings`.
    place: u32,
    subject: Subject,
    /// An enforced model should have been asked, and was not.
    missed: bool,
    held: Held,
    key: Key128,
    deadline_ns: u64,
}

impl Inline {
    /// For the shard of this number.
    pub fn new(served: Arc<Served>, shard: usize) -> Self {
        let (clock, cache) = (Instant::now(), Cache::new(served.settings().cache_bytes));
        let mut inline = Self {
            shard,
            scorers: Vec::new(),
            some_off: false,
            shares: Vec::new(),
            cache,
            lanes: Lanes::new(0),
            requests: Vec::with_capacity(crate::limits::TURN_KEYS_MAX),
            candidates: Vec::with_capacity(crate::limits::TURN_KEYS_MAX),
            files: Files::default(),
            keys: Vec::with_capacity(BATCH_MAX),
            sums: vec![0; BATCH_MAX * HEADS_MAX],
            clock,
            sampled_ns: 0,
            first: Default::default(),
            room: [0; Subject::ALL.len()],
            room_is_time: [false; Subject::ALL.len()],
            left_out: 0,
            served: served.clone(),
        };
        inline.adopt(served);
        inline
    }

    /// Another registry, from the next turn on. This allocates.
    pub fn adopt(&mut self, served: Arc<Served>) {
        let (now, models) = (self.now_ns(), &served.node().registry().models);
        self.scorers = (0..models.len() as u16)
            .map(|place| served.model(place).and_then(|(_, loaded)| Scorer::new(loaded.evaluator.clone(), loaded.spec)))
            .collect();
        self.shares = models.iter().map(|model| Share::new(model.cpu_share, now)).collect();
        self.lanes = Lanes::new(models.len());
        self.first = Subject::ALL.map(|subject| {
            let first = |place: &u16| served.model(*place).is_some_and(|(model, _)| model.subject == subject && model.gate.after.is_none());
            (0..models.len() as u16).filter(first).collect()
        });
        let trees = (0..models.len() as u16).filter_map(|place| served.model(place)?.1.trees.as_ref().map(|trees| trees.trees()));
        self.files = Files::new(trees.max());
        self.cache.forget();
        self.served = served;
    }

    /// Does not ask models of these names, and forgets what any has said. This allocates.
    pub fn switch(&mut self, off: &BTreeSet<String>) {
        if off.is_empty() && !self.some_off {
            return;
        }
        self.adopt(self.served.clone());
        let models = self.served.node().registry().models.iter().zip(&mut self.scorers);
        for (_, scorer) in models.filter(|(model, _)| off.contains(&model.name)) {
            *scorer = None;
        }
        let scorers = &self.scorers;
        self.first.iter_mut().for_each(|places| places.retain(|place| scorers[usize::from(*place)].is_some()));
        self.some_off = !off.is_empty();
    }

    /// The models.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// The clock of deadlines.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }

    /// Nanoseconds that scoring may take for a request whose caller allows so many microseconds; 0: it does not say.
    pub fn allowance_ns(&self, budget_us: u32) -> u64 {
        let settings = self.served.settings();
        let us = if budget_us == 0 { settings.budget_us } else { u64::from(budget_us).min(settings.budget_us_max) };
        us * 1_000
    }

    /// The items up to `end` that are of no request before are of one that has to be answered at this time.
    pub fn expect(&mut self, end: usize, deadline_ns: u64) {
        self.requests.push((end, deadline_ns, false));
    }

    /// Whether each of the requests that were expected waits for `score`.
    pub fn open(&self) -> impl Iterator<Item = bool> {
        self.requests.iter().map(|&(_, _, open)| open)
    }

    /// Whether any does.
    pub fn is_open(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Fills in what is remembered, and notes whom of the others models are to be asked about.
    pub fn sift<B: Backend>(
        &mut self,
        backend: B,
        schedule: &HashSchedule,
        batch: &Batch,
        verdicts: &mut [Verdict],
        metrics: &ShardMetrics,
    ) {
        self.candidates.clear();
        self.make_room();
        let (mut remembered, mut request) = (0, 0);
        for (number, spelling) in batch.spellings().iter().enumerate() {
            if !is_unknown(&verdicts[spelling.item]) {
                continue;
            }
            let key = key_of(backend, schedule, batch, &batch.items()[spelling.item]);
            let subject = if spelling.is_url { Subject::Url } else { Subject::Host };
            remembered += u64::from(self.note((subject, tld(spelling.host)), (spelling.item, number), key, &mut request, verdicts));
        }
        request = 0;
        for number in 0..self.files.list().len() {
            let item = self.files.list()[number].item;
            if !is_unknown(&verdicts[item]) {
                continue;
            }
            let key = self.files.key(backend, schedule, key_of(backend, schedule, batch, &batch.items()[item]), number);
            remembered += u64::from(self.note((Subject::File, &[]), (item, number), key, &mut request, verdicts));
        }
        metrics.model_remembered.add(remembered);
        metrics.model_degraded.add(std::mem::take(&mut self.left_out));
    }

    /// How many keys of each kind the most generous of the models that are asked first could be asked about in this turn, and some more: what a row takes is a
    /// guess.
    fn make_room(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let now = self.now_ns();
        let latest = self.requests.iter().map(|&(_, deadline_ns, _)| deadline_ns).max().unwrap_or(0).saturating_sub(now);
        for (kind, first) in self.first.iter().enumerate() {
            let rows = first.iter().map(|&place| {
                let share = &mut self.shares[usize::from(place)];
                share.fill(now);
                let in_time = (latest / share.row_ns()) as usize;
                let afforded = share.rows_within(latest);
                (afforded.min(in_time), in_time < afforded)
            });
            let (rows, is_time) = rows.max().unwrap_or((0, false));
            (self.room[kind], self.room_is_time[kind]) = (rows + rows / 4 + 1, is_time);
        }
    }

    /// Answers an item by what is remembered, which is true then, or notes it if models are to be asked. Items come in their order; `request` is that of the
    /// last one.
    #[inline]
    fn note(
        &mut self,
        (subject, tld): (Subject, &[u8]),
        (item, place): (usize, usize),
        key: Key128,
        request: &mut usize,
        verdicts: &mut [Verdict],
    ) -> bool {
        while self.requests.get(*request).is_some_and(|&(end, ..)| item >= end) {
            *request += 1;
        }
        let Some((_, deadline_ns, open)) = self.requests.get_mut(*request) else { return false };
        if let Some(held) = self.cache.get(key) {
            verdicts[item] = held.verdict(&self.served);
            return true;
        }
        let first = self.served.node().router().first(subject, tld);
        if !first.is_empty() && (!self.some_off || first.iter().any(|place| self.scorers[usize::from(*place)].is_some())) {
            let room = &mut self.room[subject as usize];
            if *room == 0 {
                // More than share and deadline allow could not be asked: that is known before they are queued.
                let late = self.room_is_time[subject as usize];
                for &place in first {
                    let counts = &self.served.counts(self.shard)[usize::from(place)];
                    if late {
                        counts.late.add(1)
                    } else {
                        counts.over_share.add(1)
                    }
                    verdicts[item].flags |= if self.served.on_trial(place) { 0 } else { flag::DEGRADED };
                }
                self.left_out += u64::from(verdicts[item].flags & flag::DEGRADED != 0);
                return false;
            }
            *room -= 1;
            *open = true;
            let (item, place, deadline_ns) = (item as u32, place as u32, *deadline_ns);
            self.candidates.push(Candidate { item, place, subject, missed: false, held: Held::default(), key, deadline_ns });
        }
        false
    }

    /// What a request says of files, which are the items of the turn from this one on.
    pub fn keep_files(&mut self, first: usize, files: FileList<'_>) {
        self.files.keep(first, files);
    }

    /// Forgets a turn.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.candidates.clear();
        self.files.clear();
    }

    /// Asks the models about those who were noted, as long as share and deadline allow.
    pub fn score<B: Backend>(&mut self, backend: B, batch: &Batch, verdicts: &mut [Verdict], metrics: &ShardMetrics) {
        for from in (0..self.candidates.len()).step_by(BATCH_MAX) {
            self.score_some(backend, batch, from);
        }
        let (mut degraded, mut scored) = (0, 0);
        for candidate in &self.candidates {
            let mut verdict = candidate.held.verdict(&self.served);
            if candidate.missed {
                verdict.flags |= flag::DEGRADED;
                degraded += 1;
            } else {
                self.cache.put(candidate.key, candidate.held);
                scored += 1;
            }
            verdicts[candidate.item as usize] = verdict;
        }
        metrics.model_scored.add(scored);
        metrics.model_degraded.add(degraded);
    }

    /// At most `BATCH_MAX` of them.
    fn score_some<B: Backend>(&mut self, backend: B, batch: &Batch, from: usize) {
        let to = (from + BATCH_MAX).min(self.candidates.len());
        self.lanes.clear();
        for (number, candidate) in self.candidates[from..to].iter().enumerate() {
            let tld = tld(candidate.text(batch).map_or(&[], |text| text.host));
            for &place in self.served.node().router().first(candidate.subject, tld) {
                self.lanes.ask(place, self.served.on_trial(place), number as u8);
            }
        }
        while let Some(place) = self.lanes.next(&mut self.keys) {
            self.ask(backend, batch, place, from);
        }
    }

    /// One run of one model.
    fn ask<B: Backend>(&mut self, backend: B, batch: &Batch, place: u16, from: usize) {
        let served = self.served.clone();
        let (Some((model, loaded)), Some(Some(_))) = (served.model(place), self.scorers.get(usize::from(place))) else { return };
        let began = self.now_ns();
        self.admit(place, from, began);
        if self.keys.is_empty() {
            return;
        }
        let (heads, rows) = (loaded.evaluator.heads(), self.keys.len());
        let asked = self.keys.iter().map(|&key| &self.candidates[from + usize::from(key)]);
        let sums = &mut self.sums[..rows * heads];
        let Some(scorer) = &mut self.scorers[usize::from(place)] else { return };
        match &loaded.trees {
            Some(trees) => self.files.score(backend, trees, scorer, asked.map(|candidate| candidate.place as usize), sums),
            None => {
                scorer.score(backend, asked.filter_map(|candidate| candidate.text(batch)).map(|text| (text.host, text.rest)), sums);
            }
        }
        let took = self.now_ns() - began;
        self.shares[usize::from(place)].spend(rows, took);
        let counts = &served.counts(self.shard)[usize::from(place)];
        counts.rows.add(rows as u64);
        counts.nanoseconds.add(took);
        for number in 0..rows {
            let (key, mut logits) = (self.keys[number], [0f32; HEADS_MAX]);
            for (head, sum) in self.sums[number * heads..][..heads].iter().enumerate() {
                logits[head] = loaded.evaluator.logit(head, *sum);
            }
            let candidate = &mut self.candidates[from + usize::from(key)];
            let text = candidate.text(batch);
            let host: &[u8] = text.map_or(&[], |text| text.host);
            let said = heard(&served, place, model, &logits[..heads], host);
            counts.damped.add(said.damped.into());
            counts.spoke.add((said.word.says > Says::Nothing).into());
            if !served.on_trial(place) {
                candidate.held.take(place, model, said.word);
            } else if candidate.held.compare(said.word) {
                counts.disagreed.add(1);
                let file = candidate.place as usize;
                self.sample(place, said.word, text, file);
            }
            for later in served.node().router().after(place, &logits[..heads], tld(host)) {
                self.lanes.ask(later, served.on_trial(later), key);
            }
        }
    }

    /// Leaves in `keys` those that the model's share affords and whose deadline is far enough.
    fn admit(&mut self, place: u16, from: usize, now_ns: u64) {
        let on_trial = self.served.on_trial(place);
        let share = &mut self.shares[usize::from(place)];
        share.fill(now_ns);
        let (affords, row_ns) = (share.rows(), share.row_ns());
        // Whoever is on trial leaves time for all that still wait for an enforced model, at what such a row takes.
        let behind = if on_trial { self.candidates.len().saturating_sub(from + BATCH_MAX) as u64 * row_ns } else { 0 };
        let (mut admitted, mut late, mut over) = (0, 0, 0);
        self.keys.retain(|&key| {
            let candidate = &mut self.candidates[from + usize::from(key)];
            let in_time = now_ns + behind + (admitted as u64 + 1) * row_ns <= candidate.deadline_ns;
            let admit = in_time && admitted < affords;
            admitted += usize::from(admit);
            late += u64::from(!in_time);
            over += u64::from(in_time && !admit);
            candidate.missed |= !admit && !on_trial;
            admit
        });
        let counts = &self.served.counts(self.shard)[usize::from(place)];
        counts.late.add(late);
        counts.over_share.add(over);
    }

    /// Of a text, or of a file by its digest.
    fn sample(&mut self, place: u16, word: Word, text: Option<Spelling<'_>>, file: usize) {
        if !self.served.settings().sample_keys {
            return;
        }
        let now = self.now_ns();
        if now < self.sampled_ns + SAMPLE_EVERY_NS && self.sampled_ns != 0 {
            return;
        }
        self.sampled_ns = now;
        let mut sample = Sample { place, score: word.score, says: word.says, text: [0; SAMPLE_BYTES], bytes: 0 };
        let mut fill = |bytes: &mut dyn Iterator<Item = u8>| {
            for (to, from) in sample.text.iter_mut().zip(bytes) {
                *to = from;
                sample.bytes += 1;
            }
        };
        match (text, self.files.list().get(file)) {
            (Some(text), _) => {
                let slash: &[u8] = if text.is_url { b"/" } else { b"" };
                fill(&mut text.host.iter().chain(slash).chain(text.rest).copied());
            }
            (None, Some(file)) => {
                fill(&mut file.sha256.iter().flat_map(|&byte| [byte >> 4, byte & 15]).map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            }
            (None, None) => {}
        }
        self.served.leave(sample);
    }
}

impl Candidate {
    /// Its text, unless it is a file.
    #[inline]
    fn text<'b>(&self, batch: &'b Batch) -> Option<Spelling<'b>> {
        if self.subject == Subject::File { None } else { batch.spellings().get(self.place as usize) }
    }
}

/// What a model is heard to say, with what the operator lets it and the host's popularity.
struct Heard {
    word: Word,
    damped: bool,
}

fn heard(served: &Served, place: u16, model: &Entry, logits: &[f32], host: &[u8]) -> Heard {
    let mut word = model.word(logits, 0.0);
    let mut damped = false;
    // Few hosts are asked for: only of those that a model speaks of.
    if word.says > Says::Nothing && served.node().is_popular(host) {
        word = model.word(logits, served.node().registry().popular.as_ref().map_or(0.0, |list| list.margin));
        damped = true;
    }
    if word.says == Says::Malicious && !served.may_block(place) {
        word.says = Says::Suspicious;
    }
    Heard { word, damped }
}

/// The tables say nothing, and no operator does.
#[inline]
fn is_unknown(verdict: &Verdict) -> bool {
    verdict.outcome == (Class::Unknown as u8) << 4 | Status::Ok as u8 && verdict.flags & (flag::ALLOWLISTED | flag::OVERRIDDEN) == 0
}

/// The key that the tables would be asked by, most specific one.
#[inline]
fn key_of<B: Backend>(backend: B, schedule: &HashSchedule, batch: &Batch, item: &Item) -> Key128 {
    let host = item.hosts.at as usize;
    if item.paths.len == 0 {
        return batch.keys()[host];
    }
    let (path, mut keys) = (item.paths.at as usize, [Key128::default()]);
    backend.pair(schedule, batch.hosts()[host], &batch.paths()[path..=path], &mut keys);
    keys[0]
}
