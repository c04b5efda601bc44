//! From distinct rules to the slots of the exact table.
//!
//! ```text
//! host example.com                 key(example.com)            id
//! URL example.com/a/ prefix        key(example.com, /a/)       id
//!                                  key(example.com)            0 | PATHS | PREFIXES     "go on: there are paths"
//! after sorting by key             key(example.com)            id | PATHS | PREFIXES    one slot
//! ```
//!
//! Slots of one key differ in scope (SELF, LEAF). Two rules of one key and one scope are a 128-bit collision: the key is drawn again.

use verdict_simd::{Backend, Domain, Hash128, HashSchedule, Key128, seal};

use super::arena::{Arena, Encoded, decode};
use super::place::Slot;
use super::{RuleVerdict, parallel};
use crate::layout::slot;
use crate::rule::RuleKind;

/// What the distinct rules come to under one hash key.
#[derive(Default)]
pub(super) struct Keyed {
    pub(super) slots: Vec<Slot>,
    /// By text and kind, with verdict ids.
    pub(super) signatures: Vec<(Vec<u8>, RuleKind, u32)>,
}

/// Two different rules met in one key of 128 bits.
pub(super) struct Collision;

/// Hashes all rules. `ids` maps the numbers in `rules` to verdict ids.
pub(super) fn key_all<B: Backend>(
    backend: B,
    schedule: &HashSchedule,
    arena: &Arena,
    rules: &[RuleVerdict],
    ids: &[u32],
    threads: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Keyed, Collision> {
    let chunk = rules.len().div_ceil(threads * 8).max(1);
    let mut parts: Vec<Keyed> = rules.chunks(chunk).map(|_| Keyed::default()).collect();
    let jobs: Vec<_> = rules.chunks(chunk).zip(&mut parts).collect();
    parallel::each(
        jobs,
        threads,
        |(rules, part)| {
            for (at, rule) in rules.iter().enumerate() {
                arena.prefetch(rules[at + 1..].iter().map(|rule| rule.entry));
                part.push(backend, schedule, arena.encoding(rule.entry), ids[rule.number as usize]);
            }
            part.slots.sort_unstable();
            part.slots.dedup(); // most markers repeat
            rules.len() as u64
        },
        progress,
    );
    let mut keyed = Keyed::default();
    keyed.slots.reserve_exact(parts.iter().map(|part| part.slots.len()).sum());
    for part in parts {
        keyed.slots.extend(part.slots);
        keyed.signatures.extend(part.signatures);
    }
    keyed.slots.sort(); // merges the sorted parts
    keyed.slots = merge_scopes(keyed.slots)?;
    Ok(keyed)
}

impl Keyed {
    fn push<B: Backend>(&mut self, backend: B, schedule: &HashSchedule, encoding: &[u8], id: u32) {
        match decode(encoding) {
            Encoded::Host { host, subdomains } => {
                let flags = if subdomains { 0 } else { slot::SELF };
                self.slots.push(slot_of(seal(backend.hash(schedule, Domain::Host, host)), id | flags));
            }
            Encoded::Url { host, path_query, prefix, subdomains } => {
                let host = backend.hash(schedule, Domain::Host, host);
                let path = backend.hash(schedule, Domain::Path, path_query);
                let scope = if subdomains { 0 } else { slot::SELF } | if prefix { 0 } else { slot::LEAF };
                self.slots.push(slot_of(pair(backend, schedule, host, path), id | scope));
                let below = if subdomains { slot::PATHS_BELOW } else { 0 };
                let prefixes = if prefix { slot::PREFIXES } else { 0 };
                self.slots.push(slot_of(seal(host), slot::PATHS | prefixes | below));
            }
            Encoded::File { domain, digest } => self.slots.push(slot_of(seal(backend.hash(schedule, domain, digest)), id)),
            Encoded::Net4 { .. } | Encoded::Net6 { .. } => (), // found by no key
            Encoded::Signature { text, kind } => self.signatures.push((text.to_vec(), kind, id)),
        }
    }
}

fn pair<B: Backend>(backend: B, schedule: &HashSchedule, host: Hash128, path: Hash128) -> Key128 {
    let mut key = [Key128::default()];
    backend.pair(schedule, host, &[path], &mut key);
    key[0]
}

fn slot_of(key: Key128, reference: u32) -> Slot {
    Slot { hi: key.hi, lo: key.lo, reference }
}

/// Folds the markers of a host into its own slot, in place: never more slots than before.
fn merge_scopes(mut slots: Vec<Slot>) -> Result<Vec<Slot>, Collision> {
    let mut kept = 0;
    let mut at = 0;
    while at < slots.len() {
        let key = (slots[at].hi, slots[at].lo);
        let end = at + slots[at..].iter().take_while(|slot| (slot.hi, slot.lo) == key).count();
        let markers = slots[at..end].iter().filter(|slot| slot.reference & slot::ID == 0).fold(0, |all, slot| all | slot.reference);
        let first = kept;
        for index in at..end {
            let slot = slots[index];
            if slot.reference & slot::ID != 0 {
                slots[kept] = slot;
                kept += 1;
            }
        }
        let own = &mut slots[first..kept];
        if collides(own, markers) {
            return Err(Collision);
        }
        // The widest scope carries the markers; it sorts first within a key only among equal ids, so it is looked for.
        match own.iter_mut().min_by_key(|slot| slot.reference & slot::SELF) {
            Some(slot) => slot.reference |= markers,
            None => {
                slots[kept] = Slot { hi: key.0, lo: key.1, reference: markers };
                kept += 1;
            }
        }
        at = end;
    }
    slots.truncate(kept);
    Ok(slots)
}

/// Whether the slots of one key cannot all be of one host, URL or file.
fn collides(own: &[Slot], markers: u32) -> bool {
    let scope = |slot: &Slot| slot.reference & (slot::SELF | slot::LEAF);
    let twice = own.iter().enumerate().any(|(at, slot)| own[..at].iter().any(|other| scope(other) == scope(slot)));
    let path_under_host_key = markers != 0 && own.iter().any(|slot| slot.reference & slot::LEAF != 0);
    twice || path_under_host_key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(hi: u64, reference: u32) -> Slot {
        Slot { hi, lo: 1, reference }
    }

    fn check(slots: &[Slot], expected: Option<&[Slot]>) {
        let mut slots = slots.to_vec();
        slots.sort_unstable();
        assert_eq!(merge_scopes(slots).ok().as_deref(), expected);
    }

    #[test]
    fn markers_fold_into_the_widest_slot_of_the_host() {
        let marker = slot::PATHS | slot::PREFIXES;
        check(
            &[slot(1, 9), slot(1, 7 | slot::SELF), slot(1, marker), slot(1, slot::PATHS)],
            Some(&[slot(1, 9 | marker), slot(1, 7 | slot::SELF)]),
        );
        check(&[slot(1, 7 | slot::SELF), slot(1, marker)], Some(&[slot(1, 7 | slot::SELF | marker)]));
        check(
            &[slot(1, marker), slot(1, slot::PATHS | slot::PATHS_BELOW), slot(2, 3)],
            Some(&[slot(1, marker | slot::PATHS_BELOW), slot(2, 3)]),
        );
    }

    #[test]
    fn two_verdicts_of_one_key_and_scope_are_a_collision() {
        check(&[slot(1, 9), slot(1, 8)], None);
        check(&[slot(1, 9 | slot::SELF | slot::LEAF), slot(1, 8 | slot::SELF | slot::LEAF)], None);
        check(&[slot(1, 9 | slot::LEAF), slot(1, slot::PATHS)], None);
        check(&[slot(1, 9 | slot::LEAF), slot(1, 8)], Some(&[slot(1, 8), slot(1, 9 | slot::LEAF)]));
    }
}
