//! The snapshot file: build, verify, view, probe.
//!
//! ```text
//! Builder ──► bytes or file ──► Snapshot ──► lookup(batch) ──► 8-byte verdicts
//!   rules, votes     FORMAT.md    verified copy     └─ matches, describe: why
//! ```
//!
//! One file is the whole interface between those who compile intelligence and those who answer from it. The same rules give the
//! same bytes on every machine. Nothing of a file is used before `verify` has seen all of it; after that no lookup can fail.
//!
//! [`manifest`] is what a snapshot is signed, cut and sent by.
//!
//! Not here: parsing feeds (intel), spelling keys (keys), instructions (simd), the wire.

#![forbid(unsafe_code)]

mod build;
mod combine;
mod corroboration;
mod describe;
mod error;
mod flat;
mod inspect;
pub mod layout;
mod lookup;
mod lpm;
pub mod manifest;
mod memory;
mod rule;
mod signatures;
mod snapshot;
mod switch;
mod table;
mod verdict;
mod verify;
mod view;
mod wave;
mod weight;
mod worth;

pub use build::{Builder, Built, Pending, Phase, Prepared, Progress, SOURCES_MAX, TracedVote, VOTES_MAX, fingerprint};
pub use corroboration::{SOURCES_HEARD, corroboration};
pub use describe::Description;
pub use error::Error;
pub use inspect::{Inspection, Stats};
pub use lookup::{Asked, Match, On, Scratch, asked, lookup, matches};
pub use rule::{
    Part, RULE_BYTES_MAX, Rule, RuleKind, SIGNATURE_BYTES_MAX, SIGNATURE_BYTES_MIN, SIGNATURE_NESTING_MAX, SIGNATURE_TEXT_BYTES_MAX,
    SIGNATURES_MAX, Source, Vote,
};
pub use snapshot::Snapshot;
pub use switch::Off;
pub use verdict::{Class, Status, VERDICTS_MAX, Verdict, category, flag};
pub use verdict_keys::Unreachable;
pub use worth::Worth;
