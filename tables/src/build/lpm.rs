//! Nested prefixes become flat intervals, so that a lookup needs no walk and its answer is already the winner.
//!
//! ```text
//! 10.0.0.0/8      suspicious  |---------------------------|
//! 10.1.0.0/16     allow            |---------|
//! 10.1.2.0/24     malicious            |--|                    loses to the allow around it
//! intervals                   s    as  mas as      s        -      the longest first: what is behind comes after what is in front of it
//! answers                     s    a              s        -
//! ```
//!
//! At each address the winner is the covering prefix of the highest rank, and among those the longest. The others are kept behind each other, as far as
//! they could win while feeds are switched off: with all feeds off but one, the prefix wins that this one ranks highest, and of those the longest. Which is
//! that of no feed can never win, since whenever it speaks, the one that beats it for that feed speaks too. So one feed alone leaves nothing behind, however
//! its prefixes nest.

use hashbrown::HashMap;

use super::records::Interned;

/// One prefix with the temporary number of its record. IPv4 sits in the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) first: u128,
    pub(super) bits: u8,
    pub(super) number: u32,
}

/// A record in front of what an address has without it.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// Its temporary number.
    pub(super) record: u32,
    /// The node behind it, 0 for none.
    pub(super) behind: u32,
    /// How many are behind it.
    pub(super) depth: u32,
}

/// Every distinct one, by its number; number 0 is none.
#[derive(Default)]
pub(super) struct Nodes {
    numbers: HashMap<(u32, u32), u32>,
    nodes: Vec<Node>,
}

impl Nodes {
    /// The number of this one.
    pub(super) fn number(&mut self, record: u32, behind: u32) -> u32 {
        let Self { numbers, nodes } = self;
        *numbers.entry((record, behind)).or_insert_with(|| {
            let depth = behind.checked_sub(1).map_or(0, |at| nodes[at as usize].depth + 1);
            nodes.push(Node { record, behind, depth });
            nodes.len() as u32
        })
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// All of them with their numbers.
    pub(super) fn each(&self) -> impl Iterator<Item = (u32, &Node)> {
        (1..).zip(&self.nodes)
    }
}

/// A prefix around the place where the sweep is.
struct Open {
    last: u128,
    /// What addresses have that lie in no longer one.
    node: u32,
    /// Where its part of `Sweep::kept` begins.
    kept_at: usize,
}

/// What is open, outermost first.
struct Sweep<'a> {
    interned: &'a Interned,
    nodes: &'a mut Nodes,
    open: Vec<Open>,
    /// Of each open prefix the records that its node is made of, the widest first.
    kept: Vec<u32>,
    /// By source: the place in `kept` of the record that wins where nobody else speaks, and its rank.
    best: HashMap<u16, (u8, usize)>,
}

impl Sweep<'_> {
    /// The node of addresses in this prefix, inside all that is open.
    fn open(&mut self, number: u32, last: u128) -> u32 {
        let around = self.open.last().map_or(0..0, |open| open.kept_at..self.kept.len());
        let kept_at = self.kept.len();
        if around.is_empty() {
            self.kept.push(number);
        } else {
            self.best.clear();
            // From the longest outwards: what is met later must outrank.
            for (place, record) in std::iter::once((kept_at, number)).chain(around.rev().map(|place| (place, self.kept[place]))) {
                for (source, rank) in self.interned.ranks(record) {
                    let best = self.best.entry(source).or_insert((rank, place));
                    if rank > best.0 {
                        *best = (rank, place);
                    }
                }
            }
            self.keep_best(number, kept_at);
        }
        let node = self.kept[kept_at..].iter().fold(0, |behind, record| self.nodes.number(*record, behind));
        self.open.push(Open { last, node, kept_at });
        node
    }

    /// Appends those that are the best of some source, in order; `number`, the longest, has the place `last`.
    fn keep_best(&mut self, number: u32, last: usize) {
        let mut places: Vec<usize> = self.best.values().map(|(_, place)| *place).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            self.kept.push(if place == last { number } else { self.kept[place] });
        }
    }

    /// Ends every prefix that ends before `until`.
    fn close(&mut self, flat: &mut Vec<(u128, u32)>, until: Option<u128>, last_address: u128) {
        while let Some(Open { last, kept_at, .. }) = self.open.pop_if(|open| until.is_none_or(|until| open.last < until)) {
            self.kept.truncate(kept_at);
            if last < last_address {
                emit(flat, last + 1, self.open.last().map_or(0, |open| open.node));
            }
        }
    }
}

