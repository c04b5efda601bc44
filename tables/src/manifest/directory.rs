//! A published directory, as a reader sees it.
//!
//! ```text
//! DIR/manifest                     the newest, replaced by rename after all its parts are there
//! DIR/manifests/<epoch>            earlier ones, for rollbacks
//! DIR/parts/<sha256>               what snapshots are made of; a file that never changes
//! ```
//! Parts are read into one piece of anonymous memory, each hashed as it lies there: what happens to the files afterwards does not matter.

use super::layout::{MANIFEST_BYTES_MAX, SNAPSHOT_BYTES_MAX};
use super::parse::{Manifest, Part};
use super::refusal::Refusal;
use crate::snapshot::Snapshot;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The subdirectory of parts.
pub const PARTS: &str = "parts";

/// Where somebody publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its path.
    pub path: PathBuf,
}

impl Directory {
    /// Nothing is looked at yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The newest manifest.
    pub fn manifest(&self) -> PathBuf {
        self.path.join("manifest")
    }

    /// Where earlier ones are.
    pub fn archive(&self) -> PathBuf {
        self.path.join("manifests")
    }

    /// An earlier one. Epochs are written with leading zeros, so that names sort as they do.
    pub fn archived(&self, epoch: u64) -> PathBuf {
        self.archive().join(format!("{epoch:020}"))
    }

    /// Where parts are.
    pub fn parts(&self) -> PathBuf {
        self.path.join(PARTS)
    }

    /// One of them.
    pub fn part(&self, part: &Part) -> PathBuf {
        self.parts().join(part_name(part))
    }

    /// The newest manifest's bytes.
    pub fn read_manifest(&self) -> Result<Vec<u8>, Refusal> {
        read_bounded(&self.manifest())
    }

    /// Reads the parts, holds each against its line, the whole against the manifest, and its structure against the format.
    pub fn assemble(&self, manifest: &Manifest) -> Result<Snapshot, Refusal> {
        let bytes = usize::try_from(manifest.snapshot_bytes)
            .map_err(|_| Refusal::TooLarge { got: manifest.snapshot_bytes, most: SNAPSHOT_BYTES_MAX })?;
        let snapshot = Snapshot::filled(bytes, |memory| {
            let mut rest = memory;
            for (number, part) in manifest.parts.iter().enumerate() {
                // A manifest's sizes add up: it was parsed.
                let Some((mine, after)) = std::mem::take(&mut rest).split_at_mut_checked(part.bytes as usize) else {
                    return Err(Refusal::malformed(72, "as many bytes as all parts have"));
                };
                let path = self.part(part);
                read_part(&path, part, mine).map_err(|what| Refusal::Part { number, count: manifest.parts.len(), path, what })?;
                rest = after;
            }
            Ok(())
        })?;
        is_the_one(&snapshot, manifest)?;
        Ok(snapshot)
    }
}

/// A snapshot is the one that a manifest speaks of.
fn is_the_one(snapshot: &Snapshot, manifest: &Manifest) -> Result<(), Refusal> {
    let differ = |what, got: String, stated: String| if got == stated { Ok(()) } else { Err(Refusal::Another { what, got, stated }) };
    differ("sha256", hex(snapshot.sha256()), hex(&manifest.sha256))?;
    differ("generation", format!("{:016x}", snapshot.generation()), format!("{:016x}", manifest.generation))?;
    differ("the number of rules", snapshot.stats().rules_total().to_string(), manifest.rules.to_string())
}

fn read_part(path: &Path, part: &Part, into: &mut [u8]) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() || found.len() != part.bytes {
        return Err(format!("{} bytes were expected, it has {}", part.bytes, found.len()));
    }
    file.read_exact(into).map_err(|error| error.to_string())?;
    let sum: [u8; 32] = Sha256::digest(&*into).into();
    if sum == part.sha256 { Ok(()) } else { Err(format!("its SHA-256 is {}: damaged", hex(&sum))) }
}

/// All of a small file, or an error where it has more bytes than any manifest.
pub fn read_bounded(path: &Path) -> Result<Vec<u8>, Refusal> {
    let io = |error| Refusal::Io { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() > MANIFEST_BYTES_MAX { Err(Refusal::TooLong) } else { Ok(bytes) }
}

/// The file name of a part.
pub fn part_name(part: &Part) -> String {
    hex(&part.sha256)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of exactly as many lower-case digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
