//! Batches of nothing but digests, or of nothing but clients' own keys: one wave from the keys to the answers.
//!
//! ```text
//! key i ──wave──► ref i ──& flags that such keys refuse──► verdict id ──► template, the answer to item i
//! ```
//! No items, no weights, no list of hits: what is left of a lookup is the probe and a copy of 8 bytes.

use verdict_keys::Form;
use verdict_simd::Key128;

use crate::layout::slot;
use crate::lookup::{Weight, single_weight};
use crate::verdict::Verdict;
use crate::view::View;
use crate::wave::{Sink, Wave};

/// A batch in which item `i` is key `i`, and all are of one form: nothing but the ref decides, and the answer is written at once.
pub(crate) struct Flat<'a, 'b> {
    view: &'a View<'b>,
    keys: &'a [Key128],
    form: Form,
    /// Flags of slots that are not about such keys.
    refused: u32,
    verdicts: &'a mut [Verdict],
}

impl<'a, 'b> Flat<'a, 'b> {
    pub(crate) fn new(view: &'a View<'b>, keys: &'a [Key128], form: Form, verdicts: &'a mut [Verdict]) -> Self {
        let refused = match form {
            Form::Hashed { suffix, prefix } => (u32::from(suffix) * slot::SELF) | (u32::from(prefix) * slot::LEAF),
            _ => 0,
        };
        Self { view, keys, form, refused, verdicts }
    }

    #[cold]
    fn best(&self, key: Key128) -> u32 {
        let mut best = Weight::NONE;
        self.view.table.each(key, |reference| {
            best = best.max(single_weight(self.view, self.form, reference));
        });
        best.id()
    }
}

impl Sink for Flat<'_, '_> {
    #[inline(always)]
    fn take(&mut self, first: usize, refs: &[u32]) {
        let verdicts = &mut self.verdicts[first..first + refs.len()];
        for (verdict, reference) in verdicts.iter_mut().zip(refs) {
            // Id 0 has a template too: that of no verdict.
            let id = if reference & self.refused == 0 { reference & slot::ID } else { 0 };
            *verdict = self.view.templates[id as usize];
        }
        if refs.iter().fold(0, |all, reference| all | Wave::is_several(*reference) as u32) != 0 {
            for (index, _) in refs.iter().enumerate().filter(|(_, reference)| Wave::is_several(**reference)) {
                self.verdicts[first + index] = self.view.templates[self.best(self.keys[first + index]) as usize];
            }
        }
    }
}
