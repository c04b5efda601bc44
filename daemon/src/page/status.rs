//! `/status`: counters and states of the whole daemon, for the page. Counters count from the start; who wants rates looks twice.

use crate::control::State;
use crate::histogram::summed;
use crate::inline::served::{Counts, Served};
use crate::metrics::{Count, sources::SHOWN};
use crate::metrics::{Metrics, ShardMetrics};
use crate::trust::now_s;
use serde::Serialize;
use std::collections::BTreeMap;
use verdict_models::registry::Mode;

const DAY_S: u64 = 86_400;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    backend: &'static str,
    driver: &'static str,
    /// `ready`, or why not.
    state: String,
    stale: bool,
    uptime_s: f64,
    time_s: u64,
    /// By class, or by status where there is no class.
    answers: BTreeMap<&'static str, u64>,
    requests: u64,
    latency: Latency,
    snapshot: Snapshot,
    /// What has a say beside the snapshot: name and value, for people.
    force: BTreeMap<&'static str, String>,
    /// Lines of `/readyz`.
    notes: String,
    sources: Vec<Source>,
    sources_total: usize,
    shards: Vec<Shard>,
    models: Vec<Model>,
}

/// Of requests inside the daemon, `verdictd_request_duration_seconds`: how many fell between each bound and the one before, and beyond the last.
#[derive(Serialize)]
struct Latency {
    bounds_s: Vec<f64>,
    counts: Vec<u64>,
    sum_s: f64,
}

#[derive(Serialize)]
struct Snapshot {
    generation: String,
    rules: u64,
    bytes: u64,
    as_of_s: u64,
    loaded_s: u64,
    epoch: u64,
    expires_s: u64,
    refused: u64,
}

#[derive(Serialize)]
struct Source {
    name: String,
    licence: String,
    rules: u64,
    newest_s: u64,
}

#[derive(Serialize)]
struct Shard {
    answers: u64,
    turns: u64,
    turn_s: f64,
    connections: u64,
    silent_s: f64,
    generation: String,
}

#[derive(Serialize)]
struct Model {
    name: String,
    version: u32,
    mode: Mode,
    loaded: bool,
    cpu_percent: f64,
    seconds: f64,
    keys: u64,
    spoke: u64,
}

/// The document. `state` is `/readyz`'s word and lines.
pub fn render(state: &State, health: Result<&str, &str>) -> String {
    let metrics = &*state.metrics;
    let uptime_ms = state.uptime_ms();
    let sources = metrics.sources.get();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        backend: metrics.backend,
        driver: metrics.driver,
        state: health.map_or_else(|why| why.lines().next().unwrap_or_default().to_owned(), |_| "ready".to_owned()),
        stale: metrics.control.stale.get() != 0,
        uptime_s: uptime_ms as f64 / 1e3,
        time_s: now_s(),
        answers: ANSWERS.iter().map(|(class, of)| (*class, sum(metrics, of))).collect(),
        requests: metrics.shards.iter().map(|shard| requests(shard)).sum(),
        latency: latency(metrics),
        snapshot: snapshot(metrics),
        force: force(metrics),
        notes: format!("{}{}", state.notes.borrow(), state.models_note.borrow()),
        sources: sources
            .iter()
            .take(SHOWN)
            .map(|worth| Source {
                name: worth.name.clone(),
                licence: worth.licence.clone(),
                rules: worth.entries,
                newest_s: u64::from(worth.newest_day) * DAY_S,
            })
            .collect(),
        sources_total: sources.len(),
        shards: metrics.shards.iter().map(|shard| shard_now(shard, uptime_ms)).collect(),
        models: state.models.borrow().as_deref().map(models).unwrap_or_default(),
    };
    serde_json::to_string(&status).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}

type OfShard = fn(&ShardMetrics) -> &Count;

const ANSWERS: [(&str, OfShard); 7] = [
    ("malicious", |shard| &shard.keys_malicious),
    ("suspicious", |shard| &shard.keys_suspicious),
    ("clean", |shard| &shard.keys_clean),
    ("unknown", |shard| &shard.keys_unknown),
    ("unparseable", |shard| &shard.keys_unparseable),
    ("unsupported", |shard| &shard.keys_unsupported),
    ("overloaded", |shard| &shard.keys_overloaded),
];

fn sum(metrics: &Metrics, of: &OfShard) -> u64 {
    metrics.shards.iter().map(|shard| of(shard).get()).sum()
}

