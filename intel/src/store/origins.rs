//! The writing side: where each vote came from, noted while feeds are read, and put in the order of rules when the snapshot is known.
//!
//! ```text
//! Builder::add  ┐ the same order                     Prepared::votes (fingerprint, number of the vote), sorted
//! Origins::push ┴ 8 bytes a vote: line, shape  ──────────────┴──► pages ──► .name.partial ──► fsync ──► rename
//! ```
//! References are noted beside, 4 bytes for each vote that has one (`references`).

use super::layout::{
    CHECKSUM_AT, FeedEntry, Header, MAGIC, PAGE, REVOKES, Reference, SHA256_AT, STORE_VERSION, Shape, Text, Vote, checksum,
};
use super::references::References;
use crate::read::Tlp;
use bytemuck::Zeroable;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use verdict_tables::{Prepared, RuleKind, TracedVote};

/// A feed as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedOrigin {
    /// Its name.
    pub name: String,
    /// Its file, as the operator wrote it.
    pub file: String,
    /// Terms of its data, as the operator stated them.
    pub licence: String,
    /// Where it comes from, likewise.
    pub region: String,
    /// Where to read about it, likewise.
    pub reference: String,
    /// Who may hold it, likewise.
    pub tlp: Option<Tlp>,
    /// What part of its confidence was believed, 0 to 100.
    pub trust: u8,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// SHA-256 of the file, compressed as it is.
    pub sha256: [u8; 32],
    /// Lines after decompression.
    pub rows: u64,
    /// Rows that gave a rule.
    pub kept: u64,
    /// Rows that did not, comments and blank lines apart.
    pub rejected: u64,
    /// Of those, because their time was over.
    pub expired: u64,
    /// Of those, because they take something back.
    pub revoked: u64,
    /// Distinct rules that it voted on, what it took back apart. Counted when the store is written.
    pub rules: u64,
    /// Of those, the ones that no other feed voted on. Counted likewise.
    pub unique: u64,
    /// The latest day on which one of its rows was seen, days since 1970-01-01; 0 if no row has a date. Noted with the votes.
    pub newest_day: u16,
}

/// Where votes come from, in the order in which the builder took them.
#[derive(Debug, Default)]
pub struct Origins {
    as_of_s: u64,
    feeds: Vec<FeedOrigin>,
    votes: Vec<(u32, u32)>,
    shapes: Vec<Shape>,
    numbers: HashMap<Shape, u32>,
    last: Option<(Shape, u32)>,
    references: References,
    newest_day: u16,
}

impl Origins {
    /// Of data that describes this moment, in unix seconds; 0 if not stated.
    pub fn new(as_of_s: u64) -> Self {
        Self { as_of_s, ..Self::default() }
    }

    /// The votes that follow are of the feed that `end_feed` will name.
    pub fn begin_feed(&mut self) {
        (self.last, self.newest_day) = (None, 0);
    }

    /// Names the feed of the votes since `begin_feed`.
    pub fn end_feed(&mut self, feed: FeedOrigin) {
        self.feeds.push(FeedOrigin { newest_day: self.newest_day, ..feed });
    }

    /// Notes a vote that the builder took, and where its row says to read about it.
    pub fn push(&mut self, line: u64, vote: &verdict_tables::Vote, reference: Option<&[u8]>) {
        self.newest_day = self.newest_day.max(vote.last_seen_day);
        self.refer(reference);
        self.push_of(self.feeds.len(), line, vote);
    }

    /// Notes that a line takes back what its feed says of a rule.
    pub fn push_revocation(&mut self, line: u64, reference: Option<&[u8]>) {
        let feed = self.feeds.len() as u16; // as below
        self.refer(reference);
        self.push_shape(line, Shape { feed, standing: REVOKES, ..Shape::zeroed() });
    }

    /// Of the vote that comes next.
    fn refer(&mut self, reference: Option<&[u8]>) {
        if let Some(reference) = reference {
            self.references.push(self.votes.len(), reference);
        }
    }

