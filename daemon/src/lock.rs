//! One daemon a directory: a file there is locked while it runs, and no longer.
//!
//! Whoever has just ended may have it for a moment more: a look in the background that was under way, or a child of the same program between fork
//! and exec. So a start asks again for `PATIENCE` before it says that another daemon is there.

use std::fs::{File, TryLockError};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long that moment may be.
const PATIENCE: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The file, locked until it is dropped; none where another keeps it.
///
/// # Errors
/// When the file system has no locks.
pub fn hold(file: File) -> io::Result<Option<File>> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= PATIENCE => return Ok(None),
            Err(TryLockError::WouldBlock) => sleep(ASK_EVERY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_is_about_to_end_is_waited_for_and_one_who_stays_is_not() {
        let path = std::env::temp_dir().join(format!("verdictd-lock-{}", std::process::id()));
        let first = hold(File::create(&path).unwrap()).unwrap().unwrap();
        assert!(hold(File::create(&path).unwrap()).unwrap().is_none());
        let ending = std::thread::spawn(move || {
            sleep(Duration::from_millis(200));
            drop(first);
        });
        assert!(hold(File::create(&path).unwrap()).unwrap().is_some());
        ending.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
