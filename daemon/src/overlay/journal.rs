//! Every act on disk before it holds: an append-only file of checksummed, numbered records. FORMAT.md, "The overlay's journal".
//!
//! ```text
//! │ head, 32 bytes │ record 7 │ record 8 │ record 9 │ …      append, fdatasync, and only then the act is enforced and confirmed
//!    gaps_to 7 ─ up to here numbers may be missing: they were compacted away; from here on each follows the one before
//! ```
//! A record that a crash cut off at the end was never confirmed: it is taken away and told. Anything else that is wrong stops the start and names the
//! place: what an operator has blocked or unblocked is not forgotten in silence. Compaction writes a new file and renames it over the old one; it keeps
//! what is in force and the newest `HISTORY` acts, so the journal is the audit record of what was done (of what was refused it is the log).
//!
//! The file is of mode 0600, a directory that is made for it 0700: keys and reasons concern nobody else, and who may write either decides what is
//! blocked, since a checksum without a key is no signature.

use super::{Entry, JOURNAL, Key};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use verdict_keys::Kind;
use verdict_tables::Class;
use verdict_wire::{Act, KEY_BYTES_MAX, REASON_BYTES_MAX, TTL_S_MAX};

/// Acts that are kept though they hold no longer.
pub const HISTORY: usize = 1000;
/// Records beyond those that a compaction would keep, at which one is worth it.
pub const SURPLUS: usize = 1000;
/// Of the journal, and of what it is made from.
const MODE: u32 = 0o600;
/// Of a directory that is made for it.
const DIRECTORY_MODE: u32 = 0o700;
/// A longer file is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"VDJOURN1";
const HEAD_BYTES: usize = 32;
const RECORD_HEAD_BYTES: usize = 56;
const RECORD_BYTES_MAX: usize = RECORD_HEAD_BYTES + KEY_BYTES_MAX + REASON_BYTES_MAX;

/// An act that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number; the first is 1.
    pub number: u64,
    /// *block*, *unblock* or *remove*.
    pub act: Act,
    /// What it says; of *remove* the class and the end mean nothing.
    pub entry: Entry,
}

/// Why a journal is not used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// What the disk says.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its error.
        error: io::Error,
    },
    /// It is damaged where no crash damages it.
    #[error("{}: byte {at}: {what}; nothing of it is used. Look at what it held, move the file away, start again, and repeat the acts that still matter", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
}

/// What stands in a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// In order.
    pub records: Vec<Record>,
    /// Bytes that are sound; what follows is a record that was never finished.
    pub sound_bytes: usize,
    gaps_to: u64,
}

impl Contents {
    /// What the acts amount to, one after the other.
    pub fn entries(&self) -> BTreeMap<Key, (u64, Entry)> {
        let mut entries = BTreeMap::new();
        for Record { number, act, entry } in &self.records {
            match act {
                Act::Remove => entries.remove(&entry.key),
                _ => entries.insert(entry.key.clone(), (*number, entry.clone())),
            };
        }
        entries
    }
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    std::array::from_fn(|place| digest[place])
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|place| bytes[at + place])
}

fn head(gaps_to: u64) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&gaps_to.to_le_bytes());
    let sum = sum(&head[..24]);
    head[24..].copy_from_slice(&sum);
    head
}

