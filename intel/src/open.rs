//! A feed's bytes: a file, or a gzip file known by its first bytes, metered and bounded.
//!
//! ```text
//! file ──► Metered (bytes read of the file: progress) ──► [gzip, every member ──► Bounded (total and ratio)] ──► head (64 KiB, for detection) + rest
//! ```
//! A gzip bomb ends at `EXPANSION_RATIO_MAX` or `EXPANDED_BYTES_MAX`, whichever comes first, as an error of the whole feed:
//! half a feed is never taken for the feed. So does a truncated or damaged gzip stream.

use crate::limits::{DETECT_BYTES, EXPANDED_BYTES_MAX, EXPANSION_FREE_BYTES, EXPANSION_RATIO_MAX};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A feed being read.
pub struct Opened {
    /// The first bytes after decompression; all of them when `whole`.
    pub head: Vec<u8>,
    /// `head` is the whole feed.
    pub whole: bool,
    /// Was it gzip?
    pub gzip: bool,
    /// Size of the file, 0 where that is not known.
    pub total_bytes: u64,
    /// How far the file has been read.
    pub meter: Meter,
    /// SHA-256 of the file as far as it has been read.
    pub sum: Sum,
    rest: Box<dyn Read>,
}

/// Counts bytes read of a file.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// SHA-256 of what was read of a file, compressed as it is.
#[derive(Clone, Debug, Default)]
pub struct Sum(Arc<Mutex<Sha256>>);

impl Sum {
    /// Of the bytes so far; of the whole file once a feed was read to its end.
    pub fn sha256(&self) -> [u8; 32] {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize().into()
    }
}

/// Why decompression stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expansion {
    /// More than `EXPANDED_BYTES_MAX`.
    #[error("more than {EXPANDED_BYTES_MAX} bytes after decompression (EXPANDED_BYTES_MAX)")]
    Total,
    /// More than `EXPANSION_RATIO_MAX` bytes a compressed byte.
    #[error("more than {EXPANSION_RATIO_MAX} bytes for each compressed byte (EXPANSION_RATIO_MAX): a decompression bomb?")]
    Ratio,
}

/// Opens the file of a feed.
pub fn open(path: &Path) -> io::Result<Opened> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    from_reader(file, metadata.len())
}

/// The same for any stream; `total_bytes` is its compressed size, 0 if unknown.
pub fn from_reader(input: impl Read + 'static, total_bytes: u64) -> io::Result<Opened> {
    let (meter, sum) = (Meter::default(), Sum::default());
    let mut input = BufReader::with_capacity(64 * 1024, Metered { input, meter: meter.clone(), sum: sum.clone() });
    let gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    let mut rest: Box<dyn Read> = match gzip {
        true => Box::new(Bounded { input: MultiGzDecoder::new(input), compressed: Some(meter.clone()), expanded: 0 }),
        false => Box::new(Bounded { input, compressed: None, expanded: 0 }),
    };
    let mut head = Vec::new();
    (&mut rest).take(DETECT_BYTES as u64).read_to_end(&mut head)?;
    let whole = head.len() < DETECT_BYTES;
    Ok(Opened { head, whole, gzip, total_bytes, meter, sum, rest })
}

impl Opened {
    /// All bytes from the start.
    pub fn into_reader(self) -> impl Read {
        io::Cursor::new(self.head).chain(self.rest)
    }
}

struct Metered<R> {
    input: R,
    meter: Meter,
    sum: Sum,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.meter.0.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sum.0.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..bytes]);
        Ok(bytes)
    }
}

struct Bounded<R> {
    input: R,
    /// Set for compressed input: what the ratio is taken of.
    compressed: Option<Meter>,
    expanded: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.expanded += bytes as u64;
        if self.expanded > EXPANDED_BYTES_MAX {
            return Err(io::Error::other(Expansion::Total));
        }
        let ratio_is_over = |compressed: &Meter| self.expanded > compressed.bytes().saturating_mul(EXPANSION_RATIO_MAX);
        if self.expanded > EXPANSION_FREE_BYTES && self.compressed.as_ref().is_some_and(ratio_is_over) {
            return Err(io::Error::other(Expansion::Ratio));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    fn gzip(mut bytes: impl Read) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        io::copy(&mut bytes, &mut encoder).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        from_reader(io::Cursor::new(bytes), 0)?.into_reader().read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn reads_plain_and_gzip_alike() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        assert_eq!(read(text.clone()).unwrap(), text);
        assert_eq!(read(gzip(text.as_slice())).unwrap(), text);
        assert_eq!(read(Vec::new()).unwrap(), b"");
        assert_eq!(read(vec![0x1f]).unwrap(), [0x1f]);
    }

    #[test]
    fn reads_every_member_of_a_gzip_file() {
        let mut bytes = gzip(&b"one\n"[..]);
        bytes.extend(gzip(&b"two\n"[..]));
        assert_eq!(read(bytes).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn the_meter_tells_how_far_the_file_was_read() {
        let bytes = gzip(&b"one\n"[..]);
        let total = bytes.len() as u64;
        let opened = from_reader(io::Cursor::new(bytes), total).unwrap();
        assert!(opened.whole && opened.gzip);
        assert_eq!(opened.meter.bytes(), total);
    }

    #[test]
    fn a_bomb_stops_at_the_ratio() {
        let bomb = gzip(io::repeat(b'\n').take(32 << 20));
        assert!(bomb.len() < 1 << 18, "{}", bomb.len());
        let mut opened = from_reader(io::Cursor::new(bomb), 0).unwrap().into_reader();
        let mut sink = [0; 65536];
        let mut came_out = 0u64;
        let error = loop {
            match opened.read(&mut sink) {
                Ok(0) => panic!("the bomb was read to its end"),
                Ok(bytes) => came_out += bytes as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.get_ref().unwrap().downcast_ref::<Expansion>(), Some(&Expansion::Ratio));
        assert!(came_out < 24 << 20, "{came_out}");
    }

    #[test]
    fn a_truncated_or_damaged_gzip_is_an_error() {
        let whole = gzip(&b"example.test\n".repeat(1000)[..]);
        for end in [3, 10, whole.len() / 2, whole.len() - 1] {
            assert!(read(whole[..end].to_vec()).is_err(), "{end}");
        }
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x40;
        assert!(read(damaged).is_err());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"x").unwrap();
        let mut trailing = encoder.finish().unwrap();
        trailing.extend(b"not gzip");
        assert!(read(trailing).is_err());
    }
}
