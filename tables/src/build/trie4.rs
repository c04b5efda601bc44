//! Flat IPv4 intervals become a trie: `lpm/trie4.rs` draws it.
//!
//! Breadth first: the nodes that the root points to come first, in its order, then those that they point to. So the nodes of a level lie
//! together, and positions ascend with the entries that hold them.

use std::collections::VecDeque;

use crate::error::Error;
use crate::lpm::trie4::{DENSE, DENSE_HEAD, NODE, POSITION, SPARSE_HEAD, SPARSE_RUNS_MAX, place};

/// Below this many intervals the root has 256 entries, 1 KiB, and everything stays in L1; from there on 65,536, 256 KiB.
const WIDE_ROOT_INTERVALS: usize = 1 << 12;

/// The sections of IPv4; both empty where there is no prefix.
#[derive(Debug, Default)]
pub(crate) struct Trie {
    pub(crate) root: Vec<u32>,
    pub(crate) nodes: Vec<u32>,
}

/// A node that is not laid out yet.
struct Waiting {
    /// The entry that will point to it: in the root, or in a node.
    of_root: bool,
    entry: usize,
    block: Block,
}

/// 2^bits addresses from `first` on, and which interval holds the first of them.
#[derive(Clone, Copy)]
struct Block {
    first: u64,
    bits: u32,
    interval: usize,
}

/// `flat`: (first address, id) ascending, the first address 0.
pub(crate) fn pack(flat: &[(u128, u32)]) -> Result<Trie, Error> {
    let mut trie = Trie::default();
    if flat.is_empty() {
        return Ok(trie);
    }
    let bits = if flat.len() < WIDE_ROOT_INTERVALS { 24 } else { 16 };
    let mut queue = VecDeque::new();
    for (entry, part) in parts(flat, Block { first: 0, bits: 32, interval: 0 }, bits).enumerate() {
        trie.root.push(part.unwrap_or(0));
        queue.extend(part.err().map(|block| Waiting { of_root: true, entry, block }));
    }
    let mut next = 0;
    while let Some(Waiting { of_root, entry, block }) = queue.pop_front() {
        let runs = runs(flat, block);
        let (flag, head) = head(&runs);
        let from = place(next, head.len() + runs.len());
        next = from + head.len() + runs.len();
        if next > POSITION as usize {
            return Err(Error::TooManyRules { max: u64::from(POSITION) });
        }
        let pointer = NODE | flag | from as u32;
        *if of_root { &mut trie.root[entry] } else { &mut trie.nodes[entry] } = pointer;
        trie.nodes.resize(from, 0);
        trie.nodes.extend(head);
        for (_, part) in runs {
            queue.extend(part.err().map(|block| Waiting { of_root: false, entry: trie.nodes.len(), block }));
            trie.nodes.push(part.unwrap_or(0));
        }
    }
    Ok(trie)
}

/// A block's parts of 2^bits addresses, in order: the id of all its addresses, or the part itself where they differ.
fn parts(flat: &[(u128, u32)], block: Block, bits: u32) -> impl Iterator<Item = Result<u32, Block>> {
    let mut interval = block.interval;
    let begins = move |interval: usize, at: u64| flat.get(interval).is_some_and(|(start, _)| *start <= u128::from(at));
    (0..1u64 << (block.bits - bits)).map(move |part| {
        let first = block.first + (part << bits);
        while begins(interval + 1, first) {
            interval += 1;
        }
        if begins(interval + 1, first + (1 << bits) - 1) { Err(Block { first, bits, interval }) } else { Ok(flat[interval].1) }
    })
}

/// The 256 parts of a block as runs: the first part of each, and what it says.
fn runs(flat: &[(u128, u32)], block: Block) -> Vec<(u8, Result<u32, Block>)> {
    let mut runs: Vec<(u8, Result<u32, Block>)> = Vec::new();
    for (part, says) in (0..=255).zip(parts(flat, block, block.bits - 8)) {
        let same = matches!((runs.last(), says), (Some((_, Ok(before))), Ok(id)) if *before == id);
        if !same {
            runs.push((part, says));
        }
    }
    runs
}

