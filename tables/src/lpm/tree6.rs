//! IPv6: a static tree of intervals, one cache line a node, every address the same number of lines.
//!
//! ```text
//! level 0     [ last of child 0 | ... | last of child 7 ]          9 children: the ninth has what is above the eighth key
//! ...              child = number of keys below the address
//! leaves      [ last of interval 0 | ... | last of interval 7 ]    interval = 8 * leaf + number of keys below the address
//! ids         id of each interval; or LONG | block: rules longer than /64 divide it
//! ```
//!
//! Keys are the last addresses of things, of 64 bits: nothing is above u64::MAX, with which every level ends and is filled up, so no child
//! outside the tree can be named. Rules longer than /64 are rare: a /64 that they divide is an interval of its own, whose id names a block of
//! intervals of the lower 64 bits, found by binary search. After PlanB (NSDI 2026), with blocks instead of a second tree.

use verdict_simd::prefetch;

use super::{Defect, STEP};
use crate::layout::Section;

/// Keys of a node.
pub(crate) const KEYS: usize = 8;
/// Children of a node that is no leaf.
pub(crate) const CHILDREN: usize = KEYS + 1;
/// Id of an interval that a block divides.
pub(crate) const LONG: u32 = 1 << 31;
/// Levels of a tree of 2^32 intervals.
const LEVELS_MAX: usize = 12;
/// Nodes that stay in L1 anyway: children among so few are not asked for.
const NEAR_NODES: usize = 256;

/// The sections of IPv6; all empty where there is no prefix, except that `blocks` then holds nothing too.
#[derive(Clone, Copy)]
pub(crate) struct Tree6<'a> {
    /// All levels, the root first.
    pub(crate) nodes: &'a [[u64; KEYS]],
    /// Of each interval of the upper 64 bits: an id, or `LONG` and the number of its block.
    pub(crate) ids: &'a [u32],
    /// First interval of each block, and one more: the end of the last.
    pub(crate) blocks: &'a [u32],
    /// Last address of each interval of the blocks.
    pub(crate) long_ends: &'a [u64],
    /// Id of each interval of the blocks.
    pub(crate) long_ids: &'a [u32],
}

/// Nodes of each level, the root first; at least the leaves.
pub(crate) struct Levels {
    nodes: [usize; LEVELS_MAX],
    count: usize,
}

impl Levels {
    /// Of a tree over this many intervals.
    #[inline(always)]
    pub(crate) fn of(intervals: usize) -> Self {
        let mut nodes = [0; LEVELS_MAX];
        let mut count = 0;
        let mut level = intervals.div_ceil(KEYS);
        while level > 1 && count + 1 < LEVELS_MAX {
            nodes[count] = level;
            count += 1;
            level = level.div_ceil(CHILDREN);
        }
        nodes[count] = level;
        count += 1;
        nodes[..count].reverse();
        Self { nodes, count }
    }

    #[inline(always)]
    fn as_slice(&self) -> &[usize] {
        &self.nodes[..self.count]
    }

    /// All but the leaves.
    fn upper(&self) -> &[usize] {
        &self.nodes[..self.count - 1]
    }

    /// Nodes of all levels.
    pub(crate) fn total(&self) -> usize {
        self.as_slice().iter().sum()
    }
}

