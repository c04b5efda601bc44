//! The thread of policy SCHED_IDLE: takes the candidate, asks it what the shards left, and compares.
//!
//! It looks at the queues every `PAUSE_MIN` while there is something in them, and less and less often while there is nothing: nobody wakes it, because waking is a
//! system call and would be a shard's. A candidate that is refused leaves the one before it on trial, and everything else as it was.

use super::numbers::CLASSES;
use super::page::{Sample, Told};
use super::tap::{Asked, QUEUE};
use super::{Loaded, Order, Shared};
use crate::host::reload::Ended;
use crate::metrics::Metrics;
use crate::trust::now_s;
use crossbeam::channel::{Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::time::Duration;
use verdict_keys::Batch;
use verdict_simd::Selected;
use verdict_tables::{Class, Scratch, Snapshot, Status, Verdict};

/// Keys asked at once.
const BATCH: usize = 128;
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(64);

pub(super) struct Worker {
    backend: Selected,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    snapshot: Option<Snapshot>,
    asked: Vec<Asked>,
    batch: Batch,
    scratch: Scratch,
    verdicts: Vec<Verdict>,
}

impl Worker {
    pub(super) fn new(backend: Selected, shared: Arc<Shared>, metrics: Arc<Metrics>) -> Self {
        Worker {
            backend,
            shared,
            metrics,
            snapshot: None,
            asked: Vec::with_capacity(BATCH),
            batch: Batch::with_capacity(BATCH),
            scratch: Scratch::default(),
            verdicts: Vec::with_capacity(BATCH),
        }
    }

    /// Until told to end.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let first = Snapshot::load(&self.shared.settings.snapshot);
        let _ = self.judge(first); // nobody has asked
        let mut pause = PAUSE_MIN;
        loop {
            let order = match &self.snapshot {
                Some(_) => orders.recv_timeout(pause),
                None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(Order::Judge(loaded, asked)) => drop(asked.send(self.judge(*loaded))), // who has gone is not told
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            pause = if self.drain() { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        }
    }

    /// What is on trial now, or why what is there is not.
    fn judge(&mut self, loaded: Loaded) -> Ended {
        match loaded {
            Ok(next) => Ok(self.take(next)),
            Err(error) => {
                let path = self.shared.settings.snapshot.display();
                let still = match &self.snapshot {
                    Some(before) => format!("generation {:016x} stays on trial", before.generation()),
                    None => "nothing is on trial".into(),
                };
                self.metrics.control.shadow.refused.add(1);
                self.shared.told().note = format!("shadow refused: {path}: {}\n", error.to_string().escape_debug());
                tracing::error!(%path, "snapshot refused that was to be on trial, {still}: {error}");
                Err(format!("rules on trial refused: {path}: {error}; {still}"))
            }
        }
    }

    fn take(&mut self, next: Snapshot) -> String {
        self.shared.listen(true); // what comes from now on waits until this is done
        let generation = next.generation();
        let same = self.snapshot.as_ref().is_some_and(|before| before.generation() == generation);
        {
            let mut told = self.shared.told();
            told.note.clear();
            if !same {
                *told = Told { generation, as_of_s: next.as_of_s(), since_s: now_s(), ..Told::default() };
            }
        }
        if !same {
            self.snapshot = Some(next);
        }
        self.metrics.control.shadow.generation.set(generation);
        tracing::info!(generation = %format_args!("{generation:016x}"), one_in = self.shared.settings.one_in, "snapshot on trial");
        format!("on trial: generation {generation:016x}{}", if same { ", as before" } else { ", adopted" })
    }

    /// At most what the queues hold, so that orders are heard; whether there was anything.
    fn drain(&mut self) -> bool {
        let mut found = false;
        for number in 0..self.shared.feeds.len() {
            for _ in 0..QUEUE / BATCH {
                self.asked.clear();
                let feed = &self.shared.feeds[number];
                self.asked.extend(std::iter::from_fn(|| feed.take()).take(BATCH));
                if self.asked.is_empty() {
                    break;
                }
                found = true;
                self.compare();
            }
        }
        found
    }

    fn compare(&mut self) {
        let Some(snapshot) = &self.snapshot else { return };
        self.batch.keep_texts(snapshot.reads_texts());
        let keys = self.asked.iter().map(|asked| (Some(asked.kind), asked.bytes()));
        self.batch.push_all(self.backend, snapshot.schedule(), snapshot.profile(), keys);
        self.verdicts.clear();
        self.verdicts.resize(self.asked.len(), Verdict::default());
        verdict_tables::lookup(self.backend, snapshot, &self.batch, &mut self.scratch, &mut self.verdicts);
        let (numbers, mut told) = (&self.metrics.control.shadow, self.shared.told());
        for (asked, verdict) in self.asked.iter().zip(&self.verdicts) {
            let (Some(served), Some(trial)) = (class(asked.outcome), class(verdict.outcome)) else {
                numbers.unreadable.add(1);
                told.unreadable += 1;
                continue;
            };
            numbers.answers[served as usize][trial as usize].add(1);
            told.answers[served as usize][trial as usize] += 1;
            if served != trial {
                told.note_sample(sample(snapshot, self.shared.settings.sample_keys, asked, (served, trial), verdict));
            }
        }
    }
}

const _: () =
    assert!(CLASSES[Class::Malicious as usize] as usize == CLASSES.len() - 1, "the numbers of classes are places of a list of four");

/// None without an answer.
fn class(outcome: u8) -> Option<Class> {
    let verdict = Verdict { outcome, ..Verdict::default() };
    verdict.class().filter(|_| verdict.status() == Some(Status::Ok))
}

fn sample(snapshot: &Snapshot, with_key: bool, asked: &Asked, (served, trial): (Class, Class), verdict: &Verdict) -> Sample {
    let known = snapshot.describe(verdict.verdict_id());
    let sources = known.iter().flat_map(|known| known.sources()).map(|source| source.name.to_owned()).collect();
    let key = if with_key { asked.bytes().to_vec() } else { Vec::new() };
    Sample { kind: asked.kind, key, served, trial, sources, times: 1 }
}
