//! The one place where a URL, host, address or hash becomes keys.
//!
//! ```text
//!  raw bytes ──canonical──► host │ path?query ──expressions──► a few host texts, a few path texts ──batch──► Key128, Hash128
//!                 └─ Unparseable: a result of its own, never "clean"
//! ```
//! Compile and query use the same functions: two spellings that a browser treats alike cannot part here. The rules, numbered, stand in
//! `docs/canonicalisation.md`. No byte of the input can cause a panic; nothing is allocated once buffers are warm, except inside IDNA for hosts that
//! are not ASCII.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod canonical;
mod digest;
mod expressions;
mod kind;
mod prefix;
mod profile;
mod question;
pub mod rule;
mod spelling;
mod suffix;
mod text;
mod unparseable;

pub use batch::{Address, Batch, Form, Item, Span};
pub use canonical::{CanonicalUrl, Canonicalizer, Host, fold_ipv6};
pub use digest::Digest;
pub use expressions::Expressions;
pub use kind::Kind;
pub use prefix::Prefix;
pub use profile::{HOST_LABELS_MAX, PATH_PREFIXES_MAX, Profile, Scheme};
pub use question::{Key, Question};
pub use rule::Unreachable;
pub use spelling::{Spelling, Spellings};
pub use suffix::{SuffixError, SuffixList, SuffixPart};
pub use text::{Text, Texts};
pub use unparseable::Unparseable;

/// Longer URLs are unparseable, as a result of its own. Holds for what comes in and for its canonical form, `http://` included.
pub const URL_BYTES_MAX: usize = 8192;
/// Longer canonical hosts are unparseable: DNS has no longer names (RFC 1035, as text without the root's dot).
pub const HOST_BYTES_MAX: usize = 253;