/// The bytes of a record: length, sum of all that follows the sum, and that.
pub fn encode(record: &Record) -> Vec<u8> {
    let Record { number, act, entry } = record;
    let (key, reason) = (entry.key.bytes(), entry.reason.as_bytes());
    let mut bytes = Vec::with_capacity(RECORD_HEAD_BYTES + key.len() + reason.len());
    bytes.extend(((RECORD_HEAD_BYTES + key.len() + reason.len()) as u32).to_le_bytes());
    bytes.extend([act.raw(), entry.key.kind() as u8, entry.class as u8, 0]);
    bytes.extend([0; 8]);
    bytes.extend(number.to_le_bytes());
    bytes.extend(entry.at_ms.to_le_bytes());
    bytes.extend(entry.until_ms.to_le_bytes());
    bytes.extend(entry.uid.to_le_bytes());
    bytes.extend(entry.pid.to_le_bytes());
    bytes.extend((key.len() as u16).to_le_bytes());
    bytes.extend((reason.len() as u16).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(key);
    bytes.extend(reason);
    let sum = sum(&bytes);
    bytes[8..16].copy_from_slice(&sum);
    bytes
}

/// The record at the start of `bytes`, and its length. An error is why there is none.
fn decode(bytes: &[u8]) -> Result<(Record, usize), &'static str> {
    if bytes.len() < RECORD_HEAD_BYTES {
        return Err("a record ends within its head");
    }
    let length = u32::from_le_bytes(number(bytes, 0)) as usize;
    if !(RECORD_HEAD_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Err("a record of impossible length");
    }
    let mut own = bytes.get(..length).ok_or("a record ends too early")?.to_vec();
    let stated: [u8; 8] = number(&own, 8);
    own[8..16].fill(0);
    if sum(&own) != stated {
        return Err("a record's checksum is wrong");
    }
    // Written by us, as the sum says; what follows can only be another version's.
    let unknown = "a record of another version";
    let act = Act::from_raw(own[4])
        .filter(|act| !act.only_tells() && !act.is_of_part() && !act.is_order() && !act.is_of_traffic())
        .ok_or(unknown)?;
    let kind = Kind::try_from(own[5]).map_err(|_| unknown)?;
    let class = Class::from_u8(own[6]).ok_or(unknown)?;
    let (key_bytes, reason_bytes) = (u16::from_le_bytes(number(&own, 48)).into(), usize::from(u16::from_le_bytes(number(&own, 50))));
    let (key, reason) = own[RECORD_HEAD_BYTES..].split_at_checked(key_bytes).ok_or(unknown)?;
    let entry = Entry {
        key: Key::new(kind, key).map_err(|_| unknown)?,
        class,
        at_ms: u64::from_le_bytes(number(&own, 24)),
        until_ms: u64::from_le_bytes(number(&own, 32)),
        uid: u32::from_le_bytes(number(&own, 40)),
        pid: u32::from_le_bytes(number(&own, 44)),
        reason: std::str::from_utf8(reason).map_err(|_| unknown)?.to_owned(),
    };
    let fits = match act {
        Act::Block => matches!(class, Class::Malicious | Class::Suspicious),
        Act::Unblock => class == Class::Clean,
        _ => true,
    };
    let lasts = entry.until_ms.checked_sub(entry.at_ms).is_some_and(|ms| ms <= u64::from(TTL_S_MAX) * 1000);
    if !fits || !lasts || reason.len() != reason_bytes || reason.is_empty() || entry.reason.chars().any(char::is_control) {
        return Err(unknown);
    }
    Ok((Record { number: u64::from_le_bytes(number(&own, 16)), act, entry }, length))
}

/// What stands in the bytes of a journal.
///
/// # Errors
/// Where it is damaged otherwise than by a crash while a record was written.
pub fn read(bytes: &[u8]) -> Result<Contents, (usize, &'static str)> {
    if bytes.len() < HEAD_BYTES || bytes[..8] != MAGIC || bytes[24..HEAD_BYTES] != sum(&bytes[..24]) {
        return Err((0, "not the head of a journal of version 1"));
    }
    let gaps_to = u64::from_le_bytes(number(bytes, 8));
    let mut contents = Contents { records: Vec::new(), sound_bytes: HEAD_BYTES, gaps_to };
    let mut last = 0;
    while contents.sound_bytes < bytes.len() {
        let at = contents.sound_bytes;
        match decode(&bytes[at..]) {
            Ok((record, length)) => {
                let follows = if record.number <= gaps_to { record.number > last } else { record.number == last.max(gaps_to) + 1 };
                if !follows {
                    return Err((at, "a record is missing before this one"));
                }
                last = record.number;
                contents.records.push(record);
                contents.sound_bytes += length;
            }
            Err(_) if is_torn(&bytes[at..], last) => return Ok(contents),
            Err(what) => return Err((at, what)),
        }
    }
    Ok(contents)
}

