//! What is switched off, as series: one for each sort of part, never one for each feed.

use super::Count;
use super::series::{Out, Written};
use crate::switches::Part;
use verdict_wire::Act;

/// What is switched off, and acts on it.
#[derive(Debug, Default)]
pub struct SwitchMetrics {
    /// Parts that are off, in the order of `Part::SORTS`.
    pub off: [Count; Part::SORTS.len()],
    /// 1 while a generation is pinned.
    pub pinned: Count,
    /// Verdicts of the snapshot that nobody gives, because of what is off.
    pub verdicts_off: Count,
    /// Acts done: off, on, switches (never), pin.
    pub acts: [Count; 4],
    /// 1 while a snapshot is being loaded; for whoever freezes.
    pub loading: Count,
}

impl SwitchMetrics {
    /// The counter of acts of this kind, one on a part.
    pub fn acted(&self, act: Act) -> &Count {
        &self.acts[(act as usize - Act::Off as usize).min(3)]
    }

    /// One scrape.
    pub(super) fn encode(&self, out: &mut Out<'_, '_>) -> Written {
        let parts = Part::SORTS.into_iter().zip(&self.off).map(|(sort, count)| (vec![("part", sort)], count.get().into()));
        out.gauges(
            "verdictd_switched_off",
            "Parts that are switched off by hand, by sort: enforcement, updates and overlay 0 or 1, feeds, kinds of rules and models how many",
            parts,
        )?;
        out.gauge(
            "verdictd_switched_off_verdicts",
            "Verdicts of the served snapshot that nobody gives, because of what is switched off",
            self.verdicts_off.get(),
        )?;
        out.gauge("verdictd_snapshot_pinned", "1 while a generation is pinned by hand: nothing newer is taken", self.pinned.get())?;
        let acts = [Act::Off, Act::On, Act::Pin].map(|act| (vec![("act", act.name())], self.acted(act).get().into()));
        out.counters("verdictd_switch_acts_total", "Parts switched off and on, and generations pinned, by hand", acts)
    }
}
