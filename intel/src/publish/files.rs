//! Files that are there whole or not at all.
//!
//! ```text
//! .partial-<name> ──write──► (sync) ──rename──► <name> ──► sync of the directory     a crash leaves the old file, the new one, or a .partial-
//! ```

use super::error::PublishError;
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::Path;

const PARTIAL: &str = ".partial-";

/// Held while somebody publishes; the kernel gives it back when the process ends, however it ends.
pub(super) struct Lock(#[expect(dead_code, reason = "closed when dropped")] File);

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, PublishError> {
        let file = File::create(path).map_err(|error| PublishError::io(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(PublishError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(PublishError::io(path, error)),
        }
    }
}

/// The caller syncs the directory, and the file too unless `sync` says that it is done here.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], sync: bool) -> Result<(), PublishError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let partial = path.with_file_name(format!("{PARTIAL}{name}"));
    let write = || {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| {
        // What matters is the first error; a leftover is named so that nobody takes it for anything.
        let _ = std::fs::remove_file(&partial);
        PublishError::io(path, error)
    })
}

/// Everything written to the file system of this directory is on disk, and so are its names.
pub(super) fn sync_all(directory: &Path) -> Result<(), PublishError> {
    let io = |error| PublishError::io(directory, error);
    let opened = File::open(directory).map_err(io)?;
    rustix::fs::syncfs(&opened).map_err(|errno| io(errno.into()))
}

/// The names in it are on disk.
pub(super) fn sync_directory(directory: &Path) -> Result<(), PublishError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|error| PublishError::io(directory, error))
}

/// Names of the files in a directory that are text; others are nobody's of ours.
pub(super) fn names(directory: &Path) -> Result<Vec<String>, PublishError> {
    let io = |error| PublishError::io(directory, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string());
    }
    Ok(names)
}

/// Whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, PublishError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(PublishError::io(path, error)),
    }
}

/// What an interrupted run left in a directory.
pub(super) fn remove_partial(directory: &Path) -> Result<usize, PublishError> {
    let mut removed = 0;
    for name in names(directory)?.iter().filter(|name| name.starts_with(PARTIAL)) {
        removed += usize::from(remove(&directory.join(name))?);
    }
    Ok(removed)
}