/// The words before a node's entries, and the flag of its kind.
fn head(runs: &[(u8, Result<u32, Block>)]) -> (u32, Vec<u32>) {
    let begins = runs.iter().skip(1).map(|(first, _)| *first);
    if runs.len() <= SPARSE_RUNS_MAX {
        let mut ends = [u8::MAX; 4 * SPARSE_HEAD];
        ends.iter_mut().zip(begins).for_each(|(end, first)| *end = first - 1);
        return (0, ends.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect());
    }
    let mut head = vec![0u32; DENSE_HEAD];
    for first in begins {
        head[usize::from(first / 32)] |= 1 << (first % 32);
        for quarter in first / 64 + 1..4 {
            head[DENSE_HEAD - 1] += 1 << (8 * quarter);
        }
    }
    (DENSE, head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpm::STEP;
    use crate::lpm::trie4::Trie4;
    use proptest::prelude::*;

    /// Packs intervals that begin at 0 and at `starts`, checks them, and asks for both sides of every boundary and for `others`.
    fn check(starts: &[u32], others: &[u32]) -> Trie {
        let mut starts = starts.to_vec();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let flat: Vec<(u128, u32)> = starts.iter().zip(1..).map(|(start, id)| (u128::from(*start), id % 5)).collect();
        let packed = pack(&flat).unwrap();
        let trie = Trie4 { root: &packed.root, nodes: &packed.nodes };
        assert!(trie.check(5).is_ok());
        assert!(trie.check(4).is_err() || flat.len() < 4);
        let mut addresses: Vec<u32> = starts.iter().flat_map(|start| [start.wrapping_sub(1), *start, start.wrapping_add(1)]).collect();
        addresses.extend(others);
        let mut ids = vec![9; addresses.len()];
        addresses.chunks(STEP).zip(ids.chunks_mut(STEP)).for_each(|(addresses, ids)| trie.lookup(addresses, ids));
        for (address, id) in addresses.iter().zip(ids) {
            let at = flat.partition_point(|(start, _)| *start <= u128::from(*address)) - 1;
            assert_eq!(id, flat[at].1, "{address:#x}");
        }
        for address in addresses.iter().step_by(addresses.len() / 50 + 1) {
            let at = flat.partition_point(|(start, _)| *start <= u128::from(*address)) - 1;
            let last = flat.get(at + 1).map_or(u32::MAX, |(next, _)| *next as u32 - 1);
            assert_eq!(trie.around(*address, |id, other| id == other), (flat[at].0 as u32, last));
        }
        packed
    }

    #[test]
    fn runs_of_one_to_256_places_in_every_level() {
        for runs in [1, 2, 8, 9, 10, 11, 64, 65, 255, 256] {
            for shift in [0, 8, 16] {
                let starts: Vec<u32> = (0..runs).map(|run| 0xC0A8_0000 | (256 - runs + run) << shift).collect();
                check(&starts, &[0, u32::MAX]);
            }
        }
    }

    #[test]
    fn a_full_node_of_full_nodes_and_a_wide_root() {
        let starts: Vec<u32> = (0..0x1_0000).map(|low| 0x0A01_0000 | low).collect();
        let packed = check(&starts, &[]);
        assert_eq!(packed.root.len(), 1 << 16);
        assert_eq!(packed.nodes.len(), 257 * 272 - 7, "dense nodes of 9 + 256 words, each at a line of its own");
    }

    #[test]
    fn twenty_prefixes_take_a_few_kilobytes() {
        let starts: Vec<u32> = (0..20).map(|number| (number * 0x0B57_1357) | 1).collect();
        let packed = check(&starts, &[]);
        assert_eq!(packed.root.len(), 256);
        assert!(packed.nodes.len() * 4 < 2048, "{} bytes", packed.nodes.len() * 4);
    }

    proptest! {
        #[test]
        fn any_boundaries_are_found_again(
            near in proptest::collection::vec(0u32..1 << 18, 0..300),
            far in proptest::collection::vec(any::<u32>(), 0..300),
            others in proptest::collection::vec(any::<u32>(), 0..100),
        ) {
            let starts: Vec<u32> = near.iter().map(|low| 0xC633_0000 + low).chain(far).collect();
            check(&starts, &others);
        }
    }
}
