//! What the daemon remembers between starts: generations that it may fall back to, the highest epoch, starts that failed, and what it never takes again.
//!
//! ```text
//! STATE/state                    epoch 17 · trial 5b1e… 2        a few lines and their SHA-256; replaced by rename
//! STATE/generations/<epoch>.manifest  <sha256>.snapshot          three of them, each verified again before it is served
//! STATE/quarantine/<sha256>      why                             `verdictctl quarantine lift` removes the file: it is tried again
//! STATE/lock                     held while a daemon runs
//! ```
//! A start is on trial until it has served for `GOOD_AFTER`. The count is written before the snapshot is read, so that whatever a snapshot
//! breaks, reading it included, is counted: after `TRIALS_MAX` starts that did not come so far it is put in quarantine, and the one before it serves.

use crate::lock;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use verdict_tables::manifest::epoch::Floor;
use verdict_tables::manifest::{KeySet, Manifest, hex, read_bounded, unhex};

/// Generations that are kept.
pub const GENERATIONS: usize = 3;
/// Starts that may fail.
pub const TRIALS_MAX: u32 = 3;
/// Having served for so long, a generation is a good one.
pub const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Reasons are shown to people; more of one is not read.
const REASON_BYTES_MAX: usize = 1024;

/// An open state directory.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// The highest epoch ever adopted.
    pub floor: Floor,
    trial: Option<([u8; 32], u32)>,
    /// None for whoever only looks.
    _lock: Option<File>,
}

