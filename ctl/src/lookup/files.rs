//! `verdictctl lookup --file FILE…`: files by their SHA-256, Windows programs by fields of their headers as well. No byte of a file but these leaves here.
//!
//! The digest is computed as the file streams by, a piece at a time; the headers are two short reads. What is no Windows program, or a broken
//! one, is asked by its digest alone, and of the latter that is said.

use super::pe::{self, Looked};
use crate::exit::Failure;
use crate::question::Question;
use crate::text;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use verdict_keys::Kind;
use verdict_wire::{FeatureSet, FileQuestion};

/// Bytes that are read and hashed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// One file, read.
#[derive(Debug)]
pub struct FileRead {
    path: PathBuf,
    sha256: [u8; 32],
    bytes: u64,
    looked: Looked,
    values: Vec<i64>,
}

impl FileRead {
    /// Reads a file wholly, a piece at a time.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |why: String| Failure::Input(format!("{}: {why}", text::path(path)));
        // Asked before it is opened: opening a pipe waits for its other end.
        if !fs::metadata(path).map_err(|error| failed(error.to_string()))?.is_file() {
            return Err(failed("not a regular file".to_owned()));
        }
        let file = fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        let (sha256, bytes) = digest(&file).map_err(|error| failed(error.to_string()))?;
        let looked = pe::look(|at, buffer| read_at(&file, at, buffer)).map_err(|error| failed(error.to_string()))?;
        let values = if let Looked::Program(fields) = &looked { fields.iter().map(|(_, value)| *value).collect() } else { Vec::new() };
        Ok(Self { path: path.to_owned(), sha256, bytes, looked, values })
    }

    /// Where it is a program and yet none: why.
    pub fn broken(&self) -> Option<String> {
        match &self.looked {
            Looked::Broken(why) => Some(format!("{}: {why}: asked by its SHA-256 alone", text::path(&self.path))),
            _ => None,
        }
    }

    /// As the daemon is asked.
    pub fn asked(&self) -> FileQuestion<'_> {
        FileQuestion { sha256: self.sha256, features: self.features().raw(), values: &self.values }
    }

    /// As other questions are told.
    pub fn question(&self) -> Question {
        Question { typed: self.path.as_os_str().as_bytes().to_vec(), kind: Kind::Sha256, key: self.sha256.to_vec() }
    }

    /// What of it is asked.
    pub fn features(&self) -> FeatureSet {
        if let Looked::Program(_) = self.looked { FeatureSet::Pe1 } else { FeatureSet::None }
    }
}

/// As JSON: what was asked, and with which values.
impl Serialize for FileRead {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Json<'a> {
            sha256: String,
            bytes: u64,
            features: &'static str,
            fields: Option<serde_json::Map<String, serde_json::Value>>,
            broken: Option<&'a str>,
        }
        let fields = |fields: &pe::Fields| fields.iter().map(|&(name, value)| (name.to_owned(), value.into())).collect();
        Json {
            sha256: self.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            bytes: self.bytes,
            features: self.features().name(),
            fields: if let Looked::Program(known) = &self.looked { Some(fields(known)) } else { None },
            broken: if let Looked::Broken(why) = &self.looked { Some(why) } else { None },
        }
        .serialize(serializer)
    }
}

/// SHA-256 and length.
fn digest(mut file: &fs::File) -> io::Result<([u8; 32], u64)> {
    let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok((hash.finalize().into(), bytes)),
            Ok(got) => {
                hash.update(&piece[..got]);
                bytes += got as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &fs::File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(got) => filled += got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
