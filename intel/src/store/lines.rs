//! The lines themselves, from a feed's file, if it is still what was compiled.
//!
//! One pass over the file gives the lines and its SHA-256; the lines count only if that is the one in the store. A file that grew, shrank or went away
//! costs the text of its lines, not their numbers.

use super::origins::FeedOrigin;
use crate::lines::{Line, Lines};
use crate::package;
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

/// Bytes of a line that only opens an object, together with the lines that follow it.
const OBJECT_SHOWN_BYTES: usize = 240;

/// The text of these lines of a feed. Lines of a feed of several files are numbered through all of them, and told with the file and the line there;
/// where a line only opens a JSON object, what follows is told with it.
pub fn feed_lines(feed: &FeedOrigin, wanted: &BTreeSet<u64>) -> Result<BTreeMap<u64, Vec<u8>>, NoLine> {
    let path = Path::new(&feed.file);
    let metadata = std::fs::metadata(path).map_err(|error| NoLine::Unreadable(error.to_string()))?;
    if metadata.is_file() && metadata.len() != feed.file_bytes {
        return Err(NoLine::Changed);
    }
    let (mut found, mut before) = (BTreeMap::<u64, Vec<u8>>::new(), 0);
    let package = package::each(path, &[], &mut |_, member| {
        let name = member.name;
        let mut lines = Lines::new(member.opened.into_reader());
        let (mut here, mut opening) = (0, None);
        while let Some(Line::Text(line) | Line::TooLong(line)) = lines.next().map_err(|error| error.to_string())? {
            here += 1;
            let number = before + here;
            if let Some(shown) = opening.and_then(|first| found.get_mut(&first)) {
                shown.push(b' ');
                shown.extend_from_slice(line.trim_ascii());
                opening = opening.filter(|_| shown.len() < OBJECT_SHOWN_BYTES);
            }
            if wanted.contains(&number) {
                let mut text = name.map_or_else(Vec::new, |name| format!("{name}:{here}: ").into_bytes());
                text.extend_from_slice(line);
                found.insert(number, text);
                opening = matches!(line.trim_ascii(), b"{" | b"[{" | b",{").then_some(number);
            }
        }
        before += here;
        Ok(())
    });
    let package = package.map_err(NoLine::Unreadable)?;
    if package.sum.sha256() == feed.sha256 { Ok(found) } else { Err(NoLine::Changed) }
}
