//! Addresses to verdict ids, a batch at a time. The builder has already let every prefix fight it out: the template of the id that is found is the answer.
//!
//! ```text
//! IPv4   root by 8 or 16 bits ──► node by 8 bits ──► node by 8 bits ──► id        trie4.rs
//! IPv6   tree of intervals over the upper 64 bits, 8 to a line ──► id             tree6.rs
//!                                              └─ rules longer than /64: a search among the intervals of that /64
//! ```
//!
//! Both go level by level: all lookups of a batch take one step and ask for the line of their next, so that the misses of 64 lookups overlap.
//! Neither walks a chain that an attacker could lengthen: at most three nodes for IPv4, the height of the tree for IPv6.

pub(crate) mod entries;
pub(crate) mod gather;
mod tally;
pub(crate) mod tree6;
pub(crate) mod trie4;

use verdict_simd::{Backend, Kernel};

use crate::error::Error;
use crate::snapshot::Snapshot;
use tree6::Tree6;
use trie4::Trie4;

/// Lookups that take a step together: more than any core's line-fill buffers, few enough for their state to stay in L1.
pub(crate) const STEP: usize = 64;

impl Snapshot {
    /// The id of each IPv4 address whose template is its answer, in order; 0 where no prefix covers it. What [`lookup`](crate::lookup) does with the
    /// addresses of a batch.
    ///
    /// Panics if the lengths differ.
    pub fn ids_v4<B: Backend>(&self, backend: B, addresses: &[u32], ids: &mut [u32]) {
        lookup4(backend, &self.view().lpm4, addresses, ids);
    }

    /// The id of each IPv6 address whose template is its answer, in order; 0 where no prefix covers it.
    ///
    /// Panics if the lengths differ.
    pub fn ids_v6<B: Backend>(&self, backend: B, addresses: &[u128], ids: &mut [u32]) {
        lookup6(backend, &self.view().lpm6, addresses, ids);
    }
}

pub(crate) fn lookup4<B: Backend>(backend: B, trie: &Trie4<'_>, addresses: &[u32], ids: &mut [u32]) {
    assert_eq!(addresses.len(), ids.len());
    backend.compiled(Lookup4 { trie: *trie, addresses, ids });
}

pub(crate) fn lookup6<B: Backend>(backend: B, tree: &Tree6<'_>, addresses: &[u128], ids: &mut [u32]) {
    assert_eq!(addresses.len(), ids.len());
    backend.compiled(Lookup6 { tree: *tree, addresses, ids });
}

struct Lookup4<'a> {
    trie: Trie4<'a>,
    addresses: &'a [u32],
    ids: &'a mut [u32],
}

impl Kernel for Lookup4<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (addresses, ids) in self.addresses.chunks(STEP).zip(self.ids.chunks_mut(STEP)) {
            self.trie.lookup(addresses, ids);
        }
    }
}

struct Lookup6<'a> {
    tree: Tree6<'a>,
    addresses: &'a [u128],
    ids: &'a mut [u32],
}

impl Kernel for Lookup6<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (addresses, ids) in self.addresses.chunks(STEP).zip(self.ids.chunks_mut(STEP)) {
            self.tree.lookup(addresses, ids);
        }
    }
}

/// A section that is not as a builder leaves it: which element of it, and what it should have been.
pub(crate) struct Defect {
    pub(crate) section: crate::layout::Section,
    pub(crate) element: usize,
    pub(crate) expected: &'static str,
}

impl Defect {
    /// `Err` with a defect unless `holds`.
    pub(crate) fn unless(holds: bool, section: crate::layout::Section, element: usize, expected: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { section, element, expected }) }
    }
}

impl From<Defect> for Error {
    fn from(defect: Defect) -> Self {
        let at = defect.element as u64 * defect.section.element_bytes() as u64;
        Error::corrupt(defect.section.name(), at, defect.expected, "something else")
    }
}

#[cfg(test)]
mod tests {
    use verdict_simd::available;

    use super::*;

    #[test]
    fn every_backend_finds_the_same() {
        let ends: Vec<u64> = (1..=1000u64).map(|number| number << 40).chain([u64::MAX]).collect();
        let flat: Vec<(u128, u32)> = ends.iter().zip(0..).map(|(end, id)| (u128::from(end - (1 << 40)) << 60, id)).collect();
        let flat: Vec<(u128, u32)> = std::iter::once((0, 7)).chain(flat.into_iter().skip(1)).collect();
        let tree = crate::build::tree6::pack(&flat);
        let tree = Tree6 { nodes: &tree.nodes, ids: &tree.ids, blocks: &tree.blocks, long_ends: &tree.long_ends, long_ids: &tree.long_ids };
        let flat: Vec<(u128, u32)> = (0..5000u128).map(|number| (number * 0xD_1234, number as u32 % 9)).collect();
        let trie = crate::build::trie4::pack(&flat).unwrap();
        let trie = Trie4 { root: &trie.root, nodes: &trie.nodes };
        let wide: Vec<u128> = (0..999u128).map(|number| (number * 0x1234_5678_9ABC_DEF1) << 60).collect();
        let narrow: Vec<u32> = (0..999u32).map(|number| number.wrapping_mul(0x9E37_79B1)).collect();
        let mut expected = [vec![0; 999], vec![0; 999]];
        Lookup4 { trie, addresses: &narrow, ids: &mut expected[0] }.run();
        Lookup6 { tree, addresses: &wide, ids: &mut expected[1] }.run();
        assert!(expected[0].iter().any(|id| *id > 3) && expected[1].iter().any(|id| *id > 3));
        for backend in available() {
            let mut found = [vec![0; 999], vec![0; 999]];
            lookup4(backend, &trie, &narrow, &mut found[0]);
            lookup6(backend, &tree, &wide, &mut found[1]);
            assert_eq!(found, expected, "{}", backend.name());
        }
    }
}
