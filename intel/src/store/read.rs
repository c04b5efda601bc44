//! The reading side: a parser of bytes that anyone may have written, so everything is checked, and everything is bounded.
//!
//! ```text
//! open           header page ─ its SHA-256 ─ sizes against the file's length ─ feeds and strings ─ their SHA-256
//! votes_of       binary search over pages of votes; each page is read whole and checked before any of it is used
//! reference_of   the same over pages of references, then a record or two
//! ```
//! Memory: the tail (at most 64 MiB of strings, usually a few KiB) and the pages of the search.

use super::layout::{
    CHECKSUM_AT, ELEMENT, FEEDS_MAX, FeedEntry, Header, MAGIC, PAGE, RECORDS_BYTES_MAX, REVOKES, SHA256_AT, STORE_VERSION,
    STORE_VERSION_LEAST, STRINGS_BYTES_MAX, Shape, Text, Vote, checksum,
};
use super::origins::FeedOrigin;
use crate::read::Tlp;
use bytemuck::AnyBitPattern;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use verdict_tables::{Class, RuleKind, category};

/// Votes on one rule that are told; a feed may repeat a line a million times.
pub const VOTES_OF_RULE_MAX: usize = 256;
/// Pages that are kept; more are read again.
const PAGES_KEPT: usize = 256;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no explain store, or a damaged one.
    #[error("corrupt explain store: {what} at byte {offset}: expected {expected}, got {got}")]
    Corrupt {
        /// The part.
        what: &'static str,
        /// In the file.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is.
        got: String,
    },
    /// Another version's.
    #[error("unsupported explain store: version {got}, and this program reads {STORE_VERSION_LEAST} to {STORE_VERSION}")]
    Unsupported {
        /// Its version.
        got: u32,
    },
}

pub(super) fn corrupt(what: &'static str, offset: u64, expected: impl Into<String>, got: impl Into<String>) -> StoreError {
    StoreError::Corrupt { what, offset, expected: expected.into(), got: got.into() }
}

/// One line's word on one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Place among all votes of the store.
    pub number: u64,
    /// Place among [`Store::feeds`].
    pub feed: usize,
    /// From 1; `u32::MAX` stands for that line or a later one.
    pub line: u64,
    /// What the feed wrote; an allow vote counts as clean all the same.
    pub class: Class,
    /// It allows.
    pub allow: bool,
    /// The operator's own word.
    pub overrides: bool,
    /// It was taken back, or is the line that takes back: it counts for nothing.
    pub revoked: bool,
    /// What the rule is.
    pub kind: RuleKind,
    /// 0 to 100.
    pub score: u8,
    /// 0 to 100.
    pub confidence: u8,
    /// Bit set.
    pub categories: u16,
    /// Days since 1970-01-01, 0 if not known.
    pub first_seen_day: u16,
    /// Days since 1970-01-01, 0 if not known.
    pub last_seen_day: u16,
    /// Seconds.
    pub ttl_s: u32,
}

impl StoredVote {
    /// What decides among votes on one rule, as FORMAT.md has it: the highest (override, allow, class) wins.
    pub fn standing(&self) -> (bool, bool, Class) {
        (self.overrides, self.allow, if self.allow { Class::Clean } else { self.class })
    }
}

/// All votes on one rule, in the order of feeds and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VotesOf {
    /// At most [`VOTES_OF_RULE_MAX`].
    pub votes: Vec<StoredVote>,
    /// There are more.
    pub more: bool,
}

/// An explain store, open.
#[derive(Debug)]
pub struct Store {
    bytes: Bytes,
    pub(super) header: Header,
    feeds: Vec<FeedOrigin>,
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Bytes {
    fn read_at(&self, at: u64, out: &mut [u8]) -> Result<(), StoreError> {
        match self {
            Self::File(file) => file.read_exact_at(out, at)?,
            Self::Memory(bytes) => {
                let piece = usize::try_from(at).ok().and_then(|at| bytes.get(at..at.checked_add(out.len())?));
                out.copy_from_slice(piece.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
            }
        }
        Ok(())
    }
}

impl Store {
    /// Opens a file and checks its header and its list of feeds; pages of votes are checked as they are needed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(corrupt("file", 0, "a regular file", "something else"));
        }
        Self::new(Bytes::File(file), metadata.len())
    }

