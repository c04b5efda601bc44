//! Equal verdicts are stored once. Ids follow the order of contents, so they do not depend on who came first.
//!
//! ```text
//! intern   one source: its number, and the record says what it says     several: a set of votes, each distinct set once
//! lay out  what has nothing behind it, by content; then prefixes with one record behind them, by content and that one's id; then with two; …
//! ```
//! So what is behind a record has a lower id, and whoever goes through them in order has met it before.

use hashbrown::HashMap;

use super::lpm::Nodes;
use crate::combine::in_front;
use crate::error::Error;
use crate::layout::{Record, VoteEntry};
use crate::rule::RuleKind;
use crate::verdict::Verdict;

/// Collects records and the votes behind them.
pub(super) struct Interner {
    max: u32,
    sets: HashMap<Vec<VoteEntry>, u32>,
    records: HashMap<(Record, Voters), u32>,
}

/// Who votes on a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Voters {
    /// The number of a source.
    One(u16),
    /// The number of a set of votes.
    Several(u32),
}

/// Records by their temporary numbers.
pub(super) struct Interned {
    max: u32,
    sets: Vec<Vec<VoteEntry>>,
    records: Vec<(Record, Voters)>,
}

/// Sections of verdicts, by final id; element 0 is the empty one.
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    pub(super) templates: Vec<Verdict>,
    pub(super) votes: Vec<VoteEntry>,
    /// Temporary number to final id, but for prefixes.
    pub(super) ids: Vec<u32>,
    /// Number of a node to final id.
    pub(super) node_ids: Vec<u32>,
}

impl Interner {
    pub(super) fn new(max: u32) -> Self {
        Self { max, sets: HashMap::new(), records: HashMap::new() }
    }

    /// A temporary number for this record, which is what `votes` come to: one of each source, ascending, not empty.
    pub(super) fn intern(&mut self, record: Record, votes: &[VoteEntry]) -> Result<u32, Error> {
        let voters = if let [vote] = votes {
            Voters::One(vote.source)
        } else {
            let next = self.sets.len() as u32;
            Voters::Several(*self.sets.entry_ref(votes).or_insert(next))
        };
        let next = self.records.len() as u32;
        let number = *self.records.entry((record, voters)).or_insert(next);
        if number >= self.max {
            return Err(Error::TooManyVerdicts { max: self.max });
        }
        Ok(number)
    }

    pub(super) fn finish(self) -> Interned {
        let mut sets = vec![Vec::new(); self.sets.len()];
        self.sets.into_iter().for_each(|(set, number)| sets[number as usize] = set);
        let mut records = vec![(Record::default(), Voters::One(0)); self.records.len()];
        self.records.into_iter().for_each(|(record, number)| records[number as usize] = record);
        Interned { max: self.max, sets, records }
    }
}

/// A record on its way to an id.
struct Row {
    /// How many are behind it.
    depth: u32,
    /// The node of the one behind it, 0 for none.
    behind: u32,
    /// Its temporary number, or its node.
    number: u32,
    record: Record,
}

impl Interned {
    /// Each source that votes, with the rank of what it says.
    pub(super) fn ranks(&self, number: u32) -> impl Iterator<Item = (u16, u8)> {
        let (record, voters) = &self.records[number as usize];
        let (one, votes) = match voters {
            Voters::One(source) => (Some((*source, record.template(0).rank())), &[][..]),
            Voters::Several(set) => (None, &self.sets[*set as usize][..]),
        };
        let rank = |vote: &VoteEntry| Record { class: vote.class, flags: vote.flags, ..Record::default() }.template(0).rank();
        one.into_iter().chain(votes.iter().map(move |vote| (vote.source, rank(vote))))
    }

    pub(super) fn lay_out(self, nodes: &Nodes) -> Result<Records, Error> {
        let Self { max, sets, records: interned } = self;
        let (votes, places) = lay_out_sets(sets);
        let placed = |number: u32| {
            let (record, voters) = interned[number as usize];
            let (sources_at, source_count) = match voters {
                Voters::One(source) => (source.into(), 1),
                Voters::Several(set) => places[set as usize],
            };
            Record { sources_at, source_count, ..record }
        };
        let is_prefix = |record: &Record| [RuleKind::Ipv4 as u8, RuleKind::Ipv6 as u8].contains(&record.rule_kind);
        let plain = (0..interned.len() as u32).filter(|number| !is_prefix(&interned[*number as usize].0));
        let mut rows: Vec<Row> = plain.map(|number| Row { depth: 0, behind: 0, number, record: placed(number) }).collect();
        rows.extend(nodes.each().map(|(node, of)| Row { depth: of.depth, behind: of.behind, number: node, record: placed(of.record) }));
        if rows.len() as u64 > u64::from(max) {
            return Err(Error::TooManyVerdicts { max });
        }
        rows.sort_unstable_by_key(|row| row.depth);
        let mut out = Records {
            records: vec![Record::default()],
            templates: vec![Verdict::default()],
            votes,
            ids: vec![0; interned.len()],
            node_ids: vec![0; nodes.count() + 1],
        };
        for depth in rows.chunk_by_mut(|one, other| one.depth == other.depth) {
            out.lay_out(depth, is_prefix);
        }
        Ok(out)
    }
}

