//! Many listed addresses of one IPv6 network become a rule for the network, where the operator asks for it.
//!
//! ```text
//! ipv6_aggregate = { bits = 64, hits = 4 }
//! 2001:db8:0:7::1  ::2  ::9  ::f00d      four malicious addresses of one /64, from any feeds ──► 2001:db8:0:7::/64, malicious
//! ```
//! Whoever rents a server gets 2^64 addresses, and lists of single ones are always a day behind. Off by default: it lists what no feed has named.
//! The longest prefix still wins, so the addresses themselves keep their own verdicts, and allow rules win anyway; but beside an allow rule
//! (or an override) nothing is added at all: one allowed address says that strangers do not have the network to themselves.

use crate::breadth;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use verdict_tables::{Class, Rule, Vote};

/// `ipv6_aggregate`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Length of the networks, 48 to 64.
    pub bits: u8,
    /// Distinct addresses or longer prefixes of one network and one class, at least 2.
    pub hits: u32,
}

impl Policy {
    /// Lengths that make sense: what one customer gets.
    pub const BITS: std::ops::RangeInclusive<i64> = 48..=64;
    /// Few are chance, more than this nobody lists.
    pub const HITS: std::ops::RangeInclusive<i64> = 2..=1_000_000;
}

/// What the policy did; all zero without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Aggregated {
    /// Networks for which a rule was added.
    pub networks: u64,
    /// Votes that name them: one for each feed that listed addresses there.
    pub votes: u64,
    /// Networks with enough addresses that hold or lie in an allow or override rule.
    pub beside_allowed: u64,
    /// Networks with enough addresses that no feed could list: private space, for example.
    pub refused: u64,
}

/// A rule to be added, as if the feed had listed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The network.
    pub network: Ipv6Addr,
    /// Its length.
    pub bits: u8,
    /// What the feed says of the first of its addresses there.
    pub vote: Vote,
    /// Place of the feed in the order of reading.
    pub feed: usize,
    /// Line of the feed that lists that address.
    pub line: u64,
}

/// Sees every rule that the builder takes.
#[derive(Debug)]
pub struct Collector {
    policy: Policy,
    hits: BTreeMap<(u128, u8), Hits>,
    /// First and last addresses of allow and override rules.
    spared: Vec<(u128, u128)>,
    /// Network, length and source of what was taken back.
    revoked: BTreeSet<(u128, u8, u16)>,
}

#[derive(Debug, Default)]
struct Hits {
    listed: BTreeSet<(u128, u8, u16)>,
    /// By source: feed, line and vote of its first address.
    votes: BTreeMap<u16, (usize, u64, Vote)>,
}

impl Collector {
    /// Of nothing yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, hits: BTreeMap::new(), spared: Vec::new(), revoked: BTreeSet::new() }
    }

    /// A rule of a feed, by the feed's place in the order of reading and the line.
    pub fn see(&mut self, rule: &Rule<'_>, vote: &Vote, feed: usize, line: u64) {
        let Rule::Net { network: IpAddr::V6(network), bits } = *rule else { return };
        let first = network.to_bits();
        if vote.allow || vote.overrides {
            self.spared.push((first, first | !mask(bits)));
        } else if bits > self.policy.bits && matches!(vote.class, Class::Suspicious | Class::Malicious) {
            let hits = self.hits.entry((first & mask(self.policy.bits), vote.class as u8)).or_default();
            hits.listed.insert((first, bits, vote.source));
            hits.votes.entry(vote.source).or_insert((feed, line, *vote));
        }
    }

    /// What a source has taken back counts for nothing, whether it comes before or after.
    pub fn revoke(&mut self, rule: &Rule<'_>, source: u16) {
        let Rule::Net { network: IpAddr::V6(network), bits } = *rule else { return };
        self.revoked.insert((network.to_bits(), bits, source));
    }

    /// The rules to be added, by network.
    pub fn additions(mut self) -> (Vec<Addition>, Aggregated) {
        let (mut additions, mut told) = (Vec::new(), Aggregated::default());
        self.spared.sort_unstable();
        let spared = Spared::of(&self.spared);
        for hits in self.hits.values_mut() {
            hits.forget(&self.revoked);
        }
        for ((first, _), hits) in self.hits.into_iter().filter(|(_, hits)| hits.distinct() >= self.policy.hits as usize) {
            let (network, bits) = (Ipv6Addr::from_bits(first), self.policy.bits);
            if spared.touches(first, first | !mask(bits)) {
                told.beside_allowed += 1;
            } else if breadth::prefix(network.into(), bits, false).is_err() {
                told.refused += 1;
            } else {
                told.networks += 1;
                told.votes += hits.votes.len() as u64;
                additions.extend(hits.votes.into_values().map(|(feed, line, vote)| Addition { network, bits, vote, feed, line }));
            }
        }
        (additions, told)
    }
}

impl Hits {
    fn forget(&mut self, revoked: &BTreeSet<(u128, u8, u16)>) {
        if revoked.is_empty() {
            return;
        }
        self.listed.retain(|one| !revoked.contains(one));
        let left: BTreeSet<u16> = self.listed.iter().map(|(_, _, source)| *source).collect();
        self.votes.retain(|source, _| left.contains(source));
    }

