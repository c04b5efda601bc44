//! Equal verdicts are stored once. Ids follow the order of contents, so they do not depend on who came first.

use hashbrown::HashMap;

use crate::error::Error;
use crate::layout::Record;
use crate::verdict::Verdict;

/// Collects records and the source sets behind them.
pub(super) struct Interner {
    max: u32,
    sets: HashMap<Vec<u16>, u32>,
    records: HashMap<(Record, u32), u32>,
}

/// Sections of verdicts, by final id; element 0 is the empty one.
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    pub(super) templates: Vec<Verdict>,
    pub(super) source_sets: Vec<u16>,
    /// Temporary number to final id.
    pub(super) ids: Vec<u32>,
}

impl Interner {
    pub(super) fn new(max: u32) -> Self {
        Self { max, sets: HashMap::new(), records: HashMap::new() }
    }

    /// A temporary number for this record; `sources` sorted and distinct.
    pub(super) fn intern(&mut self, record: Record, sources: &[u16]) -> Result<u32, Error> {
        let next = self.sets.len() as u32;
        let set = *self.sets.entry_ref(sources).or_insert(next);
        let next = self.records.len() as u32;
        let number = *self.records.entry((record, set)).or_insert(next);
        if number >= self.max {
            return Err(Error::TooManyVerdicts { max: self.max });
        }
        Ok(number)
    }

    pub(super) fn finish(self) -> Records {
        let (source_sets, spans) = lay_out_sets(self.sets);
        let mut interned: Vec<(Record, u32)> = self
            .records
            .into_iter()
            .map(|((record, set), number)| {
                let (sources_at, source_count) = spans[set as usize];
                (Record { sources_at, source_count, ..record }, number)
            })
            .collect();
        // Sources by their place in the sorted pool: content again, not history.
        interned.sort_unstable_by_key(|(record, _)| *record);
        let mut ids = vec![0; interned.len()];
        let mut records = vec![Record::default()];
        let mut templates = vec![Verdict::default()];
        for (record, number) in interned {
            let id = records.len() as u32;
            ids[number as usize] = id;
            templates.push(record.template(id));
            records.push(record);
        }
        Records { records, templates, source_sets, ids }
    }
}

/// The pool, and by temporary number where each set lies in it.
fn lay_out_sets(sets: HashMap<Vec<u16>, u32>) -> (Vec<u16>, Vec<(u32, u16)>) {
    let mut spans = vec![(0, 0); sets.len()];
    let mut sorted: Vec<(Vec<u16>, u32)> = sets.into_iter().collect();
    sorted.sort_unstable();
    let mut pool = Vec::new();
    for (set, number) in sorted {
        spans[number as usize] = (pool.len() as u32, set.len() as u16);
        pool.extend_from_slice(&set);
    }
    (pool, spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(score: u8) -> Record {
        Record { score, class: 3, rule_kind: 1, ..Record::default() }
    }

    #[test]
    fn ids_follow_contents_not_arrival() {
        let inputs: [(u8, &[u16]); 4] = [(5, &[1, 2]), (5, &[1]), (1, &[1, 2]), (9, &[0])];
        let build = |order: [usize; 4]| {
            let mut interner = Interner::new(10);
            let numbers = order.map(|index| (index, interner.intern(record(inputs[index].0), inputs[index].1).unwrap()));
            let records = interner.finish();
            let mut ids = [0; 4];
            numbers.iter().for_each(|(index, number)| ids[*index] = records.ids[*number as usize]);
            (ids, records.records, records.source_sets)
        };
        let first = build([0, 1, 2, 3]);
        assert_eq!(first, build([3, 2, 1, 0]));
        assert_eq!(first, build([2, 0, 3, 1]));
        assert_eq!(first.2, [0, 1, 1, 2]);
    }

    #[test]
    fn equal_records_share_an_id_and_one_too_many_is_refused() {
        let mut interner = Interner::new(2);
        for _ in 0..3 {
            assert_eq!(interner.intern(record(1), &[0]).unwrap(), 0);
            assert_eq!(interner.intern(record(2), &[0]).unwrap(), 1);
        }
        assert!(matches!(interner.intern(record(3), &[0]), Err(Error::TooManyVerdicts { max: 2 })));
    }
}
