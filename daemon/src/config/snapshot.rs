//! `[snapshot]`: what is served, and where it comes from.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotConfig {
    /// The snapshot file. Read at start and at SIGHUP, verified, copied into memory of our own: the file may be replaced at any time.
    /// Memory: its size, twice while a swap lasts. Nobody signs it. Either this or `directory`.
    pub path: PathBuf,
    /// A published directory (`verdictctl publish`), which is watched: what is newer, signed and sound is served without being told.
    pub directory: PathBuf,
    /// Files of public keys; a manifest must be signed by one of them. Needed with `directory`, refused with `path`.
    pub keys: Vec<PathBuf>,
    /// Where the daemon keeps three generations, the highest epoch, and what it never takes again. Only with `directory`. Default /var/lib/verdictd.
    /// Disk: three snapshots.
    pub state: PathBuf,
    /// Questions with known answers of this node's own, asked beside those of the manifest; empty = none. Default none.
    pub canaries: PathBuf,
    /// How often the directory is looked at though no change was told of, on average. Default 30 s.
    pub poll_s: u64,
    /// Answers are marked stale when the data is older: since its manifest was signed, or without one since its `as_of` (or, if that is not stated,
    /// since it was loaded). 0 = only when the manifest expires. Default 0.
    pub stale_after_s: u64,
    /// A larger snapshot is refused before it is read. Default 68719476736 (64 GiB).
    pub bytes_max: u64,
    /// The name by which stages of a roll-out draw this node; empty = the host's name. Default empty.
    pub node: String,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        SnapshotConfig {
            path: PathBuf::new(),
            directory: PathBuf::new(),
            keys: Vec::new(),
            state: PathBuf::from("/var/lib/verdictd"),
            canaries: PathBuf::new(),
            poll_s: 30,
            stale_after_s: 0,
            bytes_max: 64 << 30,
            node: String::new(),
        }
    }
}

impl SnapshotConfig {
    /// Whether what is served comes from a watched directory, signed.
    pub fn is_signed(&self) -> bool {
        !self.directory.as_os_str().is_empty()
    }

    pub(super) fn check(&self) -> Vec<String> {
        let (path, directory) = (!self.path.as_os_str().is_empty(), self.is_signed());
        let mut wrong = Vec::new();
        match (path, directory) {
            (false, false) => wrong.push("snapshot.path or snapshot.directory must be set".into()),
            (true, true) => wrong.push("snapshot.path and snapshot.directory are both set: one of them is served".into()),
            (true, false) if !self.keys.is_empty() => {
                wrong.push(
                    "snapshot.keys is set, and a file at snapshot.path has no signature: publish it, and set snapshot.directory".into(),
                );
            }
            (false, true) if self.keys.is_empty() => {
                wrong.push("snapshot.directory needs snapshot.keys: nothing unsigned is served from it".into());
            }
            _ => {}
        }
        if !(1..=86_400).contains(&self.poll_s) {
            wrong.push(format!("snapshot.poll_s = {} is not within 1..=86400", self.poll_s));
        }
        if directory && self.state.as_os_str().is_empty() {
            wrong.push("snapshot.state must name a directory that the daemon may write".into());
        }
        wrong
    }
}
