//! Which texts can hold no signature, decided at a fraction of an automaton's price.
//!
//! ```text
//! signature    /panel/gate-7x.php          its rarest stretch, at every shift of the stride:
//! grams                gate-7 ate-7x te-7x. e-7x.p         6 bytes each, 4 of them
//! text         h.test/panel/gate-7x.php    one gram every 4 bytes: one of them is one of the four, wherever the signature stands
//!              h.test  test/p  /panel …    ──► two bits of a small map ──► fingerprint in a table ──► the whole signature, compared ──► admitted
//! ```
//! Two levels: signatures of 9 bytes and more by grams of 6 bytes every 4 bytes; shorter ones by grams of 4 bytes every 2 bytes.
//! Signatures and texts are in lower case when they come here, so grams are compared as they are and `false` is certain. Portable: eight
//! bytes at a time in a register, the map in the first or second cache. Where many signatures share their rarest gram they are not compared
//! but admitted: the automaton is what bounds the work, whoever chose them.

use verdict_keys::Text;

/// Bytes after a text that may be read.
const PAD: usize = Text::PAD;
/// Signatures at least this long go by long grams: GRAM + STRIDE - 1.
const LONG_BYTES: usize = 9;
/// Bytes loaded at once.
const WORD: usize = 8;
/// Grams looked at together.
const GRAMS: usize = 8;
const _: () = assert!(PAD >= GRAMS * 4 + WORD);

/// All signatures of a snapshot, as grams.
pub(crate) struct Sieve {
    long: Option<Level>,
    short: Option<Level>,
    /// All texts in order, in lower case, and where each begins; one more at the end.
    texts: Vec<u8>,
    starts: Vec<u32>,
}

impl Sieve {
    pub(crate) fn new<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Self {
        let mut sieve = Self { long: None, short: None, texts: Vec::new(), starts: vec![0] };
        for text in texts {
            sieve.texts.extend_from_slice(text);
            sieve.starts.push(sieve.texts.len() as u32);
        }
        let is_long = |number: &u32| sieve.text(*number).len() >= LONG_BYTES;
        let (long, short): (Vec<u32>, Vec<u32>) = (0..sieve.starts.len() as u32 - 1).partition(is_long);
        (sieve.long, sieve.short) = (Level::new(&sieve, &long, 6), Level::new(&sieve, &short, 4));
        sieve
    }

    /// `false`: no signature stands in the text. `padded` ends with [`PAD`] more bytes.
    #[inline(always)]
    pub(crate) fn admits(&self, padded: &[u8]) -> bool {
        self.long.as_ref().is_some_and(|level| level.admits(self, padded))
            || self.short.as_ref().is_some_and(|level| level.admits(self, padded))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let levels = [&self.long, &self.short].into_iter().flatten().map(|level| level.map.len() * 8 + level.prints.len() * 8);
        levels.sum::<usize>() + self.texts.len() + self.starts.len() * 4
    }

    fn text(&self, number: u32) -> &[u8] {
        &self.texts[self.starts[number as usize] as usize..self.starts[number as usize + 1] as usize]
    }
}

/// Signatures of similar length.
struct Level {
    /// Of a gram.
    mask: u64,
    stride: usize,
    /// Two bits for each gram, in one word.
    map: Vec<u64>,
    map_shift: u32,
    /// Open addressing, at most half full.
    prints: Vec<Print>,
    prints_shift: u32,
}

/// A gram, and whose it is.
#[derive(Clone, Copy, Default)]
struct Print {
    /// Of the gram's hash; 0 is an empty slot.
    print: u16,
    /// Where the gram stands in the text; [`ANYWHERE`] where too many texts share it, which are then all admitted.
    offset: u16,
    text: u32,
}

const ANYWHERE: u16 = u16::MAX;
/// Texts that share a gram and are compared one after the other.
const SHARED_MAX: usize = 8;

