//! How a file comes to be: beside its name first, whole and on the disk, then under its name in one step.

use crate::Error;
use flate2::read::GzDecoder;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A file that is not there yet; dropped without `name`, nothing is left of it.
pub struct Landing {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    digest: Sha256,
    bytes: u64,
    bytes_max: u64,
    named: bool,
}

/// What was landed.
#[derive(Debug, PartialEq, Eq)]
pub struct Landed {
    pub bytes: u64,
    pub sha256: String,
}

impl Landing {
    /// Of at most `bytes_max` bytes, which will be `path`. Its directory is made where it is missing.
    pub fn beside(path: &Path, bytes_max: u64) -> Result<Self, Error> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(Error::file(directory))?;
        }
        let temporary = unnamed(path)?;
        let file = File::create(&temporary).map_err(Error::file(&temporary))?;
        Ok(Landing { path: path.to_owned(), temporary, file, digest: Sha256::new(), bytes: 0, bytes_max, named: false })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Error::TooLarge(self.bytes_max));
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(Error::file(&self.temporary))
    }

    /// Where its bytes are for now: for a check, which sees all that was written.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Its name, in one step; before that all of it is on the disk, after it the name is.
    pub fn name(mut self) -> Result<Landed, Error> {
        self.file.sync_all().map_err(Error::file(&self.temporary))?;
        std::fs::rename(&self.temporary, &self.path).map_err(Error::file(&self.path))?;
        self.named = true;
        sync_directory(&self.path)?;
        let digest = std::mem::take(&mut self.digest).finalize();
        Ok(Landed { bytes: self.bytes, sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect() })
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.named {
            // Nobody can be told, and a later run sweeps it away.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Where a file or directory is until it has its name: `.new-PID-NAME` beside it, whose end says what it is to whoever checks it. What a run left
/// there that was killed is swept away: of this very number, and of any process that is no more.
pub fn unnamed(path: &Path) -> Result<PathBuf, Error> {
    let name = path.file_name().unwrap_or_default();
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(directory).map_err(Error::file(directory))?.flatten() {
        if maker(&entry.file_name(), name).is_some_and(|pid| pid == std::process::id() || !is_there(pid)) {
            let left = entry.path();
            // What cannot be swept costs room and nothing else.
            let _ = if left.is_dir() { std::fs::remove_dir_all(left) } else { std::fs::remove_file(left) };
        }
    }
    let mut unnamed = OsString::from(format!("{PREFIX}{}-", std::process::id()));
    unnamed.push(name);
    Ok(path.with_file_name(unnamed))
}

const PREFIX: &str = ".new-";

/// The process that made `entry` on its way to `name`, if it is such a one.
fn maker(entry: &OsStr, name: &OsStr) -> Option<u32> {
    let rest = entry.as_bytes().strip_prefix(PREFIX.as_bytes())?.strip_suffix(name.as_bytes())?;
    std::str::from_utf8(rest.strip_suffix(b"-")?).ok()?.parse().ok()
}

/// A number that was given to another process since is there too: then it is the next run's to sweep.
fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// A small file, in one step.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut landing = Landing::beside(path, u64::MAX)?;
    landing.write(bytes)?;
    landing.name().map(|_| ())
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::file(directory))
}

/// Refuses what servers send with status 200 instead of a feed: nothing, or a page for people.
pub fn looks_like_a_feed(path: &Path, may_be_empty: bool) -> Result<(), Error> {
    let mut head = Vec::new();
    let open = || File::open(path).map_err(Error::file(path));
    open()?.take(1024).read_to_end(&mut head).map_err(Error::file(path))?;
    if head.starts_with(&[0x1f, 0x8b]) {
        head.clear();
        // A damaged one is found out by the reader that checks it whole.
        let _ = GzDecoder::new(open()?).take(1024).read_to_end(&mut head);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|text| text.eq_ignore_ascii_case(with));
    if text.is_empty() && !may_be_empty {
        return Err(Error::NotAFeed("an empty document (may_be_empty allows it)".into()));
    }
    if begins(b"<!doctype html") || begins(b"<html") {
        return Err(Error::NotAFeed("a page for people (HTML), not a feed".into()));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) fn directory(name: &str) -> PathBuf {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("verdict-fetch-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    fn names(directory: &Path) -> Vec<OsString> {
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_the_old_one_until_it_is_the_new_one() {
        let directory = directory("land");
        let path = directory.join("below/feed.txt");
        write_whole(&path, b"old").unwrap();
        let mut landing = Landing::beside(&path, 3).unwrap();
        landing.write(b"ne").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        landing.write(b"w").unwrap();
        assert_eq!(
            landing.name().unwrap(),
            Landed { bytes: 3, sha256: "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437".into() }
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let mut landing = Landing::beside(&path, 3).unwrap();
        assert!(matches!(landing.write(b"more"), Err(Error::TooLarge(3))));
        drop(landing);
        assert_eq!(names(path.parent().unwrap()), ["feed.txt"]);
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_killed_runs_left_is_swept_away_and_what_others_are_making_is_not() {
        let directory = directory("sweep");
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let (gone, here, alive) = (ended.id(), std::process::id(), 1);
        for pid in [gone, here, alive] {
            std::fs::write(directory.join(format!(".new-{pid}-feed.txt")), b"half").unwrap();
            std::fs::create_dir(directory.join(format!(".new-{pid}-misp"))).unwrap();
            std::fs::write(directory.join(format!(".new-{pid}-misp/event.json")), b"half").unwrap();
        }
        for other in [format!(".new-{gone}-other-feed.txt.fetch"), format!(".new-{gone}feed.txt"), ".new-x-feed.txt".into()] {
            std::fs::write(directory.join(other), b"not ours").unwrap();
        }
        write_whole(&directory.join("feed.txt"), b"new").unwrap();
        let mut left = names(&directory);
        left.sort();
        let mut wanted: Vec<OsString> = [
            ".new-1-feed.txt".to_owned(),
            ".new-1-misp".into(),
            format!(".new-{gone}-misp"),
            format!(".new-{here}-misp"),
            format!(".new-{gone}-other-feed.txt.fetch"),
            format!(".new-{gone}feed.txt"),
            ".new-x-feed.txt".into(),
            "feed.txt".into(),
        ]
        .map(OsString::from)
        .into();
        wanted.sort();
        assert_eq!(left, wanted);
        unnamed(&directory.join("misp")).unwrap();
        assert!(directory.join(".new-1-misp").exists() && !directory.join(format!(".new-{gone}-misp")).exists());
        assert!(!directory.join(format!(".new-{here}-misp")).exists());
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn pages_and_nothing_are_no_feeds() {
        let directory = directory("html");
        let path = directory.join("feed");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"\n<!DOCTYPE html><title>503</title>").unwrap();
        let gzip = gzip.finish().unwrap();
        for (bytes, fine) in [
            (b"http://bad.example/\n".as_slice(), true),
            (b"\xef\xbb\xbf \n<HTML>", false),
            (b"<!doctype HTML>", false),
            (&gzip, false),
            (b"", false),
            (b" \r\n", false),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(looks_like_a_feed(&path, false).is_ok(), fine, "{bytes:?}");
        }
        assert!(looks_like_a_feed(&path, true).is_ok());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
