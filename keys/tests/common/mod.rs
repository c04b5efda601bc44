//! Where the shared public data is, if it is there at all.

#![allow(dead_code)] // each test binary uses its own part

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use verdict_simd::{HashKey, HashSchedule};

/// `VERDICT_DATA`, or `../shared/data` beside the workspace; says that it skips where neither is there.
pub fn data(file: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("VERDICT_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(file);
    if !path.exists() {
        println!("SKIPPED: {file} is not there; VERDICT_DATA names the directory that holds it");
        return None;
    }
    Some(path)
}

/// The lines of a gzip file, as bytes, without their ends.
pub fn gzip_lines(path: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
    let file: Box<dyn Read> = Box::new(std::fs::File::open(path).expect("a readable file"));
    BufReader::new(flate2::read::MultiGzDecoder::new(file)).split(b'\n').map(|line| line.expect("gzip data"))
}

/// A schedule for tests; any key does.
pub fn schedule() -> HashSchedule {
    HashSchedule::new(&HashKey {
        h: std::array::from_fn(|index| index as u8 * 7 + 1),
        k: std::array::from_fn(|index| 250 - index as u8 * 11),
    })
}