/// (start, node) ascending, neighbours differing in node, the first start 0; empty without prefixes.
pub(super) fn flatten(mut prefixes: Vec<Prefix>, width: u8, interned: &Interned, nodes: &mut Nodes) -> Vec<(u128, u32)> {
    if prefixes.is_empty() {
        return Vec::new();
    }
    prefixes.sort_unstable();
    let last_address = last_of(0, 0, width);
    let mut flat = vec![(0, 0)];
    let mut sweep = Sweep { interned, nodes, open: Vec::new(), kept: Vec::new(), best: HashMap::new() };
    for prefix in prefixes {
        sweep.close(&mut flat, Some(prefix.first), last_address);
        let node = sweep.open(prefix.number, last_of(prefix.first, prefix.bits, width));
        emit(&mut flat, prefix.first, node);
    }
    sweep.close(&mut flat, None, last_address);
    flat
}

fn emit(flat: &mut Vec<(u128, u32)>, start: u128, id: u32) {
    if flat.last().is_some_and(|(last, _)| *last == start) {
        flat.pop();
    }
    if flat.last().is_none_or(|(_, last)| *last != id) {
        flat.push((start, id));
    }
}

fn last_of(first: u128, bits: u8, width: u8) -> u128 {
    let host_bits = u32::from(width - bits);
    first | u128::MAX.checked_shr(128 - host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::records::{Interner, Records};
    use super::*;
    use crate::combine::in_front;
    use crate::layout::{Record, VoteEntry};
    use crate::verdict::Verdict;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SOURCES: u16 = 3;

    /// Votes of classes by source; 9 is none, and at least one is there.
    type Says = [u8; SOURCES as usize];

    fn votes(says: Says, off: u8) -> Vec<VoteEntry> {
        let said = (0..SOURCES).zip(says).filter(|(source, class)| *class != 9 && off >> source & 1 == 0);
        said.map(|(source, class)| VoteEntry { source, class, ..VoteEntry::default() }).collect()
    }

    fn record(votes: &[VoteEntry]) -> Record {
        crate::combine::combine(crate::rule::RuleKind::Ipv4, votes)
    }

    /// Prefixes by what is said of them, flat, and the sections of their verdicts.
    fn flat(prefixes: &[(u128, u8, Says)], width: u8) -> (Vec<(u128, u32)>, Records, usize) {
        let mut interner = Interner::new(1000);
        let mut intern = |says: &Says| interner.intern(record(&votes(*says, 0)), &votes(*says, 0)).unwrap();
        let prefixes = prefixes.iter().map(|(first, bits, says)| Prefix { first: *first, bits: *bits, number: intern(says) }).collect();
        let (interned, mut nodes) = (interner.finish(), Nodes::default());
        let flat = flatten(prefixes, width, &interned, &mut nodes);
        let records = interned.lay_out(&nodes).unwrap();
        (flat.into_iter().map(|(start, node)| (start, records.node_ids[node as usize])).collect(), records, nodes.count())
    }

    /// The class that is answered in each interval, and where it begins; 9 is none.
    fn answered(prefixes: &[(u128, u8, Says)], width: u8) -> Vec<(u128, u8)> {
        let (flat, records, _) = flat(prefixes, width);
        let class = |id: u32| if id == 0 { 9 } else { records.templates[id as usize].outcome >> 4 };
        flat.into_iter().map(|(start, id)| (start, class(id))).collect()
    }

    fn one(class: u8) -> Says {
        [class, 9, 9]
    }

    #[test]
    fn a_malicious_prefix_inside_a_suspicious_one_and_the_reverse() {
        let (wide, long) = (|class| (0x1000, 20, one(class)), |class| (0x1100, 24, one(class)));
        assert_eq!(answered(&[wide(2), long(3)], 32), [(0, 9), (0x1000, 2), (0x1100, 3), (0x1200, 2), (0x2000, 9)]);
        assert_eq!(answered(&[wide(3), long(2)], 32), [(0, 9), (0x1000, 3), (0x2000, 9)]);
    }

    #[test]
    fn the_ends_of_the_address_space_neither_overflow_nor_vanish() {
        assert_eq!(answered(&[(0, 0, one(3))], 128), [(0, 3)]);
        assert_eq!(answered(&[(u128::MAX, 128, one(3))], 128), [(0, 9), (u128::MAX, 3)]);
        assert_eq!(answered(&[(0, 1, one(3)), (1 << 31, 1, one(2))], 32), [(0, 3), (1 << 31, 2)]);
        assert_eq!(answered(&[], 32), []);
    }

    #[test]
    fn what_can_never_win_is_not_kept() {
        let (x, y, both) = ([3, 9, 9], [9, 3, 9], [3, 3, 9]);
        let nested = |says: &[Says]| {
            let prefixes: Vec<_> = says.iter().zip(0..).map(|(says, length)| (0, 8 * length, *says)).collect();
            flat(&prefixes, 32).2
        };
        assert_eq!(nested(&[x, x, x]), 1, "equal, and the longest wins");
        assert_eq!(nested(&[x, both]), 2, "the longer one stays while either speaks: nothing behind it");
        assert_eq!(nested(&[both, x]), 2, "the wider one alone, and behind the longer one");
        assert_eq!(nested(&[x, y, x]), 4, "x; y before x; x before y, but not before x before y");
        assert_eq!(nested(&[x, [2, 9, 9]]), 1, "the longer one is outranked by its own feed");
        assert_eq!(nested(&[x, [9, 2, 9]]), 2, "by another, which may be off");
    }

    proptest! {
        /// Over 8-bit addresses every address can be asked, of every covering prefix, with every set of sources off.
        #[test]
        fn flat_intervals_answer_as_all_prefixes_would(
            rules in proptest::collection::btree_map((0u8..=8, any::<u8>()), proptest::array::uniform3(0u8..=5), 1..40)
        ) {
            let class = |said: u8| if said < 4 { said } else { 9 };
            let rules: BTreeMap<(u8, u8), Says> = rules
                .into_iter()
                .map(|((bits, first), says)| ((bits, if bits == 0 { 0 } else { first >> (8 - bits) << (8 - bits) }), says.map(class)))
                .filter(|(_, says)| *says != [9; 3])
                .collect();
            let prefixes: Vec<_> = rules.iter().map(|((bits, first), says)| (u128::from(*first), *bits, *says)).collect();
            let (flat, records, _) = flat(&prefixes, 8);
            prop_assert!(rules.is_empty() || flat[0].0 == 0);
            prop_assert!(flat.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
            for off in 0..1u8 << SOURCES {
                let mut templates = vec![Verdict::default()];
                for (id, of) in (1..).zip(&records.records[1..]) {
                    let all = match of.source_count {
                        1 => vec![VoteEntry { source: of.sources_at as u16, class: of.class, ..VoteEntry::default() }],
                        count => records.votes[of.sources_at as usize..][..usize::from(count)].to_vec(),
                    };
                    let left: Vec<VoteEntry> = all.into_iter().filter(|vote| off >> vote.source & 1 == 0).collect();
                    let own = (!left.is_empty()).then(|| record(&left).template(id));
                    templates.push(in_front(own, templates[of.behind() as usize]));
                }
                prop_assert!(off != 0 || templates == records.templates);
                for address in 0..=255u8 {
                    let covers = |bits: u8, first: u8| bits == 0 || (address ^ first) >> (8 - bits) == 0;
                    let expected = rules
                        .iter()
                        .filter(|((bits, first), says)| covers(*bits, *first) && !votes(**says, off).is_empty())
                        .max_by_key(|((bits, _), says)| (record(&votes(**says, off)).class, *bits))
                        .map_or((0, 0), |(_, says)| {
                            let all = votes(*says, 0);
                            (record(&votes(*says, off)).class, all.len() as u16)
                        });
                    let id = flat.get(flat.partition_point(|(start, _)| *start <= u128::from(address)).wrapping_sub(1)).map_or(0, |(_, id)| *id);
                    let answer = templates[id as usize];
                    let got = (answer.outcome >> 4, records.records[answer.verdict_id() as usize].source_count);
                    prop_assert_eq!(got, expected, "address {}, off {:03b}", address, off);
                }
            }
        }
    }
}
