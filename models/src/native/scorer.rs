//! An evaluator with the buffers of a batch: what a shard holds per model.

use super::{Dense, Evaluator, HEADS_MAX, WIDTH_MAX, kernel};
use crate::features::{Rows, Spec, extract};
use std::sync::Arc;
use verdict_simd::{Backend, Kernel};

/// Texts of a batch at most.
pub const BATCH_MAX: usize = 128;

/// Scores batches of texts. Owns all memory that it needs.
#[derive(Clone, Debug)]
pub struct Scorer {
    evaluator: Arc<Evaluator>,
    spec: Spec,
    rows: Box<Rows>,
    sums: Box<[i32; WIDTH_MAX]>,
    bytes: Box<[i16; WIDTH_MAX]>,
}

impl Scorer {
    /// For texts of these features; none where they have more rows than the evaluator. With `Spec::NONE` for rows alone.
    pub fn new(evaluator: Arc<Evaluator>, spec: Spec) -> Option<Self> {
        if spec != Spec::NONE && spec.rows() > evaluator.rows() {
            return None;
        }
        Some(Self { evaluator, spec, rows: Box::default(), sums: Box::new([0; WIDTH_MAX]), bytes: Box::new([0; WIDTH_MAX]) })
    }

    /// What is looked at of a text.
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// The model.
    pub fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// The sums before the logits (`Evaluator::logit`) of texts, `heads` a text: each a canonical host, and what follows the slash after it. At most
    /// [`BATCH_MAX`] texts and as many as `sums` has room for; how many there were.
    #[inline]
    pub fn score<'t, B: Backend>(&mut self, backend: B, texts: impl Iterator<Item = (&'t [u8], &'t [u8])>, sums: &mut [i32]) -> usize {
        backend.compiled(Texts { scorer: self, texts, sums })
    }

    /// The same of rows that somebody else made: a file's. Numbers that are no row count nothing.
    #[inline]
    pub fn score_rows<'r, B: Backend>(&mut self, backend: B, bags: impl Iterator<Item = &'r [u32]>, sums: &mut [i32]) -> usize {
        backend.compiled(Bags { scorer: self, bags, sums })
    }
}

struct Texts<'s, I> {
    scorer: &'s mut Scorer,
    texts: I,
    sums: &'s mut [i32],
}

impl<'t, I: Iterator<Item = (&'t [u8], &'t [u8])>> Kernel for Texts<'_, I> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let Scorer { evaluator, spec, rows, sums: wide, bytes } = self.scorer;
        let mut count = 0;
        if *spec == Spec::NONE {
            return count;
        }
        for ((host, rest), sums) in self.texts.zip(self.sums.chunks_exact_mut(evaluator.heads())).take(BATCH_MAX) {
            extract(*spec, host, rest, rows);
            evaluator.evaluate(rows.as_slice(), wide, bytes, sums);
            count += 1;
        }
        count
    }
}

struct Bags<'s, I> {
    scorer: &'s mut Scorer,
    bags: I,
    sums: &'s mut [i32],
}

impl<'r, I: Iterator<Item = &'r [u32]>> Kernel for Bags<'_, I> {
    type Output = usize;

    #[inline(always)]
    fn run(self) -> usize {
        let Scorer { evaluator, sums: wide, bytes, .. } = self.scorer;
        let mut count = 0;
        for (bag, sums) in self.bags.zip(self.sums.chunks_exact_mut(evaluator.heads())).take(BATCH_MAX) {
            evaluator.evaluate(bag, wide, bytes, sums);
            count += 1;
        }
        count
    }
}

impl Evaluator {
    /// One text. Each size of row has a loop of its own.
    #[inline(always)]
    fn evaluate(&self, ids: &[u32], wide: &mut [i32; WIDTH_MAX], bytes: &mut [i16; WIDTH_MAX], heads: &mut [i32]) {
        // More rows than a text has are not summed: `checked` has bounded the sums for as many.
        let ids = &ids[..ids.len().min(crate::features::ROWS_MAX)];
        let (table, stride) = (self.table.flat(), self.bias.len());
        match stride {
            16 => kernel::sum::<16>(table, ids, &mut wide[..]),
            32 => kernel::sum::<32>(table, ids, &mut wide[..]),
            64 => kernel::sum::<64>(table, ids, &mut wide[..]),
            _ => kernel::sum::<WIDTH_MAX>(table, ids, &mut wide[..]),
        }
        kernel::narrow(&wide[..stride], &self.bias, &self.scale, &mut bytes[..]);
        self.hidden.apply(&bytes[..stride], &mut wide[..self.hidden.outputs]);
        let hidden = self.hidden.outputs;
        kernel::narrow(&wide[..hidden], &self.hidden.bias, &self.hidden.scale, &mut bytes[..]);
        debug_assert!(heads.len() <= HEADS_MAX);
        self.heads.apply(&bytes[..hidden], heads);
        for (sum, bias) in heads.iter_mut().zip(&self.heads.bias) {
            *sum += bias;
        }
    }
}

impl Dense {
    #[inline(always)]
    fn apply(&self, bytes: &[i16], sums: &mut [i32]) {
        match self.inputs {
            16 => kernel::dense_of::<16>(self, bytes, sums),
            32 => kernel::dense_of::<32>(self, bytes, sums),
            64 => kernel::dense_of::<64>(self, bytes, sums),
            WIDTH_MAX => kernel::dense_of::<WIDTH_MAX>(self, bytes, sums),
            _ => kernel::dense(self, bytes, sums),
        }
    }
}