    /// Addresses and prefixes, however many sources list each; they stand side by side.
    fn distinct(&self) -> usize {
        let mut before = None;
        self.listed.iter().map(|(first, bits, _)| Some((*first, *bits))).filter(|one| std::mem::replace(&mut before, *one) != *one).count()
    }
}

/// Ranges by first address, each with the highest last address so far.
struct Spared(Vec<(u128, u128)>);

impl Spared {
    fn of(sorted: &[(u128, u128)]) -> Self {
        let mut highest = 0;
        Self(
            sorted
                .iter()
                .map(|(first, last)| {
                    highest = highest.max(*last);
                    (*first, highest)
                })
                .collect(),
        )
    }

    fn touches(&self, first: u128, last: u128) -> bool {
        let begun = self.0.partition_point(|(other, _)| *other <= last);
        begun.checked_sub(1).is_some_and(|at| self.0[at].1 >= first)
    }
}

const fn mask(bits: u8) -> u128 {
    if bits == 0 { 0 } else { u128::MAX << (128 - bits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(source: u16, class: Class) -> Vote {
        Vote {
            source,
            class,
            allow: false,
            overrides: false,
            score: 50,
            confidence: 50,
            categories: 1,
            first_seen_day: 0,
            last_seen_day: 0,
            ttl_s: 60,
        }
    }

    fn see(collector: &mut Collector, network: &str, bits: u8, vote: Vote) {
        collector.see(&Rule::Net { network: network.parse().unwrap(), bits }, &vote, usize::from(vote.source), 7);
    }

    fn additions(rules: &[(&str, u8, Vote)], hits: u32) -> (Vec<Addition>, Aggregated) {
        let mut collector = Collector::new(Policy { bits: 64, hits });
        rules.iter().for_each(|(network, bits, vote)| see(&mut collector, network, *bits, *vote));
        collector.additions()
    }

    const BAD: Class = Class::Malicious;

    #[test]
    fn enough_addresses_of_one_network_name_the_sources_of_all() {
        let rules =
            [("2001:db8:1:2::1", 128, vote(0, BAD)), ("2001:db8:1:2::2", 128, vote(1, BAD)), ("2001:db8:1:2:8000::", 66, vote(0, BAD))];
        let (added, told) = additions(&rules, 3);
        assert_eq!(told, Aggregated { networks: 1, votes: 2, ..Aggregated::default() });
        assert!(added.iter().all(|rule| rule.network == "2001:db8:1:2::".parse::<Ipv6Addr>().unwrap() && rule.bits == 64));
        assert_eq!(added.iter().map(|rule| rule.vote.source).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn the_same_address_twice_is_one_and_other_networks_and_classes_do_not_count() {
        let rules = [
            ("2001:db8:1:2::1", 128, vote(0, BAD)),
            ("2001:db8:1:2::1", 128, vote(1, BAD)),
            ("2001:db8:1:3::2", 128, vote(0, BAD)),
            ("2001:db8:1:2::3", 128, vote(0, Class::Suspicious)),
            ("2001:db8:1:2::", 64, vote(0, BAD)),
        ];
        assert_eq!(additions(&rules, 2).1, Aggregated::default());
    }

    #[test]
    fn nothing_is_added_above_below_or_across_an_allow_rule_or_an_override() {
        let listed = [("2001:db8:1:2::1", 128, vote(0, BAD)), ("2001:db8:1:2::2", 128, vote(0, BAD))];
        let allow = Vote { allow: true, ..vote(1, Class::Clean) };
        let overriding = Vote { overrides: true, ..vote(1, BAD) };
        for (network, bits, vote) in
            [("2001:db8:1:2::f00d", 128, allow), ("2001:db8:1::", 48, allow), ("2001:db8:1:2::f00d", 128, overriding)]
        {
            let (added, told) = additions(&[listed[0], listed[1], (network, bits, vote)], 2);
            assert_eq!((added.len(), told.beside_allowed), (0, 1), "{network}/{bits}");
        }
        for (network, bits) in [("2001:db8:1:3::", 64), ("2001:db8:1:1:ffff::", 80)] {
            assert_eq!(additions(&[listed[0], listed[1], (network, bits, allow)], 2).1.networks, 1, "{network}/{bits}");
        }
    }

    #[test]
    fn a_wide_allow_rule_is_seen_behind_narrow_ones() {
        let allow = Vote { allow: true, ..vote(1, Class::Clean) };
        let rules = [
            ("2001:db8::", 32, allow),
            ("2001:db8:0:1::", 64, allow),
            ("2001:db8:9:2::1", 128, vote(0, BAD)),
            ("2001:db8:9:2::2", 128, vote(0, BAD)),
        ];
        assert_eq!(additions(&rules, 2).1.beside_allowed, 1);
    }

    #[test]
    fn what_no_feed_may_list_is_not_added_either() {
        let rules = [("fd00::1", 128, vote(0, BAD)), ("fd00::2", 128, vote(0, BAD))];
        assert_eq!(additions(&rules, 2).1.refused, 1);
    }
}
