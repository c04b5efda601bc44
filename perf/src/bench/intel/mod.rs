//! Feeds to a snapshot, at the size of all feeds at hand; and thirty updates in a row, to a daemon that is asked meanwhile.
//!
//! ```text
//! feeds    every file below the data directory ─► verdictctl compile, again and again ─► rows, seconds, memory, sha256 of the snapshot
//!          the same with its rows shuffled, and by an ARM program under emulation     ─► the same sha256, or the bench fails
//! refresh  list 0, 1, 2, … ─► compile against the last one ─► publish ─► verdictd ─► churn, bytes sent again, time until it answers by it
//! ```
//! Both need the data files, which are not part of this project, and say so where they are not to be found.

mod child;
mod files;
pub mod refresh;
mod shuffle;
pub mod whole;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Setting;

/// The data files.
fn data() -> io::Result<PathBuf> {
    let missing = || io::Error::other("this bench needs the data files: VERDICT_DATA is where they would be");
    std::path::absolute(crate::data::directory().ok_or_else(missing)?)
}

/// A room of its own, gone with the value.
struct Room(PathBuf);

impl Room {
    fn new(name: &str) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("verdict-perf-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Room(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // A directory that stays harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Of a file, in hexadecimal.
fn sha256(path: &Path) -> io::Result<String> {
    let digest = Sha256::digest(std::fs::read(path)?);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Lists for the gates, named in the definition: the first thousand of a list of visited sites, and all of another.
fn lists(data: &Path, room: &Room) -> io::Result<()> {
    let packed = |name: &str| -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        crate::data::lines(&data.join("domains").join(name), |line| lines.push(line.to_owned()))?;
        Ok(lines)
    };
    let ranked = packed("tranco100k_202605_as_urls.csv.gz")?;
    let names = ranked.iter().skip(1).filter_map(|line| line.split(',').next()?.strip_prefix("https://"));
    std::fs::write(room.path("never-block.txt"), names.take(1_000).collect::<Vec<_>>().join("\n"))?;
    std::fs::write(room.path("top-sites.txt"), packed("cloudflare_top100k_20260820.txt.gz")?.join("\n"))
}

impl Setting {
    /// The operator's command, beside the daemon.
    pub(super) fn verdictctl(&self) -> PathBuf {
        std::path::absolute(self.verdictd.with_file_name("verdictctl")).unwrap_or_default()
    }
}
