//! What a source takes back, it has never said.
//!
//! A revocation is an entry of the arena like a vote, so that it meets the votes on its rule where those meet each other: sorted by the digest
//! of the rule, whichever came first. It goes away together with all votes of its source on that rule, before anything is counted or merged.

use super::arena::Arena;
use super::seed::RuleDigest;
use super::{Builder, VOTES_MAX, normal_form, reach};
use crate::error::Error;
use crate::rule::Rule;

impl Builder {
    /// Takes back everything that `source` says of this rule, whether it was added before or comes after. A rule about which nobody says anything
    /// any more is as if it had never been added. For [`trace`](Self::trace) it is a call of `add`.
    pub fn revoke(&mut self, rule: Rule<'_>, source: u16) -> Result<(), Error> {
        self.check_source(source)?;
        let rule = normal_form(rule)?;
        reach(&rule, self.widest.as_ref().ok_or(Error::NoSuffixList)?).map_err(Error::Unreachable)?;
        if self.votes() >= VOTES_MAX {
            return Err(Error::TooManyRules { max: VOTES_MAX });
        }
        self.arena.push_revocation(&rule, source);
        self.revokes = true;
        Ok(())
    }
}

/// The entries that are left, in their order; equal rules stand side by side.
pub(super) fn without_revoked(arena: &Arena, entries: &[(RuleDigest, u32)]) -> Vec<(RuleDigest, u32)> {
    let vote = |entry: u32| &arena.entries[entry as usize].vote;
    let mut left = Vec::with_capacity(entries.len());
    let mut revoked: Vec<u16> = Vec::new();
    for group in entries.chunk_by(|a, b| a.0 == b.0) {
        revoked.clear();
        revoked.extend(group.iter().map(|(_, entry)| vote(*entry)).filter(|vote| vote.standing.revokes()).map(|vote| vote.source));
        revoked.sort_unstable();
        left.extend(group.iter().filter(|(_, entry)| revoked.binary_search(&vote(*entry).source).is_err()));
    }
    left
}

#[cfg(test)]
mod tests {
    use crate::{Builder, Class, Rule, Source, Vote};
    use verdict_keys::Scheme;
    use verdict_simd::Portable;

    const LISTED: [&str; 3] = ["a.example", "b.example", "c.example"];

    fn vote(source: u16) -> Vote {
        Vote {
            source,
            class: Class::Malicious,
            allow: false,
            overrides: false,
            score: 90,
            confidence: 50,
            categories: 0,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 60,
        }
    }

    enum Step {
        Add(usize, u16),
        Revoke(usize, u16),
    }
    use Step::{Add, Revoke};

    fn bytes(steps: &[Step]) -> Vec<u8> {
        let mut builder = Builder::new(Scheme::Full, b"", 0);
        for name in ["one", "two"] {
            builder.source(Source { name, licence: "" });
        }
        for step in steps {
            let rule = |number: usize| Rule::Host { host: LISTED[number], subdomains: true };
            match *step {
                Add(number, source) => builder.add(rule(number), vote(source)).unwrap(),
                Revoke(number, source) => builder.revoke(rule(number), source).unwrap(),
            }
        }
        builder.build(Portable::new()).unwrap().bytes
    }

    #[test]
    fn a_revocation_takes_its_own_sources_votes_away_in_any_order() {
        let never = bytes(&[Add(0, 0), Add(1, 1)]);
        for steps in [
            [Add(0, 0), Add(1, 0), Add(1, 1), Revoke(1, 0)],
            [Revoke(1, 0), Add(1, 1), Add(1, 0), Add(0, 0)],
            [Add(1, 0), Revoke(1, 0), Add(0, 0), Add(1, 1)],
        ] {
            assert_eq!(bytes(&steps), never);
        }
        // Twice, of a rule that nobody lists, and of a rule that comes again.
        assert_eq!(bytes(&[Add(0, 0), Add(1, 1), Revoke(2, 0), Revoke(2, 1), Revoke(1, 0), Revoke(1, 0), Add(1, 0)]), never);
    }

    #[test]
    fn a_rule_that_all_take_back_was_never_there_nor_was_a_source_without_votes() {
        let alone = bytes(&[Add(0, 0)]);
        assert_eq!(bytes(&[Add(0, 0), Add(1, 1), Revoke(1, 1)]), alone);
        assert_ne!(bytes(&[Add(0, 0), Add(1, 1), Revoke(1, 0)]), alone);
        assert_eq!(bytes(&[Add(2, 1), Revoke(2, 1)]), bytes(&[]));
    }
}
