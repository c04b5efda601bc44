//! The bytes of one file: as they are, or unpacked from gzip or zstd by their first bytes, metered and bounded.
//!
//! ```text
//! file ──► Metered (bytes read of the file: progress) ──► [gzip, every member; zstd, every frame ──► Bounded (total and ratio)] ──► head (64 KiB, for detection) + rest
//! ```
//! A bomb ends at `EXPANSION_RATIO_MAX` or `EXPANDED_BYTES_MAX`, whichever comes first, as an error of the whole feed: half a feed is never taken for
//! the feed. So does a truncated or damaged stream. Archives of several files are taken apart in [`crate::package`], within the same bounds.

use crate::limits::{DETECT_BYTES, EXPANDED_BYTES_MAX, EXPANSION_FREE_BYTES, EXPANSION_RATIO_MAX};
use crate::zstd::Zstd;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A feed being read, or one file of it.
pub struct Opened<'a> {
    /// The first bytes after decompression; all of them when `whole`.
    pub head: Vec<u8>,
    /// `head` is the whole feed.
    pub whole: bool,
    /// `gzip`, `zstd`, or empty.
    pub packed: &'static str,
    /// Size of the file, 0 where that is not known.
    pub total_bytes: u64,
    /// How far the file has been read.
    pub meter: Meter,
    /// SHA-256 of the file as far as it has been read.
    pub sum: Sum,
    pub(crate) budget: Budget,
    rest: Box<dyn Read + 'a>,
}

/// What a file may become: counted over everything that is unpacked from it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    expanded: Arc<AtomicU64>,
    /// The file as it is.
    file: Meter,
}

impl Budget {
    /// Of a file that is read through this meter.
    pub(crate) fn of(file: &Meter) -> Self {
        Budget { expanded: Arc::default(), file: file.clone() }
    }
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
pub fn open(path: &Path) -> io::Result<Opened<'static>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
    }
    from_reader(file, metadata.len())
}

/// The same for any stream; `total_bytes` is its compressed size, 0 if unknown.
pub fn from_reader<'a>(input: impl Read + 'a, total_bytes: u64) -> io::Result<Opened<'a>> {
    let (meter, sum) = (Meter::default(), Sum::default());
    let budget = Budget::of(&meter);
    let opened = unpack(Metered { input, meter, sum: sum.clone() }, &budget)?;
    Ok(Opened { total_bytes, sum, ..opened })
}

/// Bytes as they are, or unpacked, within what is left of the budget.
pub(crate) fn unpack<'a>(input: impl Read + 'a, budget: &Budget) -> io::Result<Opened<'a>> {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let start = input.fill_buf()?;
    let (gzip, zstd) = (start.starts_with(&[0x1f, 0x8b]), start.starts_with(&crate::zstd::MAGIC));
    let (packed, mut rest): (_, Box<dyn Read + 'a>) = match (gzip, zstd) {
        (true, _) => ("gzip", Box::new(Bounded { input: MultiGzDecoder::new(input), budget: budget.clone(), is_packed: true })),
        (_, true) => ("zstd", Box::new(Bounded { input: Zstd::new(input), budget: budget.clone(), is_packed: true })),
        _ => ("", Box::new(Bounded { input, budget: budget.clone(), is_packed: false })),
    };
    let mut head = Vec::new();
    (&mut rest).take(DETECT_BYTES as u64).read_to_end(&mut head)?;
    let whole = head.len() < DETECT_BYTES;
    let (meter, budget) = (budget.file.clone(), budget.clone());
    Ok(Opened { head, whole, packed, total_bytes: 0, meter, sum: Sum::default(), budget, rest })
}

impl<'a> Opened<'a> {
    /// All bytes from the start.
    pub fn into_reader(self) -> impl Read + 'a {
        io::Cursor::new(self.head).chain(self.rest)
    }
}

pub(crate) struct Metered<R> {
    pub(crate) input: R,
    pub(crate) meter: Meter,
    pub(crate) sum: Sum,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.meter.0.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sum.0.lock().unwrap_or_else(PoisonError::into_inner).update(&buffer[..bytes]);
        Ok(bytes)
    }
}

pub(crate) struct Bounded<R> {
    pub(crate) input: R,
    pub(crate) budget: Budget,
    /// Then the ratio counts, too.
    pub(crate) is_packed: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        let expanded = self.budget.expanded.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if expanded > EXPANDED_BYTES_MAX {
            return Err(io::Error::other(Expansion::Total));
        }
        let allowed = self.budget.file.bytes().saturating_mul(EXPANSION_RATIO_MAX);
        if self.is_packed && expanded > EXPANSION_FREE_BYTES && expanded > allowed {
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
    fn reads_every_frame_of_a_zstd_file_and_notices_damage() {
        let pack = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
        let text = b"example.test\n".repeat(20_000);
        let mut bytes = pack(&text);
        assert_eq!(read(bytes.clone()).unwrap(), text);
        // A skippable frame, and a second one.
        bytes.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z']);
        bytes.extend(pack(b"two\n"));
        assert_eq!(read(bytes.clone()).unwrap(), [text.as_slice(), b"two\n"].concat());
        for end in [5, 20, bytes.len() - 1] {
            assert!(read(bytes[..end].to_vec()).is_err(), "{end}");
        }
        bytes.extend(b"trailing");
        assert!(read(bytes).is_err());
    }

    #[test]
    fn the_meter_tells_how_far_the_file_was_read() {
        let bytes = gzip(&b"one\n"[..]);
        let total = bytes.len() as u64;
        let opened = from_reader(io::Cursor::new(bytes), total).unwrap();
        assert!(opened.whole && opened.packed == "gzip");
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
