//! Canonical text becomes a bag of row numbers: FEATURES.md in Rust, equal to the trainer's bit for bit.
//!
//! ```text
//! host = last 64 bytes of the host     ".host "   grams of 2..5 bytes, labels, last two and three labels   ─┐
//! rest = first 96 bytes of /path?query "/path? "  grams, words                                             ├─► numbers of rows, to be summed
//! counts of both, cut into sixteen buckets each                                                            ─┘
//! ```
//! A gram is one multiplication of the bytes where they stand; nothing is looked up. A text costs a bounded number of rows however long it is, and
//! nothing is allocated. The order of rows is ours: they are summed.

mod count;
mod section;

use section::Section;

/// Bytes of the host that are looked at: the last.
pub const HOST_BYTES: usize = 64;
/// Bytes of slash, path and query that are looked at: the first.
pub const REST_BYTES: usize = 96;
/// Rows of each count.
pub const BUCKETS: u32 = 16;
/// Rows from here on are hashed into; before them are padding (row 0, all zero) and counts.
pub const HASHED: u32 = 512;
/// Rows of a text at most: every gram of up to five bytes, every second byte a word, and the counts.
pub const ROWS_MAX: usize = 5 * (HOST_BYTES + 2) + 5 * (REST_BYTES + 1) + (HOST_BYTES + REST_BYTES) / 2 + 2 + count::NAMES.len() + 8;

/// Which grams a model looks at, and how many rows they are hashed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Rows from `HASHED` on, as a power of two: 8 to 20.
    pub bits: u32,
    /// Bit `n` is set where grams of `n` bytes of the host are used, 1 to 5.
    pub host: u8,
    /// The same of the rest.
    pub rest: u8,
}

impl Spec {
    /// Of no text: for models whose rows a client finds.
    pub const NONE: Self = Self { bits: 0, host: 0, rest: 0 };

    /// Grams of these lengths; none where a length or the number of bits is out of range.
    pub fn new(bits: u32, host: &[usize], rest: &[usize]) -> Option<Self> {
        let lengths = |lengths: &[usize]| lengths.iter().try_fold(0u8, |set, &length| (1..=5).contains(&length).then(|| set | 1 << length));
        Some(Self { bits: Some(bits).filter(|bits| (8..=20).contains(bits))?, host: lengths(host)?, rest: lengths(rest)? })
    }

    /// All rows.
    pub fn rows(self) -> usize {
        HASHED as usize + (1 << self.bits)
    }
}

/// The rows of one text.
#[derive(Clone, Debug)]
pub struct Rows {
    rows: [u32; ROWS_MAX],
    count: usize,
}

impl Default for Rows {
    fn default() -> Self {
        Self { rows: [0; ROWS_MAX], count: 0 }
    }
}

impl Rows {
    /// As they are now.
    #[inline]
    pub fn as_slice(&self) -> &[u32] {
        &self.rows[..self.count.min(ROWS_MAX)]
    }

    #[inline(always)]
    fn push(&mut self, row: u32) {
        if let Some(place) = self.rows.get_mut(self.count) {
            *place = row;
            self.count += 1;
        }
    }

    /// Room for `count` more, which the caller fills.
    #[inline(always)]
    fn extend(&mut self, count: usize) -> &mut [u32] {
        let from = self.count;
        self.count = (from + count).min(ROWS_MAX);
        &mut self.rows[from..self.count]
    }
}

/// What a gram or word is multiplied with, by its section and its length or role.
#[derive(Clone, Copy)]
enum Of {
    Host = 0,
    Rest = 8,
}

/// Odd numbers, each made of the one before: two sections, lengths 1 to 8, of which 6 to 8 are roles of words.
const MULTIPLIERS: [u32; 16] = {
    let (mut value, mut table, mut at) = (0x7FEB_352Du32, [0; 16], 0);
    while at < 16 {
        value = value.wrapping_mul(0x2C1B_3C6D).wrapping_add(0x297A_2D38);
        table[at] = value | 1;
        at += 1;
    }
    table
};
const LABEL: u32 = MULTIPLIERS[Of::Host as usize + 5];
const LAST_TWO: u32 = MULTIPLIERS[Of::Host as usize + 6];
const LAST_THREE: u32 = MULTIPLIERS[Of::Host as usize + 7];
const PATH_WORD: u32 = MULTIPLIERS[Of::Rest as usize + 5];

/// The rows of one text: its canonical host, and what follows the slash after it (nothing for a host alone).
#[inline(always)]
pub fn extract(spec: Spec, host: &[u8], rest: &[u8], rows: &mut Rows) {
    rows.count = 0;
    let host_section = Section::<{ HOST_BYTES + 2 + section::PAD }>::of_host(host);
    let rest_section = Section::<{ REST_BYTES + 1 + section::PAD }>::of_rest(rest);
    host_section.grams(spec.host, Of::Host, spec.bits, rows);
    rest_section.grams(spec.rest, Of::Rest, spec.bits, rows);
    let counts = count::counts(host, rest, &host_section, &rest_section, spec.bits, rows);
    for (at, count) in counts.into_iter().enumerate() {
        rows.push(1 + at as u32 * BUCKETS + count::bucket(count));
    }
}

/// The same of a text as the trainer writes it: `host/path?query`, or `host/`.
pub fn extract_text(spec: Spec, text: &[u8], rows: &mut Rows) {
    let slash = text.iter().position(|&byte| byte == b'/').unwrap_or(text.len());
    extract(spec, &text[..slash], text.get(slash + 1..).unwrap_or_default(), rows);
}