    /// The same of bytes in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, StoreError> {
        let length = bytes.len() as u64;
        Self::new(Bytes::Memory(bytes), length)
    }

    fn new(bytes: Bytes, length: u64) -> Result<Self, StoreError> {
        if length < PAGE as u64 {
            return Err(corrupt("header", length, format!("{PAGE} bytes"), format!("{length} bytes")));
        }
        let mut page = [0; PAGE];
        bytes.read_at(0, &mut page)?;
        let header = check_header(&mut page, length)?;
        let tail_at = header.places().tail * PAGE as u64;
        let mut tail = vec![0; (length - tail_at) as usize];
        bytes.read_at(tail_at, &mut tail)?;
        let sum: [u8; 32] = Sha256::digest(&tail).into();
        if sum != header.tail_sha256 {
            return Err(corrupt("feeds", tail_at, "the SHA-256 of the header", "another"));
        }
        let feeds = read_feeds(&header, &tail, tail_at)?;
        Ok(Self { bytes, header, feeds, pages: BTreeMap::new() })
    }

    /// The snapshot that it belongs to.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }

    /// SHA-256 of that snapshot, as its header has it.
    pub fn snapshot_sha256(&self) -> &[u8; 32] {
        &self.header.snapshot_sha256
    }

    /// The moment that the data describes, unix seconds; 0 if not stated.
    pub fn as_of_s(&self) -> u64 {
        self.header.as_of_s
    }

    /// Votes on all rules.
    pub fn votes(&self) -> u64 {
        self.header.votes
    }

    /// Votes whose rows say where to read about them, and those whose references found no room.
    pub fn references(&self) -> (u64, u64) {
        (self.header.references, self.header.references_left_out)
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.header.file_bytes
    }

    /// Feeds, in the order of their numbers.
    pub fn feeds(&self) -> &[FeedOrigin] {
        &self.feeds
    }

    /// Everything that was said of the rule with this fingerprint; nothing if no feed has it.
    pub fn votes_of(&mut self, fingerprint: u64) -> Result<VotesOf, StoreError> {
        let (mut low, mut high) = (0, self.header.votes);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.vote(middle)?.fingerprint < fingerprint { low = middle + 1 } else { high = middle }
        }
        let mut found = VotesOf::default();
        for at in low..self.header.votes {
            let vote = self.vote(at)?;
            if vote.fingerprint != fingerprint {
                break;
            }
            if found.votes.len() == VOTES_OF_RULE_MAX {
                found.more = true;
                break;
            }
            found.votes.push(self.stored(at, vote)?);
        }
        take_back(&mut found.votes);
        Ok(found)
    }

    /// Reads and checks everything.
    pub fn verify(&mut self) -> Result<(), StoreError> {
        let mut before = 0;
        for at in 0..self.header.votes {
            let vote = self.vote(at)?;
            if vote.fingerprint < before {
                return Err(corrupt("votes", self.offset_of(at), "ascending fingerprints", "a smaller one"));
            }
            before = vote.fingerprint;
            if u64::from(vote.shape) >= self.header.shapes {
                return Err(corrupt("votes", self.offset_of(at), format!("a shape below {}", self.header.shapes), vote.shape.to_string()));
            }
        }
        for number in 0..self.header.shapes {
            self.shape(number)?;
        }
        self.verify_references()
    }

    fn stored(&mut self, at: u64, vote: Vote) -> Result<StoredVote, StoreError> {
        if u64::from(vote.shape) >= self.header.shapes {
            return Err(corrupt("votes", self.offset_of(at), format!("a shape below {}", self.header.shapes), vote.shape.to_string()));
        }
        let shape = self.shape(vote.shape.into())?;
        Ok(StoredVote::new(at, vote.line, &shape))
    }

    /// Every rule, by ascending fingerprint, from first page to last.
    pub fn rules(&mut self) -> Result<Rules<'_>, StoreError> {
        let shapes = (0..self.header.shapes).map(|number| self.shape(number)).collect::<Result<Vec<Shape>, StoreError>>()?;
        Ok(Rules { store: self, shapes, at: 0, votes: Vec::new() })
    }

    fn vote(&mut self, at: u64) -> Result<Vote, StoreError> {
        let first_page = self.header.places().votes;
        self.element(first_page, at)
    }

    /// A shape within its bounds.
    fn shape(&mut self, number: u64) -> Result<Shape, StoreError> {
        let first_page = self.header.places().shapes;
        let shape: Shape = self.element(first_page, number)?;
        let fine = usize::from(shape.feed) < self.feeds.len()
            && shape.standing <= REVOKES
            && RuleKind::from_u8(shape.kind).is_some()
            && shape.score <= 100
            && shape.confidence <= 100
            && shape.categories & !category::ALL == 0;
        if fine {
            return Ok(shape);
        }
        Err(corrupt(
            "shapes",
            offset(first_page, number),
            "a feed, a standing, a kind and scores within their bounds",
            format!("{shape:?}"),
        ))
    }

    fn offset_of(&self, vote: u64) -> u64 {
        offset(self.header.places().votes, vote)
    }

    /// Element `at` of the array whose pages begin with number `first_page`; the caller has held `at` against its count.
    pub(super) fn element<T: AnyBitPattern>(&mut self, first_page: u64, at: u64) -> Result<T, StoreError> {
        let per_page = (CHECKSUM_AT / size_of::<T>()) as u64;
        let page = self.page(first_page + at / per_page)?;
        let at = (at % per_page) as usize * size_of::<T>();
        Ok(bytemuck::pod_read_unaligned(&page[at..at + size_of::<T>()]))
    }

    pub(super) fn page(&mut self, number: u64) -> Result<&[u8; PAGE], StoreError> {
        if self.pages.len() >= PAGES_KEPT && !self.pages.contains_key(&number) {
            self.pages.clear();
        }
        match self.pages.entry(number) {
            std::collections::btree_map::Entry::Occupied(kept) => Ok(kept.into_mut()),
            std::collections::btree_map::Entry::Vacant(empty) => {
                let mut page = Box::new([0; PAGE]);
                self.bytes.read_at(number * PAGE as u64, page.as_mut_slice())?;
                let (elements, sum) = page.split_at(CHECKSUM_AT);
                if checksum(&self.header.snapshot_sha256, number, elements) != sum {
                    return Err(corrupt("page", number * PAGE as u64, "a page with its checksum", "another checksum"));
                }
                Ok(empty.insert(page))
            }
        }
    }
}