    /// Notes a vote of a feed that was read before, or is being read.
    pub fn push_of(&mut self, feed: usize, line: u64, vote: &verdict_tables::Vote) {
        let shape = Shape {
            ttl_s: vote.ttl_s,
            feed: feed as u16, // FEEDS_MAX of a configuration is below
            categories: vote.categories,
            first_seen_day: vote.first_seen_day,
            last_seen_day: vote.last_seen_day,
            standing: (u8::from(vote.overrides) << 3) | (u8::from(vote.allow) << 2) | vote.class as u8,
            score: vote.score,
            confidence: vote.confidence,
            kind: 0, // known when the builder has the one spelling of every rule
        };
        self.push_shape(line, shape);
    }

    fn push_shape(&mut self, line: u64, shape: Shape) {
        let number = match self.last {
            Some((last, number)) if last == shape => number,
            _ => {
                let next = self.shapes.len() as u32; // fewer than votes, of which there are at most VOTES_MAX
                let number = *self.numbers.entry(shape).or_insert(next);
                if number == next {
                    self.shapes.push(shape);
                }
                number
            }
        };
        self.last = Some((shape, number));
        self.votes.push((u32::try_from(line).unwrap_or(u32::MAX), number));
    }

    /// Gives every shape the kind of its rules, numbers them as they come in the store, and counts rules by feed. Once, before writing.
    fn finish(&mut self, traced: &[TracedVote]) {
        let mut numbered: HashMap<(u32, RuleKind), u32> = HashMap::new();
        let mut shapes = Vec::new();
        let (mut voters, mut revokers): (Vec<u16>, Vec<u16>) = (Vec::new(), Vec::new());
        for rule in traced.chunk_by(|one, other| one.fingerprint == other.fingerprint) {
            voters.clear();
            revokers.clear();
            for TracedVote { vote, kind, .. } in rule {
                let shape = &mut self.votes[*vote as usize].1;
                let old = &self.shapes[*shape as usize];
                if old.standing == REVOKES { &mut revokers } else { &mut voters }.push(old.feed);
                *shape = *numbered.entry((*shape, *kind)).or_insert_with(|| {
                    shapes.push(Shape { kind: *kind as u8, ..*old });
                    shapes.len() as u32 - 1
                });
            }
            voters.sort_unstable();
            voters.dedup();
            revokers.dedup(); // they come in the order of feeds
            voters.retain(|feed| !revokers.contains(feed));
            for feed in &voters {
                let feed = &mut self.feeds[usize::from(*feed)];
                feed.rules += 1;
                feed.unique += u64::from(voters.len() == 1);
            }
        }
        self.shapes = shapes;
    }

    /// Writes the store of `prepared` beside `path`; it gets its name by `Pending::commit`.
    pub fn write_beside(&mut self, path: &Path, prepared: &Prepared) -> io::Result<Pending> {
        let pending = Pending { temporary: partial(path)?, path: path.to_owned(), committed: false };
        let mut file = BufWriter::with_capacity(1 << 20, File::create_new(&pending.temporary)?);
        self.write_to(&mut file, prepared)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(pending)
    }

