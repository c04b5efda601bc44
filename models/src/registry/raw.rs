//! The registry's file as TOML has it: names and types, before anything is held against anything.

use super::{Mode, Provenance, Subject};
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFile {
    pub sequence: Spanned<u64>,
    pub popular: Option<Spanned<RawPopular>>,
    #[serde(default)]
    pub model: Vec<Spanned<RawModel>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table with `file`, `sha256` and `margin`")]
pub struct RawPopular {
    pub file: Spanned<String>,
    pub sha256: Spanned<String>,
    pub margin: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [[model]]")]
pub struct RawModel {
    pub name: Spanned<String>,
    pub version: Spanned<u32>,
    pub file: Spanned<String>,
    pub sha256: Spanned<String>,
    pub kind: Subject,
    pub features: Spanned<RawFeatures>,
    pub mode: Mode,
    pub cpu_percent: Spanned<f64>,
    pub expires: Spanned<Datetime>,
    #[serde(default)]
    pub gate: RawGate,
    pub provenance: Provenance,
    pub head: Spanned<Vec<RawHead>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: name, and how they are had")]
pub struct RawFeatures {
    pub name: Spanned<String>,
    pub bits: Option<u32>,
    pub host_grams: Option<Vec<usize>>,
    pub rest_grams: Option<Vec<usize>>,
    pub trees: Option<Spanned<String>>,
    pub trees_sha256: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [[model.head]]")]
pub struct RawHead {
    pub name: Spanned<String>,
    pub categories: Vec<Spanned<String>>,
    pub suspicious: Option<Spanned<f64>>,
    pub malicious: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: tlds, or after and band")]
pub struct RawGate {
    #[serde(default)]
    pub tlds: Vec<Spanned<String>>,
    pub after: Option<Spanned<String>>,
    pub head: Option<Spanned<String>>,
    pub band: Option<Spanned<[f64; 2]>>,
}
