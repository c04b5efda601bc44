//! The lines themselves, from a feed's file, if it is still what was compiled.
//!
//! One pass over the file gives the lines and its SHA-256; the lines count only if that is the one in the store. A file that grew, shrank or went away
//! costs the text of its lines, not their numbers.

use super::origins::FeedOrigin;
use crate::lines::{Line, Lines};
use crate::open::open;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Why the text of a line cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    /// The file cannot be read.
    #[error("the file cannot be read any more: {0}")]
    Unreadable(String),
    /// Its bytes are others.
    #[error("the file has changed since")]
    Changed,
}

/// The text of these lines of a feed.
pub fn feed_lines(feed: &FeedOrigin, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Vec<u8>>, NoLine> {
    let unreadable = |error: std::io::Error| NoLine::Unreadable(error.to_string());
    let opened = open(Path::new(&feed.file)).map_err(unreadable)?;
    if opened.total_bytes != feed.file_bytes {
        return Err(NoLine::Changed);
    }
    let sum = opened.sum.clone();
    let mut lines = Lines::new(opened.into_reader());
    let (mut found, mut number) = (BTreeMap::new(), 0);
    while let Some(Line::Text(line) | Line::TooLong(line)) = lines.next().map_err(unreadable)? {
        number += 1;
        if wanted.contains(&number) {
            found.insert(number, line.to_vec());
        }
    }
    if sum.sha256() == feed.sha256 { Ok(found) } else { Err(NoLine::Changed) }
}
