//! Nested prefixes become flat intervals, so that a lookup needs no walk and its answer is already the winner.
//!
//! ```text
//! 10.0.0.0/8      suspicious  |---------------------------|
//! 10.1.0.0/16     allow            |---------|
//! 10.1.2.0/24     malicious            |--|                    loses to the allow around it
//! intervals                   s    a              s        -
//! ```
//!
//! At each address the winner is the covering prefix of the highest rank, and among those the longest.

use crate::verdict::Verdict;

/// One prefix with the final id of its verdict. IPv4 sits in the low 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) first: u128,
    pub(super) bits: u8,
    pub(super) id: u32,
}

/// (start, id) ascending, neighbours differing in id, the first start 0; empty without prefixes.
pub(super) fn flatten(mut prefixes: Vec<Prefix>, width: u8, templates: &[Verdict]) -> Vec<(u128, u32)> {
    if prefixes.is_empty() {
        return Vec::new();
    }
    prefixes.sort_unstable();
    let last_address = last_of(0, 0, width);
    let mut flat = vec![(0, 0)];
    let mut open: Vec<(u128, u32)> = Vec::new(); // (last address, winner) of each prefix around, outermost first
    for prefix in prefixes {
        close(&mut open, &mut flat, Some(prefix.first), last_address);
        let around = open.last().map_or(0, |(_, id)| *id);
        let wins = around == 0 || templates[prefix.id as usize].rank() >= templates[around as usize].rank();
        let winner = if wins { prefix.id } else { around };
        emit(&mut flat, prefix.first, winner);
        open.push((last_of(prefix.first, prefix.bits, width), winner));
    }
    close(&mut open, &mut flat, None, last_address);
    flat
}

/// Ends every prefix that ends before `until`.
fn close(open: &mut Vec<(u128, u32)>, flat: &mut Vec<(u128, u32)>, until: Option<u128>, last_address: u128) {
    while let Some((last, _)) = open.last().copied() {
        if until.is_some_and(|until| last >= until) {
            return;
        }
        open.pop();
        if last < last_address {
            emit(flat, last + 1, open.last().map_or(0, |(_, id)| *id));
        }
    }
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
    use super::*;
    use proptest::prelude::*;

    fn templates(classes: &[u8]) -> Vec<Verdict> {
        std::iter::once(0).chain(classes.iter().copied()).map(|class| Verdict { outcome: class << 4, ..Verdict::default() }).collect()
    }

    fn prefix(first: u128, bits: u8, id: u32) -> Prefix {
        Prefix { first, bits, id }
    }

    #[test]
    fn a_malicious_prefix_inside_a_suspicious_one_and_the_reverse() {
        let templates = templates(&[2, 3]);
        assert_eq!(
            flatten(vec![prefix(0x1000, 20, 1), prefix(0x1100, 24, 2)], 32, &templates),
            [(0, 0), (0x1000, 1), (0x1100, 2), (0x1200, 1), (0x2000, 0)]
        );
        assert_eq!(flatten(vec![prefix(0x1000, 20, 2), prefix(0x1100, 24, 1)], 32, &templates), [(0, 0), (0x1000, 2), (0x2000, 0)]);
    }

    #[test]
    fn the_ends_of_the_address_space_neither_overflow_nor_vanish() {
        let templates = templates(&[3, 3]);
        assert_eq!(flatten(vec![prefix(0, 0, 1)], 128, &templates), [(0, 1)]);
        assert_eq!(flatten(vec![prefix(u128::MAX, 128, 1)], 128, &templates), [(0, 0), (u128::MAX, 1)]);
        assert_eq!(flatten(vec![prefix(0, 1, 1), prefix(1 << 31, 1, 2)], 32, &templates), [(0, 1), (1 << 31, 2)]);
        assert_eq!(flatten(vec![], 32, &templates), []);
    }

    proptest! {
        /// Over 8-bit addresses every address can be asked, of every covering prefix.
        #[test]
        fn flat_intervals_answer_as_all_prefixes_would(
            rules in proptest::collection::btree_map((0u8..=8, any::<u8>()), 1u32..=5, 1..40)
        ) {
            let templates = templates(&[3, 2, 3, 1, 0]);
            let rules: std::collections::BTreeMap<(u8, u8), u32> =
                rules.into_iter().map(|((bits, first), id)| ((bits, if bits == 0 { 0 } else { first >> (8 - bits) << (8 - bits) }), id)).collect();
            let flat = flatten(rules.iter().map(|((bits, first), id)| prefix(u128::from(*first), *bits, *id)).collect(), 8, &templates);
            prop_assert_eq!(flat[0].0, 0);
            prop_assert!(flat.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 != pair[1].1));
            for address in 0..=255u8 {
                let covers = |bits: u8, first: u8| bits == 0 || (address ^ first) >> (8 - bits) == 0;
                let expected = rules
                    .iter()
                    .filter(|((bits, first), _)| covers(*bits, *first))
                    .max_by_key(|((bits, _), id)| (templates[**id as usize].rank(), *bits))
                    .map_or(0, |(_, id)| *id);
                let got = flat[flat.partition_point(|(start, _)| *start <= u128::from(address)) - 1].1;
                prop_assert_eq!(got, expected, "address {}", address);
            }
        }
    }
}
