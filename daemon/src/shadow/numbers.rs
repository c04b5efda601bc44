//! What is counted of rules on trial, since start; `/shadow` has the same since the candidate was taken. The shards' own number, of keys that were dropped, is
//! in `ShardMetrics`.

use crate::metrics::Count;
use crate::metrics::series::{Labels, Out, Value, Written};
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

impl ShadowMetrics {
    /// One scrape.
    ///
    /// # Errors
    /// The encoder's.
    pub fn encode(&self, out: &mut Out<'_, '_>) -> Written {
        let mut answers: Vec<(Labels<'_>, Value)> = Vec::new();
        for (served, row) in CLASSES.iter().zip(&self.answers) {
            let row = CLASSES.iter().zip(row);
            answers.extend(row.map(|(trial, count)| (vec![("served", served.name()), ("trial", trial.name())], count.get().into())));
        }
        out.counters(
            "verdictd_shadow_answers_total",
            "Keys that were also asked of the snapshot on trial, by the class that was served and the class that it would have had",
            answers,
        )?;
        out.counter(
            "verdictd_shadow_unreadable_total",
            "Keys that were also asked of the snapshot on trial, where one of the two has no class, such as unparseable ones",
            self.unreadable.get(),
        )?;
        out.counter(
            "verdictd_shadow_refused_total",
            "Snapshots that were to be on trial and are missing or damaged; the log and /readyz say why, and what is served is not concerned",
            self.refused.get(),
        )?;
        out.gauge("verdictd_shadow_generation", "Generation on trial; 0 for none", self.generation.get())
    }
}
