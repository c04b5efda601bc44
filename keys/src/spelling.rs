//! Canonical texts of a batch as they are spelt, upper case too: what models are asked about. Kept only when asked.
//!
//! ```text
//! bytes    www.example.com/Login?q=1 | example.org | ...
//!          |<- host ----->| |<- rest |                    the slash between is neither's
//! ```
//! Rules look into text without case (`Texts`); models count upper case. Only URLs and hosts have a spelling; addresses and digests do not.

use crate::canonical::Parts;

/// Spellings of a batch's items, in their order.
#[derive(Debug, Default)]
pub struct Spellings {
    kept: bool,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    item: u32,
    at: u32,
    rest_bytes: u32,
    /// A canonical host has at most 253 bytes.
    host_bytes: u16,
    is_url: bool,
}

/// The canonical text of one item, in two parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling<'b> {
    /// Whose it is: place in `Batch::items`.
    pub item: usize,
    /// The canonical host, or an address in text.
    pub host: &'b [u8],
    /// Path and query without the first slash; empty for a host.
    pub rest: &'b [u8],
    /// There is a path.
    pub is_url: bool,
}

impl Spellings {
    /// Whether they are kept at all.
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// How many items have one.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no item has one.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, in the order of their items.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Spelling<'_>> {
        self.entries.iter().map(|entry| self.of(entry))
    }

    /// One of them.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Spelling<'_>> {
        self.entries.get(index).map(|entry| self.of(entry))
    }

    #[inline]
    fn of(&self, entry: &Entry) -> Spelling<'_> {
        let text = &self.bytes[entry.at as usize..][..usize::from(entry.host_bytes) + entry.rest_bytes as usize];
        let (host, rest) = text.split_at(entry.host_bytes.into());
        Spelling { item: entry.item as usize, host, rest, is_url: entry.is_url }
    }

    pub(crate) fn keep(&mut self, keep: bool) {
        self.kept = keep;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// The parts of a URL, or of a host question: those have no path.
    #[inline]
    pub(crate) fn push(&mut self, item: usize, parts: &Parts<'_>) {
        let rest = parts.path_query.get(1..).unwrap_or_default();
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(parts.host);
        self.bytes.extend_from_slice(rest);
        self.entries.push(Entry {
            item: item as u32,
            at,
            rest_bytes: rest.len() as u32,
            host_bytes: parts.host.len() as u16,
            is_url: !parts.path_query.is_empty(),
        });
    }
}
