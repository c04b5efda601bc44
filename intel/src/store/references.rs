//! References: where the row of a vote says to read about it, as its feed wrote it.
//!
//! ```text
//! https://feed.example/url/3456789/ ──► template  "https://feed.example/url/" number "/"    once
//!                                       numbered  3456789 of that template                  9 bytes, once for each number
//! vote ──► record                       4 bytes in memory and 8 in the store for each vote that has one, and nothing for the others
//! ```
//! A record is a u16 of 14 bits length below 2 bits kind, and what the kind has:
//!
//! ```text
//! text      0 │ length                    │ bytes
//! template  1 │ length    │ split u16     │ bytes; the number goes before byte `split`
//! numbered  2 │ 0 to 8    │ template u32  │ the number in so many bytes
//! ```
//! A record that was written lately is not written again; older ones may be. So what is remembered of them has a fixed size, and a feed of nothing
//! but new references costs the compiler its records: `RECORDS_BYTES_MAX` at most, beyond which references are left out and counted.

use super::layout::{CHECKSUM_AT, PAGE, RECORDS_BYTES_MAX, Reference};
use super::read::{Store, StoreError, StoredVote, corrupt};
use crate::limits::REFERENCE_BYTES_MAX;
use std::borrow::Cow;

/// What a reference ends in that was longer than `REFERENCE_BYTES_MAX`.
const CUT: &[u8] = "…".as_bytes();
const TEXT_BYTES_MAX: usize = REFERENCE_BYTES_MAX + CUT.len();
/// A template with its head: the longest record.
const RECORD_BYTES_MAX: usize = 4 + TEXT_BYTES_MAX;

const LENGTH: u16 = (1 << 14) - 1;
const TEXT: u16 = 0;
const TEMPLATE: u16 = 1 << 14;
const NUMBERED: u16 = 2 << 14;

/// Records that are remembered, by their hash.
const LATELY: usize = 1 << 19;
const NONE: u32 = u32::MAX;

/// What the rows of votes refer to, as it is noted while feeds are read.
#[derive(Debug, Default)]
pub(super) struct References {
    /// Votes with a reference, a bit each.
    bits: Vec<u64>,
    /// How many of them stand before each word of those.
    before: Vec<u32>,
    /// Their records.
    of: Vec<u32>,
    records: Vec<u8>,
    lately: Vec<u32>,
    /// Rows of several indicators, and rows below one headline, have one reference.
    last: Option<(Vec<u8>, u32)>,
    scratch: Vec<u8>,
    left_out: u64,
}

