//! Where a compilation goes: the files that it replaces, and the snapshot that it is held against.
//!
//! Nothing here is touched before every gate has passed.

use std::path::Path;

/// Where a snapshot goes, and what it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The snapshot: the old file or the new one, complete, and the old one whenever anything is refused.
    pub path: &'a Path,
    /// Its explain store, likewise.
    pub store: Option<&'a Path>,
    /// The snapshot that is served now.
    pub against: Against<'a>,
    /// Recorded questions, one a line, for the blast radius.
    pub replay: Option<&'a Path>,
    /// Judge, tell, and write nothing.
    pub dry_run: bool,
}

/// What shrink and growth are measured by.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// The file that would be replaced, if there is one.
    Replaced,
    /// This one, which must be there.
    File(&'a Path),
    /// Nothing.
    Nothing,
}
