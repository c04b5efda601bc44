//! Flat IPv6 intervals become a tree over the upper 64 bits, and blocks for each /64 that longer rules divide: `lpm/tree6.rs` draws them.

use crate::lpm::tree6::{KEYS, LONG, Levels, upper_levels};

/// The sections of IPv6; all empty where there is no prefix.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<[u64; KEYS]>,
    pub(crate) ids: Vec<u32>,
    pub(crate) blocks: Vec<u32>,
    pub(crate) long_ends: Vec<u64>,
    pub(crate) long_ids: Vec<u32>,
}

/// `flat`: (first address, id) ascending, the first address 0.
pub(crate) fn pack(flat: &[(u128, u32)]) -> Tree {
    let mut tree = Tree::default();
    if flat.is_empty() {
        return tree;
    }
    tree.blocks.push(0);
    let mut ends = Vec::with_capacity(flat.len());
    let intervals = flat.iter().zip(flat.iter().skip(1).map(|(next, _)| next - 1).chain([u128::MAX]));
    for ((first, id), last) in intervals {
        tree.interval(&mut ends, *first, last, *id);
    }
    let levels = Levels::of(ends.len());
    ends.resize(ends.len().next_multiple_of(KEYS), u64::MAX);
    let leaves = ends.as_chunks().0;
    tree.nodes = upper_levels(leaves, &levels).chain(leaves.iter().copied()).collect();
    tree
}

impl Tree {
    /// Appends an interval: the part in the /64 where it begins, whole ones, and the part in the one where it ends.
    fn interval(&mut self, ends: &mut Vec<u64>, first: u128, last: u128, id: u32) {
        let (mut high, low) = ((first >> 64) as u64, first as u64);
        let (last_high, last_low) = ((last >> 64) as u64, last as u64);
        if low != 0 || (high == last_high && last_low != u64::MAX) {
            let part = if high == last_high { last_low } else { u64::MAX };
            self.part(ends, high, low, part, id);
            if high == last_high {
                return;
            }
            high += 1; // not beyond the highest: the interval ends in a later /64
        }
        let whole = if last_low == u64::MAX { Some(last_high) } else { last_high.checked_sub(1) };
        if let Some(whole) = whole.filter(|whole| *whole >= high) {
            ends.push(whole);
            self.ids.push(id);
        }
        if last_low != u64::MAX {
            self.part(ends, last_high, 0, last_low, id);
        }
    }

    /// Appends an interval that lies inside one /64 without filling it.
    fn part(&mut self, ends: &mut Vec<u64>, high: u64, low: u64, last: u64, id: u32) {
        if low == 0 {
            ends.push(high);
            self.ids.push(LONG | (self.blocks.len() as u32 - 1));
            self.blocks.push(self.long_ends.len() as u32);
        }
        self.long_ends.push(last);
        self.long_ids.push(id);
        if let Some(end) = self.blocks.last_mut() {
            *end = self.long_ends.len() as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lpm::STEP;
    use crate::lpm::tree6::Tree6;
    use proptest::prelude::*;

    /// Packs intervals that begin at 0 and at `starts`, checks them, and asks for both sides of every boundary and for `others`.
    fn check(starts: &[u128], others: &[u128]) -> Tree {
        let mut starts = starts.to_vec();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let flat: Vec<(u128, u32)> = starts.iter().zip(1..).map(|(start, id)| (*start, id % 5)).collect();
        let packed = pack(&flat);
        let Tree { nodes, ids, blocks, long_ends, long_ids } = &packed;
        let tree = Tree6 { nodes, ids, blocks, long_ends, long_ids };
        assert!(tree.check(5).is_ok(), "{:?}", tree.check(5).err().map(|defect| defect.expected));
        assert!(tree.check(4).is_err() || flat.len() < 4);
        let mut addresses: Vec<u128> = starts.iter().flat_map(|start| [start.wrapping_sub(1), *start, start.wrapping_add(1)]).collect();
        addresses.extend(others);
        let mut answers = vec![9; addresses.len()];
        addresses.chunks(STEP).zip(answers.chunks_mut(STEP)).for_each(|(addresses, ids)| tree.lookup(addresses, ids));
        for (address, id) in addresses.iter().zip(answers) {
            let at = flat.partition_point(|(start, _)| start <= address) - 1;
            assert_eq!(id, flat[at].1, "{address:#x}");
            let last = flat.get(at + 1).map_or(u128::MAX, |(next, _)| next - 1);
            assert_eq!(tree.around(*address, |id, other| id == other), (flat[at].0, last));
        }
        packed
    }

    const HIGH: u128 = 0x2001_0DB8 << 96;

    #[test]
    fn trees_of_every_height_up_to_four_levels() {
        for intervals in [1, 7, 8, 9, 71, 72, 73, 647, 648, 649, 650, 5832, 5833, 6000] {
            let starts: Vec<u128> = (1..intervals).map(|number: u128| HIGH | number << 70).collect();
            let packed = check(&starts, &[u128::MAX]);
            assert_eq!((packed.ids.len(), packed.long_ids.len()), (intervals as usize, 0));
        }
    }

    #[test]
    fn rules_longer_than_64_bits_at_either_end_of_their_block_and_of_the_address_space() {
        let one = |address: u128| [address, address.wrapping_add(1)];
        let all = [0, u128::MAX, HIGH, HIGH | u128::from(u64::MAX), HIGH + (1 << 64), HIGH | 0x1234];
        let starts: Vec<u128> = all.into_iter().flat_map(one).collect();
        let packed = check(&starts, &[HIGH | 0x1235, HIGH - 1]);
        assert_eq!(packed.blocks.len() - 1, 4, "one block for each /64 that is divided");
    }

    proptest! {
        #[test]
        fn any_boundaries_are_found_again(
            far in proptest::collection::vec(any::<u128>(), 0..40),
            networks in proptest::collection::vec(0u128..1 << 12, 0..300),
            hosts in proptest::collection::vec((0u128..8, any::<u64>()), 0..40),
            others in proptest::collection::vec(any::<u128>(), 0..40),
        ) {
            let networks = networks.into_iter().map(|network| HIGH | network << 64);
            let hosts = hosts.into_iter().map(|(network, low)| HIGH | network << 64 | u128::from(low));
            check(&far.into_iter().chain(networks).chain(hosts).collect::<Vec<_>>(), &others);
        }
    }
}
