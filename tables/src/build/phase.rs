//! The steps of a build, by name: a large one takes minutes, and somebody may be waiting.

/// A step of the build, for whoever shows progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Every rule gets its identity.
    Digest,
    /// Votes on one rule become one record.
    Merge,
    /// Rules become keys.
    Hash,
    /// Keys find their buckets.
    Place,
    /// Sections are summed and put in order.
    Write,
}

impl Phase {
    /// Short name, for a progress bar.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Merge => "merge",
            Self::Hash => "hash",
            Self::Place => "place",
            Self::Write => "write",
        }
    }
}

/// Called with the phase, how much is done, and of how much.
pub type Progress = Box<dyn FnMut(Phase, u64, u64) + Send>;
