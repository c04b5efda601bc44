//! Microseconds a row on this machine: native, ONNX Runtime on the same file, ONNX Runtime on the float model, in turn and in one process.
//!
//! Where features are of text, extracting them is part of each. Of some rounds the least counts: other processes only add.

use super::Refused;
use super::oracle::{Sessions, run};
use crate::error::Refusal;
use crate::features::{Rows, extract_text};
use crate::golden::Vector;
use crate::native::Scorer;
use crate::runtime::Session;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use verdict_simd::Backend;

/// Batches that are measured.
pub const BATCHES: [usize; 4] = [1, 8, 32, 128];
/// Rounds of each.
const ROUNDS: usize = 7;
/// Rows of a round, about.
const ROWS: usize = 512;

/// Of one size of batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Rows of a batch.
    pub batch: usize,
    /// The native evaluator.
    pub native: f64,
    /// ONNX Runtime on the same file.
    pub int8: Option<f64>,
    /// ONNX Runtime on the float model.
    pub float: Option<f64>,
}

/// What is run again and again.
struct Bench<'v> {
    vectors: Vec<&'v Vector>,
    /// Features are extracted from the texts.
    of_text: bool,
    rows: Box<Rows>,
    padded: Vec<i32>,
    logits: Vec<f32>,
    sums: Vec<i32>,
}

/// Measures.
pub fn times<B: Backend>(
    backend: B,
    scorer: &mut Scorer,
    of_text: bool,
    sessions: &mut Sessions,
    vectors: &[Vector],
) -> Result<Vec<Times>, Refused> {
    let of_text = of_text && vectors.iter().all(|vector| vector.text.is_some());
    let vectors: Vec<&Vector> = vectors.iter().cycle().take(ROWS).collect();
    let mut bench = Bench {
        vectors,
        of_text,
        rows: Box::default(),
        padded: Vec::new(),
        logits: Vec::new(),
        sums: vec![0; ROWS * scorer.evaluator().heads()],
    };
    BATCHES.into_iter().map(|batch| bench.batch(backend, batch, scorer, sessions).map_err(Refused::from)).collect()
}

impl Bench<'_> {
    fn batch<B: Backend>(&mut self, backend: B, batch: usize, scorer: &mut Scorer, sessions: &mut Sessions) -> Result<Times, Refusal> {
        let mut times = Times {
            batch,
            native: f64::MAX,
            int8: sessions.int8.as_ref().map(|_| f64::MAX),
            float: sessions.float.as_ref().map(|_| f64::MAX),
        };
        for _ in 0..ROUNDS {
            times.native = times.native.min(self.native(backend, batch, scorer));
            for (session, least) in [(&mut sessions.int8, &mut times.int8), (&mut sessions.float, &mut times.float)] {
                if let (Some(session), Some(least)) = (session, least) {
                    *least = least.min(self.runtime(batch, scorer, session)?);
                }
            }
        }
        Ok(times)
    }

    fn native<B: Backend>(&mut self, backend: B, batch: usize, scorer: &mut Scorer) -> f64 {
        let begun = Instant::now();
        for vectors in self.vectors.chunks_exact(batch) {
            if self.of_text {
                let texts = vectors.iter().map(|vector| parted(vector.text.as_deref().unwrap_or_default().as_bytes()));
                scorer.score(backend, texts, &mut self.sums);
            } else {
                scorer.score_rows(backend, vectors.iter().map(|vector| vector.ids.as_slice()), &mut self.sums);
            }
        }
        std::hint::black_box(&self.sums);
        self.each(begun, batch)
    }

    fn runtime(&mut self, batch: usize, scorer: &Scorer, session: &mut Session) -> Result<f64, Refusal> {
        let begun = Instant::now();
        for vectors in self.vectors.chunks_exact(batch) {
            if self.of_text {
                for vector in vectors {
                    extract_text(scorer.spec(), vector.text.as_deref().unwrap_or_default().as_bytes(), &mut self.rows);
                    std::hint::black_box(self.rows.as_slice());
                }
            }
            // The rows are the golden ones: equal, and here already.
            let bags: Vec<&[u32]> = vectors.iter().map(|vector| vector.ids.as_slice()).collect();
            self.logits.clear();
            run(session, &bags, &mut self.padded, &mut self.logits)?;
        }
        Ok(self.each(begun, batch))
    }

    fn each(&self, begun: Instant, batch: usize) -> f64 {
        let rows = self.vectors.len() / batch * batch;
        begun.elapsed().as_secs_f64() * 1e6 / rows.max(1) as f64
    }
}

/// Host, and what follows the slash after it.
fn parted(text: &[u8]) -> (&[u8], &[u8]) {
    let slash = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
    (&text[..slash], text.get(slash + 1..).unwrap_or_default())
}
