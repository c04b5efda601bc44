//! What is counted, and how it is shown.
//!
//! Each shard is the only writer of its own `ShardMetrics`: a counter is a load and a store, never a locked instruction, and two shards never
//! share a cache line. Nobody sums before somebody asks: a scrape reads all shards. Labels come from closed lists, so the number of series does
//! not depend on what peers send.

use crate::connection::Reason;
use crate::histogram::{DURATIONS_NS, Histogram, KEYS};
use crate::nearness::{Bounded, Nearness};
use crate::shadow::numbers::{self, ShadowMetrics};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use verdict_tables::manifest::Why;

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

/// Declares the series once: field, kind, name, unit, help. The struct, the scrape and `--list-metrics` all come from here.
macro_rules! shard_metrics {
    ($($field:ident: $kind:ident $name:literal $([$label:literal = $value:literal])? $(/ $scale:literal)?, $help:literal;)*) => {
        /// The numbers of one shard.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ShardMetrics {
            $(#[doc = $help] pub $field: Count,)*
        }

        /// Every per-shard series in order of declaration; series of one name stand together.
        const SERIES: &[Series] = &[$(Series {
            kind: Kind::$kind,
            name: $name,
            label: shard_metrics!(@label $($label, $value)?),
            scale: shard_metrics!(@scale $($scale)?),
            help: $help,
            read: |metrics| metrics.$field.get(),
        },)*];
    };
    (@label) => { None };
    (@label $label:literal, $value:literal) => { Some(($label, $value)) };
    (@scale) => { None };
    (@scale $scale:literal) => { Some($scale) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

struct Series {
    kind: Kind,
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
    /// Counted in this fraction of the unit that is shown.
    scale: Option<f64>,
    help: &'static str,
    read: fn(&ShardMetrics) -> u64,
}

shard_metrics! {
    keys_malicious: Counter "verdictd_answers" ["class" = "malicious"], "Answers given, by class or by status where there is no class";
    keys_suspicious: Counter "verdictd_answers" ["class" = "suspicious"], "Answers given, by class or by status where there is no class";
    keys_clean: Counter "verdictd_answers" ["class" = "clean"], "Answers given, by class or by status where there is no class";
    keys_unknown: Counter "verdictd_answers" ["class" = "unknown"], "Answers given, by class or by status where there is no class";
    keys_unparseable: Counter "verdictd_answers" ["class" = "unparseable"], "Answers given, by class or by status where there is no class";
    keys_unsupported: Counter "verdictd_answers" ["class" = "unsupported"], "Answers given, by class or by status where there is no class";
    keys_overloaded: Counter "verdictd_answers" ["class" = "overloaded"], "Answers given, by class or by status where there is no class";
    frames_lookup: Counter "verdictd_frames" ["kind" = "lookup"], "Request frames, by kind";
    frames_hashed: Counter "verdictd_frames" ["kind" = "lookup_hashed"], "Request frames, by kind";
    frames_files: Counter "verdictd_frames" ["kind" = "lookup_files"], "Request frames, by kind";
    frames_explain: Counter "verdictd_frames" ["kind" = "explain"], "Request frames, by kind";
    frames_other: Counter "verdictd_frames" ["kind" = "other"], "Request frames, by kind";
    frames_refused: Counter "verdictd_frames" ["kind" = "refused"], "Request frames, by kind";
    bytes_in: Counter "verdictd_received_bytes", "Bytes received";
    bytes_out: Counter "verdictd_sent_bytes", "Bytes sent";
    accepted: Counter "verdictd_connections_accepted", "Connections accepted";
    refused: Counter "verdictd_connections_refused", "Connections told overloaded at the door, because limits.connections_max was reached";
    closed_peer: Counter "verdictd_connections_closed" ["reason" = "peer"], "Connections closed, by reason";
    closed_error: Counter "verdictd_connections_closed" ["reason" = "io_error"], "Connections closed, by reason";
    closed_malformed: Counter "verdictd_connections_closed" ["reason" = "malformed"], "Connections closed, by reason";
    closed_frame_deadline: Counter "verdictd_connections_closed" ["reason" = "frame_deadline"], "Connections closed, by reason";
    closed_idle: Counter "verdictd_connections_closed" ["reason" = "idle"], "Connections closed, by reason";
    closed_write_deadline: Counter "verdictd_connections_closed" ["reason" = "write_deadline"], "Connections closed, by reason";
    closed_drain: Counter "verdictd_connections_closed" ["reason" = "drain"], "Connections closed, by reason";
    closed_panic: Counter "verdictd_connections_closed" ["reason" = "panic"], "Connections closed, by reason";
    accept_errors: Counter "verdictd_accept_errors", "Accepts that failed, such as for want of descriptors; accepting pauses for one tick";
    turns: Counter "verdictd_turns", "Turns of the shard's loop that did work";
    turn_nanoseconds: Counter "verdictd_turn_seconds" / 1e9, "Time spent in turns; divided by answers it is the cost of an answer";
    calls: Counter "verdictd_system_calls", "System calls that moved bytes or waited for them; 0 with the streams driver, whose executor makes them";
    parks: Counter "verdictd_parks", "Times the shard went to sleep in the executor";
    panics: Counter "verdictd_panics", "Turns that panicked: a defect, please report it; the connections of that turn were closed";
    swaps: Counter "verdictd_swaps", "Generations adopted after the first";
    overlay_answers: Counter "verdictd_overlay_answers", "Answers that the overlay decided";
    model_scored: Counter "verdictd_model_keys" ["outcome" = "scored"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_remembered: Counter "verdictd_model_keys" ["outcome" = "remembered"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_degraded: Counter "verdictd_model_keys" ["outcome" = "degraded"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_nanoseconds: Counter "verdictd_model_seconds" / 1e9, "Time spent scoring";
    shadow_dropped: Counter "verdictd_shadow_dropped", "Keys that were to be asked of the snapshot on trial and were not: nobody came to fetch them in time, or they are over 512 bytes";
    models: Gauge "verdictd_models_sequence", "Sequence of the registry of models that is asked; 0 for none";
    overlay: Gauge "verdictd_overlay_version", "State of the overlay that is answered by; counts up with every act and end";
    connections: Gauge "verdictd_connections", "Connections open";
    generation: Gauge "verdictd_snapshot_generation", "Generation being answered from (the first 8 bytes of the snapshot's content digest)";
    heartbeat_ms: Gauge "verdictd_heartbeat_uptime_seconds" / 1e3, "Seconds after start at which the shard last showed life";
}

/// How the time of one shard goes by; a line of its own, since the counters above are enough for most turns.
#[derive(Debug)]
#[repr(align(128))]
pub struct ShardTimes {
    /// From the end of a wait to the beginning of the next, where there was work.
    pub turns: Histogram,
    /// Keys of a turn.
    pub keys: Histogram,
    /// From the end of a turn to the end of the wait behind it.
    pub waits: Histogram,
}

impl Default for ShardTimes {
    fn default() -> Self {
        ShardTimes { turns: Histogram::new(&DURATIONS_NS), keys: Histogram::new(&KEYS), waits: Histogram::new(&DURATIONS_NS) }
    }
}

struct Times {
    name: &'static str,
    help: &'static str,
    scale: f64,
    read: fn(&ShardTimes) -> &Histogram,
}

const TIMES: &[Times] = &[
    Times {
        name: "verdictd_turn_duration_seconds",
        help: "How long turns took that did work: whoever becomes ready meanwhile waits for the end of it",
        scale: 1e9,
        read: |times| &times.turns,
    },
    Times { name: "verdictd_turn_keys", help: "Keys that one turn answered, over all connections", scale: 1.0, read: |times| &times.keys },
    Times {
        name: "verdictd_wait_duration_seconds",
        help: "How long the shard waited for its sockets between turns; no time at all means that it is saturated",
        scale: 1e9,
        read: |times| &times.waits,
    },
];

impl ShardMetrics {
    /// The counter of connections closed for this reason.
    pub fn closed(&self, reason: Reason) -> &Count {
        match reason {
            Reason::Peer => &self.closed_peer,
            Reason::Io => &self.closed_error,
            Reason::Malformed => &self.closed_malformed,
            Reason::FrameDeadline => &self.closed_frame_deadline,
            Reason::Idle => &self.closed_idle,
            Reason::WriteDeadline => &self.closed_write_deadline,
            Reason::Drain => &self.closed_drain,
            Reason::Panic => &self.closed_panic,
        }
    }
}

/// What the control thread knows about the served snapshot and its own doings.
#[derive(Debug, Default)]
pub struct ControlMetrics {
    /// Snapshots refused since start.
    pub loads_refused: Count,
    /// Seconds since the epoch at which the served snapshot was adopted by all shards.
    pub loaded_timestamp_s: Count,
    /// Seconds since the epoch that the served data describes; 0 = its feeds carry no dates.
    pub as_of_s: Count,
    /// Rules in the served snapshot.
    pub entries: Count,
    /// Bytes of the served snapshot.
    pub snapshot_bytes: Count,
    /// Of these, bytes that the kernel keeps in huge pages.
    pub huge_bytes: Count,
    /// 1 while draining.
    pub draining: Count,
    /// 1 while answers are marked stale.
    pub stale: Count,
    /// Of the manifest in force; 0 without one.
    pub manifest_epoch: Count,
    /// Unix seconds; 0 without one.
    pub manifest_expires_s: Count,
    /// Snapshots that are never taken again.
    pub quarantined: Count,
    /// Entries of the overlay, blocks and unblocks, by kind of key in the order of their numbers.
    pub overlay_entries: [[Count; 7]; 2],
    /// Acts done: block, unblock, remove.
    pub overlay_acts: [Count; 3],
    /// Acts that were not done.
    pub overlay_refused: Count,
    /// Entries that ended by themselves.
    pub overlay_expired: Count,
    /// Acts that could not be written down.
    pub overlay_journal_errors: Count,
    /// Registries of models refused since start.
    pub models_refused: Count,
    /// Models that are asked, and that are on trial.
    pub models: [Count; 2],
    /// Rules on trial.
    pub shadow: ShadowMetrics,
    /// Refusals by reason, in the order of `Why::ALL`.
    pub refusals: [Count; Why::ALL.len()],
    /// What has come near its bound, in the order of `Bounded::ALL`.
    near: [Arc<Nearness>; Bounded::ALL.len()],
}

impl ControlMetrics {
    /// Whether it is near its bound.
    pub fn near(&self, bounded: Bounded) -> &Arc<Nearness> {
        &self.near[bounded as usize]
    }

    /// Counts one more.
    pub fn refuse(&self, why: Why) {
        self.loads_refused.add(1);
        self.refusals[why as usize].add(1);
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
        Arc::new(Metrics { shards, times, control: ControlMetrics::default(), backend, driver })
    }

    /// The Prometheus text exposition (OpenMetrics 1.0).
    pub fn render(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape(self.clone())));
        let mut text = String::with_capacity(8 * 1024);
        // Writing to a String cannot fail; an encoder error would be a defect of a series' declaration, which the tests exercise.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.push_str("# encoding failed\n# EOF\n");
        }
        text
    }
}

/// One line for each series: what `verdictd --list-metrics` prints.
pub fn list() -> String {
    let mut text = String::new();
    let mut last = "";
    for series in SERIES {
        if series.name != last {
            let suffix = if series.kind == Kind::Counter { "_total" } else { "" };
            text.push_str(&format!("{}{suffix}\t{}\n", series.name, series.help));
        }
        last = series.name;
    }
    for times in TIMES {
        text.push_str(&format!("{}\t{}\n", times.name, times.help));
    }
    for (name, help) in CONTROL_HELP.iter().chain(numbers::HELP) {
        text.push_str(&format!("{name}\t{help}\n"));
    }
    text
}

const CONTROL_HELP: &[(&str, &str)] = &[
    ("verdictd_snapshot_loads_refused_total", "Snapshots refused since start; the served generation stayed"),
    ("verdictd_snapshot_loaded_timestamp_seconds", "When the served snapshot was adopted by all shards"),
    ("verdictd_snapshot_as_of_timestamp_seconds", "The time that the served data describes; 0 where its feeds carry no dates"),
    ("verdictd_snapshot_entries", "Entries of the served snapshot"),
    ("verdictd_snapshot_bytes", "Bytes of the served snapshot"),
    ("verdictd_snapshot_huge_page_bytes", "Bytes of the served snapshot's memory that the kernel keeps in huge pages, as of its adoption"),
    (
        "verdictd_snapshot_refusals_total",
        "Snapshots refused since start, by reason; the same one again, for the same reason, is not counted again",
    ),
    (
        "verdictd_snapshot_stale",
        "1 while answers are marked stale: the manifest has expired, or the data is older than snapshot.stale_after_s",
    ),
    ("verdictd_snapshot_quarantined", "Snapshots that are never taken again"),
    ("verdictd_manifest_epoch", "Epoch of the manifest in force; 0 where snapshots are not signed"),
    ("verdictd_manifest_expires_timestamp_seconds", "When it expires; 0 where snapshots are not signed"),
    ("verdictd_overlay_entries", "Entries of the overlay in force, by what they say and by kind of key"),
    ("verdictd_overlay_acts_total", "Acts of operators on the overlay that were done"),
    ("verdictd_overlay_refused_total", "Acts of operators on the overlay that were not done; the log says why"),
    ("verdictd_overlay_expired_total", "Entries of the overlay that ended by themselves"),
    ("verdictd_overlay_journal_errors_total", "Acts that were not done because the journal could not be written"),
    ("verdictd_limit_warnings_total", "Times that a bounded thing came to 80 % of its limit, by limit; told again after it was below 70 %"),
    ("verdictd_models_refused_total", "Registries of models refused since start; the last good one stayed"),
    ("verdictd_models", "Models that are loaded, by mode"),
    ("verdictd_draining", "1 while draining"),
    ("verdictd_build_info", "Version, vector backend and socket driver (ring, streams or epoll), as labels; always 1"),
];

#[derive(Debug)]
struct Scrape(Arc<Metrics>);

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let metrics = &self.0;
        for family in SERIES.chunk_by(|a, b| a.name == b.name) {
            let counter = family[0].kind == Kind::Counter;
            let kind = if counter { ConstCounter::new(0u64).metric_type() } else { ConstGauge::new(0u64).metric_type() };
            let mut encoder = encoder.encode_descriptor(family[0].name, family[0].help, None, kind)?;
            for series in family {
                for (shard, numbers) in metrics.shards.iter().enumerate() {
                    let value = (series.read)(numbers);
                    let shard = shard.to_string();
                    let labels: Vec<(&str, &str)> = std::iter::once(("shard", shard.as_str())).chain(series.label).collect();
                    let labelled = encoder.encode_family(&labels)?;
                    match (counter, series.scale) {
                        (true, None) => ConstCounter::new(value).encode(labelled)?,
                        (true, Some(scale)) => ConstCounter::new(value as f64 / scale).encode(labelled)?,
                        (false, None) => ConstGauge::new(value).encode(labelled)?,
                        (false, Some(scale)) => ConstGauge::new(value as f64 / scale).encode(labelled)?,
                    }
                }
            }
        }
        self.encode_times(&mut encoder)?;
        self.encode_control(&mut encoder)
    }
}