    /// The bytes of the store of `prepared`, which was built from the votes noted here.
    fn write_to(&mut self, out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
        let votes = prepared.votes();
        assert_eq!(votes.len(), self.votes.len(), "a vote was noted for each that the builder took");
        self.finish(votes);
        let (mut tail, mut strings) = (Vec::new(), Vec::new());
        for feed in &self.feeds {
            tail.extend_from_slice(bytemuck::bytes_of(&entry(feed, &mut strings)));
        }
        tail.extend_from_slice(&strings);
        let records = self.references.records();
        let mut header = Header {
            magic: MAGIC,
            version: STORE_VERSION,
            page_bytes: PAGE as u32,
            generation: prepared.generation(),
            snapshot_sha256: *prepared.sha256(),
            as_of_s: self.as_of_s,
            votes: votes.len() as u64,
            shapes: self.shapes.len() as u64,
            feeds: self.feeds.len() as u32,
            strings_bytes: strings.len() as u64,
            tail_sha256: Sha256::digest(&tail).into(),
            references: self.references.votes(),
            records_bytes: records.len() as u64,
            references_left_out: self.references.left_out(),
            ..Header::zeroed()
        };
        header.file_bytes = header.places().tail * PAGE as u64 + tail.len() as u64;
        let mut page = [0; PAGE];
        page[..size_of::<Header>()].copy_from_slice(bytemuck::bytes_of(&header));
        let sha256: [u8; 32] = Sha256::digest(page).into();
        page[SHA256_AT..SHA256_AT + 32].copy_from_slice(&sha256);
        out.write_all(&page)?;
        let mut paged = Paged { out, snapshot_sha256: prepared.sha256(), page: [0; PAGE], used: 0, number: 1 };
        for traced in votes {
            let (line, shape) = self.votes[traced.vote as usize];
            paged.push(bytemuck::bytes_of(&Vote { fingerprint: traced.fingerprint, line, shape }))?;
        }
        paged.flush()?;
        for shape in &self.shapes {
            paged.push(bytemuck::bytes_of(shape))?;
        }
        paged.flush()?;
        for (vote, traced) in votes.iter().enumerate() {
            if let Some(record) = self.references.of(traced.vote as usize) {
                paged.push(bytemuck::bytes_of(&Reference { vote: vote as u32, record }))?; // VOTES_MAX is below 2^32
            }
        }
        paged.flush()?;
        paged.push(records)?;
        paged.flush()?;
        out.write_all(&tail)
    }
}

/// Puts elements into pages; what is longer than a page goes on in the next.
struct Paged<'a, W> {
    out: &'a mut W,
    snapshot_sha256: &'a [u8; 32],
    page: [u8; PAGE],
    /// Bytes of this page.
    used: usize,
    number: u64,
}

impl<W: Write> Paged<'_, W> {
    fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHECKSUM_AT - self.used));
            self.page[self.used..self.used + now.len()].copy_from_slice(now);
            self.used += now.len();
            bytes = later;
            if self.used == CHECKSUM_AT {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.used == 0 {
            return Ok(());
        }
        let (elements, sum) = self.page.split_at_mut(CHECKSUM_AT);
        sum.copy_from_slice(&checksum(self.snapshot_sha256, self.number, elements));
        self.out.write_all(&self.page)?;
        self.page = [0; PAGE];
        self.used = 0;
        self.number += 1;
        Ok(())
    }
}

fn entry(feed: &FeedOrigin, strings: &mut Vec<u8>) -> FeedEntry {
    let mut text = |text: &str| {
        let at = strings.len() as u32;
        strings.extend_from_slice(text.as_bytes());
        Text { at, bytes: text.len() as u32 }
    };
    FeedEntry {
        name: text(&feed.name),
        file: text(&feed.file),
        licence: text(&feed.licence),
        region: text(&feed.region),
        reference: text(&feed.reference),
        file_bytes: feed.file_bytes,
        rows: feed.rows,
        kept: feed.kept,
        rejected: feed.rejected,
        expired: feed.expired,
        revoked: feed.revoked,
        rules: feed.rules,
        unique: feed.unique,
        newest_day: feed.newest_day,
        tlp: feed.tlp.map_or(0, |tlp| 1 + tlp as u8),
        trust: feed.trust,
        zero: 0,
        sha256: feed.sha256,
    }
}

/// A store that is complete on disk, under a name of its own until it is committed; else it is removed.
#[derive(Debug)]
pub struct Pending {
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl Pending {
    /// Where it is for now.
    pub fn written_at(&self) -> &Path {
        &self.temporary
    }

    /// Gives it its name, in one step; returns its size.
    pub fn commit(mut self) -> io::Result<u64> {
        let bytes = fs::metadata(&self.temporary)?.len();
        fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        File::open(directory(&self.path))?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // A leftover is named so that nobody takes it for a store.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn partial(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let unused = (0..1000).find_map(|attempt| {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}-{attempt}.partial", std::process::id()));
        let temporary = directory(path).join(temporary);
        (!temporary.exists()).then_some(temporary)
    });
    unused.ok_or_else(|| io::Error::new(io::ErrorKind::AlreadyExists, "too many partial files beside it"))
}