impl Level {
    fn new(sieve: &Sieve, numbers: &[u32], gram: usize) -> Option<Self> {
        let shortest = numbers.iter().map(|number| sieve.text(*number).len()).min()?;
        // One gram of each signature must fall on the stride: it needs gram + stride - 1 bytes.
        let stride = [4, 2, 1].into_iter().find(|stride| gram + stride - 1 <= shortest)?;
        let grams = numbers.len() * stride;
        // 64 to 128 bits a gram, two of them set: of grams that are in no signature, one in some thousand finds both.
        let words = grams.next_power_of_two().clamp(1 << 6, 1 << 16);
        let slots = (grams * 2).next_power_of_two().max(16);
        let mut level = Self {
            mask: u64::MAX >> (64 - 8 * gram),
            stride,
            map: vec![0; words],
            map_shift: u64::BITS - words.ilog2(),
            prints: vec![Print::default(); slots],
            prints_shift: u64::BITS - slots.ilog2(),
        };
        for number in numbers {
            let text = sieve.text(*number);
            let at = rarest(text, gram + stride - 1);
            (at..at + stride).for_each(|at| level.insert(folded(&text[at..at + gram]) & level.mask, at as u16, *number));
        }
        Some(level)
    }

    fn insert(&mut self, gram: u64, offset: u16, text: u32) {
        let (word, bits) = self.bits(gram);
        self.map[word] |= bits;
        let (mut slot, print) = self.print(gram);
        let mut shared = 0;
        while self.prints[slot].print != 0 {
            shared += usize::from(self.prints[slot].print == print);
            if shared == SHARED_MAX {
                self.prints[slot].offset = ANYWHERE;
                return;
            }
            slot = (slot + 1) % self.prints.len();
        }
        self.prints[slot] = Print { print, offset, text };
    }

    /// Which word of the map, and which bits of it.
    #[inline(always)]
    fn bits(&self, gram: u64) -> (usize, u64) {
        let hash = gram.wrapping_mul(MAP_FACTOR);
        ((hash >> self.map_shift) as usize, 1 << (hash >> 26 & 63) | 1 << (hash >> 32 & 63))
    }

    #[inline]
    fn print(&self, gram: u64) -> (usize, u16) {
        let product = u128::from(gram ^ PRINT_SALT) * u128::from(PRINT_FACTOR);
        let mixed = (product >> 64) as u64 ^ product as u64;
        ((mixed >> self.prints_shift) as usize, mixed as u16 | 1)
    }

    /// Eight grams at a time: their words of the map are fetched without a branch, and only if one holds both bits are they looked at.
    #[inline(always)]
    fn admits(&self, sieve: &Sieve, padded: &[u8]) -> bool {
        match self.stride {
            4 => self.admits_by::<4>(sieve, padded),
            2 => self.admits_by::<2>(sieve, padded),
            _ => self.admits_by::<1>(sieve, padded),
        }
    }

    #[inline(always)]
    fn admits_by<const STRIDE: usize>(&self, sieve: &Sieve, padded: &[u8]) -> bool {
        let map = self.map.as_slice();
        // It has a power of two words; that there is a last one, and the mask, show the compiler that each is there.
        let Some(last) = map.len().checked_sub(1) else { return false };
        let end = padded.len() - PAD;
        for from in (0..end).step_by(GRAMS * STRIDE) {
            // PAD is as long as a block and a word: the last block of a text ends inside it.
            let block = &padded[from..from + (GRAMS - 1) * STRIDE + WORD];
            let mut set = 0u64;
            for step in 0..GRAMS {
                let (at, bits) = self.bits(word(&block[step * STRIDE..]) & self.mask);
                set |= u64::from(!map[at & last] & bits == 0) << step;
            }
            if set != 0 && self.holds_one(sieve, padded, from, set) {
                return true;
            }
        }
        false
    }

    /// Whether a signature stands around one of the grams whose bits are in `set`.
    #[inline(never)]
    fn holds_one(&self, sieve: &Sieve, padded: &[u8], from: usize, mut set: u64) -> bool {
        while set != 0 {
            let at = from + set.trailing_zeros() as usize * self.stride;
            set &= set - 1;
            let (mut slot, print) = self.print(word(&padded[at..]) & self.mask);
            while self.prints[slot].print != 0 {
                if self.prints[slot].print == print && self.stands(sieve, padded, at, self.prints[slot]) {
                    return true;
                }
                slot = (slot + 1) % self.prints.len();
            }
        }
        false
    }

