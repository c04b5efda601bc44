//! Why a published snapshot is not taken: one closed list, whose names are the labels of a metric, and for each what can be done about it.

use super::layout::{MANIFEST_BYTES_MAX, VERSION};
use crate::error::Error;
use std::path::PathBuf;

/// What is wrong, in words with numbers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The operating system said no.
    #[error("{}: {error}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
    /// Longer than any manifest.
    #[error("the manifest has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLong,
    /// Not what a publisher writes.
    #[error("malformed manifest: byte {at}: {what}")]
    Malformed {
        /// Offset.
        at: u64,
        /// What should stand there.
        what: &'static str,
    },
    /// From another time.
    #[error("manifest version {got} is not known, {VERSION} is")]
    Version {
        /// What it says.
        got: u32,
    },
    /// No key of ours.
    #[error("the manifest is signed by {signed_by}, and none of these keys is known here ({known})")]
    UnknownKey {
        /// Ids.
        signed_by: String,
        /// Ids.
        known: String,
    },
    /// A key of ours, and not its signature.
    #[error("forged or damaged: the signature of key {key} does not fit the manifest")]
    Forged {
        /// Its id.
        key: String,
    },
    /// Older than what was taken before.
    #[error("epoch {got} is older than {known}, which was taken before: a rollback needs a new epoch (verdictctl rollback)")]
    Older {
        /// Of the manifest.
        got: u64,
        /// Highest so far.
        known: u64,
    },
    /// The same number for something else.
    #[error("epoch {epoch} was taken before with another snapshot: a publisher gives each epoch once")]
    Reused {
        /// Of both.
        epoch: u64,
    },
    /// Nothing could follow it.
    #[error("epoch {got} is more than {most} above {known}: nothing could ever follow it")]
    EpochJump {
        /// Of the manifest.
        got: u64,
        /// Highest so far.
        known: u64,
        /// Allowed.
        most: u64,
    },
    /// Past its time.
    #[error("expired {ago_s} s ago: publish again, or correct this machine's clock")]
    Expired {
        /// Seconds.
        ago_s: u64,
    },
    /// Meant for other readers.
    #[error("meant for readers of snapshot versions {min} to {max}, this one reads {known}")]
    Format {
        /// Oldest.
        min: u32,
        /// Newest.
        max: u32,
        /// Ours.
        known: u32,
    },
    /// Larger than this reader may take.
    #[error("the snapshot has {got} bytes, allowed are {most} (snapshot.bytes_max)")]
    TooLarge {
        /// Stated.
        got: u64,
        /// Configured.
        most: u64,
    },
    /// A part is not what its name says.
    #[error("part {number} of {count}, {}: {what}", path.display())]
    Part {
        /// From 0.
        number: usize,
        /// Of all.
        count: usize,
        /// Where it should be.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// All parts are as stated, and make no snapshot.
    #[error("{0}")]
    Snapshot(#[from] Error),
    /// A snapshot, and another one than stated.
    #[error("the parts make another snapshot than the manifest says: {what} is {got}, stated is {stated}")]
    Another {
        /// Which figure.
        what: &'static str,
        /// Of the snapshot.
        got: String,
        /// Of the manifest.
        stated: String,
    },
    /// It would answer wrongly.
    #[error("canary {number}, {question}: answered {got}, expected {expected}")]
    Canary {
        /// From 1.
        number: usize,
        /// Fit to print.
        question: String,
        /// What it says.
        got: String,
        /// What it must.
        expected: String,
    },
    /// Refused before, for a reason that cannot pass.
    #[error("snapshot {sha256} is in quarantine: {why}")]
    Quarantined {
        /// Its name.
        sha256: String,
        /// As it was told then.
        why: String,
    },
}

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The disk or its permissions.
    Io,
    /// Bytes that no publisher writes.
    Malformed,
    /// A signature is missing or wrong.
    Signature,
    /// Older, or a number used twice.
    Epoch,
    /// Past its time.
    Expired,
    /// For other versions, or too large.
    Format,
    /// A part is missing, short, long or damaged.
    Part,
    /// The whole is no sound snapshot.
    Structure,
    /// It answers wrongly.
    Canary,
    /// Was refused before.
    Quarantined,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Io,
        Self::Malformed,
        Self::Signature,
        Self::Epoch,
        Self::Expired,
        Self::Format,
        Self::Part,
        Self::Structure,
        Self::Canary,
        Self::Quarantined,
    ];

    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Signature => "signature",
            Self::Epoch => "epoch",
            Self::Expired => "expired",
            Self::Format => "format",
            Self::Part => "part",
            Self::Structure => "structure",
            Self::Canary => "canary",
            Self::Quarantined => "quarantined",
        }
    }
}

impl Refusal {
    /// Its kind.
    pub fn why(&self) -> Why {
        match self {
            Self::Io { .. } | Self::Snapshot(Error::Io(_)) => Why::Io,
            Self::TooLong | Self::Malformed { .. } => Why::Malformed,
            Self::UnknownKey { .. } | Self::Forged { .. } => Why::Signature,
            Self::Older { .. } | Self::Reused { .. } | Self::EpochJump { .. } => Why::Epoch,
            Self::Expired { .. } => Why::Expired,
            Self::Version { .. } | Self::Format { .. } | Self::TooLarge { .. } | Self::Snapshot(Error::Unsupported { .. }) => Why::Format,
            Self::Part { .. } => Why::Part,
            Self::Snapshot(_) | Self::Another { .. } => Why::Structure,
            Self::Canary { .. } => Why::Canary,
            Self::Quarantined { .. } => Why::Quarantined,
        }
    }

    /// Whether the very same snapshot would be refused again, whatever is done about disks, clocks and keys: then its hash goes into quarantine.
    /// A damaged part is none of these: the same part may come again, whole.
    pub fn is_of_the_snapshot(&self) -> bool {
        matches!(self.why(), Why::Structure | Why::Canary)
    }

    pub(super) fn malformed(at: usize, what: &'static str) -> Self {
        Self::Malformed { at: at as u64, what }
    }
}
