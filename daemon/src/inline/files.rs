//! Files of a turn whose headers a model reads: what their requests said of them, until they are scored.
//!
//! ```text
//! LOOKUP_FILES ─► digest, 49 values ─► kept ─► unknown to the tables? ─► trees ─► rows, one a tree ─► the model's sums
//! ```
//! Only `pe-1` is kept, and only while a model is there that reads it; other files are answered by their digest. Values are the client's word: what is
//! remembered of a file is remembered of digest *and* values, so that nobody can spoil another one's answer. All memory is had when a registry is taken over.

use crate::limits::TURN_KEYS_MAX;
use verdict_models::Trees;
use verdict_models::native::{BATCH_MAX, Scorer};
use verdict_models::trees::{PE_1, UNKNOWN};
use verdict_simd::{Backend, Domain, HashSchedule, Key128, seal};
use verdict_wire::{FeatureSet, FileList};

/// Values of one file.
const VALUES: usize = PE_1.len();
const _: () = assert!(FeatureSet::Pe1.values() == VALUES);

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Place in `Batch::items`.
    pub item: usize,
    /// Its digest.
    pub sha256: [u8; 32],
}

/// The files of a turn.
#[derive(Debug, Default)]
pub struct Files {
    /// Whether a model reads them.
    read: bool,
    files: Vec<File>,
    values: Vec<[i64; VALUES]>,
    rows: Vec<u32>,
}

impl Files {
    /// For models whose files have so many trees at most; none where no model reads files. This allocates.
    pub fn new(trees_max: Option<usize>) -> Self {
        let Some(trees_max) = trees_max else { return Self::default() };
        // Of the many that there is room for, memory is touched for those that come.
        Self {
            read: true,
            files: Vec::with_capacity(TURN_KEYS_MAX),
            values: Vec::with_capacity(TURN_KEYS_MAX),
            rows: vec![0; BATCH_MAX * trees_max],
        }
    }

    /// Notes what is said of the items of this turn from `first` on, where a model reads it.
    pub fn keep(&mut self, first: usize, asked: FileList<'_>) {
        if !self.read {
            return;
        }
        for (item, file) in (first..).zip(asked).filter(|(_, file)| file.features == FeatureSet::Pe1.raw()) {
            let mut values = [UNKNOWN; VALUES];
            values.iter_mut().zip(file.values).for_each(|(to, value)| *to = value);
            self.files.push(File { item, sha256: *file.sha256 });
            self.values.push(values);
        }
    }

    /// Forgets a turn.
    pub fn clear(&mut self) {
        self.files.clear();
        self.values.clear();
    }

    /// Those of this turn, in the order of their items.
    pub fn list(&self) -> &[File] {
        &self.files
    }

    /// By which a word is remembered: `key`, that of the digest, with the values.
    #[inline]
    pub fn key<B: Backend>(&self, backend: B, schedule: &HashSchedule, key: Key128, number: usize) -> Key128 {
        let Some(values) = self.values.get(number) else { return key };
        let of_values = seal(backend.hash(schedule, Domain::Sha256, bytemuck::cast_slice(values)));
        Key128 { lo: key.lo ^ of_values.lo, hi: key.hi ^ of_values.hi }
    }

    /// The sums of these files, `heads` a file; at most `BATCH_MAX` of them.
    #[inline]
    pub fn score<B: Backend>(
        &mut self,
        backend: B,
        trees: &Trees,
        scorer: &mut Scorer,
        numbers: impl Iterator<Item = usize>,
        sums: &mut [i32],
    ) {
        let (each, mut count) = (trees.trees(), 0);
        for (number, rows) in numbers.zip(self.rows.chunks_exact_mut(each)) {
            trees.rows(self.values.get(number).map_or(&[][..], |values| &values[..]), rows);
            count += 1;
        }
        scorer.score_rows(backend, self.rows.chunks_exact(each).take(count), sums);
    }
}