impl Records {
    /// Gives ids to records of one depth; those behind them have theirs.
    fn lay_out(&mut self, rows: &mut [Row], is_prefix: impl Fn(&Record) -> bool) {
        // Sources by their place in the sorted pool: content again, not history.
        rows.sort_unstable_by_key(|row| (row.record, self.node_ids[row.behind as usize]));
        for row in rows {
            let id = self.records.len() as u32;
            let behind = self.node_ids[row.behind as usize];
            let [low, middle, high, _] = behind.to_le_bytes();
            let record = Record { behind: [low, middle, high], ..row.record };
            let ids = if is_prefix(&record) { &mut self.node_ids } else { &mut self.ids };
            ids[row.number as usize] = id;
            self.templates.push(in_front(Some(record.template(id)), self.templates[behind as usize]));
            self.records.push(record);
        }
    }
}

/// The pool, and by temporary number where each set lies in it.
fn lay_out_sets(sets: Vec<Vec<VoteEntry>>) -> (Vec<VoteEntry>, Vec<(u32, u16)>) {
    let mut places = vec![(0, 0); sets.len()];
    let mut sorted: Vec<(Vec<VoteEntry>, usize)> = sets.into_iter().zip(0..).collect();
    sorted.sort_unstable();
    let mut pool = Vec::new();
    for (set, number) in sorted {
        places[number] = (pool.len() as u32, set.len() as u16);
        pool.extend_from_slice(&set);
    }
    (pool, places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(score: u8) -> Record {
        Record { score, class: 3, rule_kind: 1, ..Record::default() }
    }

    fn votes(sources: &[u16]) -> Vec<VoteEntry> {
        sources.iter().map(|source| VoteEntry { source: *source, class: 3, ..VoteEntry::default() }).collect()
    }

    #[test]
    fn ids_follow_contents_not_arrival() {
        let inputs: [(u8, &[u16]); 5] = [(5, &[1, 2]), (5, &[1]), (1, &[1, 2]), (9, &[0]), (9, &[0, 1])];
        let build = |order: [usize; 5]| {
            let mut interner = Interner::new(10);
            let numbers = order.map(|index| (index, interner.intern(record(inputs[index].0), &votes(inputs[index].1)).unwrap()));
            let records = interner.finish().lay_out(&Nodes::default()).unwrap();
            let mut ids = [0; 5];
            numbers.iter().for_each(|(index, number)| ids[*index] = records.ids[*number as usize]);
            (ids, records.records, records.votes)
        };
        let first = build([0, 1, 2, 3, 4]);
        assert_eq!(first, build([4, 3, 2, 1, 0]));
        assert_eq!(first, build([2, 4, 0, 3, 1]));
        assert_eq!(first.2, votes(&[0, 1, 1, 2]), "one source alone has no place among them");
    }

    #[test]
    fn equal_records_share_an_id_and_one_too_many_is_refused() {
        let mut interner = Interner::new(2);
        for _ in 0..3 {
            assert_eq!(interner.intern(record(1), &votes(&[0])).unwrap(), 0);
            assert_eq!(interner.intern(record(2), &votes(&[0])).unwrap(), 1);
        }
        assert!(matches!(interner.intern(record(3), &votes(&[0])), Err(Error::TooManyVerdicts { max: 2 })));
    }

    #[test]
    fn prefixes_come_after_what_is_behind_them() {
        let net = |score| Record { rule_kind: 7, ..record(score) };
        let mut interner = Interner::new(10);
        let [host, wide, long] = [record(9), net(50), net(1)].map(|record| interner.intern(record, &votes(&[0])).unwrap());
        let mut nodes = Nodes::default();
        let wide = nodes.number(wide, 0);
        let (alone, inside) = (nodes.number(long, 0), nodes.number(long, wide));
        let laid_out = interner.finish().lay_out(&nodes).unwrap();
        let id = |node: u32| laid_out.node_ids[node as usize];
        assert_eq!((id(alone), laid_out.ids[host as usize], id(wide), id(inside)), (1, 2, 3, 4));
        assert_eq!(laid_out.records.iter().map(Record::behind).collect::<Vec<_>>(), [0, 0, 0, 0, 3]);
        let mut interner = Interner::new(1);
        let (one, mut nodes) = (interner.intern(net(1), &votes(&[0])).unwrap(), Nodes::default());
        let alone = nodes.number(one, 0);
        nodes.number(one, alone);
        assert!(matches!(interner.finish().lay_out(&nodes), Err(Error::TooManyVerdicts { max: 1 })));
    }
}
