//! Batches of nothing but digests, or of nothing but clients' own keys: one wave from the keys to the answers.
//!
//! ```text
//! key i ──wave──► ref i ──& flags that such keys refuse──► verdict id ──► template, the answer to item i
//! ```
//! No items, no weights, no list of hits: what is left of a lookup is the probe and a copy of 8 bytes.

use verdict_keys::Form;
use verdict_simd::{Backend, CHUNK, Key128};

use crate::layout::slot;

use crate::verdict::Verdict;
use crate::view::View;
use crate::wave::{Sink, Wave};
use crate::weight::{Weight, single_weight};

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

    /// Those whose bits are set.
    #[cold]
    fn answer_several(&mut self, first: usize, mut several: u64) {
        while several != 0 {
            let index = first + several.trailing_zeros() as usize;
            self.verdicts[index] = self.view.templates[self.best(self.keys[index]) as usize];
            several &= several - 1;
        }
    }

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
    fn take<B: Backend>(&mut self, backend: B, first: usize, refs: &mut [u32]) {
        let verdicts = &mut self.verdicts[first..first + refs.len()];
        let templates = self.view.templates;
        // Nearly all chunks are whole, and a whole one is a loop without an end to look for.
        let several = if let (Ok(refs), Ok(verdicts)) =
            (<&mut [u32; CHUNK]>::try_from(&mut *refs), <&mut [Verdict; CHUNK]>::try_from(&mut *verdicts))
        {
            let several = into_ids(refs, self.refused);
            backend.pick(templates, refs, verdicts);
            several
        } else {
            let several = into_ids(refs, self.refused);
            verdicts.iter_mut().zip(refs).for_each(|(verdict, id)| *verdict = templates[*id as usize]);
            several
        };
        if several != 0 {
            self.answer_several(first, several);
        }
    }
}

/// Makes verdict ids of refs, in place: a scalar that is loaded from a vector's store waits, unless that was of a whole line. A bit for each that
/// stands for several. Id 0 has a template too: that of no verdict.
#[inline(always)]
fn into_ids(refs: &mut [u32], refused: u32) -> u64 {
    let any = refs.iter().fold(0, |any, reference| any | reference);
    let several = if Wave::is_several(any) { several(refs) } else { 0 };
    for reference in refs {
        *reference = if *reference & refused == 0 { *reference & slot::ID } else { 0 };
    }
    several
}

#[cold]
fn several(refs: &[u32]) -> u64 {
    refs.iter().enumerate().fold(0, |bits, (index, reference)| bits | u64::from(Wave::is_several(*reference)) << index)
}
