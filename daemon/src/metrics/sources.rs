//! The feeds of the served snapshot: is each there, how long is its list, how old is what is newest in it.
//!
//! So *nothing matched* and *the list is gone* look different: a feed that brought nothing has no series any more, one that shrank has fewer entries.
//! A snapshot may have thousands of feeds, a scrape has series for `SHOWN` of them, the largest; the others are one, `other`.

use super::series::{Labels, Out, Value, Written};
use std::sync::{Arc, PoisonError, RwLock};
use verdict_tables::{Snapshot, Worth};

/// Feeds with series of their own.
pub const SHOWN: usize = 20;
/// Of a name, as a label; longer ones are cut.
const NAME_CHARS_MAX: usize = 64;
const DAY_S: u64 = 86_400;

/// Written when a snapshot is adopted, read at a scrape.
#[derive(Debug, Default)]
pub struct Sources(RwLock<Arc<Vec<Worth>>>);

impl Sources {
    /// Of what is served now.
    pub fn set(&self, mut worth: Vec<Worth>) {
        worth.sort_by(|a, b| b.entries.cmp(&a.entries).then_with(|| a.name.cmp(&b.name)));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(worth);
    }

    /// Counts them; off the shards, it reads the whole table.
    pub fn read(&self, snapshot: &Snapshot) {
        self.set(snapshot.worth());
    }

    /// The largest first.
    pub fn get(&self) -> Arc<Vec<Worth>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One scrape.
    pub(super) fn encode(&self, out: &mut Out<'_, '_>) -> Written {
        let all = self.get();
        let (shown, rest) = all.split_at(all.len().min(SHOWN));
        let names: Vec<String> = shown.iter().map(|worth| worth.name.chars().take(NAME_CHARS_MAX).collect()).collect();
        let mut entries: Vec<(Labels<'_>, Value)> = Vec::new();
        let mut newest: Vec<(Labels<'_>, Value)> = Vec::new();
        for (place, (name, worth)) in names.iter().zip(shown).enumerate() {
            // Two that are called the same, once cut, would be one series twice.
            if names[..place].contains(name) {
                continue;
            }
            entries.push((vec![("source", name)], worth.entries.into()));
            newest.push((vec![("source", name)], (u64::from(worth.newest_day) * DAY_S).into()));
        }
        if !rest.is_empty() {
            entries.push((vec![("source", "other")], rest.iter().map(|worth| worth.entries).sum::<u64>().into()));
        }
        out.gauge("verdictd_sources", "Feeds with at least one rule in the served snapshot", all.len() as u64)?;
        out.gauges(
            "verdictd_source_entries",
            "Entries of the served snapshot in which this feed has a vote; the largest feeds, and `other` for the rest",
            entries,
        )?;
        out.gauges(
            "verdictd_source_newest_timestamp_seconds",
            "Midnight of the latest day on which the feed saw something, 0 where it states no days",
            newest,
        )
    }
}

/// For tests and the document.
pub(super) fn example(name: &str) -> Worth {
    Worth { name: name.into(), licence: String::new(), entries: 1, newest_day: 20_000 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Form, Metrics};

    #[test]
    fn the_largest_feeds_have_series_and_the_rest_is_one() {
        let metrics = Metrics::new(1, "portable", "epoll");
        let feed = |number: usize| Worth { entries: number as u64, ..example(&format!("feed \"{number}\"")) };
        metrics.sources.set((0..SHOWN + 3).map(feed).collect());
        let text = metrics.render(Form::Text);
        for line in [
            "verdictd_sources 23",
            "verdictd_source_entries{source=\"feed \\\"22\\\"\"} 22",
            "verdictd_source_entries{source=\"other\"} 3",
            "verdictd_source_newest_timestamp_seconds{source=\"feed \\\"22\\\"\"} 1728000000",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} is not in\n{text}");
        }
        assert!(!text.contains("feed \\\"2\\\""), "{text}");
    }

    #[test]
    fn names_that_are_one_once_cut_are_no_series_twice() {
        let metrics = Metrics::new(1, "portable", "epoll");
        let long = "x".repeat(NAME_CHARS_MAX);
        metrics.sources.set(vec![example(&format!("{long}1")), example(&format!("{long}2"))]);
        assert_eq!(metrics.render(Form::Text).matches("verdictd_source_entries{").count(), 1);
    }
}
