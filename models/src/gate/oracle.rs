//! Int8 held against ONNX Runtime, which must give the same bits, and against the float model, which may differ a little.

use super::Refused;
use crate::error::{Fault, Refusal};
use crate::golden::Vector;
use crate::native::{BATCH_MAX, Scorer};
use crate::runtime::{Input, Session, Values};
use serde::{Deserialize, Serialize};
use verdict_simd::Backend;

/// What ONNX Runtime holds.
#[derive(Default)]
pub struct Sessions {
    /// The model.
    pub int8: Option<Session>,
    /// The model before quantization.
    pub float: Option<Session>,
}

/// How far int8 and float are apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Apart {
    /// Logits that were compared.
    pub logits: u64,
    /// Mean of their distances.
    pub mean: f64,
    /// The largest.
    pub most: f64,
    /// Logits times thresholds.
    pub decisions: u64,
    /// How many of these differ.
    pub flipped: u64,
}

/// Runs padded batches; the logits.
pub fn run(session: &mut Session, bags: &[&[u32]], padded: &mut Vec<i32>, logits: &mut Vec<f32>) -> Result<(), Refusal> {
    // As the trainer pads: shapes come back, and memory with them.
    let longest = bags.iter().map(|bag| bag.len()).max().unwrap_or_default().next_multiple_of(32).max(32);
    padded.clear();
    for bag in bags {
        padded.extend(bag.iter().map(|&id| id as i32));
        padded.resize(padded.len() + longest - bag.len(), 0);
    }
    let input = Input { name: "ids", shape: [bags.len(), longest], values: Values::I32(padded) };
    session.run(&[input], logits).map_err(|why| Refusal::new(Fault::Unsupported, "", why))
}

/// Native logits of all bags, in order.
pub fn native<B: Backend>(backend: B, scorer: &mut Scorer, bags: &[&[u32]]) -> Vec<f32> {
    let heads = scorer.evaluator().heads();
    let mut sums = vec![0; bags.len() * heads];
    for (bags, sums) in bags.chunks(BATCH_MAX).zip(sums.chunks_mut(BATCH_MAX * heads)) {
        scorer.score_rows(backend, bags.iter().copied(), sums);
    }
    sums.iter().enumerate().map(|(at, &sum)| scorer.evaluator().logit(at % heads, sum)).collect()
}

fn all(session: &mut Session, bags: &[&[u32]]) -> Result<Vec<f32>, Refusal> {
    let (mut padded, mut logits) = (Vec::new(), Vec::new());
    for bags in bags.chunks(BATCH_MAX) {
        run(session, bags, &mut padded, &mut logits)?;
    }
    Ok(logits)
}

/// ONNX Runtime gives the same bits; for how many bags.
pub fn equal<B: Backend>(backend: B, scorer: &mut Scorer, sessions: &mut Sessions, bags: &[Vector]) -> Result<u64, Refused> {
    let Some(session) = &mut sessions.int8 else { return Ok(0) };
    let bags: Vec<&[u32]> = bags.iter().map(|vector| vector.ids.as_slice()).collect();
    let ours = native(backend, scorer, &bags);
    let theirs = all(session, &bags)?;
    let differs = (0..ours.len().max(theirs.len()))
        .find(|&at| ours.get(at).map(|logit| logit.to_bits()) != theirs.get(at).map(|logit| logit.to_bits()));
    if let Some(at) = differs {
        let why = format!("the native evaluator says {:?}, ONNX Runtime {:?}", ours.get(at), theirs.get(at));
        return Err(Refusal::new(
            Fault::Wrong,
            format!("logit {} of vector {}", at % scorer.evaluator().heads(), at / scorer.evaluator().heads() + 1),
            why,
        )
        .into());
    }
    Ok(bags.len() as u64)
}

/// Int8 beside float: what the float model says here, or what its golden vectors say that it says.
pub fn apart<B: Backend>(
    backend: B,
    scorer: &mut Scorer,
    sessions: &mut Sessions,
    bags: &[Vector],
    thresholds: &[f32],
) -> Result<Option<Apart>, Refused> {
    let heads = scorer.evaluator().heads();
    let ids: Vec<&[u32]> = bags.iter().map(|vector| vector.ids.as_slice()).collect();
    let float: Vec<f32> = match &mut sessions.float {
        Some(session) => all(session, &ids)?,
        None => bags.iter().flat_map(|vector| &vector.float).copied().collect(),
    };
    if let Some(at) = float.iter().position(|logit| !logit.is_finite()) {
        return Err(Refusal::new(Fault::Wrong, format!("vector {} of the float model", at / heads + 1), "its logit is no number").into());
    }
    let ours = native(backend, scorer, &ids);
    if float.len() != ours.len() {
        return Ok(None);
    }
    let mut apart = Apart { logits: ours.len() as u64, ..Apart::default() };
    let of_each = thresholds.len() / heads;
    for (at, (&int8, &float)) in ours.iter().zip(&float).enumerate() {
        let distance = f64::from((int8 - float).abs());
        apart.mean += distance / ours.len() as f64;
        apart.most = apart.most.max(distance);
        for &threshold in &thresholds[at % heads * of_each..][..of_each] {
            apart.decisions += 1;
            apart.flipped += u64::from((int8 >= threshold) != (float >= threshold));
        }
    }
    Ok(Some(apart))
}
