//! Votes on one rule become one record.
//!
//! ```text
//! votes of one source and one standing   union: earliest first_seen, latest last_seen, highest score, confidence and ttl, all categories
//! across sources                         the highest standing wins (override, allow, malicious, suspicious, clean, unknown);
//!                                        of its votes: highest score, all categories, earliest and latest day, lowest ttl;
//!                                        confidence of all its sources together (`corroboration`)
//! sources                                all that voted, winners or not
//! ```
//!
//! Every step is commutative, associative and idempotent: order and repetition cannot show in the result.

use super::arena::{PackedVote, Standing};
use crate::corroboration::{SOURCES_HEARD, corroboration};
use crate::layout::Record;
use crate::rule::RuleKind;
use crate::verdict::flag;

/// The record of one rule, without its place in the source pool; `sources` receives the sorted distinct sources. `votes` is not empty.
pub(super) fn merge(kind: RuleKind, votes: &mut [PackedVote], sources: &mut Vec<u16>) -> Record {
    votes.sort_unstable_by_key(|vote| (vote.source, vote.standing));
    sources.clear();
    sources.extend(votes.iter().map(|vote| vote.source));
    sources.dedup();
    let standing = votes.iter().map(|vote| vote.standing).max().expect("a rule enters with its first vote");
    let winners = || votes.iter().filter(|vote| vote.standing == standing);
    Record {
        sources_at: 0,
        ttl_s: lowest_ttl(votes, |vote| vote.standing == standing),
        source_count: 0,
        categories: winners().fold(0, |all, vote| all | vote.categories),
        first_seen_day: winners().map(|vote| vote.first_seen_day).filter(|day| *day != 0).min().unwrap_or(0),
        last_seen_day: winners().map(|vote| vote.last_seen_day).max().unwrap_or(0),
        class: standing.class(),
        score: winners().map(|vote| vote.score).max().unwrap_or(0),
        confidence: together(votes, standing),
        rule_kind: kind as u8,
        flags: (u8::from(standing.allows()) * flag::ALLOWLISTED) | (u8::from(standing.overrides()) * flag::OVERRIDDEN),
        zero: [0; 3],
    }
}

/// Each winning source's highest confidence, and what they come to. `votes` are sorted by source. Only the surest are heard: the least sure of
/// one too many makes room.
fn together(votes: &[PackedVote], standing: Standing) -> u8 {
    let (mut surest, mut count) = ([0; SOURCES_HEARD], 0);
    for of_source in votes.chunk_by(|a, b| a.source == b.source) {
        let Some(confidence) = of_source.iter().filter(|vote| vote.standing == standing).map(|vote| vote.confidence).max() else {
            continue;
        };
        if count < SOURCES_HEARD {
            surest[count] = confidence;
            count += 1;
        } else if let Some(least) = surest.iter_mut().min() {
            *least = confidence.max(*least);
        }
    }
    corroboration(&mut surest[..count])
}

/// Lowest over the sources of each source's highest. `votes` are sorted by source.
fn lowest_ttl(votes: &[PackedVote], wins: impl Fn(&PackedVote) -> bool) -> u32 {
    votes
        .chunk_by(|a, b| a.source == b.source)
        .filter_map(|of_source| of_source.iter().filter(|vote| wins(vote)).map(|vote| vote.ttl_s).max())
        .min()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Vote;
    use crate::verdict::Class;

    fn vote(source: u16, class: Class, score: u8, days: (u16, u16), ttl_s: u32) -> Vote {
        Vote {
            source,
            class,
            allow: false,
            overrides: false,
            score,
            confidence: score / 2,
            categories: 1 << source,
            first_seen_day: days.0,
            last_seen_day: days.1,
            ttl_s,
        }
    }

    fn check(votes: &[Vote], expected: Record, expected_sources: &[u16]) {
        // All rotations, forwards and backwards, with a repetition: nothing may change.
        for turn in 0..votes.len() {
            for reverse in [false, true] {
                let mut packed: Vec<PackedVote> = votes.iter().map(PackedVote::pack).collect();
                packed.rotate_left(turn);
                packed.push(packed[0]);
                if reverse {
                    packed.reverse();
                }
                let mut sources = vec![99];
                assert_eq!(merge(RuleKind::Host, &mut packed, &mut sources), expected);
                assert_eq!(sources, expected_sources);
            }
        }
    }

    #[test]
    fn the_winning_class_alone_gives_score_categories_days_and_ttl() {
        let votes = [
            vote(3, Class::Suspicious, 99, (1, 9), 1),
            vote(1, Class::Malicious, 70, (0, 5), 300),
            vote(2, Class::Malicious, 80, (4, 4), 200),
        ];
        let expected = Record {
            ttl_s: 200,
            categories: 0b110,
            first_seen_day: 4,
            last_seen_day: 5,
            class: 3,
            score: 80,
            confidence: 50, // 35 and 40 together: 1 - 0.6 · 0.825
            rule_kind: 1,
            ..Record::default()
        };
        check(&votes, expected, &[1, 2, 3]);
    }

    #[test]
    fn one_source_twice_keeps_its_longest_ttl() {
        let votes = [
            vote(1, Class::Malicious, 10, (3, 3), 100),
            vote(1, Class::Malicious, 20, (2, 2), 500),
            vote(2, Class::Malicious, 5, (0, 0), 400),
        ];
        let expected = Record {
            ttl_s: 400,
            categories: 0b110,
            first_seen_day: 2,
            last_seen_day: 3,
            class: 3,
            score: 20,
            confidence: 10,
            rule_kind: 1,
            ..Record::default()
        };
        check(&votes, expected, &[1, 2]);
    }

    #[test]
    fn allow_beats_malicious_and_override_beats_allow() {
        let malicious = vote(1, Class::Malicious, 90, (0, 0), 10);
        let allow = Vote { allow: true, ..vote(2, Class::Malicious, 0, (0, 0), 20) };
        let overrides = Vote { overrides: true, ..vote(3, Class::Suspicious, 40, (0, 0), 30) };
        let expected = Record { ttl_s: 20, categories: 0b100, class: 1, flags: flag::ALLOWLISTED, rule_kind: 1, ..Record::default() };
        check(&[malicious, allow], expected, &[1, 2]);
        let expected = Record {
            ttl_s: 30,
            categories: 0b1000,
            class: 2,
            score: 40,
            confidence: 20,
            flags: flag::OVERRIDDEN,
            rule_kind: 1,
            ..Record::default()
        };
        check(&[malicious, allow, overrides], expected, &[1, 2, 3]);
    }
}
