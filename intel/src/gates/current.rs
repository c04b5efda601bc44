//! The candidate beside the snapshot that is served now: what grew, what shrank, and what would be answered otherwise.

use super::asking::Asker;
use super::lists::List;
use super::{Checked, Gate, State, Unasked, percent, share};
use crate::config::gates::Gates;
use crate::diff::{Diff, diff};
use crate::store::{Store, beside};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use verdict_simd::Backend;
use verdict_tables::Snapshot;

/// Rules by which a feed or the whole may change, whatever its size: a tenth of a list of twelve is nothing.
const SLACK: u64 = 100;
/// Changed questions that are told.
const EXAMPLES_MAX: usize = 20;

/// The snapshot that is served now.
pub struct Current {
    snapshot: Snapshot,
    store: Option<Store>,
}

impl Current {
    /// Loads a snapshot, and its explain store where one of the same generation lies beside it.
    pub fn load(path: &Path) -> Result<Self, verdict_tables::Error> {
        let snapshot = Snapshot::load(path)?;
        let store = Store::open(&beside(path)).ok().filter(|store| store.snapshot_sha256() == snapshot.sha256());
        Ok(Self { snapshot, store })
    }
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Blast {
    /// The current generation, 16 hexadecimal digits.
    pub against: String,
    /// Rules now.
    pub rules_before: u64,
    /// Rules then.
    pub rules_after: u64,
    /// By kind and feed; none where a store is missing.
    pub diff: Option<Diff>,
    /// Keys of the gates' lists that are listed now, and then.
    pub lists: BTreeMap<&'static str, Listed>,
    /// Recorded questions.
    pub replay: Option<Replayed>,
}

/// Keys of a list that are malicious or suspicious.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Keys.
    pub keys: u64,
    /// In the current snapshot.
    pub before: u64,
    /// In the candidate.
    pub after: u64,
}

/// How recorded questions would be answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Questions.
    pub questions: u64,
    /// Of which the class stays.
    pub same: u64,
    /// `unknown -> malicious`, and how many.
    pub changed: BTreeMap<String, u64>,
    /// The first of them: key, class before, class after.
    pub examples: Vec<(String, &'static str, &'static str)>,
}

/// Shrink and growth, as a whole and by feed.
pub(super) fn check(gates: &Gates, snapshot: &Snapshot, store: Option<&Store>, current: Option<&Current>) -> Vec<Checked> {
    let Some(current) = current else {
        let none = |gate| Checked::new(gate, State::NotRun, "no current snapshot to hold it against");
        return vec![none(Gate::Shrink), none(Gate::Growth)];
    };
    let mut sizes = vec![("all feeds".to_owned(), current.snapshot.stats().rules_total(), snapshot.stats().rules_total())];
    if let (Some(old), Some(new)) = (&current.store, store) {
        for feed in new.feeds() {
            let before = old.feeds().iter().find(|before| before.name == feed.name);
            sizes.extend(before.map(|before| (feed.name.clone(), before.rules, feed.rules)));
        }
    }
    vec![held(gates, Gate::Shrink, &sizes), held(gates, Gate::Growth, &sizes)]
}

fn held(gates: &Gates, gate: Gate, sizes: &[(String, u64, u64)]) -> Checked {
    let limit = u64::from(gates.limit(gate));
    let change = |old: u64, new: u64| if gate == Gate::Shrink { old.saturating_sub(new) } else { new.saturating_sub(old) };
    let (_, old, new) = sizes[0];
    let by_feed = if sizes.len() == 1 { "; feeds are not compared: a store is missing" } else { "" };
    let told = format!(
        "{old} rules before, {new} now: {}; at most {} and {SLACK} rules{by_feed}",
        percent(share(change(old, new), old)),
        percent(limit)
    );
    let mut told = Checked::of(gate, true, told);
    for (name, old, new) in sizes {
        let most = (u128::from(*old) * u128::from(limit) / 1_000_000) as u64 + SLACK;
        if change(*old, *new) > most {
            told.state = State::Refused;
            told.find(Vec::new(), format!("{name}: {old} rules before, {new} now"));
        }
    }
    told
}

/// What would change.
pub(super) fn blast<B: Backend>(
    backend: B,
    current: &mut Current,
    snapshot: &Snapshot,
    store: Option<&mut Store>,
    gates: &Gates,
    replay: Option<&Path>,
) -> Result<Blast, Unasked> {
    let mut blast = Blast {
        against: format!("{:016x}", current.snapshot.generation()),
        rules_before: current.snapshot.stats().rules_total(),
        rules_after: snapshot.stats().rules_total(),
        ..Blast::default()
    };
    if let (Some(old), Some(new)) = (&mut current.store, store) {
        blast.diff = Some(diff(old, new)?);
    }
    let (mut before, mut after) = (Asker::new(backend, &current.snapshot), Asker::new(backend, snapshot));
    for (gate, path) in &gates.lists {
        let Ok(list) = List::read(path) else { continue }; // the gate itself has told what is wrong with it
        let questions = || list.entries.iter().map(|entry| (entry.kind, entry.key.as_slice()));
        let count = |asker: &mut Asker<'_, B>| asker.ask(questions()).iter().filter(|asked| asked.listed()).count() as u64;
        let listed = Listed { keys: list.entries.len() as u64, before: count(&mut before), after: count(&mut after) };
        blast.lists.insert(gate.code(), listed);
    }
    if let Some(path) = replay {
        blast.replay = Some(replayed(&mut before, &mut after, &List::read(path).map_err(Unasked::Replay)?));
    }
    Ok(blast)
}

fn replayed<B: Backend>(before: &mut Asker<'_, B>, after: &mut Asker<'_, B>, list: &List) -> Replayed {
    let questions = || list.entries.iter().map(|entry| (entry.kind, entry.key.as_slice()));
    let mut told = Replayed { questions: list.entries.len() as u64, ..Replayed::default() };
    let (old, new) = (before.ask(questions()), after.ask(questions()));
    for ((entry, old), new) in list.entries.iter().zip(old).zip(new) {
        let (old, new) = (old.word(), new.word());
        if old == new {
            told.same += 1;
            continue;
        }
        *told.changed.entry(format!("{old} -> {new}")).or_default() += 1;
        if told.examples.len() < EXAMPLES_MAX {
            told.examples.push((entry.text.clone(), old, new));
        }
    }
    told
}
