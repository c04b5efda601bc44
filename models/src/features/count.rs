//! What is counted of a text, in the order of the rows, and the words that are found while counting.
//!
//! Classes of bytes are counted eight at a time in one register: `TABLE[byte]` has a one in each of its bytes whose class the byte is of. A section has
//! at most 98 bytes, so none of the eight overflows.

use super::section::Section;
use super::{BUCKETS, LABEL, LAST_THREE, LAST_TWO, PATH_WORD, Rows};

/// The counts, in the order of their rows.
pub const NAMES: [&str; 24] = [
    "host_bytes",
    "labels",
    "longest_label",
    "host_digits",
    "host_hyphens",
    "host_vowels",
    "host_consonant_run",
    "host_distinct",
    "digit_letter_turns",
    "first_label_bytes",
    "address",
    "path_bytes",
    "query_bytes",
    "slashes",
    "rest_digits",
    "rest_upper",
    "rest_escapes",
    "rest_equals",
    "rest_dots",
    "rest_hyphens",
    "longest_word",
    "words",
    "rest_distinct",
    "last_label_bytes",
];

/// A count is in the bucket of the last edge that it reaches.
const EDGES: [u8; 15] = [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 29, 40, 60, 100];

const BUCKET: [u8; 256] = {
    let (mut table, mut count) = ([0; 256], 0);
    while count < 256 {
        let mut edge = 0;
        while edge < EDGES.len() {
            table[count] += (EDGES[edge] as usize <= count) as u8;
            edge += 1;
        }
        count += 1;
    }
    table
};

const _: () = assert!(EDGES.len() + 1 == BUCKETS as usize && NAMES.len() * (BUCKETS as usize) < super::HASHED as usize);

/// The bucket of a count.
#[inline(always)]
pub fn bucket(count: usize) -> u32 {
    BUCKET[count.min(255)].into()
}

/// Places of the classes in a register, and as bits of `CLASS`.
const DIGIT: u32 = 0;
const LETTER: u32 = 1;
const VOWEL: u32 = 2;
const UPPER: u32 = 3;
const SLASH: u32 = 4;
const ESCAPE: u32 = 5;
const EQUALS: u32 = 6;
const DOT: u32 = 7;