impl Tree6<'_> {
    /// At most `STEP` addresses.
    #[inline(always)]
    pub(crate) fn lookup(&self, addresses: &[u128], ids: &mut [u32]) {
        if self.ids.is_empty() {
            ids.fill(0);
            return;
        }
        let mut high = [0u64; STEP];
        high.iter_mut().zip(addresses).for_each(|(high, address)| *high = (address >> 64) as u64);
        let high = &high[..addresses.len()];
        let mut at = [0u32; STEP];
        let levels = Levels::of(self.ids.len());
        let mut rest = self.nodes;
        for pair in levels.as_slice().windows(2) {
            let (level, below) = rest.split_at(pair[0]);
            descend(level, &below[..pair[1]], high, &mut at);
            rest = below;
        }
        for (at, high) in at.iter_mut().zip(high) {
            *at = *at * KEYS as u32 + below(&rest[*at as usize], *high);
            prefetch(self.ids, *at as usize);
        }
        let mut long = 0;
        for (id, at) in ids.iter_mut().zip(&at) {
            *id = self.ids[*at as usize];
            long |= *id;
        }
        if long & LONG != 0 {
            self.lookup_long(addresses, ids);
        }
    }

    /// Completes the lookups that came to a block.
    #[inline(never)]
    fn lookup_long(&self, addresses: &[u128], ids: &mut [u32]) {
        for (id, address) in ids.iter_mut().zip(addresses) {
            if *id & LONG != 0 {
                let block = self.block(*id);
                *id = self.long_ids[block.start + self.long_ends[block.clone()].partition_point(|end| *end < *address as u64)];
            }
        }
    }

    pub(super) fn block(&self, id: u32) -> std::ops::Range<usize> {
        let block = (id & !LONG) as usize;
        self.blocks[block] as usize..self.blocks[block + 1] as usize
    }

    pub(super) fn leaves(&self) -> &[u64] {
        let leaves = self.ids.len().div_ceil(KEYS);
        self.nodes[self.nodes.len() - leaves..].as_flattened()
    }

    /// First and last address around this one that share its answer. For explaining.
    pub(crate) fn around(&self, address: u128, same: impl Fn(u32, u32) -> bool) -> (u128, u128) {
        if self.ids.is_empty() {
            return (0, u128::MAX);
        }
        let (id, mut first, mut last) = self.run(address);
        while let Some((other, before, _)) = first.checked_sub(1).map(|address| self.run(address))
            && same(id, other)
        {
            first = before;
        }
        while let Some((other, _, after)) = last.checked_add(1).map(|address| self.run(address))
            && same(id, other)
        {
            last = after;
        }
        (first, last)
    }

    /// The answer of one address, with the first and last address of the interval that holds it.
    fn run(&self, address: u128) -> (u32, u128, u128) {
        let (high, low) = ((address >> 64) as u64, address as u64);
        let ends = &self.leaves()[..self.ids.len()];
        let (first, at, last) = interval(ends, high);
        if self.ids[at] & LONG == 0 {
            return (self.ids[at], u128::from(first) << 64, u128::from(last) << 64 | u128::from(u64::MAX));
        }
        let block = self.block(self.ids[at]);
        let (first, at, last) = interval(&self.long_ends[block.clone()], low);
        let high = u128::from(high) << 64;
        (self.long_ids[block.start + at], high | u128::from(first), high | u128::from(last))
    }

    /// Every level names the last keys of the one below, keys ascend and end with the highest, and ids are below `verdicts` or the next block.
    pub(crate) fn check(&self, verdicts: usize) -> Result<(), Defect> {
        if self.ids.is_empty() {
            return Ok(()); // and so is all else: verify_geometry
        }
        self.check_levels()?;
        let mut blocks = 0;
        let ends = self.leaves();
        for (at, id) in self.ids.iter().enumerate() {
            let sound = match id & LONG {
                0 => (*id as usize) < verdicts,
                _ => {
                    let one = at.checked_sub(1).map_or(ends[at] == 0, |before| ends[at] - ends[before] == 1);
                    let next = id & !LONG == blocks;
                    blocks += 1;
                    next && one
                }
            };
            Defect::unless(sound, Section::Verdicts6, at, "a verdict id, or the next block on a single /64")?;
        }
        Defect::unless(blocks as usize + 1 == self.blocks.len(), Section::Blocks6, 0, "as many blocks as intervals name")?;
        self.check_blocks(verdicts)
    }

    fn check_levels(&self) -> Result<(), Defect> {
        let leaves = self.leaves();
        let ends = leaves.split_at(self.ids.len());
        let first = self.nodes.len() - leaves.len() / KEYS;
        let highest = ends.0.last() == Some(&u64::MAX) && ends.1.iter().all(|end| *end == u64::MAX);
        Defect::unless(
            ends.0.is_sorted_by(|a, b| a < b) && highest,
            Section::Tree6,
            first,
            "ascending last addresses, then the highest one",
        )?;
        let levels = Levels::of(self.ids.len());
        let wrong = upper_levels(leaves.as_chunks().0, &levels).zip(self.nodes).position(|(keys, node)| keys != *node);
        Defect::unless(wrong.is_none(), Section::Tree6, wrong.unwrap_or(0), "the last addresses of its children")
    }

    fn check_blocks(&self, verdicts: usize) -> Result<(), Defect> {
        let whole = self.blocks.first() == Some(&0) && self.blocks.last().is_some_and(|end| *end as usize == self.long_ids.len());
        Defect::unless(whole, Section::Blocks6, 0, "blocks from the first interval to the last")?;
        for (at, pair) in self.blocks.windows(2).enumerate() {
            let ends = self.long_ends.get(pair[0] as usize..pair[1] as usize).filter(|ends| ends.len() > 1);
            Defect::unless(ends.is_some(), Section::Blocks6, at, "the begin of at least two intervals")?;
            let sound = ends.is_some_and(|ends| ends.is_sorted_by(|a, b| a < b) && ends.last() == Some(&u64::MAX));
            Defect::unless(sound, Section::LongEnds6, pair[0] as usize, "ascending last addresses up to the highest one")?;
        }
        let bad = self.long_ids.iter().position(|id| *id as usize >= verdicts);
        Defect::unless(bad.is_none(), Section::LongVerdicts6, bad.unwrap_or(0), "a verdict id")
    }
}

/// One level down for every lookup.
#[inline(always)]
fn descend(level: &[[u64; KEYS]], children: &[[u64; KEYS]], high: &[u64], at: &mut [u32; STEP]) {
    let far = children.len() > NEAR_NODES;
    for (at, high) in at.iter_mut().zip(high) {
        *at = *at * CHILDREN as u32 + below(&level[*at as usize], *high);
        if far {
            prefetch(children, *at as usize);
        }
    }
}

/// How many keys are below the address.
#[inline(always)]
fn below(keys: &[u64; KEYS], address: u64) -> u32 {
    keys.iter().map(|key| u64::from(*key < address)).sum::<u64>() as u32
}

/// First address, place and last address of the interval that holds `address`.
fn interval(ends: &[u64], address: u64) -> (u64, usize, u64) {
    let at = ends.partition_point(|end| *end < address);
    (at.checked_sub(1).map_or(0, |before| ends[before] + 1), at, ends[at])
}

/// The levels above the leaves, the root first: each key is the last one under its child, the highest where there is none.
pub(crate) fn upper_levels(leaves: &[[u64; KEYS]], levels: &Levels) -> impl Iterator<Item = [u64; KEYS]> {
    let upper = levels.upper();
    let height = upper.len() as u32;
    upper.iter().zip(0..).flat_map(move |(nodes, level)| {
        let leaves_per_child = CHILDREN.pow(height - level - 1);
        (0..*nodes).map(move |node| {
            std::array::from_fn(|key| {
                let last = (node * CHILDREN + key + 1) * leaves_per_child - 1;
                leaves.get(last).map_or(u64::MAX, |leaf| leaf[KEYS - 1])
            })
        })
    })
}
