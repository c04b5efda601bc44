//! `[models]`: which models are asked, and how long.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Small models, asked about URLs, hosts and files that are unknown to tables and operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// A published registry (`verdictctl models publish`): `models.toml`, its signature and its models. Looked at when one of the first two changes, when a
    /// model expires and at SIGHUP; one that is refused again every few seconds. Default empty: no models.
    pub directory: PathBuf,
    /// Files of public keys; the registry must be signed by one of them. Default empty: those of `snapshot.keys`.
    pub keys: Vec<PathBuf>,
    /// Names of models whose word may be *malicious*, where the registry has a threshold for that. Default none: *suspicious* is the most they say.
    pub may_block: Vec<String>,
    /// Microseconds after a request was read at which it is answered without what is not scored yet, unless its caller says. Default 1000.
    pub budget_us: u64,
    /// The most that a caller may say. Default 20000. Whoever waits for the same shard waits as long.
    pub budget_us_max: u64,
    /// Bytes of each shard that remember what models said, 16 a key. Default 1048576.
    pub cache_bytes: usize,
    /// Show keys of which models on trial say otherwise at /models of the admin listener. Default false: they are counted only.
    pub sample_keys: bool,
}

impl Default for ModelsConfig {
    fn default() -> Self {
        ModelsConfig {
            directory: PathBuf::new(),
            keys: Vec::new(),
            may_block: Vec::new(),
            budget_us: 1_000,
            budget_us_max: 20_000,
            cache_bytes: 1 << 20,
            sample_keys: false,
        }
    }
}

impl ModelsConfig {
    /// Whether there are to be any.
    pub fn wanted(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    pub(super) fn check(&self, keys: &[PathBuf]) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.wanted() && self.keys.is_empty() && keys.is_empty() {
            wrong.push("models.directory needs models.keys or snapshot.keys: no unsigned model is asked".into());
        }
        if !(1..=1_000_000).contains(&self.budget_us_max) || !(1..=self.budget_us_max).contains(&self.budget_us) {
            wrong.push(format!(
                "models.budget_us = {} is not within 1..=budget_us_max = {}, which is at most 1000000",
                self.budget_us, self.budget_us_max
            ));
        }
        if self.cache_bytes > 1 << 30 {
            wrong.push(format!("models.cache_bytes = {} is more than 1073741824 a shard", self.cache_bytes));
        }
        wrong
    }
}
