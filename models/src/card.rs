//! What the trainer says of a model, in the TOML file beside it: as much of it as running the model needs. The rest is for people.

use crate::error::{Fault, Refusal};
use crate::features::Spec;
use crate::registry::Subject;
use serde::Deserialize;

/// Bytes of a file at most.
pub const FILE_BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
struct File {
    model: Card,
    #[serde(default)]
    thresholds: Vec<toml::Table>,
}

/// A model's own description.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// What it is asked about.
    pub kind: Option<Subject>,
    /// The name of its features.
    pub features: String,
    /// What each logit means.
    pub heads: Vec<String>,
    /// SHA-256 of the model's file, in hexadecimal digits.
    pub sha256: String,
    /// Its golden vectors, beside this file.
    pub golden: Option<String>,
    /// Trees that lead a file's fields to rows, beside this file.
    pub trees: Option<String>,
    /// SHA-256 of them.
    pub trees_sha256: Option<String>,
    /// Hashed rows, as a power of two; of features of text.
    pub bits: Option<u32>,
    /// Lengths of grams of the host.
    #[serde(default)]
    pub host_grams: Vec<usize>,
    /// Lengths of grams of path and query.
    #[serde(default)]
    pub rest_grams: Vec<usize>,
    /// Rows of its table.
    pub rows: usize,
    /// The first stage of its cascade: another model, which says what this one is asked about.
    pub after: Option<String>,
    /// From which of that one's logits on, the largest of each key.
    pub band_low: Option<f32>,
    /// Thresholds of each logit: those of the trainer's false positive rates.
    #[serde(skip)]
    pub thresholds: Vec<f32>,
    /// The same with the head's name and the rate, as `0.001`.
    #[serde(skip)]
    pub at: Vec<(String, String, f32)>,
}

impl Card {
    /// Reads a file; a mistake is told with its place.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        if text.len() > FILE_BYTES_MAX {
            return Err(Refusal::large(FILE_BYTES_MAX, "a manifest of more than 1 MiB"));
        }
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|&byte| byte == b'\n').count());
            Refusal::new(Fault::Malformed, format!("manifest, line {line}"), error.message())
        })?;
        let at: Vec<_> = file.thresholds.iter().flat_map(rates).collect();
        Ok(Self { thresholds: at.iter().map(|&(_, _, logit)| logit).collect(), at, ..file.model })
    }

    /// The logit from which on a head has this false positive rate, on the trainer's validation rows.
    pub fn threshold(&self, head: &str, rate: &str) -> Option<f32> {
        self.at.iter().find(|(known, at, _)| known == head && at == rate).map(|&(_, _, logit)| logit)
    }

    /// Its features, where they are of text.
    pub fn spec(&self) -> Result<Option<Spec>, Refusal> {
        let Some(bits) = self.bits else { return Ok(None) };
        let spec = Spec::new(bits, &self.host_grams, &self.rest_grams);
        let spec = spec.ok_or_else(|| Refusal::unsupported("manifest", "bits are 8 to 20, grams have 1 to 5 bytes"))?;
        if spec.rows() == self.rows {
            Ok(Some(spec))
        } else {
            Err(Refusal::unsupported("manifest", format!("{} rows, where {bits} bits have {}", self.rows, spec.rows())))
        }
    }
}

/// The rates of a head's table. A key of a rate, `fpr_0.01`, is a dotted one to TOML: `01` within the table `fpr_0`.
fn rates(table: &toml::Table) -> Vec<(String, String, f32)> {
    let head = table.get("head").and_then(toml::Value::as_str).unwrap_or_default();
    let rates = table.iter().filter_map(|(key, value)| Some((key.strip_prefix("fpr_")?, value.as_table()?)));
    let logit = |value: &toml::Value| value.as_float().filter(|logit| logit.is_finite()).map(|logit| logit as f32);
    let all = rates.flat_map(|(whole, parts)| parts.iter().map(move |(part, value)| (format!("{whole}.{part}"), value)));
    all.filter_map(|(rate, value)| Some((head.to_owned(), rate, logit(value)?))).collect()
}
