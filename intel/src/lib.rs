//! Threat intelligence in the shapes it comes in, compiled into one snapshot.
//!
//! ```text
//!  feeds.toml ─► config ─┐
//!                        ▼
//!  path ─► package ─► open ─┬► lines, 1 row ───┬─► read/* (one file per format) ─► judge (verdict-keys, breadth) ─► compile ─► verdict-tables
//!          tar, zip   gzip  └► json, 1 object ─┘     what a row says                  rule, or a reason                        snapshot
//! ```
//! - Streams: a feed costs one line or object of memory, however long it is; what a stranger's bytes may cost is in [`limits`].
//! - Accounts for every row: `rows = kept + rejected + comments + blank`, each rejection with file, line and a code ([`Reason`]).
//! - Never widens: a URL is a rule of that URL, not of its host; what cannot be said exactly is rejected.
//! - Deterministic: the same rows, in any order of files and lines, give the same bytes.
//!
//! The daemon never links this crate: the snapshot file is all that they share.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod aggregate;
pub mod breadth;
pub mod categories;
mod compile;
pub mod config;
pub mod date;
pub mod detect;
pub mod diff;
mod format;
pub mod gates;
pub mod json;
mod json_shape;
pub mod judge;
pub mod limits;
mod lines;
mod look;
pub mod model;
pub mod open;
pub mod package;
pub mod publish;
pub mod read;
mod reason;
mod refang;
mod report;
pub mod scan;
mod signature;
pub mod store;
pub mod suffixes;
mod tar;
mod zstd;

pub use compile::{Against, Outcome, Refused, Target, compile, compile_into, compile_to, plan};
pub use config::{Action, Config, Feed, Mistake, Mistakes, Profile};
pub use format::{Defaults, Format};
pub use look::{Look, look};
pub use model::vote;
pub use reason::Reason;
pub use refang::refang;
pub use report::{FeedReport, Rejected, Report, Sink};
pub use scan::{Counts, Kinds};
pub use suffixes::Suffixes;