/// A generation that was served once.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As it was signed.
    pub manifest: Manifest,
    /// Its file.
    pub snapshot: PathBuf,
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl StateDirectory {
    /// Makes what is missing, takes the lock, removes what a crash left.
    ///
    /// # Errors
    /// When it cannot be written, or another daemon has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        for needed in [path, &path.join("generations"), &path.join("quarantine")] {
            std::fs::create_dir_all(needed).map_err(|error| named(needed, error))?;
        }
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(|error| named(&lock_path, error))?;
        let lock = lock::hold(lock)
            .map_err(|error| named(&lock_path, error))?
            .ok_or_else(|| io::Error::other(format!("{}: another daemon has this state directory", path.display())))?;
        let mut state = StateDirectory { path: path.to_owned(), floor: Floor::default(), trial: None, _lock: Some(lock) };
        if !state.read()? {
            tracing::warn!(path = %state.file().display(), "damaged; the kept manifests say which epoch was the highest");
        }
        Ok(state)
    }

    /// As it is, for whoever writes nothing: without the lock, so that a daemon may have it. And what is wrong with its file, if something is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn peek(path: &Path) -> io::Result<(Self, Option<String>)> {
        let mut state = StateDirectory { path: path.to_owned(), floor: Floor::default(), trial: None, _lock: None };
        let sound = state.read()?;
        let damage = (!sound).then(|| format!("{}: damaged", state.file().display()));
        Ok((state, damage))
    }

    /// What was written down; false if it is damaged, and nothing of it is used.
    fn read(&mut self) -> io::Result<bool> {
        match std::fs::read_to_string(self.file()) {
            Ok(text) => Ok(self.parse(&text).is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            // Bytes that are no text are damage too.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(false),
            Err(error) => Err(named(&self.file(), error)),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self) -> PathBuf {
        self.path.join("state")
    }

    fn parse(&mut self, text: &str) -> Option<()> {
        let (body, sum) = text.trim_end().rsplit_once("\nsum ")?;
        if sum != hex(&sha256(body.as_bytes())) {
            return None;
        }
        let (mut floor, mut trial) = (Floor::default(), None);
        for line in body.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["verdictd-state", "1"] => {}
                ["epoch", epoch, sha256] => floor = Floor { epoch: epoch.parse().ok()?, sha256: unhex(sha256)? },
                ["trial", sha256, count] => trial = Some((unhex(sha256)?, count.parse().ok()?)),
                _ => return None,
            }
        }
        (self.floor, self.trial) = (floor, trial);
        Some(())
    }

    fn save(&self) -> io::Result<()> {
        let mut body = format!("verdictd-state 1\nepoch {} {}", self.floor.epoch, hex(&self.floor.sha256));
        if let Some((sha256, count)) = &self.trial {
            body += &format!("\ntrial {} {count}", hex(sha256));
        }
        let sum = hex(&sha256(body.as_bytes()));
        write_atomically(&self.file(), format!("{body}\nsum {sum}\n").as_bytes())?;
        sync_directory(&self.path)
    }

    /// Kept generations whose manifests one of these keys has signed, newest first. Raises the floor to the newest.
    pub fn kept(&mut self, keys: &KeySet) -> Vec<Kept> {
        let directory = self.path.join("generations");
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "manifest") {
                continue;
            }
            match read_bounded(&path).and_then(|bytes| Manifest::verify(&bytes, keys)) {
                Ok((manifest, _)) => kept.push(Kept { snapshot: self.snapshot(&manifest.sha256), manifest }),
                Err(refusal) => tracing::warn!(path = %path.display(), "a kept generation is not used: {refusal}"),
            }
        }
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.manifest.epoch));
        if let Some(newest) = kept.first().filter(|newest| newest.manifest.epoch > self.floor.epoch) {
            self.floor = Floor { epoch: newest.manifest.epoch, sha256: newest.manifest.sha256 };
        }
        kept
    }

    fn snapshot(&self, sha256: &[u8; 32]) -> PathBuf {
        self.path.join("generations").join(format!("{}.snapshot", hex(sha256)))
    }

    /// How many starts of it have not come to `good` yet.
    pub fn failed_starts(&self, sha256: &[u8; 32]) -> u32 {
        self.trial.filter(|(on_trial, _)| on_trial == sha256).map_or(0, |(_, count)| count)
    }

    /// A start with this one begins.
    pub fn begin(&mut self, sha256: &[u8; 32]) -> io::Result<()> {
        self.trial = Some((*sha256, self.failed_starts(sha256) + 1));
        self.save()
    }

    /// It has served long enough.
    pub fn good(&mut self) -> io::Result<()> {
        if self.trial.take().is_some() { self.save() } else { Ok(()) }
    }

    /// Keeps a verified generation, and only then raises the floor: after a crash in between it is there, and the old floor too.
    pub fn keep(&mut self, manifest: &Manifest, signed: &[u8], snapshot: &[u8]) -> io::Result<()> {
        let path = self.snapshot(&manifest.sha256);
        write_atomically(&path, snapshot)?;
        self.renew(manifest, signed)
    }

    /// The same snapshot under a newer manifest.
    pub fn renew(&mut self, manifest: &Manifest, signed: &[u8]) -> io::Result<()> {
        let generations = self.path.join("generations");
        write_atomically(&generations.join(format!("{:020}.manifest", manifest.epoch)), signed)?;
        sync_directory(&generations)?;
        self.floor = Floor { epoch: manifest.epoch, sha256: manifest.sha256 };
        self.trial = self.trial.filter(|(on_trial, _)| *on_trial == manifest.sha256);
        self.save()
    }

    /// Removes what is beyond the `GENERATIONS` newest different snapshots, and what a crash left. `serving` stays.
    pub fn prune(&mut self, keys: &KeySet, serving: &[u8; 32]) -> io::Result<()> {
        let generations = self.path.join("generations");
        let mut chosen: Vec<([u8; 32], u64)> = Vec::new();
        for kept in self.kept(keys) {
            let Kept { manifest: Manifest { sha256, epoch, .. }, snapshot } = kept;
            let has_serving = sha256 == *serving || chosen.iter().any(|(chosen, _)| chosen == serving);
            let room = chosen.len() < GENERATIONS - usize::from(!has_serving);
            let known = chosen.iter().any(|(chosen, _)| *chosen == sha256);
            if !known && room && snapshot.exists() && self.quarantined(&sha256).is_none() {
                chosen.push((sha256, epoch));
            }
        }
        let manifests = chosen.iter().map(|(_, epoch)| generations.join(format!("{epoch:020}.manifest")));
        let needed: Vec<PathBuf> =
            manifests.chain(chosen.iter().map(|(sha256, _)| self.snapshot(sha256))).chain([self.snapshot(serving)]).collect();
        for entry in std::fs::read_dir(&generations)? {
            let path = entry?.path();
            if !needed.contains(&path) {
                std::fs::remove_file(&path).map_err(|error| named(&path, error))?;
            }
        }
        Ok(())
    }

    /// Why it must not be served, if it must not.
    pub fn quarantined(&self, sha256: &[u8; 32]) -> Option<String> {
        let mut why = std::fs::read_to_string(self.path.join("quarantine").join(hex(sha256))).ok()?;
        why.truncate(why.floor_char_boundary(REASON_BYTES_MAX));
        Some(why.trim_end().to_owned())
    }

    /// How many are in quarantine.
    pub fn quarantined_count(&self) -> u64 {
        std::fs::read_dir(self.path.join("quarantine")).into_iter().flatten().flatten().count() as u64
    }

    /// Never again, unless somebody removes the file: `verdictctl quarantine lift`.
    pub fn quarantine(&mut self, sha256: &[u8; 32], why: &str) -> io::Result<()> {
        let directory = self.path.join("quarantine");
        write_atomically(&directory.join(hex(sha256)), format!("{why}\n").as_bytes())?;
        sync_directory(&directory)
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).into()
}

/// The old file or the new one, on disk; the caller syncs the directory.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = File::create(&partial)?;
        // One `write` of a gigabyte would keep the CPU from whoever wants it.
        bytes.chunks(1 << 20).try_for_each(|chunk| file.write_all(chunk))?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        named(path, error)
    })
}

/// What was renamed there stays so.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| named(path, error))
}
