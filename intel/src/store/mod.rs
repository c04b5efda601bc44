//! The explain store: which line of which feed said what of which rule. Beside the snapshot, for people who ask why; the daemon never reads it.
//!
//! ```text
//! snapshot   verdicts.snap            winners only, hashed keys, no text           what is answered from
//! store      verdicts.snap.explain    every vote: fingerprint of its rule, line, shape, reference      what is explained from
//!                                     16 bytes a vote, sorted by fingerprint, in pages that carry a checksum each
//! ```
//! A rule is looked up by the first 64 bits of the SHA-256 of its canonical encoding: 10 to 15 pages of 4 KiB are read, never the whole file.
//! Rules have no text here: who asks for a URL knows which rules could match it, and the feed's own line is printed where the file is still
//! what was compiled. docs/explain-store.md has the bytes, the limits, and what a collision of fingerprints would do.

mod layout;
mod lines;
mod origins;
mod read;
mod references;

pub use layout::{FEEDS_MAX, RECORDS_BYTES_MAX, STORE_VERSION, STORE_VERSION_LEAST, STRINGS_BYTES_MAX, reseal};
pub use lines::{NoLine, feed_lines};
pub use origins::{FeedOrigin, Origins, Pending};
pub use read::{Rules, Store, StoreError, StoredVote, VOTES_OF_RULE_MAX, VotesOf};

use std::path::{Path, PathBuf};

/// Do these bytes begin as a store does?
pub fn is_store(head: &[u8]) -> bool {
    head.starts_with(&layout::MAGIC)
}

/// Where the store of a snapshot is, unless somebody says otherwise: `verdicts.snap.explain`.
pub fn beside(snapshot: &Path) -> PathBuf {
    let mut name = snapshot.as_os_str().to_owned();
    name.push(".explain");
    name.into()
}