impl References {
    /// Notes what the row of a vote says; votes come in their order.
    pub(super) fn push(&mut self, vote: usize, text: &[u8]) {
        let text = text.trim_ascii();
        let text = &text[..text.len().min(REFERENCE_BYTES_MAX + 1)]; // that it is longer is all that counts
        if text.is_empty() {
            return;
        }
        let record = match &self.last {
            Some((last, record)) if last == text => Some(*record),
            _ => self.record(text),
        };
        let Some(record) = record else {
            self.left_out += 1;
            return;
        };
        let word = vote / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
            self.before.resize(word + 1, self.of.len() as u32); // fewer than votes
        }
        self.bits[word] |= 1_u64 << (vote % 64);
        self.of.push(record);
    }

    /// The record of a vote, if it has one.
    pub(super) fn of(&self, vote: usize) -> Option<u32> {
        let (word, bit) = (*self.bits.get(vote / 64)?, 1_u64 << (vote % 64));
        (word & bit != 0).then(|| self.of[self.before[vote / 64] as usize + (word & (bit - 1)).count_ones() as usize])
    }

    /// Votes that have one.
    pub(super) fn votes(&self) -> u64 {
        self.of.len() as u64
    }

    /// All records, one behind the other.
    pub(super) fn records(&self) -> &[u8] {
        &self.records
    }

    /// Votes that would have one.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    fn record(&mut self, text: &[u8]) -> Option<u32> {
        let shown = bounded(text);
        let mut record = std::mem::take(&mut self.scratch);
        let found = match last_number(&shown) {
            Some((from, to, number)) => {
                begin(&mut record, TEMPLATE, from + shown.len() - to);
                record.extend_from_slice(&(from as u16).to_le_bytes());
                record.extend_from_slice(&shown[..from]);
                record.extend_from_slice(&shown[to..]);
                self.intern(&record).and_then(|template| {
                    let bytes = 8 - number.leading_zeros() as usize / 8;
                    begin(&mut record, NUMBERED, bytes);
                    record.extend_from_slice(&template.to_le_bytes());
                    record.extend_from_slice(&number.to_le_bytes()[..bytes]);
                    self.intern(&record)
                })
            }
            None => {
                begin(&mut record, TEXT, shown.len());
                record.extend_from_slice(&shown);
                self.intern(&record)
            }
        };
        self.scratch = record;
        if let Some(found) = found {
            let (last, record) = self.last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(text);
            *record = found;
        }
        found
    }

    /// Where this record is: a record says its length, so that none begins as another does.
    fn intern(&mut self, record: &[u8]) -> Option<u32> {
        self.lately.resize(LATELY, NONE);
        let known = &mut self.lately[hash(record) as usize % LATELY];
        if *known != NONE && self.records[*known as usize..].starts_with(record) {
            return Some(*known);
        }
        let at = self.records.len();
        if (at + record.len()) as u64 > RECORDS_BYTES_MAX {
            return None;
        }
        self.records.extend_from_slice(record);
        *known = at as u32; // within the bound
        Some(at as u32)
    }
}

fn begin(record: &mut Vec<u8>, kind: u16, length: usize) {
    record.clear();
    record.extend_from_slice(&(kind | length as u16).to_le_bytes()); // at most TEXT_BYTES_MAX
}

/// FNV-1a, folded: the same on every machine, as the store's bytes are.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash ^ (hash >> 32)
}

/// What of a reference is kept; not within a character, if it is UTF-8.
fn bounded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.len() <= REFERENCE_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let begins = |at: &usize| text[*at] & 0b1100_0000 != 0b1000_0000;
    let end = (REFERENCE_BYTES_MAX - 3..=REFERENCE_BYTES_MAX).rev().find(begins).unwrap_or(REFERENCE_BYTES_MAX);
    Cow::Owned([&text[..end], CUT].concat())
}

/// Where the last number of a text begins and ends, if it is worth a template: at least three digits, and the same when it is written again.
fn last_number(text: &[u8]) -> Option<(usize, usize, u64)> {
    let to = text.iter().rposition(u8::is_ascii_digit)? + 1;
    let from = text[..to].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |at| at + 1);
    let digits = &text[from..to];
    if !(3..=19).contains(&digits.len()) || digits[0] == b'0' {
        return None;
    }
    Some((from, to, digits.iter().fold(0_u64, |number, digit| number * 10 + u64::from(digit - b'0'))))
}

