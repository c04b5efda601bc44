//! What is counted, and how it is shown.
//!
//! ```text
//! shard.rs    one writer each, no locked instruction   ┐
//! control.rs  the control thread's                     ├─► series.rs ─► text.rs, in the form that the scraper takes ─► /metrics
//! sources.rs  each feed of the served snapshot         │
//! process.rs  the kernel's                             ┘   document.rs: docs/metrics.md, `verdictd --list-metrics`
//! ```
//! Nobody sums before somebody asks: a scrape reads all shards. Labels come from closed or bounded lists, so the number of series does not depend on
//! what peers send: some 220 and four a shard, with 20 feeds.

pub mod control;
mod document;
pub mod guard;
mod process;
pub mod series;
pub mod shard;
pub mod sources;
pub mod switches;
pub mod text;

pub use control::ControlMetrics;
pub use document::{document, list};
pub use shard::{ShardMetrics, ShardTimes};
pub use text::Form;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use series::Out;
use sources::Sources;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds; only ever called by the owning shard.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }
    /// Sets; only ever called by the owning shard.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
    /// The value as last written.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// All numbers of the daemon, shared with every thread.
#[derive(Debug)]
pub struct Metrics {
    /// One for each shard, by number.
    pub shards: Vec<Arc<ShardMetrics>>,
    /// The same, how their time goes by.
    pub times: Vec<Arc<ShardTimes>>,
    /// The control thread's.
    pub control: ControlMetrics,
    /// The feeds of the served snapshot.
    pub sources: Sources,
    /// `simd` backend in use.
    pub backend: &'static str,
    /// How the data plane waits for its sockets.
    pub driver: &'static str,
}

impl Metrics {
    /// All zero.
    pub fn new(shards: usize, backend: &'static str, driver: &'static str) -> Arc<Self> {
        let times = (0..shards).map(|_| Arc::default()).collect();
        let shards = (0..shards).map(|_| Arc::default()).collect();
        Arc::new(Metrics { shards, times, control: ControlMetrics::default(), sources: Sources::default(), backend, driver })
    }

    /// All of it, as text.
    pub fn render(self: &Arc<Self>, form: Form) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(self.clone())));
        let mut text = String::with_capacity(32 << 10);
        // Writing to a String cannot fail; an encoder error would be a defect of a series' declaration, which the tests exercise.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.push_str("# encoding failed\n# EOF\n");
        }
        match form {
            Form::OpenMetrics => text,
            Form::Text => text::to_text(&text),
        }
    }
}

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Scrape(metrics) = self;
        let mut out = Out(&mut encoder);
        shard::encode(&metrics.shards, &metrics.times, &mut out)?;
        metrics.control.encode(&mut out)?;
        metrics.sources.encode(&mut out)?;
        process::encode(&mut out)?;
        let help = "Log lines that nobody read in time, or that the journal did not take";
        out.counter("verdictd_log_dropped_total", help, crate::log::dropped())?;
        let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("backend", metrics.backend), ("driver", metrics.driver)];
        let help = "Version, vector backend and socket driver (ring, streams or epoll), as labels; always 1";
        out.gauges("verdictd_build_info", help, [(labels, 1.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative_and_end_at_infinity() {
        let metrics = Metrics::new(2, "portable", "epoll");
        [4_000, 6_000, 900_000_000].into_iter().for_each(|ns| metrics.times[0].turns.note(ns));
        metrics.times[1].turns.note(7_000);
        for form in [Form::OpenMetrics, Form::Text] {
            let text = metrics.render(form);
            for line in [
                "verdictd_turn_duration_seconds_bucket{le=\"0.000005\"} 1",
                "verdictd_turn_duration_seconds_bucket{le=\"0.00001\"} 3",
                "verdictd_turn_duration_seconds_bucket{le=\"0.25\"} 3",
                "verdictd_turn_duration_seconds_bucket{le=\"+Inf\"} 4",
                "verdictd_turn_duration_seconds_count 4",
                "verdictd_turn_duration_seconds_sum 0.900017",
            ] {
                assert!(text.contains(line), "{line} is not in\n{text}");
            }
        }
    }

    #[test]
    fn shards_are_summed_but_where_their_difference_is_the_point() {
        let metrics = Metrics::new(2, "portable", "epoll");
        metrics.shards[0].keys_malicious.add(1);
        metrics.shards[1].keys_malicious.add(7);
        metrics.shards[1].connections.set(3);
        metrics.shards[0].overlay.set(4);
        metrics.control.as_of_s.set(1_700_000_000);
        let text = metrics.render(Form::Text);
        for line in [
            "verdictd_answers_total{class=\"malicious\"} 8",
            "verdictd_connections{shard=\"0\"} 0",
            "verdictd_connections{shard=\"1\"} 3",
            "verdictd_overlay_version 0",
            "verdictd_snapshot_as_of_timestamp_seconds 1700000000",
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn thirty_two_shards_and_a_full_table_of_feeds_stay_below_500_series() {
        let metrics = Metrics::new(32, "portable", "epoll");
        metrics.sources.set((0..1000).map(|number| sources::example(&format!("feed {number}"))).collect());
        let text = metrics.render(Form::Text);
        let series = text.lines().filter(|line| !line.starts_with('#')).count();
        assert!((300..=500).contains(&series), "{series} series");
    }
}
