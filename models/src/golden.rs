//! What the trainer says that a model answers: lines of JSON, held against features, sums and logits, bit for bit.
//!
//! ```text
//! {"text": "example.test/a?b", "ids": [17, 33, …], "float": [-3.1], "int8": [-3.09], "z2": [-4711]}
//! ```
//! `ids` ascend; a model of a file's fields has `"fields": {"e_lfanew": 128, …}` in place of a text. `float` is the unquantized model's word, for the loss of quantization.

use crate::error::{Fault, Refusal};
use crate::features::{Rows, Spec, extract_text};
use crate::native::Scorer;
use crate::trees::{TREES_MAX, Trees, UNKNOWN};
use serde::Deserialize;
use std::collections::BTreeMap;
use verdict_simd::Backend;

/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Vectors of a file at most.
pub const VECTORS_MAX: usize = 65_536;

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Vector {
    /// Canonical text, where features are of text.
    #[serde(default)]
    pub text: Option<String>,
    /// A file's fields by name, where features are of those; one that is absent is unknown.
    #[serde(default)]
    pub fields: BTreeMap<String, i64>,
    /// Its rows, ascending, as often as they occur.
    pub ids: Vec<u32>,
    /// Logits before quantization.
    #[serde(default)]
    pub float: Vec<f32>,
    /// Logits after it.
    pub int8: Vec<f32>,
    /// The sums that these logits are products of.
    pub z2: Vec<i32>,
}

/// Reads a file; mistakes are told with their line.
pub fn read(bytes: &[u8]) -> Result<Vec<Vector>, Refusal> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::large(FILE_BYTES_MAX, format!("golden vectors of {} bytes, {FILE_BYTES_MAX} at most", bytes.len())));
    }
    let mut vectors = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let refuse = |fault, why: String| Refusal::new(fault, format!("golden vectors, line {}", index + 1), why);
        if vectors.len() == VECTORS_MAX {
            return Err(refuse(Fault::TooLarge, format!("more than {VECTORS_MAX} vectors")));
        }
        let vector: Vector = serde_json::from_slice(line).map_err(|error| refuse(Fault::Malformed, error.to_string()))?;
        if vector.int8.len() != vector.z2.len() || vector.z2.is_empty() {
            return Err(refuse(Fault::Malformed, "as many logits as sums, at least one, are expected".into()));
        }
        if vector.int8.iter().chain(&vector.float).any(|logit| !logit.is_finite()) {
            return Err(refuse(Fault::Malformed, "a logit that is no number".into()));
        }
        vectors.push(vector);
    }
    if vectors.is_empty() {
        return Err(Refusal::new(Fault::Malformed, "golden vectors", "there are none"));
    }
    Ok(vectors)
}

/// Holds features and the native evaluator against the vectors; how many texts among them.
pub fn check<B: Backend>(backend: B, vectors: &[Vector], spec: Option<Spec>, scorer: &mut Scorer) -> Result<usize, Refusal> {
    let heads = scorer.evaluator().heads();
    let (mut rows, mut texts, mut sums) = (Box::<Rows>::default(), 0, vec![0; heads]);
    for (index, vector) in vectors.iter().enumerate() {
        let wrong = |why: String| Refusal::new(Fault::Wrong, format!("golden vector {}", index + 1), why);
        if let (Some(text), Some(spec)) = (&vector.text, spec) {
            extract_text(spec, text.as_bytes(), &mut rows);
            same_rows(rows.as_slice(), &vector.ids).map_err(|why| wrong(format!("the features of `{text}` differ: {why}")))?;
            texts += 1;
        }
        scorer.score_rows(backend, std::iter::once(vector.ids.as_slice()), &mut sums);
        if sums != vector.z2 {
            return Err(wrong(format!("the sums are {sums:?}, where the trainer has {:?}", vector.z2)));
        }
        for (head, (&sum, expected)) in sums.iter().zip(&vector.int8).enumerate() {
            let logit = scorer.evaluator().logit(head, sum);
            if logit.to_bits() != expected.to_bits() {
                return Err(wrong(format!("logit {head} is {logit:e}, where the trainer has {expected:e}")));
            }
        }
    }
    Ok(texts)
}

/// Holds a file's trees against the vectors; how many of them have fields. Sums and logits are [`check`]'s.
pub fn check_trees(vectors: &[Vector], trees: &Trees) -> Result<usize, Refusal> {
    let (mut rows, mut files) = ([0; TREES_MAX], 0);
    for (index, vector) in vectors.iter().enumerate().filter(|(_, vector)| !vector.fields.is_empty()) {
        let wrong = |why: String| Refusal::new(Fault::Wrong, format!("golden vector {}", index + 1), why);
        if let Some(name) = vector.fields.keys().find(|name| !trees.fields().contains(name)) {
            return Err(wrong(format!("`{}` is no field of the trees", name.escape_debug())));
        }
        let values: Vec<i64> = trees.fields().iter().map(|name| vector.fields.get(name).copied().unwrap_or(UNKNOWN)).collect();
        same_rows(trees.rows(&values, &mut rows), &vector.ids).map_err(|why| wrong(format!("the leaves of the trees differ: {why}")))?;
        files += 1;
    }
    Ok(files)
}

/// The same bag, in whatever order we found it; else the first difference.
fn same_rows(rows: &[u32], expected: &[u32]) -> Result<(), String> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    match (0..rows.len().max(expected.len())).find(|&at| rows.get(at) != expected.get(at)) {
        None => Ok(()),
        Some(at) => Err(format!("{:?}, where the trainer has {:?}, in place {at} of {}", rows.get(at), expected.get(at), expected.len())),
    }
}
