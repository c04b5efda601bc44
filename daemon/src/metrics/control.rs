//! What the control thread knows: of the snapshot, the overlay, models, and its own doings.

use super::Count;
use super::series::{Labels, Out, Value, Written};
use super::switches::SwitchMetrics;
use crate::nearness::{Bounded, Nearness};
use crate::shadow::numbers::ShadowMetrics;
use std::sync::Arc;
use verdict_tables::manifest::Why;

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
    /// What is switched off.
    pub switches: SwitchMetrics,
    /// Registries of models refused since start.
    pub models_refused: Count,
    /// Models that are asked, and that are on trial.
    pub models: [Count; 2],
    /// Certificates, and who is let in.
    pub guard: super::guard::GuardMetrics,
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

impl ControlMetrics {
    /// One scrape.
    pub(super) fn encode(&self, out: &mut Out<'_, '_>) -> Written {
        self.encode_snapshot(out)?;
        self.encode_overlay(out)?;
        self.switches.encode(out)?;
        self.shadow.encode(out)?;
        self.guard.encode(out)?;
        out.counter(
            "verdictd_models_refused_total",
            "Registries of models refused since start; the last good one stayed",
            self.models_refused.get(),
        )?;
        let modes = ["enforce", "shadow"].into_iter().zip(&self.models);
        out.gauges(
            "verdictd_models",
            "Models that are loaded, by mode",
            modes.map(|(mode, count)| (vec![("mode", mode)], count.get().into())),
        )?;
        let limits = Bounded::ALL.iter().map(|bounded| (vec![("limit", bounded.limit())], self.near(*bounded).warnings().into()));
        out.counters(
            "verdictd_limit_warnings_total",
            "Times that a bounded thing came to 80 % of its limit, by limit; told again after it was below 70 %",
            limits,
        )?;
        out.gauge("verdictd_draining", "1 while draining", self.draining.get())
    }

    fn encode_snapshot(&self, out: &mut Out<'_, '_>) -> Written {
        out.counter(
            "verdictd_snapshot_loads_refused_total",
            "Snapshots refused since start; the served generation stayed",
            self.loads_refused.get(),
        )?;
        let reasons = Why::ALL.iter().zip(&self.refusals).map(|(why, count)| (vec![("reason", why.name())], count.get().into()));
        out.counters(
            "verdictd_snapshot_refusals_total",
            "Snapshots refused since start, by reason; the same one again, for the same reason, is not counted again",
            reasons,
        )?;
        #[rustfmt::skip]
        let gauges = [
            ("verdictd_snapshot_loaded_timestamp_seconds", "When the served snapshot was adopted by all shards", &self.loaded_timestamp_s),
            ("verdictd_snapshot_as_of_timestamp_seconds", "The time that the served data describes; 0 where its feeds carry no dates", &self.as_of_s),
            ("verdictd_snapshot_entries", "Rules of the served snapshot", &self.entries),
            ("verdictd_snapshot_bytes", "Bytes of the served snapshot", &self.snapshot_bytes),
            ("verdictd_snapshot_huge_page_bytes", "Bytes of the served snapshot's memory, all its copies, that the kernel keeps in huge pages, as of its adoption", &self.huge_bytes),
            ("verdictd_snapshot_stale", "1 while answers are marked stale: the manifest has expired, or the data is older than snapshot.stale_after_s", &self.stale),
            ("verdictd_snapshot_quarantined", "Snapshots that are never taken again", &self.quarantined),
            ("verdictd_manifest_epoch", "Epoch of the manifest in force; 0 where snapshots are not signed", &self.manifest_epoch),
            ("verdictd_manifest_expires_timestamp_seconds", "When the manifest in force expires; 0 where snapshots are not signed", &self.manifest_expires_s),
        ];
        gauges.into_iter().try_for_each(|(name, help, count)| out.gauge(name, help, count.get()))
    }

    fn encode_overlay(&self, out: &mut Out<'_, '_>) -> Written {
        let mut entries: Vec<(Labels<'_>, Value)> = Vec::new();
        for (act, counts) in ["block", "unblock"].into_iter().zip(&self.overlay_entries) {
            let kinds = verdict_wire::KeyKind::ALL.iter().zip(counts);
            entries.extend(kinds.map(|(kind, count)| (vec![("act", act), ("kind", kind.name())], count.get().into())));
        }
        out.gauges("verdictd_overlay_entries", "Entries of the overlay in force, by what they say and by kind of key", entries)?;
        let acts = verdict_wire::Act::ALL.iter().zip(&self.overlay_acts);
        let acts = acts.map(|(act, count)| (vec![("act", act.name())], count.get().into()));
        out.counters("verdictd_overlay_acts_total", "Acts of operators on the overlay that were done", acts)?;
        #[rustfmt::skip]
        let counters = [
            ("verdictd_overlay_refused_total", "Acts of operators on the overlay that were not done; the log says why", &self.overlay_refused),
            ("verdictd_overlay_expired_total", "Entries of the overlay that ended by themselves", &self.overlay_expired),
            ("verdictd_overlay_journal_errors_total", "Acts that were not done because the journal could not be written", &self.overlay_journal_errors),
        ];
        counters.into_iter().try_for_each(|(name, help, count)| out.counter(name, help, count.get()))
    }
}
