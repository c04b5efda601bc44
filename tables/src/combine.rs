//! What several sources say of one rule becomes one record: when a snapshot is built, when a reader checks that it was built so, and again when some of
//! them are switched off.
//!
//! ```text
//! standing    (override, allow, class): the highest wins
//! winners     highest score, all categories, earliest and latest day, lowest ttl; confidence of all together (`corroboration`)
//! ```
//! A source's lower votes on the same rule are not here: whoever else is silent, its own highest one outranks them.

use crate::corroboration::{SOURCES_HEARD, corroboration};
use crate::layout::{Record, VoteEntry};
use crate::rule::RuleKind;
use crate::verdict::{Verdict, flag};

const _: () = assert!(flag::ALLOWLISTED >> 4 == 1 << 2 && flag::OVERRIDDEN >> 4 == 1 << 3);

impl VoteEntry {
    /// As a number: override before allow before class.
    pub(crate) const fn standing(&self) -> u8 {
        self.flags >> 4 | self.class
    }
}

/// The record of votes of different sources, without its place among them and what is behind it. One vote alone is what it says.
pub(crate) fn combine(rule_kind: RuleKind, votes: &[VoteEntry]) -> Record {
    if let [VoteEntry { ttl_s, categories, first_seen_day, last_seen_day, class, score, confidence, flags, .. }] = *votes {
        let rule_kind = rule_kind as u8;
        return Record {
            ttl_s,
            categories,
            first_seen_day,
            last_seen_day,
            class,
            score,
            confidence,
            flags,
            rule_kind,
            ..Record::default()
        };
    }
    let standing = votes.iter().map(VoteEntry::standing).max().unwrap_or(0);
    let mut record = Record { ttl_s: u32::MAX, rule_kind: rule_kind as u8, ..Record::default() };
    let (mut surest, mut heard) = ([0; SOURCES_HEARD], 0);
    for vote in votes.iter().filter(|vote| vote.standing() == standing) {
        (record.class, record.flags) = (vote.class, vote.flags);
        record.ttl_s = record.ttl_s.min(vote.ttl_s);
        record.categories |= vote.categories;
        record.score = record.score.max(vote.score);
        record.first_seen_day = earliest(record.first_seen_day, vote.first_seen_day);
        record.last_seen_day = record.last_seen_day.max(vote.last_seen_day);
        if heard < SOURCES_HEARD {
            surest[heard] = vote.confidence;
            heard += 1;
        } else if let Some(least) = surest.iter_mut().min() {
            // The least sure of one too many makes room.
            *least = vote.confidence.max(*least);
        }
    }
    Record { confidence: corroboration(&mut surest[..heard]), ..record }
}

/// Of days of which 0 is unknown.
pub(crate) fn earliest(one: u16, other: u16) -> u16 {
    match (one, other) {
        (0, known) | (known, 0) => known,
        _ => one.min(other),
    }
}

/// What an address is answered: by the prefix around it that says `own`, or by `behind`, the answer that it has without that one. Of equals the longer
/// prefix wins.
pub(crate) fn in_front(own: Option<Verdict>, behind: Verdict) -> Verdict {
    own.filter(|own| own.rank() >= behind.rank()).unwrap_or(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_are_unknown_are_never_the_earliest() {
        assert_eq!([earliest(0, 0), earliest(0, 7), earliest(7, 0), earliest(9, 7)], [0, 7, 7, 7]);
    }

    #[test]
    fn of_more_sources_than_are_heard_the_surest_count() {
        let vote = |source: u16| VoteEntry { source, class: 3, ttl_s: 60, confidence: 5 * source as u8, ..VoteEntry::default() };
        let votes: Vec<VoteEntry> = (0..12).map(vote).collect();
        assert_eq!(combine(RuleKind::Md5, &votes), Record { ..combine(RuleKind::Md5, &votes[4..]) });
        assert_ne!(combine(RuleKind::Md5, &votes).confidence, combine(RuleKind::Md5, &votes[5..]).confidence);
    }

    #[test]
    fn the_longer_prefix_answers_unless_it_is_outranked_or_silent() {
        let says = |class: u8, id: u8| Verdict { outcome: class << 4, id: [id, 0, 0], ..Verdict::default() };
        assert_eq!(in_front(Some(says(2, 9)), says(2, 3)), says(2, 9));
        assert_eq!(in_front(Some(says(2, 9)), says(3, 3)), says(3, 3));
        assert_eq!(in_front(None, says(1, 3)), says(1, 3));
        assert_eq!(in_front(Some(says(0, 9)), Verdict::default()), says(0, 9));
    }
}
