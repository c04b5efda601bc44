//! Files: a digest, and fields of the file's headers for models that read them. PROTOCOL.md section 5.
//!
//! ```text
//!  LOOKUP_FILES   count × │ sha256 32 bytes │ features u8 │ values u8 │ values × zigzag LEB128, 1 to 10 bytes each │
//!                                            0 none, 1 pe-1           0 is 00, -1 is 01, 1 is 02, 4096 is 80 40
//! ```
//! A client reads the file, the server never sees it. Most fields are small or not known (-1), and take a byte: a program of pe-1 takes about
//! 120. As with other requests a frame is validated wholly, once, then the lists walk its bytes without a way to fail. A value has one
//! spelling: what is longer than needed, or more than 64 bits, is refused. A feature set that the server does not know is no error.

use crate::closed::closed;
use crate::error::{EncodeError, Malformed, Refusal};
use crate::frame::{
    BUDGET_US_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind, KEYS_MAX, REQUEST_BUDGET_SHIFT, begin_frame,
    finish_frame, read,
};
use bytemuck::{Pod, Zeroable};
use std::mem::offset_of;

closed! {
    /// Which fields of a file its values are.
    FeatureSet: u8 {
        /// None: the digest alone is asked.
        None = 0 "none",
        /// Fields of a Windows program's headers.
        Pe1 = 1 "pe-1",
    }
}

impl FeatureSet {
    /// How many values a file has under it.
    pub const fn values(self) -> usize {
        match self {
            Self::None => 0,
            Self::Pe1 => 49,
        }
    }
}

/// Values of one file at most.
pub const FILE_VALUES_MAX: usize = 64;
/// Bytes of one value at most.
const VALUE_BYTES_MAX: usize = 10;

/// The fixed part of each file of a LOOKUP_FILES.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FileHead {
    /// The file's digest, raw.
    pub sha256: [u8; 32],
    /// A `FeatureSet`, or a number that the server does not know.
    pub features: u8,
    /// How many values follow, 0..=FILE_VALUES_MAX.
    pub values: u8,
}

/// Bytes of a `FileHead`.
pub const FILE_HEAD_BYTES: usize = 34;
const _: () = assert!(size_of::<FileHead>() == FILE_HEAD_BYTES && align_of::<FileHead>() == 1);
const _: () = assert!(FILE_HEAD_BYTES + FILE_VALUES_MAX * VALUE_BYTES_MAX + FRAME_HEADER_BYTES <= FRAME_BYTES_MAX);

/// One file of a request, borrowed from the receive buffer.
#[derive(Clone, Debug)]
pub struct FileAsked<'a> {
    /// Its digest.
    pub sha256: &'a [u8; 32],
    /// A `FeatureSet`, or another number.
    pub features: u8,
    /// What its headers say.
    pub values: FileValues<'a>,
}

/// The values of one file, in the order of their feature set: of known length, and without a way to fail.
#[derive(Clone, Debug)]
pub struct FileValues<'a> {
    bytes: &'a [u8],
    left: usize,
}

/// The files of a LOOKUP_FILES: an iterator of known length, which cannot fail.
#[derive(Clone, Debug)]
pub struct FileList<'a> {
    rest: &'a [u8],
    left: usize,
    budget_us: u32,
}

/// One file of a client's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileQuestion<'v> {
    /// Its digest.
    pub sha256: [u8; 32],
    /// A `FeatureSet`, or another number that a forwarder passes on.
    pub features: u8,
    /// As many as the feature set has; a value that is not known is -1.
    pub values: &'v [i64],
}

impl FileQuestion<'_> {
    /// Of which nothing but the digest is asked.
    pub const fn of_digest(sha256: [u8; 32]) -> Self {
        Self { sha256, features: FeatureSet::None.raw(), values: &[] }
    }

    /// Bytes that it takes in a frame.
    pub fn bytes(&self) -> usize {
        FILE_HEAD_BYTES + self.values.iter().map(|&value| value_bytes(zigzag(value))).sum::<usize>()
    }
}

/// Small numbers of either sign become small numbers without one.
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

const fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Seven bits a byte.
const fn value_bytes(raw: u64) -> usize {
    (63 - (raw | 1).leading_zeros() as usize) / 7 + 1
}

/// The value at the start of `bytes` and how many bytes it takes; why there is none.
#[inline]
fn value(bytes: &[u8]) -> Result<(i64, usize), &'static str> {
    let mut raw = 0;
    for (at, &byte) in bytes.iter().take(VALUE_BYTES_MAX).enumerate() {
        if at == VALUE_BYTES_MAX - 1 && byte > 1 {
            return Err("a value of more than 64 bits");
        }
        raw |= u64::from(byte & 0x7F) << (7 * at);
        if byte < 0x80 {
            return if at > 0 && byte == 0 { Err("a value is longer than it needs to be") } else { Ok((unzigzag(raw), at + 1)) };
        }
    }
    Err("a value ends after the frame")
}

impl<'a> FileList<'a> {
    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, Malformed> {
        let body = frame.body;
        let mut at = 0;
        for _ in 0..frame.header.count {
            let wrong = |offset: usize, why| Err(Malformed::new(FRAME_HEADER_BYTES + offset, why));
            let Some(head) = read::<FileHead>(body, at) else { return wrong(at, "fewer files than count says") };
            let values_at = at + offset_of!(FileHead, values);
            let values = usize::from(head.values);
            match FeatureSet::from_raw(head.features) {
                Some(set) if set.values() != values => return wrong(values_at, "not as many values as the feature set has"),
                None if values > FILE_VALUES_MAX => return wrong(values_at, "more values than a file may have"),
                _ => at += FILE_HEAD_BYTES,
            }
            for _ in 0..values {
                match value(body.get(at..).unwrap_or_default()) {
                    Ok((_, bytes)) => at += bytes,
                    Err(why) => return wrong(at, why),
                }
            }
        }
        if at != body.len() {
            return Err(Malformed::new(FRAME_HEADER_BYTES + at, "bytes after the last file"));
        }
        Ok(Self { rest: body, left: frame.header.count.into(), budget_us: frame.header.flags >> REQUEST_BUDGET_SHIFT })
    }

    /// Microseconds that models may take; 0 where the client does not say.
    pub const fn budget_us(&self) -> u32 {
        self.budget_us
    }
}

impl<'a> Iterator for FileList<'a> {
    type Item = FileAsked<'a>;

    #[inline]
    fn next(&mut self) -> Option<FileAsked<'a>> {
        // Every `?` is settled by decode: `left` and `rest` run out together, and so do values and their bytes.
        self.left = self.left.checked_sub(1)?;
        let (sha256, rest) = self.rest.split_first_chunk::<32>()?;
        let ([features, values], rest) = rest.split_first_chunk::<2>()?;
        let (mut wanted, mut end) = (*values, 0);
        while wanted > 0 {
            wanted -= u8::from(*rest.get(end)? < 0x80);
            end += 1;
        }
        let (bytes, rest) = rest.split_at_checked(end)?;
        self.rest = rest;
        Some(FileAsked { sha256, features: *features, values: FileValues { bytes, left: (*values).into() } })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for FileList<'_> {}

impl Iterator for FileValues<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.left = self.left.checked_sub(1)?;
        let (value, bytes) = value(self.bytes).ok()?;
        self.bytes = self.bytes.get(bytes..)?;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for FileValues<'_> {}

impl<'a> Frame<'a> {
    /// The files of a LOOKUP_FILES.
    pub(crate) fn files(&self) -> Result<FileList<'a>, Refusal> {
        self.only(!0 << REQUEST_BUDGET_SHIFT)?;
        self.count(KEYS_MAX)?;
        FileList::decode(self).map_err(|malformed| malformed.refusal(self.header.request_id))
    }
}

/// Writes one LOOKUP_FILES frame file by file; unless finished it leaves `out` as it was.
pub struct FilesWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    count: usize,
    finished: bool,
}

