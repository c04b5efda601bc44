//! IPv4: a trie of 8 bits a node, every node as small as its runs allow.
//!
//! ```text
//! root     256 or 65,536 entries by the upper bits      entry   0..0 | 24 bits id           the answer
//!                                                               1 dense | 30 bits position  a node, as a word of the section
//! sparse   | 8 last bytes, u8 | up to 9 entries |               run = how many of the last bytes are below the address' byte
//! dense    | 256 bits: a run begins here | u8 x 4: runs below each 64 | 10 to 256 entries |   run = popcount up to the byte
//! ```
//!
//! The 256 places of a node fall into runs with one answer; a place with a node of its own is a run. A lookup touches one line of the
//! root, and one or two a node, of which there are at most three. Both kinds of node are read without a branch, so that a mixture of them costs no mispredictions.
//!
//! Nodes stand in the order in which the entries that point to them stand (the root first, then each node's), each at the first word after
//! the one before where it fits into one line, or at the next line. So a section has one shape that is right, and `check` knows it.

use verdict_simd::prefetch;

use super::{Defect, STEP};
use crate::layout::Section;

/// Words in a cache line.
const LINE_WORDS: usize = 16;
/// Entry: a node, not an id.
pub(crate) const NODE: u32 = 1 << 31;
/// Entry: that node is dense.
pub(crate) const DENSE: u32 = 1 << 30;
/// Entry: where the node begins. A section has at most this many words.
pub(crate) const POSITION: u32 = DENSE - 1;
/// Words before the entries of a sparse node.
pub(crate) const SPARSE_HEAD: usize = 2;
/// Words before the entries of a dense node.
pub(crate) const DENSE_HEAD: usize = 9;
/// Runs of a sparse node.
pub(crate) const SPARSE_RUNS_MAX: usize = 9;

/// The sections of IPv4; both empty where there is no prefix.
#[derive(Clone, Copy)]
pub(crate) struct Trie4<'a> {
    pub(crate) root: &'a [u32],
    pub(crate) nodes: &'a [u32],
}

/// Bits below the root's, for a root of this many entries.
pub(crate) const fn root_shift(root_entries: usize) -> u32 {
    if root_entries == 256 { 24 } else { 16 }
}

/// First word of a node of `words` words, where `next` is the first one free.
pub(crate) fn place(next: usize, words: usize) -> usize {
    if next % LINE_WORDS + words.min(LINE_WORDS) <= LINE_WORDS { next } else { next.next_multiple_of(LINE_WORDS) }
}

impl Trie4<'_> {
    /// At most `STEP` addresses.
    #[inline(always)]
    pub(crate) fn lookup(&self, addresses: &[u32], ids: &mut [u32]) {
        if self.root.is_empty() {
            ids.fill(0);
            return;
        }
        let mut waiting = [0u8; STEP]; // lookups that have come to a node
        let mut left = 0;
        let mut shift = root_shift(self.root.len());
        for (place, (address, id)) in addresses.iter().zip(ids.iter_mut()).enumerate() {
            *id = self.root[(address >> shift) as usize];
            waiting[left % STEP] = place as u8;
            left += (*id >> 31) as usize;
            self.ask(*id);
        }
        while left != 0 && shift != 0 {
            shift -= 8;
            left = self.step(addresses, ids, &mut waiting, left, shift);
        }
    }

    /// Takes the first `left` of `waiting` one node down; returns how many have come to another one.
    #[inline(always)]
    fn step(&self, addresses: &[u32], ids: &mut [u32], waiting: &mut [u8; STEP], left: usize, shift: u32) -> usize {
        let mut at = [0u32; STEP];
        for (place, at) in waiting[..left].iter().zip(&mut at) {
            let place = usize::from(*place);
            *at = run_of(self.nodes, ids[place], addresses[place] >> shift & 0xFF);
            prefetch(self.nodes, *at as usize);
        }
        let mut still = 0;
        for slot in 0..left {
            let place = waiting[slot];
            let entry = self.nodes[at[slot] as usize];
            ids[usize::from(place)] = entry;
            waiting[still] = place;
            still += (entry >> 31) as usize;
            self.ask(entry);
        }
        still
    }

    /// Asks for the line of the entry's node; for the first line, which is always near, where it is an id.
    #[inline(always)]
    fn ask(&self, entry: u32) {
        let node = (entry.cast_signed() >> 31).cast_unsigned();
        prefetch(self.nodes, (entry & POSITION & node) as usize);
    }

    /// The answer of one address, with the first and last address of the run that holds it.
    fn run(&self, address: u32) -> (u32, u32, u32) {
        let Some(mut shift) = (!self.root.is_empty()).then(|| root_shift(self.root.len())) else {
            return (0, 0, u32::MAX);
        };
        let mut entry = self.root[(address >> shift) as usize];
        let (mut first, mut last) = (address >> shift << shift, address | u32::MAX >> (32 - shift));
        while entry & NODE != 0 && shift != 0 {
            shift -= 8;
            let at = |byte: u32| run_of(self.nodes, entry, byte);
            let (block, byte) = (address >> shift & !0xFF, address >> shift & 0xFF);
            let same: Vec<u32> = (0..=255).filter(|other| at(*other) == at(byte)).collect();
            let (low, high) = (same.first().copied().unwrap_or(byte), same.last().copied().unwrap_or(byte));
            entry = self.nodes[at(byte) as usize];
            (first, last) = ((block | low) << shift, (block | high) << shift | ((1 << shift) - 1));
        }
        (entry, first, last)
    }

    /// First and last address around this one that share its answer. For explaining: it walks.
    pub(crate) fn around(&self, address: u32, same: impl Fn(u32, u32) -> bool) -> (u32, u32) {
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

    /// Every entry is an id below `verdicts` or the next node in order, and every node is as small as it can be and inside the section.
    pub(crate) fn check(&self, verdicts: usize) -> Result<(), Defect> {
        let mut check = Check { nodes: self.nodes, verdicts, next: 0 };
        let depth = root_shift(self.root.len()) / 8;
        let mut level = check.entries(Section::Root4, self.root, 0, depth != 0)?;
        for below in (0..depth).rev() {
            let mut deeper = Vec::new();
            for entries in level {
                deeper.extend(check.entries(Section::Nodes4, &self.nodes[..entries.end], entries.start, below != 0)?);
            }
            level = deeper;
        }
        Defect::unless(check.next == self.nodes.len(), Section::Nodes4, check.next, "nothing after the last node")
    }
}