fn requests(shard: &ShardMetrics) -> u64 {
    let frames = [&shard.frames_lookup, &shard.frames_hashed, &shard.frames_files, &shard.frames_explain, &shard.frames_other];
    let http = [&shard.http_allowed, &shard.http_denied, &shard.http_failed, &shard.http_api];
    frames.into_iter().chain(http).chain([&shard.spop_notifies]).map(Count::get).sum()
}

fn latency(metrics: &Metrics) -> Latency {
    let (buckets, sum_s, _) = summed(metrics.times.iter().map(|times| &times.requests), 1e9);
    let bounds_s = buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()).collect();
    Latency { bounds_s, counts: buckets.iter().map(|(_, count)| *count).collect(), sum_s }
}

fn snapshot(metrics: &Metrics) -> Snapshot {
    let control = &metrics.control;
    Snapshot {
        generation: metrics.shards.first().map_or_else(String::new, |shard| format!("{:016x}", shard.generation.get())),
        rules: control.entries.get(),
        bytes: control.snapshot_bytes.get(),
        as_of_s: control.as_of_s.get(),
        loaded_s: control.loaded_timestamp_s.get(),
        epoch: control.manifest_epoch.get(),
        expires_s: control.manifest_expires_s.get(),
        refused: control.loads_refused.get(),
    }
}

fn force(metrics: &Metrics) -> BTreeMap<&'static str, String> {
    let control = &metrics.control;
    let [blocks, unblocks] = [0, 1].map(|act: usize| control.overlay_entries[act].iter().map(Count::get).sum::<u64>());
    let [asked, on_trial] = [0, 1].map(|mode: usize| control.models[mode].get());
    let mut force = BTreeMap::from([
        ("acts of operators", format!("{blocks} blocked, {unblocks} unblocked")),
        ("models", format!("{asked} asked, {on_trial} on trial")),
        ("in quarantine", control.quarantined.get().to_string()),
    ]);
    if control.shadow.generation.get() != 0 {
        force.insert("rules on trial", format!("{:016x}", control.shadow.generation.get()));
    }
    force
}

fn shard_now(shard: &ShardMetrics, uptime_ms: u64) -> Shard {
    Shard {
        answers: ANSWERS.iter().map(|(_, of)| of(shard).get()).sum(),
        turns: shard.turns.get(),
        turn_s: shard.turn_nanoseconds.get() as f64 / 1e9,
        connections: shard.connections.get(),
        silent_s: uptime_ms.saturating_sub(shard.heartbeat_ms.get()) as f64 / 1e3,
        generation: format!("{:016x}", shard.generation.get()),
    }
}

fn models(served: &Served) -> Vec<Model> {
    let models = served.node().registry().models.iter().enumerate();
    models
        .map(|(place, model)| {
            let total = |of: fn(&Counts) -> &Count| served.total(place, of);
            Model {
                name: model.name.clone(),
                version: model.version,
                mode: model.mode,
                loaded: served.node().model(place as u16).is_some(),
                cpu_percent: f64::from(model.cpu_share) / 1000.0,
                seconds: total(|counts| &counts.nanoseconds) as f64 / 1e9,
                keys: total(|counts| &counts.rows),
                spoke: total(|counts| &counts.spoke),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;
    use verdict_tables::Worth;

    #[test]
    fn shards_are_summed_and_a_daemon_that_is_not_ready_says_why() {
        let metrics = Metrics::new(2, "portable", "epoll");
        metrics.shards[0].keys_malicious.add(2);
        metrics.shards[1].keys_malicious.add(3);
        metrics.shards[1].frames_lookup.add(4);
        metrics.times[1].requests.note(7_000);
        metrics.sources.set(vec![Worth { name: "<b>".into(), licence: "CC0".into(), entries: 9, newest_day: 1 }]);
        let state = State::since(metrics, crate::edge::guard::admin::AdminDoor::default(), Instant::now());
        let text = render(&state, Err("draining\n"));
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&told["answers"]["malicious"], &told["requests"], &told["state"]), (&5.into(), &4.into(), &"draining".into()));
        assert_eq!((&told["latency"]["counts"][1], &told["latency"]["counts"][0]), (&1.into(), &0.into()));
        assert_eq!(told["latency"]["counts"].as_array().unwrap().len(), told["latency"]["bounds_s"].as_array().unwrap().len() + 1);
        assert_eq!((&told["sources"][0]["name"], &told["sources"][0]["newest_s"]), (&"<b>".into(), &86_400.into()));
    }
}
