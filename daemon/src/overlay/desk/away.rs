//! Away: the daemon serves on, and tells everybody to go elsewhere, until it is told otherwise or ends.
//!
//! ```text
//!  verdictctl leave    ─► every shard: replies carry REPLY_DRAINING, quiet connections are closed; /readyz 503, so that balancers send nothing new
//!  verdictctl join     ─► as before
//! ```
//! Listeners stay open: whoever comes before its balancer has noticed is answered, and told. Nothing is written down: a daemon that starts takes traffic.

use super::{Desk, Done, locked};
use crate::mailbox::ToShard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use verdict_wire::{Act, ActRequest, Outcome};

/// A shard takes its mail between two turns; one that has not after so long is stuck.
const SHARDS_DEADLINE: Duration = Duration::from_secs(5);

impl Desk {
    /// Sends traffic away, or takes it again; says how many connections are open.
    pub fn away(&self, request: &ActRequest<'_>, uid: u32, pid: u32) -> Done {
        let began = Instant::now();
        let away = request.act == Act::Leave;
        for shard in &locked(&self.live).shards {
            shard.send(ToShard::Away(away));
        }
        let shards = &self.metrics.shards;
        let all_know = || shards.iter().filter(|shard| (shard.away.get() != 0) == away).count() == shards.len();
        while !all_know() && began.elapsed() < SHARDS_DEADLINE && self.running.load(Ordering::Acquire) > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let open: u64 = shards.iter().map(|shard| shard.connections.get()).sum();
        let (outcome, text) = match (all_know(), away) {
            (false, _) => (Outcome::Failed, format!("a shard has not taken it within {SHARDS_DEADLINE:?}: see /livez")),
            (true, true) => (Outcome::Done, format!("leaving: {open} connections are open")),
            (true, false) => (Outcome::Done, "serving: /readyz says so".to_owned()),
        };
        let took = began.elapsed();
        tracing::warn!(act = request.act.name(), reason = ?request.reason, uid, pid, result = outcome.name(), text, "traffic");
        Done { outcome, text, entries: open as usize, took }
    }
}
