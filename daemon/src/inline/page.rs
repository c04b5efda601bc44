//! `/models` of the admin listener: every model with its numbers, as JSON; a thousand of them would be too many series for `/metrics`.
//!
//! Keys of which models on trial say otherwise are shown where the operator asked for that (`models.sample_keys`).

use super::served::{Counts, Served};
use crate::metrics::Count;
use serde::Serialize;
use verdict_models::registry::{Mode, Subject};

#[derive(Serialize)]
struct Page<'a> {
    sequence: u64,
    models: Vec<Row<'a>>,
    disagreements: Vec<Disagreement<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    version: u32,
    kind: Subject,
    mode: Mode,
    loaded: bool,
    cpu_percent: f64,
    expires_s: u64,
    keys: u64,
    seconds: f64,
    spoke: u64,
    damped: u64,
    over_share: u64,
    late: u64,
    disagreed: u64,
}

#[derive(Serialize)]
struct Disagreement<'a> {
    model: &'a str,
    score: u8,
    says: &'static str,
    key: String,
}

/// The page.
pub fn render(served: Option<&Served>) -> String {
    let page = match served {
        None => Page { sequence: 0, models: Vec::new(), disagreements: Vec::new() },
        Some(served) => page(served),
    };
    serde_json::to_string_pretty(&page).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}

fn page(served: &Served) -> Page<'_> {
    let registry = served.node().registry();
    let models = registry.models.iter().enumerate().map(|(place, model)| {
        let total = |of: fn(&Counts) -> &Count| served.total(place, of);
        Row {
            name: &model.name,
            version: model.version,
            kind: model.subject,
            mode: model.mode,
            loaded: served.node().model(place as u16).is_some(),
            cpu_percent: f64::from(model.cpu_share) / 1000.0,
            expires_s: model.expires_s,
            keys: total(|counts| &counts.rows),
            seconds: total(|counts| &counts.nanoseconds) as f64 / 1e9,
            spoke: total(|counts| &counts.spoke),
            damped: total(|counts| &counts.damped),
            over_share: total(|counts| &counts.over_share),
            late: total(|counts| &counts.late),
            disagreed: total(|counts| &counts.disagreed),
        }
    });
    let samples = served.disagreements();
    let disagreements = samples.iter().map(|sample| Disagreement {
        model: registry.models.get(usize::from(sample.place)).map_or("", |model| &model.name),
        score: sample.score,
        says: super::told::name(sample.says),
        key: sample.text[..usize::from(sample.bytes)].escape_ascii().to_string(),
    });
    Page { sequence: registry.sequence, models: models.collect(), disagreements: disagreements.collect() }
}
