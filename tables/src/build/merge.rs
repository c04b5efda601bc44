//! Votes on one rule become what each source says of it; what those come to is `combine`.
//!
//! ```text
//! votes of one source   the highest standing stays; of that: earliest first_seen, latest last_seen, highest score, confidence and ttl, all categories
//! across sources        one `VoteEntry` each, ascending: winners or not, all that voted
//! ```
//!
//! Every step is commutative, associative and idempotent: order and repetition cannot show in the result.

use super::arena::PackedVote;
use crate::combine::earliest;
use crate::layout::VoteEntry;
use crate::verdict::flag;

/// One entry of each source that votes, ascending. `votes` is not empty.
pub(super) fn merge(votes: &mut [PackedVote], entries: &mut Vec<VoteEntry>) {
    votes.sort_unstable_by_key(|vote| (vote.source, vote.standing));
    entries.clear();
    for of_source in votes.chunk_by(|a, b| a.source == b.source) {
        // Sorted: the last one stands highest.
        let standing = of_source[of_source.len() - 1].standing;
        let winners = of_source.iter().filter(|vote| vote.standing == standing);
        let class_and_flags = VoteEntry {
            source: of_source[0].source,
            class: standing.class(),
            flags: (u8::from(standing.allows()) * flag::ALLOWLISTED) | (u8::from(standing.overrides()) * flag::OVERRIDDEN),
            ..VoteEntry::default()
        };
        entries.push(winners.fold(class_and_flags, |all, vote| VoteEntry {
            ttl_s: all.ttl_s.max(vote.ttl_s),
            categories: all.categories | vote.categories,
            first_seen_day: earliest(all.first_seen_day, vote.first_seen_day),
            last_seen_day: all.last_seen_day.max(vote.last_seen_day),
            score: all.score.max(vote.score),
            confidence: all.confidence.max(vote.confidence),
            ..all
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::combine;
    use crate::layout::Record;
    use crate::rule::{RuleKind, Vote};
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
                let mut entries = vec![VoteEntry::default()];
                merge(&mut packed, &mut entries);
                assert_eq!(combine(RuleKind::Host, &entries), expected);
                assert_eq!(entries.iter().map(|entry| entry.source).collect::<Vec<_>>(), expected_sources);
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

    #[test]
    fn what_one_source_says_below_its_highest_standing_shows_nowhere() {
        let lower = [vote(1, Class::Suspicious, 99, (1, 9), 1), Vote { allow: true, ..vote(2, Class::Malicious, 99, (1, 9), 1) }];
        let highest = [vote(1, Class::Malicious, 70, (3, 5), 300), Vote { overrides: true, ..vote(2, Class::Clean, 10, (4, 4), 200) }];
        let merged = |votes: &[Vote]| {
            let (mut packed, mut entries) = (votes.iter().map(PackedVote::pack).collect::<Vec<_>>(), Vec::new());
            merge(&mut packed, &mut entries);
            entries
        };
        assert_eq!(merged(&[lower, highest].concat()), merged(&highest));
        assert_eq!(
            merged(&highest)[0],
            VoteEntry {
                ttl_s: 300,
                source: 1,
                categories: 2,
                first_seen_day: 3,
                last_seen_day: 5,
                class: 3,
                score: 70,
                confidence: 35,
                flags: 0
            }
        );
    }
}