/// Of a vote or shape in the file.
fn offset(first_page: u64, at: u64) -> u64 {
    let per_page = (CHECKSUM_AT / ELEMENT) as u64;
    (first_page + at / per_page) * PAGE as u64 + at % per_page * ELEMENT as u64
}

impl StoredVote {
    fn new(number: u64, line: u32, shape: &Shape) -> Self {
        Self {
            number,
            feed: shape.feed.into(),
            line: line.into(),
            class: Class::from_u8(shape.standing & 3).unwrap_or(Class::Unknown), // two bits are always a class
            allow: shape.standing & 4 != 0,
            overrides: shape.standing & 8 != 0,
            revoked: shape.standing == REVOKES,
            kind: RuleKind::from_u8(shape.kind).unwrap_or(RuleKind::Host), // held against its bounds with the shape
            score: shape.score,
            confidence: shape.confidence,
            categories: shape.categories,
            first_seen_day: shape.first_seen_day,
            last_seen_day: shape.last_seen_day,
            ttl_s: shape.ttl_s,
        }
    }
}

/// What a feed takes back of a rule, all its votes on that rule lose.
fn take_back(votes: &mut [StoredVote]) {
    for at in 0..votes.len() {
        if votes[at].revoked && votes[at].class == Class::Unknown {
            let feed = votes[at].feed;
            votes.iter_mut().filter(|vote| vote.feed == feed).for_each(|vote| vote.revoked = true);
        }
    }
}

/// The rules of a store, one after the other.
#[derive(Debug)]
pub struct Rules<'s> {
    store: &'s mut Store,
    shapes: Vec<Shape>,
    at: u64,
    votes: Vec<StoredVote>,
}

impl Rules<'_> {
    /// The fingerprint of the next rule, and what was said of it, as [`Store::votes_of`] has it.
    pub fn next_rule(&mut self) -> Result<Option<(u64, &[StoredVote])>, StoreError> {
        self.votes.clear();
        let mut fingerprint = None;
        while self.at < self.store.header.votes {
            let vote = self.store.vote(self.at)?;
            match fingerprint {
                None => fingerprint = Some(vote.fingerprint),
                Some(same) if same == vote.fingerprint => {}
                Some(before) if before < vote.fingerprint => break,
                Some(_) => return Err(corrupt("votes", self.store.offset_of(self.at), "ascending fingerprints", "a smaller one")),
            }
            let Some(shape) = self.shapes.get(vote.shape as usize) else {
                let expected = format!("a shape below {}", self.shapes.len());
                return Err(corrupt("votes", self.store.offset_of(self.at), expected, vote.shape.to_string()));
            };
            if self.votes.len() < VOTES_OF_RULE_MAX {
                self.votes.push(StoredVote::new(self.at, vote.line, shape));
            }
            self.at += 1;
        }
        take_back(&mut self.votes);
        Ok(fingerprint.map(|fingerprint| (fingerprint, self.votes.as_slice())))
    }
}

