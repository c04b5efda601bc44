//! Canonical texts of a batch, for rules that look into the text: kept only when asked.
//!
//! ```text
//! bytes    www.example.com/a/b.html?q=1 ........ example.org ........        zeros after each
//!          |<- host ----->|
//! spans    [item 0: 28 bytes, 15 of host, a URL] [item 3: 11 bytes, 11 of host]
//! ```
//! Only URLs and hosts have a text; addresses and digests do not. The zeros let a reader go over a text in whole blocks.

use crate::canonical::Parts;

const ZEROS: [u8; Text::PAD] = [0; Text::PAD];

/// Texts of a batch's items, in their order.
#[derive(Debug, Default)]
pub struct Texts {
    kept: bool,
    bytes: Vec<u8>,
    spans: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    item: u32,
    at: u32,
    bytes: u32,
    /// 0 for an address.
    name_bytes: u16,
    is_url: bool,
}

/// The canonical text of one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'b> {
    /// Whose text it is: place in `Batch::items`.
    pub item: usize,
    /// `host/path?query`, or a host alone; then `PAD` zero bytes.
    padded: &'b [u8],
    /// How long the host is, where it is a name; 0 where it is an address.
    pub name_bytes: usize,
    /// There is a path.
    pub is_url: bool,
}

impl<'b> Text<'b> {
    /// Zero bytes after each text, so that a reader may go in whole blocks.
    pub const PAD: usize = 40;

    /// `host/path?query`, or a host alone.
    pub fn bytes(&self) -> &'b [u8] {
        &self.padded[..self.padded.len() - Self::PAD]
    }

    /// The same with `PAD` zero bytes after it.
    pub fn padded(&self) -> &'b [u8] {
        self.padded
    }
}

impl Texts {
    /// Whether texts are kept at all.
    pub fn kept(&self) -> bool {
        self.kept
    }

    /// How many items have a text.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether no item has a text.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// All of them, in the order of their items.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Text<'_>> + ExactSizeIterator {
        (0..self.spans.len()).map(|index| self.get(index))
    }

    /// One of them.
    #[inline]
    pub fn get(&self, index: usize) -> Text<'_> {
        let entry = self.spans[index];
        let padded = &self.bytes[entry.at as usize..][..entry.bytes as usize + Text::PAD];
        Text { item: entry.item as usize, padded, name_bytes: entry.name_bytes.into(), is_url: entry.is_url }
    }

    /// How many of them belong to items before this one.
    pub fn before(&self, item: usize) -> usize {
        self.spans.partition_point(|entry| (entry.item as usize) < item)
    }

    pub(crate) fn keep(&mut self, keep: bool) {
        self.kept = keep;
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// The parts of a URL, or of a host question: those have no path.
    #[inline]
    pub(crate) fn push(&mut self, item: usize, parts: &Parts<'_>) {
        if !self.kept {
            return;
        }
        let at = self.bytes.len();
        let text_bytes = parts.host.len() + parts.path_query.len();
        self.bytes.reserve(text_bytes + Text::PAD);
        self.bytes.extend_from_slice(parts.host);
        self.bytes.extend_from_slice(parts.path_query);
        self.bytes.extend_from_slice(&ZEROS);
        self.bytes[at..at + text_bytes].make_ascii_lowercase();
        let (at, bytes) = (at as u32, text_bytes as u32);
        // A canonical host has at most 253 bytes.
        let name_bytes = if parts.address.is_some() { 0 } else { parts.host.len() as u16 };
        self.spans.push(Entry { item: item as u32, at, bytes, name_bytes, is_url: !parts.path_query.is_empty() });
    }
}
