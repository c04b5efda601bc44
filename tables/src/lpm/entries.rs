//! Every run of addresses with one answer, once, whatever is behind it: for counting, not for lookups.

use super::tree6::{LONG, Tree6};
use super::trie4::{DENSE, DENSE_HEAD, NODE, POSITION, SPARSE_HEAD, Trie4, root_shift, run_of};
use crate::view::View;

/// Hands over the id of each; those without an answer have id 0.
pub(crate) fn each(view: &View<'_>, mut found: impl FnMut(u32)) {
    let answered = |id: u32| view.templates[id as usize].verdict_id();
    if !view.lpm4.root.is_empty() {
        let shift = root_shift(view.lpm4.root.len());
        runs(view.lpm4.root.iter().copied(), &view.lpm4, shift, &answered, &mut found);
    }
    let mut last = None;
    intervals(&view.lpm6, |id| {
        let id = answered(id);
        if last.replace(id) != Some(id) {
            found(id);
        }
    });
}

/// Side by side in one node is one; at most three levels, as the reader has verified.
fn runs(entries: impl Iterator<Item = u32>, trie: &Trie4<'_>, shift: u32, answered: &impl Fn(u32) -> u32, found: &mut impl FnMut(u32)) {
    let mut last = None;
    for entry in entries {
        let entry = if entry & NODE == 0 { answered(entry) } else { entry };
        if entry & NODE == 0 {
            if last != Some(entry) {
                found(entry);
            }
        } else if shift != 0 {
            let head = if entry & DENSE == 0 { SPARSE_HEAD } else { DENSE_HEAD };
            let from = (entry & POSITION) as usize + head;
            let end = run_of(trie.nodes, entry, 255) as usize + 1;
            runs(trie.nodes[from..end].iter().copied(), trie, shift - 8, answered, found);
        }
        last = Some(entry);
    }
}

fn intervals(tree: &Tree6<'_>, mut found: impl FnMut(u32)) {
    for id in tree.ids {
        match id & LONG {
            0 => found(*id),
            _ => tree.long_ids[tree.block(*id)].iter().for_each(|id| found(*id)),
        }
    }
}