/// Everything that the header says of itself and of the file's length. Clears the checksum in `page`.
fn check_header(page: &mut [u8; PAGE], length: u64) -> Result<Header, StoreError> {
    let header: Header = bytemuck::pod_read_unaligned(&page[..size_of::<Header>()]);
    if header.magic != MAGIC {
        return Err(corrupt("magic", 0, "VEXPLAIN", header.magic.escape_ascii().to_string()));
    }
    if !(STORE_VERSION_LEAST..=STORE_VERSION).contains(&header.version) {
        return Err(StoreError::Unsupported { got: header.version });
    }
    page[SHA256_AT..SHA256_AT + 32].fill(0);
    let sum: [u8; 32] = Sha256::digest(&page[..]).into();
    if sum != header.sha256 {
        return Err(corrupt("header", SHA256_AT as u64, "the SHA-256 of the page", "another"));
    }
    if page[size_of::<Header>()..].iter().any(|byte| *byte != 0) || header.zero != 0 {
        return Err(corrupt("header", size_of::<Header>() as u64, "zeros", "something else"));
    }
    let newer = if header.version == STORE_VERSION { u64::MAX } else { 0 };
    let bounds = [
        ("page size", 12, header.page_bytes.into(), PAGE as u64, PAGE as u64),
        ("votes", 72, header.votes, 0, u32::MAX.into()),
        ("shapes", 80, header.shapes, 0, header.votes),
        ("feeds", 88, header.feeds.into(), 0, FEEDS_MAX.into()),
        ("strings", 96, header.strings_bytes, 0, STRINGS_BYTES_MAX),
        ("references", 168, header.references, 0, header.votes.min(newer)),
        ("records", 176, header.records_bytes, 0, RECORDS_BYTES_MAX.min(newer)),
        ("references left out", 184, header.references_left_out, 0, header.votes.min(newer)),
    ];
    for (what, offset, got, least, most) in bounds {
        if !(least..=most).contains(&got) {
            return Err(corrupt(what, offset, format!("{least} to {most}"), got.to_string()));
        }
    }
    // Within these bounds nothing overflows.
    let tail = u64::from(header.feeds) * size_of::<FeedEntry>() as u64 + header.strings_bytes;
    let whole = header.places().tail * PAGE as u64 + tail;
    for got in [header.file_bytes, length] {
        if got != whole {
            return Err(corrupt("length", 16, format!("{whole} bytes"), format!("{got} bytes")));
        }
    }
    Ok(header)
}

fn read_feeds(header: &Header, tail: &[u8], tail_at: u64) -> Result<Vec<FeedOrigin>, StoreError> {
    let (entries, strings) = tail.split_at(header.feeds as usize * size_of::<FeedEntry>());
    let mut feeds = Vec::with_capacity(header.feeds as usize);
    for (number, entry) in entries.chunks_exact(size_of::<FeedEntry>()).enumerate() {
        let entry: FeedEntry = bytemuck::pod_read_unaligned(entry);
        let offset = tail_at + (number * size_of::<FeedEntry>()) as u64;
        let text = |Text { at, bytes }: Text| {
            let piece = strings.get(at as usize..).and_then(|rest| rest.get(..bytes as usize));
            let text = piece.and_then(|piece| std::str::from_utf8(piece).ok());
            text.map(str::to_owned).ok_or_else(|| corrupt("feeds", offset, "a text within the strings, in UTF-8", "none"))
        };
        let tlp = match entry.tlp {
            0 => None,
            colour => {
                Some(Tlp::ALL.get(usize::from(colour) - 1).copied().ok_or_else(|| corrupt("feeds", offset, "a TLP", colour.to_string()))?)
            }
        };
        if entry.trust > 100 || entry.zero != 0 {
            return Err(corrupt("feeds", offset, "a trust up to 100, and zeros", format!("{} and {}", entry.trust, entry.zero)));
        }
        feeds.push(FeedOrigin {
            name: text(entry.name)?,
            file: text(entry.file)?,
            licence: text(entry.licence)?,
            region: text(entry.region)?,
            reference: text(entry.reference)?,
            tlp,
            trust: entry.trust,
            file_bytes: entry.file_bytes,
            sha256: entry.sha256,
            rows: entry.rows,
            kept: entry.kept,
            rejected: entry.rejected,
            expired: entry.expired,
            revoked: entry.revoked,
            rules: entry.rules,
            unique: entry.unique,
            newest_day: entry.newest_day,
        });
    }
    Ok(feeds)
}
