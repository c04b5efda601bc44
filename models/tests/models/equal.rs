//! The native evaluator against a naive oracle, on every backend, and against ONNX Runtime on the same file: equal sums, equal logits, to the bit.

use crate::write::{Made, Random};
use std::sync::Arc;
use verdict_models::features::Spec;
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::onnx::Model;
use verdict_models::runtime::{Input, Values};
use verdict_simd::{Backend, available};

const BITS: u32 = 8;
const ROWS: usize = 512 + 256;

fn spec() -> Spec {
    Spec::new(BITS, &[2, 3, 4, 5], &[3, 4]).unwrap()
}

/// Bags of rows: none, one, some, more than i16 can sum, the largest.
fn bags(random: &mut Random) -> Vec<Vec<u32>> {
    let sizes = [0, 1, 2, 31, 100, 254, 255, 256, 600, verdict_models::features::ROWS_MAX];
    sizes.iter().map(|&size| (0..size).map(|_| random.below(ROWS) as u32).collect()).collect()
}

fn evaluator(made: &Made) -> Arc<Evaluator> {
    let file = made.file();
    Arc::new(Evaluator::new(&Model::read(&file).unwrap()).unwrap())
}

#[test]
fn every_width_gives_the_sums_of_the_oracle_on_every_backend() {
    for (seed, [width, hidden, heads]) in
        [[32, 32, 2], [16, 32, 1], [48, 64, 1], [64, 16, 3], [24, 20, 1], [1, 1, 1], [128, 128, 8]].into_iter().enumerate()
    {
        let made = Made::new(seed as u64, ROWS, width, hidden, heads);
        let mut scorer = Scorer::new(evaluator(&made), spec()).unwrap();
        let bags = bags(&mut Random(seed as u64));
        let expected: Vec<i32> = bags.iter().flat_map(|bag| made.sums(bag)).collect();
        let distinct = expected.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(distinct > bags.len() / 2, "weights that make everything equal test nothing");
        for backend in available() {
            let mut sums = vec![0; expected.len()];
            assert_eq!(scorer.score_rows(backend, bags.iter().map(Vec::as_slice), &mut sums), bags.len());
            assert_eq!(sums, expected, "{}, {width} x {hidden} x {heads}", backend.name());
        }
    }
}

#[test]
fn onnx_runtime_gives_the_same_logits() {
    let Some(runtime) = crate::runtime("onnx_runtime_gives_the_same_logits") else { return };
    println!("{}", runtime.about());
    for (seed, [width, hidden, heads]) in [[32, 32, 2], [24, 20, 1]].into_iter().enumerate() {
        let made = Made::new(seed as u64, ROWS, width, hidden, heads);
        let evaluator = evaluator(&made);
        let file = if seed == 0 { made.file() } else { made.file_by_ones() };
        let mut session = runtime.session(&file).unwrap();
        let mut scorer = Scorer::new(evaluator.clone(), spec()).unwrap();
        let bags = bags(&mut Random(seed as u64));
        let mut sums = vec![0; bags.len() * heads];
        scorer.score_rows(verdict_simd::detect().unwrap(), bags.iter().map(Vec::as_slice), &mut sums);
        let ours: Vec<u32> = sums.iter().enumerate().map(|(at, &sum)| evaluator.logit(at % heads, sum).to_bits()).collect();
        let longest = bags.iter().map(Vec::len).max().unwrap();
        let padded: Vec<i32> = bags.iter().flat_map(|bag| (0..longest).map(|at| bag.get(at).map_or(0, |&id| id as i32))).collect();
        let mut theirs = Vec::new();
        session.run(&[Input { name: "ids", shape: [bags.len(), longest], values: Values::I32(&padded) }], &mut theirs).unwrap();
        assert_eq!(ours, theirs.iter().map(|logit| logit.to_bits()).collect::<Vec<_>>());
    }
}

#[test]
fn a_batch_ends_where_its_texts_or_its_room_do() {
    let made = Made::new(7, ROWS, 32, 32, 2);
    let mut scorer = Scorer::new(evaluator(&made), spec()).unwrap();
    let backend = verdict_simd::detect().unwrap();
    let bag = [1, 2, 3];
    let mut sums = [0; 2 * 400];
    assert_eq!(scorer.score_rows(backend, std::iter::repeat_n(&bag[..], 300), &mut sums), verdict_models::native::BATCH_MAX);
    assert_eq!(scorer.score_rows(backend, std::iter::repeat_n(&bag[..], 300), &mut sums[..7]), 3);
    assert_eq!(sums[..2], made.sums(&bag));
    assert_eq!(scorer.score_rows(backend, [&[ROWS as u32, u32::MAX][..]].into_iter(), &mut sums), 1, "no rows: counted as nothing");
    assert_eq!(sums[..2], made.sums(&[]));
}

#[test]
fn features_of_more_rows_than_the_model_has_are_refused() {
    let evaluator = evaluator(&Made::new(7, ROWS, 32, 32, 2));
    assert!(Scorer::new(evaluator.clone(), Spec::new(9, &[2], &[3]).unwrap()).is_none());
    assert!(Scorer::new(evaluator, Spec::new(8, &[2], &[3]).unwrap()).is_some());
}
