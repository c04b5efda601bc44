//! What shards count. Each is the only writer of its own numbers; a scrape sums them.
//!
//! ```text
//! shard 0  [ 17 | 3 | ... ]  ┐  Counter, Least   one series a name and label, over all shards
//! shard 1  [ 12 | 0 | ... ]  ┴► OfShard…         one for each shard: only where the difference between shards is the point
//! ```
//! So a machine of 32 shards has as many series as one of two, but for four a shard.

use super::Count;
use super::series::{Labels, Out, Value, Written};
use crate::connection::Reason;
use crate::histogram::{DURATIONS_NS, Histogram, KEYS, summed};
use std::sync::Arc;

/// Declares the series once: field, kind, name, unit, help. The struct and the scrape both come from here.
macro_rules! shard_metrics {
    ($($field:ident: $kind:ident $name:literal $([$label:literal = $value:literal])? $(/ $scale:literal)?, $help:literal;)*) => {
        /// The numbers of one shard.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub struct ShardMetrics {
            $(#[doc = $help] pub $field: Count,)*
        }

        /// Every series in order of declaration; series of one name stand together.
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
    /// The sum of all shards.
    Counter,
    /// The least of all shards: how far every one of them has come.
    Least,
    /// With a label `shard`.
    OfShardCounter,
    /// The same.
    OfShardGauge,
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
    keys_malicious: Counter "verdictd_answers_total" ["class" = "malicious"], "Answers given, by class or by status where there is no class";
    keys_suspicious: Counter "verdictd_answers_total" ["class" = "suspicious"], "Answers given, by class or by status where there is no class";
    keys_clean: Counter "verdictd_answers_total" ["class" = "clean"], "Answers given, by class or by status where there is no class";
    keys_unknown: Counter "verdictd_answers_total" ["class" = "unknown"], "Answers given, by class or by status where there is no class";
    keys_unparseable: Counter "verdictd_answers_total" ["class" = "unparseable"], "Answers given, by class or by status where there is no class";
    keys_unsupported: Counter "verdictd_answers_total" ["class" = "unsupported"], "Answers given, by class or by status where there is no class";
    keys_overloaded: Counter "verdictd_answers_total" ["class" = "overloaded"], "Answers given, by class or by status where there is no class";
    frames_lookup: Counter "verdictd_frames_total" ["kind" = "lookup"], "Request frames, by kind";
    frames_hashed: Counter "verdictd_frames_total" ["kind" = "lookup_hashed"], "Request frames, by kind";
    frames_files: Counter "verdictd_frames_total" ["kind" = "lookup_files"], "Request frames, by kind";
    frames_explain: Counter "verdictd_frames_total" ["kind" = "explain"], "Request frames, by kind";
    frames_other: Counter "verdictd_frames_total" ["kind" = "other"], "Request frames, by kind";
    frames_refused: Counter "verdictd_frames_total" ["kind" = "refused"], "Request frames, by kind";
    http_allowed: Counter "verdictd_http_requests_total" ["outcome" = "allowed"], "HTTP requests, by outcome: authorizations allowed (200), denied (403) and failed (503), requests of the JSON API, requests refused";
    http_denied: Counter "verdictd_http_requests_total" ["outcome" = "denied"], "HTTP requests, by outcome: authorizations allowed (200), denied (403) and failed (503), requests of the JSON API, requests refused";
    http_failed: Counter "verdictd_http_requests_total" ["outcome" = "failed"], "HTTP requests, by outcome: authorizations allowed (200), denied (403) and failed (503), requests of the JSON API, requests refused";
    http_api: Counter "verdictd_http_requests_total" ["outcome" = "api"], "HTTP requests, by outcome: authorizations allowed (200), denied (403) and failed (503), requests of the JSON API, requests refused";
    http_refused: Counter "verdictd_http_requests_total" ["outcome" = "refused"], "HTTP requests, by outcome: authorizations allowed (200), denied (403) and failed (503), requests of the JSON API, requests refused";
    spop_hello: Counter "verdictd_spop_frames_total" ["kind" = "hello"], "Frames of HAProxy's SPOE, by kind; refused: the connection was given up";
    spop_notifies: Counter "verdictd_spop_frames_total" ["kind" = "notify"], "Frames of HAProxy's SPOE, by kind; refused: the connection was given up";
    spop_disconnects: Counter "verdictd_spop_frames_total" ["kind" = "disconnect"], "Frames of HAProxy's SPOE, by kind; refused: the connection was given up";
    spop_refused: Counter "verdictd_spop_frames_total" ["kind" = "refused"], "Frames of HAProxy's SPOE, by kind; refused: the connection was given up";
    bytes_in: Counter "verdictd_received_bytes_total", "Bytes received";
    bytes_out: Counter "verdictd_sent_bytes_total", "Bytes sent";
    accepted: Counter "verdictd_connections_accepted_total", "Connections accepted";
    refused: Counter "verdictd_connections_refused_total", "Connections told overloaded at the door, because limits.connections_max was reached";
    closed_peer: Counter "verdictd_connections_closed_total" ["reason" = "peer"], "Connections closed, by reason";
    closed_error: Counter "verdictd_connections_closed_total" ["reason" = "io_error"], "Connections closed, by reason";
    closed_malformed: Counter "verdictd_connections_closed_total" ["reason" = "malformed"], "Connections closed, by reason";
    closed_refused: Counter "verdictd_connections_closed_total" ["reason" = "refused"], "Connections closed, by reason";
    closed_proxy: Counter "verdictd_connections_closed_total" ["reason" = "proxy"], "Connections closed, by reason";
    closed_tls: Counter "verdictd_connections_closed_total" ["reason" = "tls"], "Connections closed, by reason";
    closed_finished: Counter "verdictd_connections_closed_total" ["reason" = "finished"], "Connections closed, by reason";
    closed_frame_deadline: Counter "verdictd_connections_closed_total" ["reason" = "frame_deadline"], "Connections closed, by reason";
    closed_idle: Counter "verdictd_connections_closed_total" ["reason" = "idle"], "Connections closed, by reason";
    closed_write_deadline: Counter "verdictd_connections_closed_total" ["reason" = "write_deadline"], "Connections closed, by reason";
    closed_drain: Counter "verdictd_connections_closed_total" ["reason" = "drain"], "Connections closed, by reason";
    closed_panic: Counter "verdictd_connections_closed_total" ["reason" = "panic"], "Connections closed, by reason";
    handshakes: Counter "verdictd_tls_handshakes_total", "TLS handshakes that came to their end; those that failed are connections closed for the reason tls";
    accept_errors: Counter "verdictd_accept_errors_total", "Accepts that failed, such as for want of descriptors; accepting pauses for one tick";
    turns: Counter "verdictd_turns_total", "Turns of the shard's loop that did work";
    turn_nanoseconds: OfShardCounter "verdictd_turn_seconds_total" / 1e9, "Time spent in turns; divided by answers it is the cost of an answer";
    calls: Counter "verdictd_system_calls_total", "System calls that moved bytes or waited for them; 0 with the streams driver, whose executor makes them";
    parks: Counter "verdictd_parks_total", "Times the shard went to sleep in the executor";
    panics: Counter "verdictd_panics_total", "Turns that panicked: a defect, please report it; the connections of that turn were closed";
    swaps: Counter "verdictd_swaps_total", "Generations adopted after the first";
    overlay_answers: Counter "verdictd_overlay_answers_total", "Answers that the overlay decided";
    withheld_malicious: Counter "verdictd_answers_withheld_total" ["class" = "malicious"], "Answers that were unknown because enforcement is switched off, by what they would have been";
    withheld_suspicious: Counter "verdictd_answers_withheld_total" ["class" = "suspicious"], "Answers that were unknown because enforcement is switched off, by what they would have been";
    withheld_clean: Counter "verdictd_answers_withheld_total" ["class" = "clean"], "Answers that were unknown because enforcement is switched off, by what they would have been";
    model_scored: Counter "verdictd_model_keys_total" ["outcome" = "scored"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_remembered: Counter "verdictd_model_keys_total" ["outcome" = "remembered"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_degraded: Counter "verdictd_model_keys_total" ["outcome" = "degraded"], "Unknown keys for which models are there, by what came of it: all were asked that should be, the answer was remembered, or share or deadline left some out";
    model_nanoseconds: Counter "verdictd_model_seconds_total" / 1e9, "Time spent scoring";
    shadow_dropped: Counter "verdictd_shadow_dropped_total", "Keys that were to be asked of the snapshot on trial and were not: nobody came to fetch them in time, or they are over 512 bytes";
    models: Least "verdictd_models_sequence", "Sequence of the registry of models that every shard asks; 0 for none";
    overlay: Least "verdictd_overlay_version", "State of the overlay that every shard answers by; counts up with every act and end";
    away: Least "verdictd_away", "1 while everybody is told to go elsewhere, by command";
    connections: OfShardGauge "verdictd_connections", "Connections open";
    generation: OfShardGauge "verdictd_snapshot_generation", "Generation being answered from (the first 8 bytes of the snapshot's content digest)";
    heartbeat_ms: OfShardGauge "verdictd_heartbeat_uptime_seconds" / 1e3, "Seconds after start at which the shard last showed life";
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
    /// From the moment at which the shard knew of a request, or of several that came together, until their replies were the kernel's.
    pub requests: Histogram,
}

impl Default for ShardTimes {
    fn default() -> Self {
        let durations = || Histogram::new(&DURATIONS_NS);
        ShardTimes { turns: durations(), keys: Histogram::new(&KEYS), waits: durations(), requests: durations() }
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
    Times {
        name: "verdictd_request_duration_seconds",
        help: "Latency inside the daemon: from the moment at which a shard learnt that bytes of a request are there until its reply was handed to the kernel; requests of one connection that are answered together count once",
        scale: 1e9,
        read: |times| &times.requests,
    },
];

/// One scrape.
pub(super) fn encode(shards: &[Arc<ShardMetrics>], times: &[Arc<ShardTimes>], out: &mut Out<'_, '_>) -> Written {
    for family in SERIES.chunk_by(|a, b| a.name == b.name) {
        encode_family(family, shards, out)?;
    }
    TIMES.iter().try_for_each(|one| out.histogram(one.name, one.help, &summed(times.iter().map(|times| (one.read)(times)), one.scale)))
}

fn encode_family(family: &[Series], shards: &[Arc<ShardMetrics>], out: &mut Out<'_, '_>) -> Written {
    let numbers: Vec<String> = (0..shards.len()).map(|number| number.to_string()).collect();
    let mut rows: Vec<(Labels<'_>, Value)> = Vec::new();
    for Series { kind, label, scale, read, .. } in family {
        let all = || shards.iter().map(|shard| read(shard));
        let labels = || label.iter().copied().collect::<Labels<'_>>();
        match kind {
            Kind::Counter => rows.push((labels(), Value::of(all().sum(), *scale))),
            Kind::Least => rows.push((labels(), Value::of(all().min().unwrap_or(0), *scale))),
            Kind::OfShardCounter | Kind::OfShardGauge => {
                rows.extend(numbers.iter().zip(all()).map(|(number, value)| (vec![("shard", number.as_str())], Value::of(value, *scale))));
            }
        }
    }
    match family[0].kind {
        Kind::Counter | Kind::OfShardCounter => out.counters(family[0].name, family[0].help, rows),
        Kind::Least | Kind::OfShardGauge => out.gauges(family[0].name, family[0].help, rows),
    }
}

impl ShardMetrics {
    /// The counter of connections closed for this reason.
    pub fn closed(&self, reason: Reason) -> &Count {
        match reason {
            Reason::Peer => &self.closed_peer,
            Reason::Io => &self.closed_error,
            Reason::Malformed => &self.closed_malformed,
            Reason::Refused => &self.closed_refused,
            Reason::Proxy => &self.closed_proxy,
            Reason::Tls => &self.closed_tls,
            Reason::Finished => &self.closed_finished,
            Reason::FrameDeadline => &self.closed_frame_deadline,
            Reason::Idle => &self.closed_idle,
            Reason::WriteDeadline => &self.closed_write_deadline,
            Reason::Drain => &self.closed_drain,
            Reason::Panic => &self.closed_panic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_series_is_declared_twice() {
        let mut seen = BTreeSet::new();
        for Series { name, label, .. } in SERIES {
            assert!(seen.insert((name, label)), "{name} {label:?}");
        }
    }

    /// The probe `close` tells a reason by its place in this list.
    #[test]
    fn reasons_of_closing_are_counted_and_documented_in_the_order_of_their_numbers() {
        use Reason::*;
        let reasons = [Peer, Io, Malformed, Refused, Proxy, Tls, Finished, FrameDeadline, Idle, WriteDeadline, Drain, Panic];
        let metrics = ShardMetrics::default();
        for (place, reason) in (0..).zip(reasons) {
            assert_eq!(reason as u64, place);
            metrics.closed(reason).add(place);
        }
        let series = || SERIES.iter().filter(|series| series.name == "verdictd_connections_closed_total");
        assert_eq!(series().map(|series| (series.read)(&metrics)).collect::<Vec<_>>(), (0..reasons.len() as u64).collect::<Vec<_>>());
        let names: Vec<&str> = series().filter_map(|series| series.label).map(|(_, name)| name).collect();
        let documented = format!("(from 0: {})", names.join(", "));
        assert!(include_str!("../../../docs/probes.md").contains(&documented), "docs/probes.md lists others than {documented}");
    }
}
