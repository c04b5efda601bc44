//! Why nothing was published: what was published before is as it was.

use std::path::{Path, PathBuf};
use verdict_tables::manifest::{Refusal, SealRefusal};

/// One sentence each, with the file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The operating system said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// What should be published is none.
    #[error("{}: {error}", path.display())]
    Snapshot {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: verdict_tables::Error,
    },
    /// Somebody publishes there now.
    #[error("{}: another publisher is at work", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// A key file that is none.
    #[error("{}: {why}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// Nothing to sign with.
    #[error("no key to sign with, or more than four")]
    NoKey,
    /// What is there already is not ours, or damaged.
    #[error("{}: {refusal}; if you know why, name the next epoch (--epoch)", path.display())]
    Existing {
        /// The manifest.
        path: PathBuf,
        /// Why it is not believed.
        refusal: Refusal,
    },
    /// A number that is not above the one there.
    #[error("epoch {wanted} does not rise above {current}, which is published")]
    Epoch {
        /// Asked for.
        wanted: u64,
        /// There.
        current: u64,
    },
    /// A seal that is there is not ours, or damaged.
    #[error("{}: {refusal}; if you know why, begin anew (--anew)", path.display())]
    ExistingSeal {
        /// The seal.
        path: PathBuf,
        /// Why it is not believed.
        refusal: SealRefusal,
    },
    /// A sequence that is not above the one there.
    #[error("sequence {wanted} does not rise above {current}, which was sealed with other content")]
    Sequence {
        /// Of the file.
        wanted: u64,
        /// Of the seal that is there.
        current: u64,
    },
    /// What was written would be refused by a daemon.
    #[error("not published: a daemon would refuse it: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// Nothing to go back from.
    #[error("{}: nothing is published there", path.display())]
    NothingPublished {
        /// The directory.
        path: PathBuf,
    },
    /// Nothing to go back to.
    #[error("no such earlier manifest; there are: {there}")]
    NoSuchManifest {
        /// Epochs and generations.
        there: String,
    },
}

impl PublishError {
    pub(super) fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}
