//! tar archives as a stream: one header, one file, the next header.
//!
//! ```text
//! 512 bytes: name 100 · … · size 12 (octal, or base 256) at 124 · checksum 8 at 148 · type 1 at 156 · "ustar" at 257 · prefix 155 at 345
//! then the file's bytes, filled up to 512
//! ```
//! Long names come in a record of their own before the file (GNU `L`, pax `x` with `path=`), of `MEMBER_NAME_BYTES_MAX` bytes at most. Links, devices and
//! directories hold nothing and are left out. Two blocks of zeros, or the end of the input between files, end the archive.

use crate::limits::MEMBER_NAME_BYTES_MAX;
use std::io::{self, Read};

const BLOCK: usize = 512;

/// Does a file begin like an archive?
pub(crate) fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// Walks through an archive.
pub(crate) struct Tar<R> {
    input: R,
    /// Bytes of the current file that were not read yet.
    left: u64,
    /// Zeros behind it.
    fill: u64,
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("tar: {why}"))
}

impl<R: Read> Tar<R> {
    pub(crate) fn new(input: R) -> Self {
        Tar { input, left: 0, fill: 0 }
    }

    /// The name of the next regular file, whose bytes are read from here next.
    pub(crate) fn next_file(&mut self) -> io::Result<Option<String>> {
        let (mut long_name, mut long_size) = (None, None);
        loop {
            self.skip_rest()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header[124..136])?;
            self.begin(size);
            match header[156] {
                b'L' => long_name = Some(text(&self.record(size)?)),
                b'x' => {
                    let (name, size) = pax(&self.record(size)?);
                    (long_name, long_size) = (name.or(long_name), size);
                }
                b'g' => {}
                0 | b'0' | b'7' => {
                    if let Some(size) = long_size {
                        self.begin(size);
                    }
                    return Ok(Some(long_name.unwrap_or_else(|| short_name(&header))));
                }
                _ => (long_name, long_size) = (None, None),
            }
        }
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.fill = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
    }

    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut header = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            match self.input.read(&mut header[have..])? {
                0 if have == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => have += bytes,
            }
        }
        if header.iter().all(|&byte| byte == 0) {
            // What follows the end is nobody's; it is read so that the file's sum is the whole file's.
            io::copy(&mut self.input, &mut io::sink())?;
            return Ok(None);
        }
        let sum: u64 = header.iter().enumerate().map(|(at, &byte)| u64::from(if (148..156).contains(&at) { b' ' } else { byte })).sum();
        if number(&header[148..156])? != sum {
            return Err(broken("the checksum of a header does not match"));
        }
        Ok(Some(header))
    }

    /// A record about the next file.
    fn record(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MEMBER_NAME_BYTES_MAX as u64 {
            return Err(broken("the name of a file is longer than MEMBER_NAME_BYTES_MAX"));
        }
        let mut record = vec![0; size as usize];
        self.read_exact(&mut record)?;
        Ok(record)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        let rest = self.left + self.fill;
        let skipped = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        (self.left, self.fill) = (0, 0);
        if skipped < rest { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        match self.input.read(&mut buffer[..room])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.left -= bytes as u64;
                Ok(bytes)
            }
        }
    }
}

/// Octal digits, or big-endian bytes where the first bit is set.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let value = field.iter().enumerate().map(|(at, &byte)| if at == 0 { byte & 0x7f } else { byte });
        return value
            .into_iter()
            .try_fold(0u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(byte)))
            .ok_or_else(|| broken("a size too large"));
    }
    let digits = field.iter().skip_while(|&&byte| byte == b' ').take_while(|byte| !matches!(byte, 0 | b' '));
    digits
        .into_iter()
        .try_fold(0u64, |sum, &digit| matches!(digit, b'0'..=b'7').then(|| sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')))?)
        .ok_or_else(|| broken("a number that is none"))
}

fn short_name(header: &[u8; BLOCK]) -> String {
    let (prefix, name) = (text(&header[345..500]), text(&header[..100]));
    let is_posix = header[257..263] == *b"ustar\0";
    if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

/// `27 path=…\n` and `20 size=…\n`: the length counts itself.
fn pax(record: &[u8]) -> (Option<String>, Option<u64>) {
    let (mut name, mut size) = (None, None);
    for line in record.split(|&byte| byte == b'\n') {
        let Some(space) = line.iter().position(|&byte| byte == b' ') else { continue };
        let pair = &line[space + 1..];
        if let Some(path) = pair.strip_prefix(b"path=") {
            name = Some(text(path));
        } else if let Some(bytes) = pair.strip_prefix(b"size=") {
            size = std::str::from_utf8(bytes).ok().and_then(|bytes| bytes.parse().ok());
        }
    }
    (name, size)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One file as GNU tar writes it.
    pub(crate) fn entry(name: &str, kind: u8, bytes: &[u8]) -> Vec<u8> {
        let mut header = [0u8; BLOCK];
        header[..name.len().min(100)].copy_from_slice(&name.as_bytes()[..name.len().min(100)]);
        header[124..136].copy_from_slice(format!("{:011o}\0", bytes.len()).as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let fill = (BLOCK - bytes.len() % BLOCK) % BLOCK;
        [&header[..], bytes, &vec![0; fill]].concat()
    }

    fn files(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let (mut tar, mut found) = (Tar::new(bytes), Vec::new());
        while let Some(name) = tar.next_file()? {
            let mut content = Vec::new();
            tar.read_to_end(&mut content)?;
            found.push((name, content));
        }
        Ok(found)
    }

    #[test]
    fn gives_regular_files_with_long_names_too() {
        let long = format!("{}/file.txt", "directory".repeat(20));
        let bytes = [
            entry("d/", b'5', b""),
            entry("a.txt", b'0', b"one\n"),
            entry("link", b'2', b""),
            entry("././@LongLink", b'L', format!("{long}\0").as_bytes()),
            entry("cut", b'0', &[7; 700]),
            entry("pax", b'x', b"19 path=b/\xc3\xa4.txt\n"),
            entry("x", b'0', b""),
            vec![0; 1024],
            b"whatever".to_vec(),
        ];
        let found = files(&bytes.concat()).unwrap();
        assert_eq!(found, [("a.txt".into(), b"one\n".to_vec()), (long, vec![7; 700]), ("b/\u{e4}.txt".into(), vec![])]);
    }

    #[test]
    fn a_cut_or_damaged_archive_is_an_error() {
        let whole = [entry("a.txt", b'0', &[1; 1000]), entry("b.txt", b'0', b"x")].concat();
        assert_eq!(files(&whole).unwrap().len(), 2);
        for end in [100, 600, 1200, whole.len() - 1] {
            assert!(files(&whole[..end]).is_err(), "{end}");
        }
        let mut damaged = whole.clone();
        damaged[3] ^= 1;
        assert!(files(&damaged).unwrap_err().to_string().contains("checksum"));
        let endless = entry("x", b'L', &vec![b'a'; MEMBER_NAME_BYTES_MAX + 1]);
        assert!(files(&endless).unwrap_err().to_string().contains("MEMBER_NAME_BYTES_MAX"));
    }
}