impl Scrape {
    fn encode_times(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for times in TIMES {
            let mut family = encoder.encode_descriptor(times.name, times.help, None, MetricType::Histogram)?;
            for (shard, numbers) in self.0.times.iter().enumerate() {
                let (buckets, sum, count) = (times.read)(numbers).read(times.scale);
                family.encode_family(&[("shard", shard.to_string())])?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn encode_overlay(&self, encoder: &mut DescriptorEncoder<'_>, help: &dyn Fn(&str) -> &'static str) -> Result<(), std::fmt::Error> {
        let control = &self.0.control;
        let (counter, gauge) = (MetricType::Counter, MetricType::Gauge);
        let name = "verdictd_overlay_entries";
        let mut family = encoder.encode_descriptor(name, help(name), None, gauge)?;
        for (act, counts) in ["block", "unblock"].into_iter().zip(&control.overlay_entries) {
            for (kind, count) in verdict_wire::KeyKind::ALL.iter().zip(counts) {
                ConstGauge::new(count.get()).encode(family.encode_family(&[("act", act), ("kind", kind.name())])?)?;
            }
        }
        let name = "verdictd_overlay_acts";
        let mut family = encoder.encode_descriptor(name, help(name), None, counter)?;
        for (act, count) in verdict_wire::Act::ALL.iter().zip(&control.overlay_acts) {
            ConstCounter::new(count.get()).encode(family.encode_family(&[("act", act.name())])?)?;
        }
        for (name, count) in [
            ("verdictd_overlay_refused", &control.overlay_refused),
            ("verdictd_overlay_expired", &control.overlay_expired),
            ("verdictd_overlay_journal_errors", &control.overlay_journal_errors),
        ] {
            ConstCounter::new(count.get()).encode(encoder.encode_descriptor(name, help(name), None, counter)?)?;
        }
        Ok(())
    }

    fn encode_control(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let control = &self.0.control;
        let help = |name: &str| CONTROL_HELP.iter().find(|(known, _)| known.starts_with(name)).map_or("", |(_, help)| *help);
        let refused = ConstCounter::new(control.loads_refused.get());
        let name = "verdictd_snapshot_loads_refused";
        refused.encode(encoder.encode_descriptor(name, help(name), None, refused.metric_type())?)?;
        let name = "verdictd_snapshot_refusals";
        let mut family = encoder.encode_descriptor(name, help(name), None, refused.metric_type())?;
        for (why, count) in Why::ALL.iter().zip(&control.refusals) {
            ConstCounter::new(count.get()).encode(family.encode_family(&[("reason", why.name())])?)?;
        }
        let name = "verdictd_limit_warnings";
        let mut family = encoder.encode_descriptor(name, help(name), None, refused.metric_type())?;
        for bounded in Bounded::ALL {
            let warnings = ConstCounter::new(control.near(bounded).warnings());
            warnings.encode(family.encode_family(&[("limit", bounded.limit())])?)?;
        }
        self.encode_overlay(encoder, &help)?;
        control.shadow.encode(encoder)?;
        let name = "verdictd_models_refused";
        ConstCounter::new(control.models_refused.get()).encode(encoder.encode_descriptor(
            name,
            help(name),
            None,
            refused.metric_type(),
        )?)?;
        let name = "verdictd_models";
        let mut family = encoder.encode_descriptor(name, "Models that are loaded, by mode", None, MetricType::Gauge)?;
        for (mode, count) in ["enforce", "shadow"].into_iter().zip(&control.models) {
            ConstGauge::new(count.get()).encode(family.encode_family(&[("mode", mode)])?)?;
        }
        for (name, unit, value) in [
            ("verdictd_snapshot_loaded_timestamp", Some(Unit::Seconds), control.loaded_timestamp_s.get()),
            ("verdictd_snapshot_as_of_timestamp", Some(Unit::Seconds), control.as_of_s.get()),
            ("verdictd_snapshot_entries", None, control.entries.get()),
            ("verdictd_snapshot", Some(Unit::Bytes), control.snapshot_bytes.get()),
            ("verdictd_snapshot_huge_page", Some(Unit::Bytes), control.huge_bytes.get()),
            ("verdictd_snapshot_stale", None, control.stale.get()),
            ("verdictd_snapshot_quarantined", None, control.quarantined.get()),
            ("verdictd_manifest_epoch", None, control.manifest_epoch.get()),
            ("verdictd_manifest_expires_timestamp", Some(Unit::Seconds), control.manifest_expires_s.get()),
            ("verdictd_draining", None, control.draining.get()),
        ] {
            let gauge = ConstGauge::new(value);
            let full = unit.as_ref().map_or(name.to_owned(), |unit| format!("{name}_{}", unit.as_str()));
            gauge.encode(encoder.encode_descriptor(name, help(&full), unit.as_ref(), gauge.metric_type())?)?;
        }
        let info = [("version", env!("CARGO_PKG_VERSION")), ("backend", self.0.backend), ("driver", self.0.driver)];
        let gauge = ConstGauge::new(1u64);
        let mut family = encoder.encode_descriptor("verdictd_build_info", help("verdictd_build_info"), None, gauge.metric_type())?;
        gauge.encode(family.encode_family(&info)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_series_is_declared_twice() {
        let mut seen = BTreeSet::new();
        for series in SERIES {
            assert!(seen.insert((series.name, series.label)), "{} {:?}", series.name, series.label);
        }
    }

    #[test]
    fn histograms_are_cumulative_and_end_at_infinity() {
        let metrics = Metrics::new(1, "portable", "epoll");
        [4_000, 6_000, 900_000_000].into_iter().for_each(|ns| metrics.times[0].turns.note(ns));
        let text = metrics.render();
        for line in [
            "verdictd_turn_duration_seconds_bucket{le=\"0.000005\",shard=\"0\"} 1",
            "verdictd_turn_duration_seconds_bucket{le=\"0.00001\",shard=\"0\"} 2",
            "verdictd_turn_duration_seconds_bucket{le=\"0.25\",shard=\"0\"} 2",
            "verdictd_turn_duration_seconds_bucket{le=\"+Inf\",shard=\"0\"} 3",
            "verdictd_turn_duration_seconds_count{shard=\"0\"} 3",
            "verdictd_turn_duration_seconds_sum{shard=\"0\"} 0.90001",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_scrape_shows_every_listed_metric_and_every_shard() {
        let metrics = Metrics::new(2, "portable", "epoll");
        metrics.shards[1].keys_malicious.add(7);
        metrics.control.as_of_s.set(1_700_000_000);
        let text = metrics.render();
        assert!(text.contains("verdictd_answers_total{shard=\"1\",class=\"malicious\"} 7"), "{text}");
        assert!(text.contains("verdictd_answers_total{shard=\"0\",class=\"malicious\"} 0"), "{text}");
        assert!(text.contains("verdictd_snapshot_as_of_timestamp_seconds 1700000000"), "{text}");
        for line in list().lines() {
            let name = line.split('\t').next().unwrap();
            assert!(text.contains(&format!("\n{name}")), "{name} is listed but not in\n{text}");
        }
    }
}