/// Whether a crash may have left this in place of one record: bytes are missing, or were never written (zeros; a record ends with its reason), and no
/// record stands behind it.
fn is_torn(rest: &[u8], last: u64) -> bool {
    if rest.len() > RECORD_BYTES_MAX {
        return false;
    }
    let stated = rest.first_chunk().map_or(usize::MAX, |length| u32::from_le_bytes(*length) as usize);
    let is_short = stated > rest.len() && stated <= RECORD_BYTES_MAX || stated == usize::MAX;
    let is_unwritten = rest.last() == Some(&0);
    // Whole but for its length: that is damage.
    let mut whole = rest.to_vec();
    if whole.len() >= 4 {
        whole[..4].copy_from_slice(&(rest.len() as u32).to_le_bytes());
    }
    let later = |at: usize| decode(&rest[at..]).is_ok_and(|(record, _)| record.number > last);
    (is_short || is_unwritten) && decode(&whole).is_err() && !(1..rest.len()).any(later)
}

/// How much stays in a journal that holds no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// See `HISTORY`.
    pub history: usize,
    /// See `SURPLUS`.
    pub surplus: usize,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { history: HISTORY, surplus: SURPLUS }
    }
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    keep: Keep,
    file: File,
    bytes: u64,
    contents: Contents,
    /// Something is on disk that we do not know: the next act writes the whole file anew first.
    doubtful: bool,
    _lock: File,
}

impl Journal {
    /// Opens or makes the one in this directory, takes away what a crash left, compacts it where that is worth it.
    ///
    /// # Errors
    /// When it is damaged, in use, or cannot be written.
    pub fn open(directory: &Path, now_ms: u64) -> Result<Self, JournalError> {
        Self::open_keeping(directory, now_ms, Keep::default())
    }

