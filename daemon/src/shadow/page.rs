//! `/shadow` of the admin listener, and what `/readyz` says of a candidate that is refused.
//!
//! The thread writes what it has found under a lock, and it may be stopped there for as long as others want the CPU. So nobody waits for that lock: whoever
//! finds it taken shows what was there at the look before.

use super::Shared;
use super::numbers::CLASSES;
use crate::metrics::Metrics;
use crate::pipeline::kind_name;
use serde::Serialize;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, TryLockError};
use verdict_keys::Kind;
use verdict_tables::Class;
use verdict_tables::manifest::hex;

/// Disagreements that are kept, the latest ones.
pub const SAMPLES: usize = 64;

/// What the thread has found.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// On trial; 0 for none.
    pub generation: u64,
    /// The time that its data describes; 0 where that is not stated.
    pub as_of_s: u64,
    /// Unix seconds at which it was taken; what follows is counted from then on.
    pub since_s: u64,
    /// Keys by class served and class on trial.
    pub answers: [[u64; 4]; 4],
    /// Keys for which one of the two has no class.
    pub unreadable: u64,
    /// Oldest first.
    pub samples: VecDeque<Sample>,
    /// A line that says what is wrong, or nothing.
    pub note: String,
}

/// A key that would be answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Of the key.
    pub kind: Kind,
    /// As it was asked; empty unless the operator wants to see it.
    pub key: Vec<u8>,
    /// What was answered.
    pub served: Class,
    /// What would have been.
    pub trial: Class,
    /// Who says so, in the snapshot on trial.
    pub sources: Vec<String>,
    /// How often, without the others between.
    pub times: u64,
}

impl Told {
    /// One that is there already is counted, so that one busy host does not push out all others.
    pub fn note_sample(&mut self, sample: Sample) {
        let known = self.samples.iter().position(|known| Sample { times: sample.times, ..known.clone() } == sample);
        let times = known.and_then(|place| self.samples.remove(place)).map_or(0, |known| known.times);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { times: times + sample.times, ..sample });
    }
}

/// As the control thread looks at it.
#[derive(Debug)]
pub struct Seen {
    shared: Arc<Shared>,
    last: RefCell<Told>,
}

impl Seen {
    /// At nothing yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        Seen { shared, last: RefCell::default() }
    }

    /// What it looks at.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn look(&self) -> std::cell::Ref<'_, Told> {
        match self.shared.told.try_lock() {
            Ok(told) => self.last.borrow_mut().clone_from(&told),
            Err(TryLockError::Poisoned(told)) => self.last.borrow_mut().clone_from(&told.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        self.last.borrow()
    }

    /// A line for `/readyz`, or nothing.
    pub fn note(&self) -> String {
        self.look().note.clone()
    }
}

#[derive(Serialize)]
struct Page {
    snapshot: String,
    one_in: u32,
    generation: Option<String>,
    as_of_s: u64,
    since_s: u64,
    refused: Option<String>,
    /// By class served, then by class on trial.
    served: ByClass<ByTrial>,
    unreadable: u64,
    dropped_since_start: u64,
    disagreements: Vec<Row>,
}

#[derive(Serialize)]
struct ByClass<T> {
    unknown: T,
    clean: T,
    suspicious: T,
    malicious: T,
}

#[derive(Serialize)]
struct ByTrial {
    on_trial: ByClass<u64>,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    served: &'static str,
    on_trial: &'static str,
    sources_on_trial: Vec<String>,
    times: u64,
}

/// The page; `{}` where nothing is to be on trial.
pub fn render(seen: Option<&Seen>, metrics: &Metrics) -> String {
    let Some(seen) = seen else { return "{}\n".into() };
    let (settings, told) = (seen.shared.settings(), seen.look());
    let page = Page {
        snapshot: settings.snapshot.display().to_string(),
        one_in: settings.one_in,
        generation: (told.generation != 0).then(|| format!("{:016x}", told.generation)),
        as_of_s: told.as_of_s,
        since_s: told.since_s,
        refused: (!told.note.is_empty()).then(|| told.note.trim_end().to_owned()),
        served: by_class(|served| ByTrial { on_trial: by_class(|trial| told.answers[served][trial]) }),
        unreadable: told.unreadable,
        dropped_since_start: metrics.shards.iter().map(|shard| shard.shadow_dropped.get()).sum(),
        disagreements: told.samples.iter().map(|sample| row(sample, settings.sample_keys)).collect(),
    };
    serde_json::to_string_pretty(&page).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}

fn by_class<T>(of: impl Fn(usize) -> T) -> ByClass<T> {
    let [unknown, clean, suspicious, malicious] = CLASSES.map(|class| of(class as usize));
    ByClass { unknown, clean, suspicious, malicious }
}

fn row(sample: &Sample, with_key: bool) -> Row {
    Row {
        kind: kind_name(sample.kind),
        key: with_key.then(|| shown(sample.kind, &sample.key)),
        served: sample.served.name(),
        on_trial: sample.trial.name(),
        sources_on_trial: sample.sources.clone(),
        times: sample.times,
    }
}

/// As people write it; text of strangers is escaped.
fn shown(kind: Kind, key: &[u8]) -> String {
    match kind {
        Kind::Url | Kind::Host => key.escape_ascii().to_string(),
        Kind::Ipv4 => <[u8; 4]>::try_from(key).map_or_else(|_| hex(key), |octets| Ipv4Addr::from(octets).to_string()),
        Kind::Ipv6 => <[u8; 16]>::try_from(key).map_or_else(|_| hex(key), |octets| Ipv6Addr::from(octets).to_string()),
        Kind::Sha256 | Kind::Sha1 | Kind::Md5 => hex(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(key: &str) -> Sample {
        let (served, trial) = (Class::Unknown, Class::Malicious);
        Sample { kind: Kind::Host, key: key.into(), served, trial, sources: vec!["a feed".into()], times: 1 }
    }

    #[test]
    fn the_latest_are_kept_and_the_same_again_is_counted() {
        let mut told = Told::default();
        (0..SAMPLES + 3).for_each(|number| told.note_sample(sample(&format!("n{number}.test"))));
        told.note_sample(sample("n10.test"));
        assert_eq!((told.samples.len(), told.samples[0].key.as_slice()), (SAMPLES, b"n3.test".as_slice()));
        assert_eq!(told.samples.back(), Some(&Sample { times: 2, ..sample("n10.test") }));
    }

    #[test]
    fn keys_are_shown_as_people_write_them() {
        let check = |kind, key: &[u8], text: &str| assert_eq!(shown(kind, key), text);
        check(Kind::Host, b"a\n\"b", "a\\n\\\"b");
        check(Kind::Ipv4, &[192, 0, 2, 7], "192.0.2.7");
        check(Kind::Ipv6, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8::1");
        check(Kind::Md5, &[0xab; 16], &"ab".repeat(16));
    }
}
