//! Any bytes as a model file: refused with a reason that fits a line, or run on a few bags of rows.
//! Shared with models/tests/models/mutate.rs, so that what the fuzzer checks and what the test replays cannot part.

use verdict_models::Refusal;
use verdict_models::features::Spec;
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::onnx::Model;

/// Reads one file; if it is a model, asks it.
pub fn model_any(bytes: &[u8]) -> Result<(), Refusal> {
    let short = |refusal: Refusal| {
        assert!(refusal.to_string().len() < 2000 && !refusal.why.is_empty());
        refusal
    };
    let evaluator = Model::read(bytes).and_then(|model| Evaluator::new(&model)).map_err(short)?;
    let heads = evaluator.heads();
    let rows = evaluator.rows() as u32;
    let Some(mut scorer) = Scorer::new(evaluator.into(), Spec { bits: 2, host: 4, rest: 8 }) else { return Ok(()) };
    let bags: [&[u32]; 4] = [&[], &[0, 1, rows - 1], &[rows, u32::MAX], &[rows / 2; 600]];
    let backend = verdict_simd::detect().expect("a backend that is named is here");
    let (mut sums, mut again) = (vec![0; bags.len() * heads], vec![0; bags.len() * heads]);
    assert_eq!(scorer.score_rows(backend, bags.into_iter(), &mut sums), bags.len());
    scorer.score_rows(verdict_simd::Portable::new(), bags.into_iter(), &mut again);
    assert_eq!(sums, again);
    assert!((0..heads).all(|head| scorer.evaluator().logit(head, sums[head]).is_finite()));
    Ok(())
}