    /// The same, compacted at other sizes.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_keeping(directory: &Path, now_ms: u64, keep: Keep) -> Result<Self, JournalError> {
        let path = directory.join(JOURNAL);
        let io = |error| JournalError::Io { path: path.clone(), error };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(io)?;
        if is_open_to_others(directory).map_err(io)? {
            let directory = directory.display();
            tracing::warn!("others may write {directory}, and so decide what is blocked and unblocked here: `chmod go-w {directory}`");
        }
        let lock = lock(&path.with_extension("lock")).map_err(io)?;
        if !path.try_exists().map_err(io)? {
            replace(&path, &head(0)).map_err(io)?;
        }
        let contents = contents(&path)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
        keep_to_ourselves(&file, &path);
        let found = file.metadata().map_err(io)?.len();
        let bytes = contents.sound_bytes as u64;
        if bytes < found {
            tracing::warn!(path = %path.display(), at = bytes, bytes = found - bytes, "a record that a crash cut off, and that was never confirmed, is taken away");
            file.set_len(bytes).and_then(|()| file.sync_all()).map_err(io)?;
        }
        let mut journal = Journal { path: path.clone(), keep, file, bytes, contents, doubtful: false, _lock: lock };
        if journal.has_surplus(now_ms) {
            journal.compact(now_ms).map_err(io)?;
        }
        Ok(journal)
    }

    /// What the acts amount to.
    pub fn entries(&self) -> BTreeMap<Key, (u64, Entry)> {
        self.contents.entries()
    }

    /// Of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes an act down; it is on disk when this returns. Its number.
    ///
    /// # Errors
    /// When it is not: then it is as if it had never been.
    pub fn append(&mut self, act: Act, entry: Entry) -> io::Result<u64> {
        let now_ms = entry.at_ms;
        // To count costs as much as to compact nearly; now and then is enough.
        if self.doubtful || self.contents.records.len().is_multiple_of(self.keep.surplus) && self.has_surplus(now_ms) {
            self.compact(now_ms)?;
        }
        let last = self.contents.records.last().map_or(0, |record| record.number);
        let record = Record { number: last.max(self.contents.gaps_to) + 1, act, entry };
        let bytes = encode(&record);
        if let Err(error) = self.file.write_all(&bytes).and_then(|()| self.file.sync_data()) {
            // Whatever got there must not come back at the next start.
            self.doubtful = self.file.set_len(self.bytes).and_then(|()| self.file.sync_all()).is_err();
            return Err(io::Error::new(error.kind(), format!("{}: {error}", self.path.display())));
        }
        self.bytes += bytes.len() as u64;
        self.contents.sound_bytes += bytes.len();
        self.contents.records.push(record);
        Ok(last.max(self.contents.gaps_to) + 1)
    }

    /// Which records a compaction keeps.
    fn kept(&self, now_ms: u64) -> Vec<Record> {
        let records = &self.contents.records;
        let history = records.len().saturating_sub(self.keep.history);
        let in_force = self.entries();
        let is_in_force = |record: &Record| {
            in_force.get(&record.entry.key).is_some_and(|(number, entry)| *number == record.number && entry.until_ms > now_ms)
        };
        records.iter().enumerate().filter(|(at, record)| *at >= history || is_in_force(record)).map(|(_, record)| record.clone()).collect()
    }

    fn has_surplus(&self, now_ms: u64) -> bool {
        let records = self.contents.records.len();
        let Keep { history, surplus } = self.keep;
        records > history + surplus && records - self.kept(now_ms).len() >= surplus
    }

    fn compact(&mut self, now_ms: u64) -> io::Result<()> {
        let records = self.kept(now_ms);
        let gaps_to = self.contents.records.last().map_or(0, |record| record.number).max(self.contents.gaps_to);
        let mut bytes = head(gaps_to).to_vec();
        records.iter().for_each(|record| bytes.extend(encode(record)));
        replace(&self.path, &bytes)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = bytes.len() as u64;
        self.contents = Contents { records, sound_bytes: bytes.len(), gaps_to };
        self.doubtful = false;
        Ok(())
    }
}

/// What stands in a journal; nothing is written.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn contents(path: &Path) -> Result<Contents, JournalError> {
    let io = |error| JournalError::Io { path: path.to_owned(), error };
    let length = std::fs::metadata(path).map_err(io)?.len();
    if length > FILE_BYTES_MAX {
        return Err(JournalError::Corrupt { path: path.to_owned(), at: 0, what: "no journal is as long as that" });
    }
    read(&std::fs::read(path).map_err(io)?).map_err(|(at, what)| JournalError::Corrupt { path: path.to_owned(), at, what })
}

fn lock(path: &Path) -> io::Result<File> {
    // Whoever may open it may hold it.
    crate::lock::hold(own(path)?)?.ok_or_else(|| io::Error::other("another daemon writes this journal"))
}

/// An empty file that is ours alone.
fn own(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)
}

/// A file that was there before may be open to more than its owner.
fn keep_to_ourselves(file: &File, path: &Path) {
    let is_open = file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o777 & !MODE != 0);
    if is_open && let Err(error) = file.set_permissions(Permissions::from_mode(MODE)) {
        tracing::warn!("{}: others than the daemon may open it, and its mode cannot be changed to 0600: {error}", path.display());
    }
}

/// Whether others than the owner may make, rename and remove files there.
fn is_open_to_others(directory: &Path) -> io::Result<bool> {
    Ok(std::fs::metadata(directory)?.permissions().mode() & 0o022 != 0)
}

/// The old file or the new one, on disk, whatever happens.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file = own(&partial)?;
        keep_to_ourselves(&file, &partial);
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        File::open(path.parent().unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

#[cfg(test)]
mod tests;