impl<'o> FilesWriter<'o> {
    /// Begins a frame at the end of `out`.
    pub fn new(out: &'o mut Vec<u8>, request_id: u32) -> Self {
        let start = begin_frame(out, FrameKind::LookupFiles, 0, request_id, 0);
        Self { out, start, count: 0, finished: false }
    }

    /// Models may take so many microseconds, BUDGET_US_MAX at most; 0, as without this call: the server's own bound.
    pub fn budget_us(self, budget_us: u32) -> Self {
        let (at, flags) = (self.start + offset_of!(FrameHeader, flags), budget_us.min(BUDGET_US_MAX) << REQUEST_BUDGET_SHIFT);
        self.out[at..at + 4].copy_from_slice(&flags.to_le_bytes());
        self
    }

    /// Adds a file; on an error the frame is as before, and may be finished.
    pub fn push(&mut self, file: &FileQuestion<'_>) -> Result<(), EncodeError> {
        let (features, values) = (file.features, file.values.len());
        if FeatureSet::from_raw(features).map_or(values > FILE_VALUES_MAX, |set| set.values() != values) {
            return Err(EncodeError::BadValues { features, values });
        }
        if self.count == KEYS_MAX {
            return Err(EncodeError::TooManyKeys { count: KEYS_MAX + 1, max: KEYS_MAX });
        }
        if self.out.len() - self.start + file.bytes() > FRAME_BYTES_MAX {
            return Err(EncodeError::FrameTooLarge);
        }
        self.out.extend_from_slice(bytemuck::bytes_of(&FileHead { sha256: file.sha256, features, values: values as u8 }));
        for &value in file.values {
            let mut raw = zigzag(value);
            while raw >= 0x80 {
                self.out.push(raw as u8 | 0x80);
                raw >>= 7;
            }
            self.out.push(raw as u8);
        }
        self.count += 1;
        Ok(())
    }

    /// Completes the frame and returns its number of files.
    pub fn finish(mut self) -> Result<usize, EncodeError> {
        if self.count == 0 {
            return Err(EncodeError::NoKeys);
        }
        let count_at = self.start + offset_of!(FrameHeader, count);
        self.out[count_at..count_at + 2].copy_from_slice(&(self.count as u16).to_le_bytes());
        finish_frame(self.out, self.start);
        self.finished = true;
        Ok(self.count)
    }
}

impl Drop for FilesWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Appends a LOOKUP_FILES of all `files`, or nothing.
pub fn encode_lookup_files<'v>(
    out: &mut Vec<u8>,
    request_id: u32,
    files: impl IntoIterator<Item = FileQuestion<'v>>,
) -> Result<(), EncodeError> {
    let mut writer = FilesWriter::new(out, request_id);
    for file in files {
        writer.push(&file)?;
    }
    writer.finish().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: i64, bytes: &[u8]) {
        assert_eq!(value(bytes), Ok((number, bytes.len())));
        assert_eq!(value_bytes(zigzag(number)), bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(value(&bytes[..cut]), Err("a value ends after the frame"));
        }
        let values = [number, -1];
        let file = FileQuestion { sha256: [7; 32], features: 200, values: &values };
        let mut out = Vec::new();
        encode_lookup_files(&mut out, 1, [file]).unwrap();
        assert_eq!(&out[16 + FILE_HEAD_BYTES..], [bytes, &[1]].concat());
        assert_eq!(out.len(), 16 + file.bytes());
    }

    #[test]
    fn a_value_has_one_spelling() {
        check(0, &[0x00]);
        check(-1, &[0x01]);
        check(1, &[0x02]);
        check(63, &[0x7E]);
        check(-64, &[0x7F]);
        check(64, &[0x80, 0x01]);
        check(4096, &[0x80, 0x40]);
        check(0x1_4000_0000, &[0x80, 0x80, 0x80, 0x80, 0x28]);
        check(i64::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
        check(i64::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
        assert_eq!(value(&[0x80, 0x00]), Err("a value is longer than it needs to be"));
        assert_eq!(value(&[0xFF; 11]), Err("a value of more than 64 bits"));
        assert_eq!(value(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]), Err("a value of more than 64 bits"));
        assert_eq!(value(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err("a value is longer than it needs to be"));
    }
}