/// Which word holds the entry of `byte` in the node that `entry` points to. No branch: the masks are all ones for a dense node, zeros for a sparse one.
#[inline(always)]
pub(super) fn run_of(nodes: &[u32], entry: u32, byte: u32) -> u32 {
    let dense = 0u32.wrapping_sub(entry >> 30 & 1);
    let from = entry & POSITION;
    let quarter = byte >> 6;
    let word = (from + ((quarter * 2) & dense)) as usize;
    let bits = u64::from(nodes[word]) | u64::from(nodes[word + 1]) << 32;
    let counts = nodes[(from + (8 & dense)) as usize] & dense;
    let wide = u64::from(dense) << 32 | u64::from(dense);
    let ones = (bits << (63 - (byte & 63)) & wide) | (bytes_below(bits, byte) & !wide);
    from + SPARSE_HEAD as u32 + (7 & dense) + (counts >> (8 * quarter) & 0xFF) + ones.count_ones()
}

/// A bit for each of the eight bytes that is below `byte`.
#[inline(always)]
fn bytes_below(bytes: u64, byte: u32) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let byte = u64::from(byte) * 0x0101_0101_0101_0101;
    let reached = (bytes | HIGH) - (byte & !HIGH); // high bit: the lower seven bits of the byte are not below
    let not_below = (bytes & !byte) | (!(bytes ^ byte) & reached);
    !not_below & HIGH
}

/// A pass over the entries in the order in which their nodes must stand.
struct Check<'a> {
    nodes: &'a [u32],
    verdicts: usize,
    /// First word that no node has taken yet.
    next: usize,
}

impl Check<'_> {
    /// Checks the entries from `first` on, and the nodes that they point to; returns where those have theirs.
    fn entries(&mut self, section: Section, words: &[u32], first: usize, nodes: bool) -> Result<Vec<std::ops::Range<usize>>, Defect> {
        let mut found = Vec::new();
        for (at, entry) in words.iter().enumerate().skip(first) {
            let sound = if nodes { "a verdict id or a node" } else { "a verdict id" };
            if entry & NODE == 0 {
                Defect::unless((*entry as usize) < self.verdicts, section, at, sound)?;
            } else {
                Defect::unless(nodes, section, at, sound)?;
                found.push(self.node(*entry).ok_or(Defect { section, element: at, expected: "the next node in order" })?);
            }
        }
        Ok(found)
    }

    /// The place of a node's entries, if it is the next node, whole, and of the right kind.
    fn node(&mut self, entry: u32) -> Option<std::ops::Range<usize>> {
        let from = (entry & POSITION) as usize;
        let head = if entry & DENSE == 0 { SPARSE_HEAD } else { DENSE_HEAD };
        let runs = match entry & DENSE {
            0 => sparse_runs(self.nodes.get(from..from + head)?)?,
            _ => dense_runs(self.nodes.get(from..from + head)?)?,
        };
        let end = from + head + runs;
        let sound =
            from == place(self.next, end - from) && end <= self.nodes.len() && self.nodes[self.next..from].iter().all(|word| *word == 0);
        self.next = end;
        sound.then_some(from + head..end)
    }
}

/// How many runs a sparse head has: its last bytes ascend, then 255s.
fn sparse_runs(head: &[u32]) -> Option<usize> {
    let bytes: &[u8] = bytemuck::cast_slice(head);
    let ends = bytes.iter().take_while(|byte| **byte != 255).count();
    let sound = ends != 0 && bytes[..ends].is_sorted_by(|a, b| a < b) && bytes[ends..].iter().all(|byte| *byte == 255);
    sound.then_some(ends + 1)
}

/// How many runs a dense head has: the first place begins the first of them without a bit, and the counts are those of the bits.
fn dense_runs(head: &[u32]) -> Option<usize> {
    let ones = |quarter: usize| head[2 * quarter].count_ones() + head[2 * quarter + 1].count_ones();
    let mut below = 0;
    let mut counts = 0;
    for quarter in 0..4 {
        counts |= below << (8 * quarter);
        below += ones(quarter);
    }
    let runs = below as usize + 1;
    (head[0] & 1 == 0 && head[8] == counts && runs > SPARSE_RUNS_MAX).then_some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_below_counts_as_a_loop_would() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            let byte = (state >> 40) as u32 & 0xFF;
            let bytes = state ^ state >> 29;
            let expected = bytes.to_le_bytes().iter().filter(|other| u32::from(**other) < byte).count();
            assert_eq!(bytes_below(bytes, byte).count_ones() as usize, expected, "{bytes:016x} {byte}");
        }
    }

    #[test]
    fn a_node_crosses_a_line_only_if_it_is_longer_than_one() {
        assert_eq!((place(0, 5), place(11, 5), place(12, 5), place(16, 40), place(17, 40)), (0, 11, 16, 16, 32));
    }
}