#[derive(Debug, PartialEq, Eq)]
enum Record<'b> {
    Text(&'b [u8]),
    Template { text: &'b [u8], split: usize },
    Numbered { template: u32, number: u64 },
}

/// The record at the beginning of `bytes`, and its length.
fn parse(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let head = u16::from_le_bytes(*head);
    let length = usize::from(head & LENGTH);
    match head & !LENGTH {
        TEXT if length <= TEXT_BYTES_MAX => Some((Record::Text(rest.get(..length)?), 2 + length)),
        TEMPLATE if length <= TEXT_BYTES_MAX => {
            let (split, rest) = rest.split_first_chunk::<2>()?;
            let split = usize::from(u16::from_le_bytes(*split));
            let text = rest.get(..length)?;
            (split <= length).then_some((Record::Template { text, split }, 4 + length))
        }
        NUMBERED if length <= 8 => {
            let (template, rest) = rest.split_first_chunk::<4>()?;
            let mut number = [0; 8];
            number[..length].copy_from_slice(rest.get(..length)?);
            let record = Record::Numbered { template: u32::from_le_bytes(*template), number: u64::from_le_bytes(number) };
            Some((record, 6 + length))
        }
        _ => None,
    }
}

/// The reading side.
impl Store {
    /// Where the row of a vote says to read about it: a stranger's bytes, at most `limits::REFERENCE_BYTES_MAX` and the mark of the cut.
    pub fn reference_of(&mut self, vote: &StoredVote) -> Result<Option<Vec<u8>>, StoreError> {
        let (mut low, mut high) = (0, self.header.references);
        while low < high {
            let middle = low + (high - low) / 2;
            if u64::from(self.reference(middle)?.vote) < vote.number { low = middle + 1 } else { high = middle }
        }
        if low == self.header.references {
            return Ok(None);
        }
        let found = self.reference(low)?;
        if u64::from(found.vote) == vote.number { self.text(found.record).map(Some) } else { Ok(None) }
    }

    fn reference(&mut self, at: u64) -> Result<Reference, StoreError> {
        let first_page = self.header.places().references;
        self.element(first_page, at)
    }

    fn text(&mut self, record: u32) -> Result<Vec<u8>, StoreError> {
        let bytes = self.record_bytes(record)?;
        let (template, number) = match parse(&bytes) {
            Some((Record::Text(text), _)) => return Ok(text.to_vec()),
            Some((Record::Numbered { template, number }, _)) => (template, number),
            _ => return Err(self.no_record(record, "a text or a number")),
        };
        let bytes = self.record_bytes(template)?;
        match parse(&bytes) {
            Some((Record::Template { text, split }, _)) => Ok([&text[..split], number.to_string().as_bytes(), &text[split..]].concat()),
            _ => Err(self.no_record(template, "a template")),
        }
    }

    /// From a record on, as many bytes as the longest has, as far as there are.
    fn record_bytes(&mut self, record: u32) -> Result<Vec<u8>, StoreError> {
        let end = self.header.records_bytes.min(u64::from(record) + RECORD_BYTES_MAX as u64);
        self.bytes_of_records(record.into(), end)
    }

    fn bytes_of_records(&mut self, mut from: u64, end: u64) -> Result<Vec<u8>, StoreError> {
        let first_page = self.header.places().records;
        let mut bytes = Vec::with_capacity(end.saturating_sub(from) as usize);
        while from < end {
            let within = (from % CHECKSUM_AT as u64) as usize;
            let take = (CHECKSUM_AT - within).min((end - from) as usize); // records end below 2^26
            let page = self.page(first_page + from / CHECKSUM_AT as u64)?;
            bytes.extend_from_slice(&page[within..within + take]);
            from += take as u64;
        }
        Ok(bytes)
    }

    fn no_record(&self, record: u32, expected: &str) -> StoreError {
        let (page, within) = (u64::from(record) / CHECKSUM_AT as u64, u64::from(record) % CHECKSUM_AT as u64);
        corrupt("records", (self.header.places().records + page) * PAGE as u64 + within, expected, "something else")
    }

    /// Reads and checks all of them: records one behind the other, then that each reference is a vote's and leads to one.
    pub(super) fn verify_references(&mut self) -> Result<(), StoreError> {
        let records = self.bytes_of_records(0, self.header.records_bytes)?;
        let (mut texts, mut templates) = (Marks::of(records.len()), Marks::of(records.len()));
        let mut at = 0;
        while at < records.len() {
            let Some((record, length)) = parse(&records[at..]) else { return Err(self.no_record(at as u32, "a record")) };
            match record {
                Record::Text(_) => texts.set(at),
                Record::Template { .. } => templates.set(at),
                Record::Numbered { template, .. } if templates.has(template as usize) => texts.set(at),
                Record::Numbered { .. } => return Err(self.no_record(at as u32, "a number of a template before it")),
            }
            at += length;
        }
        let mut before: Option<u32> = None;
        for number in 0..self.header.references {
            let Reference { vote, record } = self.reference(number)?;
            if before.is_some_and(|before| before >= vote) || u64::from(vote) >= self.header.votes || !texts.has(record as usize) {
                let per_page = (CHECKSUM_AT / size_of::<Reference>()) as u64;
                let page = self.header.places().references + number / per_page;
                let offset = page * PAGE as u64 + number % per_page * size_of::<Reference>() as u64;
                return Err(corrupt("references", offset, "ascending votes, and a text or a number", format!("{vote} and {record}")));
            }
            before = Some(vote);
        }
        Ok(())
    }
}

/// A bit for each byte.
struct Marks(Vec<u64>);

impl Marks {
    fn of(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(64)])
    }

    fn set(&mut self, at: usize) {
        self.0[at / 64] |= 1_u64 << (at % 64);
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| *word & (1_u64 << (at % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(references: &References, vote: usize) -> Option<Vec<u8>> {
        let record = |at: u32| parse(&references.records[at as usize..]).unwrap().0;
        Some(match record(references.of(vote)?) {
            Record::Text(text) => text.to_vec(),
            Record::Numbered { template, number } => match record(template) {
                Record::Template { text, split } => [&text[..split], number.to_string().as_bytes(), &text[split..]].concat(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn every_text_comes_back_to_its_vote_as_it_was() {
        let texts = [
            "https://feed.example/url/3456789/",
            "https://feed.example/url/3456790/",
            "indicator--00000000-0000-4000-8000-000000000001",
            "https://feed.example/2026/05/a-report",
            "18446744073709551615",
            "9999999999999999999",
            "007 and 0123",
            "1000",
            "x",
            "\u{1b}[2J\u{fffd}",
        ];
        let mut references = References::default();
        for (place, text) in texts.iter().enumerate() {
            references.push(place * 77, text.as_bytes());
        }
        references.push(10_000, b"  ");
        references.push(10_001, b" x ");
        for (place, text) in texts.iter().enumerate() {
            assert_eq!(told(&references, place * 77).as_deref(), Some(text.as_bytes()), "{text}");
            assert_eq!(told(&references, place * 77 + 1), None);
        }
        assert_eq!((told(&references, 10_000), told(&references, 10_001), told(&references, 99_999)), (None, Some(b"x".to_vec()), None));
        assert_eq!((references.votes(), references.left_out()), (11, 0));
    }

    #[test]
    fn a_number_costs_nine_bytes_and_what_was_said_before_nothing() {
        let mut references = References::default();
        references.push(0, b"https://feed.example/url/1000000/");
        let first = references.records().len();
        for vote in 1..1000_u32 {
            references.push(vote as usize, format!("https://feed.example/url/{}/", 1_000_000 + vote).as_bytes());
        }
        let all = references.records().len();
        assert!(all - first <= 999 * 9 + 8 * 40, "{} bytes", all - first);
        references.push(1000, b"https://feed.example/url/1000998/");
        assert_eq!(references.records().len(), all);
    }

    #[test]
    fn a_long_one_is_cut_between_characters_and_marked() {
        let check = |text: &str, want: &str| {
            let mut references = References::default();
            references.push(0, text.as_bytes());
            assert_eq!(String::from_utf8(told(&references, 0).unwrap()).unwrap(), want);
        };
        let whole = "a".repeat(REFERENCE_BYTES_MAX);
        check(&whole, &whole);
        check(&format!("{whole}a"), &format!("{whole}…"));
        check(&format!("{}éé", &whole[1..]), &format!("{}…", &whole[1..]));
        check(&format!("{}1234567", &whole[4..]), &format!("{}1234…", &whole[4..]));
        let mut references = References::default();
        references.push(0, &[0x80; 1000]);
        assert_eq!(told(&references, 0).unwrap().len(), TEXT_BYTES_MAX);
    }
}