const fn class(byte: u8) -> u8 {
    let lower = byte | 0x20;
    let mut class = 0;
    class |= (byte.is_ascii_digit() as u8) << DIGIT;
    class |= (lower.is_ascii_lowercase() as u8) << LETTER;
    class |= (matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u') as u8) << VOWEL;
    class |= (byte.is_ascii_uppercase() as u8) << UPPER;
    class |= ((byte == b'/') as u8) << SLASH;
    class |= ((byte == b'%') as u8) << ESCAPE;
    class |= ((byte == b'=') as u8) << EQUALS;
    class | ((byte == b'.') as u8) << DOT
}

const CLASS: [u8; 256] = {
    let (mut table, mut byte) = ([0; 256], 0);
    while byte < 256 {
        table[byte] = class(byte as u8);
        byte += 1;
    }
    table
};

/// Each bit of the class in a byte of its own.
const TABLE: [u64; 256] = {
    let (mut table, mut byte) = ([0u64; 256], 0);
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            table[byte] |= ((CLASS[byte] as u64 >> bit) & 1) << (8 * bit);
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// What one pass over a section finds.
#[derive(Default)]
struct Seen {
    counters: u64,
    hyphens: usize,
    underscores: usize,
    present: [u64; 2],
    /// Bit `i` is set where byte `i` is a letter, a digit, ...
    letters: u128,
    digits: u128,
    vowels: u128,
    dots: u128,
}

impl Seen {
    #[inline(always)]
    fn of(bytes: &[u8]) -> Self {
        let mut seen = Self::default();
        for (at, &byte) in bytes.iter().enumerate() {
            seen.counters += TABLE[usize::from(byte)];
            seen.present[usize::from(byte >> 6 & 1)] |= 1 << (byte & 63);
            let class = u128::from(CLASS[usize::from(byte)]);
            seen.digits |= (class >> DIGIT & 1) << at;
            seen.letters |= (class >> LETTER & 1) << at;
            seen.vowels |= (class >> VOWEL & 1) << at;
            seen.dots |= (class >> DOT & 1) << at;
            seen.hyphens += usize::from(byte == b'-');
            seen.underscores += usize::from(byte == b'_');
        }
        seen
    }

    #[inline(always)]
    fn count(&self, class: u32) -> usize {
        (self.counters >> (8 * class) & 0xff) as usize
    }

    #[inline(always)]
    fn distinct(&self) -> usize {
        (self.present[0].count_ones() + self.present[1].count_ones()) as usize
    }
}

/// The next run of set bits at or after `from`.
#[inline(always)]
fn run(mask: u128, from: usize) -> Option<(usize, usize)> {
    let rest = mask.checked_shr(from as u32).filter(|rest| *rest != 0)?;
    let begin = from + rest.trailing_zeros() as usize;
    Some((begin, begin + (mask >> begin).trailing_ones() as usize))
}

#[inline(always)]
fn longest(mut mask: u128) -> usize {
    let mut length = 0;
    while mask != 0 {
        mask &= mask << 1;
        length += 1;
    }
    length
}

/// The counts of a text; rows of its labels and words are pushed.
#[inline(always)]
pub fn counts<const H: usize, const R: usize>(
    host: &[u8],
    rest: &[u8],
    host_section: &Section<H>,
    rest_section: &Section<R>,
    bits: u32,
    rows: &mut Rows,
) -> [usize; NAMES.len()] {
    let in_host = Seen::of(host_section.bytes());
    let in_rest = Seen::of(rest_section.bytes());
    let labels = labels(host_section, in_host.dots, bits, rows);
    let (words, longest_word) = words(rest_section, in_rest.letters | in_rest.digits, bits, rows);
    let turns = in_host.letters & in_host.digits >> 1 | in_host.digits & in_host.letters >> 1;
    let path_bytes = rest.iter().position(|&byte| byte == b'?').unwrap_or(rest.len());
    [
        host.len(),
        labels.count,
        labels.longest,
        in_host.count(DIGIT),
        in_host.hyphens,
        in_host.count(VOWEL),
        longest(in_host.letters & !in_host.vowels),
        in_host.distinct(),
        turns.count_ones() as usize,
        labels.first,
        usize::from(is_address(host)),
        path_bytes,
        rest.len().saturating_sub(path_bytes + 1),
        in_rest.count(SLASH),
        in_rest.count(DIGIT),
        in_rest.count(UPPER),
        in_rest.count(ESCAPE),
        in_rest.count(EQUALS),
        in_rest.count(DOT),
        in_rest.hyphens + in_rest.underscores,
        longest_word,
        words,
        in_rest.distinct(),
        labels.last,
    ]
}

/// `[2001:db8::1]`, or nothing but digits and dots.
fn is_address(host: &[u8]) -> bool {
    let numeric = |&byte: &u8| byte == b'.' || byte.is_ascii_digit();
    host.first() == Some(&b'[') || host.iter().all(numeric) && host.iter().any(u8::is_ascii_digit)
}

#[derive(Default)]
struct Labels {
    count: usize,
    longest: usize,
    first: usize,
    last: usize,
}

#[inline(always)]
fn labels<const N: usize>(section: &Section<N>, dots: u128, bits: u32, rows: &mut Rows) -> Labels {
    let end = section.bytes().len() - 1;
    let mask = !dots & ((1 << end) - 1);
    let mut found = Labels::default();
    // Where the last three begin, the last one first.
    let mut begins = [0; 3];
    let mut at = 0;
    while let Some((begin, after)) = run(mask, at) {
        rows.push(section.word(begin, after, LABEL, bits));
        let length = after - begin;
        found.first = if found.count == 0 { length } else { found.first };
        found.last = length;
        found.longest = found.longest.max(length);
        found.count += 1;
        begins = [begin, begins[0], begins[1]];
        at = after;
    }
    if found.count >= 2 {
        rows.push(section.word(begins[1], end, LAST_TWO, bits));
    }
    if found.count >= 3 {
        rows.push(section.word(begins[2], end, LAST_THREE, bits));
    }
    found
}

#[inline(always)]
fn words<const N: usize>(section: &Section<N>, mask: u128, bits: u32, rows: &mut Rows) -> (usize, usize) {
    let (mut count, mut most, mut at) = (0, 0, 0);
    while let Some((begin, after)) = run(mask, at) {
        rows.push(section.word(begin, after, PATH_WORD, bits));
        count += 1;
        most = most.max(after - begin);
        at = after;
    }
    (count, most)
}