    /// Whether the text of this gram stands around it.
    fn stands(&self, sieve: &Sieve, padded: &[u8], at: usize, Print { offset, text, .. }: Print) -> bool {
        if offset == ANYWHERE {
            return true;
        }
        let text = sieve.text(text);
        let there = at.checked_sub(offset.into()).and_then(|start| padded[..padded.len() - PAD].get(start..start + text.len()));
        there.is_some_and(|there| there == text)
    }
}

/// The fraction of the golden ratio (Knuth, multiplicative hashing). A gram fills 32 or 48 bits, so bits from 26 on depend on most of it.
const MAP_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Any odd number that is not the other one.
const PRINT_FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;
const PRINT_SALT: u64 = 0x2127_599B_F432_5C37;

#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<WORD>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Up to eight bytes as a text's are read.
fn folded(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Where the stretch of `bytes` begins that ordinary URLs are least likely to hold.
fn rarest(text: &[u8], bytes: usize) -> usize {
    (0..=text.len() - bytes).min_by_key(|at| commonness(&text[*at..*at + bytes])).unwrap_or(0)
}

/// What half of all URLs are made of: a stretch that touches one of these is told by its other bytes only.
const WORDS: [&str; 40] = [
    "http", "www.", ".com", ".net", ".org", ".php", ".html", "index", "login", "admin", "content", "include", "upload", "plugin", "theme",
    "image", "page", "user", "account", "update", "secure", "verify", "service", "view", "news", "blog", "file", "download", "static",
    "assets", "script", "style", "search", "product", "article", "online", "web", "wp-", "/20", "tion",
];

fn commonness(stretch: &[u8]) -> u32 {
    let letters: u32 = stretch.iter().map(|byte| byte_commonness(*byte)).sum();
    let words = WORDS.iter().filter(|word| stretch.windows(word.len()).any(|window| window == word.as_bytes())).count() as u32;
    letters + 12 * words
}

/// About the logarithm of a byte's share in URLs.
fn byte_commonness(byte: u8) -> u32 {
    match byte {
        b'e' | b'a' | b't' | b'o' | b'i' | b's' | b'/' | b'.' => 8,
        b'n' | b'r' | b'c' | b'l' | b'm' | b'd' | b'-' | b'p' => 7,
        b'h' | b'u' | b'w' | b'g' | b'b' | b'f' => 6,
        b'0'..=b'2' | b'k' | b'v' | b'y' | b'=' | b'?' | b'&' => 5,
        b'3'..=b'9' | b'x' | b'_' | b'%' => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        [text.as_bytes(), &[0; PAD]].concat()
    }

    #[test]
    fn a_text_that_holds_a_signature_is_always_admitted() {
        for length in 5..40 {
            let signature: String = (0..length).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect();
            for others in [&[][..], &["abcde", "0123456789abcdef"][..]] {
                let sieve = Sieve::new(others.iter().map(|text| text.as_bytes()).chain([signature.as_bytes()]));
                for before in 0..70 {
                    for after in [0, 1, 3, 9, 40] {
                        let text = format!("{}{}{}", "-".repeat(before), signature, "=".repeat(after));
                        assert!(sieve.admits(&padded(&text)), "{signature} after {before}, before {after}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_text_without_a_piece_of_any_signature_is_not_admitted() {
        let sieve = Sieve::new(["/qx7-zgate.php", "kjzxqv"].map(str::as_bytes).into_iter());
        for text in ["", "a", "www.example.com/index.html", &"abcdefgh".repeat(1000)] {
            assert!(!sieve.admits(&padded(text)), "{text}");
        }
    }

    #[test]
    fn the_rarest_stretch_avoids_what_all_urls_have() {
        assert!(rarest(b"/index.php?qz7jx=", 6) >= 10);
        assert!((2..=4).contains(&rarest(b"www.xqzk-vj.com", 9)));
    }
}
