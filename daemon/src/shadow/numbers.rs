//! What is counted of rules on trial, since start; `/shadow` has the same since the candidate was taken. The shards' own number, of keys that were dropped, is
//! in `ShardMetrics`.

use crate::metrics::Count;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use verdict_tables::Class;

/// In the order of their numbers.
pub const CLASSES: [Class; 4] = [Class::Unknown, Class::Clean, Class::Suspicious, Class::Malicious];

/// Written by the thread alone.
#[derive(Debug, Default)]
pub struct ShadowMetrics {
    /// Keys asked, by class served and class on trial.
    pub answers: [[Count; 4]; 4],
    /// Keys asked for which one of the two has no class.
    pub unreadable: Count,
    /// Candidates refused.
    pub refused: Count,
    /// Of the candidate; 0 without one.
    pub generation: Count,
}

const ANSWERS: &str =
    "Keys that were also asked of the snapshot on trial, by the class that was served and the class that it would have had";
const UNREADABLE: &str = "Keys that were also asked of the snapshot on trial, where one of the two has no class, such as unparseable ones";
const REFUSED: &str =
    "Snapshots that were to be on trial and are missing or damaged; the log and /readyz say why, and what is served is not concerned";
const GENERATION: &str = "Generation on trial; 0 for none";

/// As `verdictd --list-metrics` prints them.
pub const HELP: &[(&str, &str)] = &[
    ("verdictd_shadow_answers_total", ANSWERS),
    ("verdictd_shadow_unreadable_total", UNREADABLE),
    ("verdictd_shadow_refused_total", REFUSED),
    ("verdictd_shadow_generation", GENERATION),
];

impl ShadowMetrics {
    /// One scrape.
    ///
    /// # Errors
    /// The encoder's.
    pub fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counter = MetricType::Counter;
        let mut family = encoder.encode_descriptor("verdictd_shadow_answers", ANSWERS, None, counter)?;
        for (served, row) in CLASSES.iter().zip(&self.answers) {
            for (trial, count) in CLASSES.iter().zip(row) {
                let labels = [("served", served.name()), ("trial", trial.name())];
                ConstCounter::new(count.get()).encode(family.encode_family(&labels)?)?;
            }
        }
        for (name, help, count) in
            [("verdictd_shadow_unreadable", UNREADABLE, &self.unreadable), ("verdictd_shadow_refused", REFUSED, &self.refused)]
        {
            ConstCounter::new(count.get()).encode(encoder.encode_descriptor(name, help, None, counter)?)?;
        }
        let name = "verdictd_shadow_generation";
        ConstGauge::new(self.generation.get()).encode(encoder.encode_descriptor(name, GENERATION, None, MetricType::Gauge)?)
    }
}
