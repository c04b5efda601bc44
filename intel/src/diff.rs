//! What one snapshot says and another does not: two explain stores, read side by side.
//!
//! ```text
//! old  3 ─ 7 ─ 9 ─ 12      both ascend by the fingerprint of the rule: one pass, nothing held but the rule at hand
//! new  3 ─ 8 ─ 9 ─ 12      removed 7, added 8; 9 says something else: flipped, if it is another class; else changed
//! ```
//! Rules have no text here; their kind, their feeds and their lines are known.

use crate::store::{Store, StoreError, StoredVote};
use serde::Serialize;
use std::collections::BTreeMap;
use verdict_tables::{Class, RuleKind, corroboration};

/// Rules that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// In the old one.
    pub old: u64,
    /// In the new one.
    pub new: u64,
    /// Only in the new one.
    pub added: u64,
    /// Only in the old one.
    pub removed: u64,
    /// In both, with another class, or allowed or overridden in one only.
    pub flipped: u64,
    /// In both, with the same class and another score, confidence or category.
    pub changed: u64,
}

impl Changes {
    /// Nothing differs.
    pub fn none(&self) -> bool {
        self.added + self.removed + self.flipped + self.changed == 0
    }
}

/// How two stores differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// All rules.
    pub total: Changes,
    /// By the name of the kind.
    pub by_kind: BTreeMap<&'static str, Changes>,
    /// By the name of the feed: what it says, whatever others say.
    pub by_feed: BTreeMap<String, Changes>,
}

/// What several votes come to, as far as a difference is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Says {
    kind: RuleKind,
    standing: (bool, bool, Class),
    score: u8,
    confidence: u8,
    categories: u16,
}

/// A rule of one store: what all say together, and each feed for itself, by name.
struct Rule<'f> {
    fingerprint: u64,
    says: Says,
    feeds: BTreeMap<&'f str, Says>,
}

/// Reads both from first to last.
pub fn diff(old: &mut Store, new: &mut Store) -> Result<Diff, StoreError> {
    let names = |store: &Store| store.feeds().iter().map(|feed| feed.name.clone()).collect::<Vec<String>>();
    let (old_names, new_names) = (names(old), names(new));
    let (mut old, mut new) = (old.rules()?, new.rules()?);
    let mut diff = Diff::default();
    let (mut left, mut right) = (next(&mut old, &old_names)?, next(&mut new, &new_names)?);
    loop {
        let (before, after) = match (&left, &right) {
            (None, None) => return Ok(diff),
            (Some(one), Some(other)) if one.fingerprint == other.fingerprint => (left.take(), right.take()),
            (Some(one), Some(other)) if one.fingerprint < other.fingerprint => (left.take(), None),
            (Some(_), None) => (left.take(), None),
            _ => (None, right.take()),
        };
        diff.count(before.as_ref(), after.as_ref());
        if before.is_some() {
            left = next(&mut old, &old_names)?;
        }
        if after.is_some() {
            right = next(&mut new, &new_names)?;
        }
    }
}

/// The next rule about which anything is left.
fn next<'f>(rules: &mut crate::store::Rules<'_>, names: &'f [String]) -> Result<Option<Rule<'f>>, StoreError> {
    while let Some((fingerprint, votes)) = rules.next_rule()? {
        let Some(says) = says(votes, |_| true) else { continue };
        let feeds = votes.iter().filter_map(|vote| Some((names[vote.feed].as_str(), says_of(votes, vote.feed)?)));
        return Ok(Some(Rule { fingerprint, says, feeds: feeds.collect() }));
    }
    Ok(None)
}

fn says_of(votes: &[StoredVote], feed: usize) -> Option<Says> {
    says(votes, |vote| vote.feed == feed)
}

/// As the builder merges votes, as far as it is told here.
fn says(votes: &[StoredVote], of: impl Fn(&StoredVote) -> bool) -> Option<Says> {
    let left = || votes.iter().filter(|vote| !vote.revoked && of(vote));
    let standing = left().map(StoredVote::standing).max()?;
    let winners = || left().filter(|vote| vote.standing() == standing);
    let mut surest: BTreeMap<usize, u8> = BTreeMap::new();
    winners().for_each(|vote| {
        let sure = surest.entry(vote.feed).or_default();
        *sure = vote.confidence.max(*sure);
    });
    Some(Says {
        kind: left().next()?.kind,
        standing,
        score: winners().map(|vote| vote.score).max().unwrap_or(0),
        confidence: corroboration(&mut surest.into_values().collect::<Vec<u8>>()),
        categories: winners().fold(0, |all, vote| all | vote.categories),
    })
}

impl Diff {
    fn count(&mut self, old: Option<&Rule<'_>>, new: Option<&Rule<'_>>) {
        let Some(kind) = old.or(new).map(|rule| rule.says.kind) else { return };
        for changes in [&mut self.total, self.by_kind.entry(kind.name()).or_default()] {
            changes.count(old.map(|rule| &rule.says), new.map(|rule| &rule.says));
        }
        let none = BTreeMap::new();
        let (old, new) = (old.map_or(&none, |rule| &rule.feeds), new.map_or(&none, |rule| &rule.feeds));
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            // Names are few and rules are many: the name is copied once.
            if !self.by_feed.contains_key(*name) {
                self.by_feed.insert((*name).to_owned(), Changes::default());
            }
            if let Some(changes) = self.by_feed.get_mut(*name) {
                changes.count(old.get(name), new.get(name));
            }
        }
    }
}

impl Changes {
    fn count(&mut self, old: Option<&Says>, new: Option<&Says>) {
        self.old += u64::from(old.is_some());
        self.new += u64::from(new.is_some());
        match (old, new) {
            (None, Some(_)) => self.added += 1,
            (Some(_), None) => self.removed += 1,
            (Some(old), Some(new)) if old.standing != new.standing => self.flipped += 1,
            (Some(old), Some(new)) if old != new => self.changed += 1,
            _ => {}
        }
    }
}
