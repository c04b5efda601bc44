//! Every run of addresses with one answer, once: for counting, not for lookups.

use super::tree6::{LONG, Tree6};
use super::trie4::{DENSE, DENSE_HEAD, NODE, POSITION, SPARSE_HEAD, Trie4, root_shift, run_of};
use crate::view::View;

/// Hands over the id of each; those without an answer have id 0.
pub(crate) fn each(view: &View<'_>, mut found: impl FnMut(u32)) {
    if !view.lpm4.root.is_empty() {
        let shift = root_shift(view.lpm4.root.len());
        runs(view.lpm4.root.iter().copied(), &view.lpm4, shift, &mut found);
    }
    intervals(&view.lpm6, &mut found);
}

/// Side by side in one node is one; at most three levels, as the reader has verified.
fn runs(entries: impl Iterator<Item = u32>, trie: &Trie4<'_>, shift: u32, found: &mut impl FnMut(u32)) {
    let mut last = None;
    for entry in entries {
        if entry & NODE == 0 {
            if last != Some(entry) {
                found(entry);
            }
        } else if shift != 0 {
            let head = if entry & DENSE == 0 { SPARSE_HEAD } else { DENSE_HEAD };
            let from = (entry & POSITION) as usize + head;
            let end = run_of(trie.nodes, entry, 255) as usize + 1;
            runs(trie.nodes[from..end].iter().copied(), trie, shift - 8, found);
        }
        last = Some(entry);
    }
}

fn intervals(tree: &Tree6<'_>, found: &mut impl FnMut(u32)) {
    for id in tree.ids {
        match id & LONG {
            0 => found(*id),
            _ => tree.long_ids[tree.block(*id)].iter().for_each(|id| found(*id)),
        }
    }
}
