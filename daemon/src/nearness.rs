//! Bounded things that come near their bound: told once on the way up, so that somebody can act before anything is refused.
//!
//! ```text
//! 0 % ─────────────────── 70 % ─────── 80 % ─────────── 100 %: refused
//!      told anew from here ◄┘           └► one line of the log, one more in verdictd_limit_warnings_total
//! ```
//! What hovers about four fifths is told once. To note costs two loads; nothing of it lies on the way of a lookup.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Told from here, in parts of a hundred.
pub const NEAR_PERCENT: u64 = 80;
/// Below this the next time is told again.
const FAR_PERCENT: u64 = 70;

/// What is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    /// Connections of the whole daemon.
    Connections,
    /// Acts of operators in force.
    OverlayEntries,
    /// The snapshot served.
    SnapshotBytes,
}

impl Bounded {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Connections, Self::OverlayEntries, Self::SnapshotBytes];

    /// The configuration key of its bound.
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Connections => "limits.connections_max",
            Self::OverlayEntries => "overlay.entries_max",
            Self::SnapshotBytes => "snapshot.bytes_max",
        }
    }
}

/// Of one of them. Any thread may note.
#[derive(Debug, Default)]
pub struct Nearness {
    is_near: AtomicBool,
    warnings: AtomicU64,
}

impl Nearness {
    /// So many are in use of so many.
    pub fn note(&self, bounded: Bounded, used: u64, most: u64) {
        let reaches = |percent: u64| u128::from(used) * 100 >= u128::from(most) * u128::from(percent);
        let was_near = self.is_near.load(Relaxed);
        if !was_near && reaches(NEAR_PERCENT) && !self.is_near.swap(true, Relaxed) {
            self.tell(bounded, used, most);
        } else if was_near && !reaches(FAR_PERCENT) {
            self.is_near.store(false, Relaxed);
        }
    }

    /// How often it came near.
    pub fn warnings(&self) -> u64 {
        self.warnings.load(Relaxed)
    }

    #[cold]
    fn tell(&self, bounded: Bounded, used: u64, most: u64) {
        self.warnings.fetch_add(1, Relaxed);
        tracing::warn!(
            limit = bounded.limit(),
            used,
            most,
            "more than {NEAR_PERCENT} % of a limit is in use; at the limit, more is refused"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_up_is_told_once() {
        let near = Nearness::default();
        let after = |used| {
            near.note(Bounded::Connections, used, 10);
            near.warnings()
        };
        assert_eq!([0, 7, 8, 9, 10, 8].map(after), [0, 0, 1, 1, 1, 1]);
        assert_eq!([7, 8, 7, 8].map(after), [1, 1, 1, 1], "it hovers");
        assert_eq!([6, 7, 8, 0, 9].map(after), [1, 1, 2, 2, 3]);
    }

    #[test]
    fn no_number_is_too_large() {
        let near = Nearness::default();
        near.note(Bounded::SnapshotBytes, u64::MAX / 2, u64::MAX);
        assert_eq!(near.warnings(), 0);
        near.note(Bounded::SnapshotBytes, u64::MAX, u64::MAX);
        assert_eq!(near.warnings(), 1);
    }
}
