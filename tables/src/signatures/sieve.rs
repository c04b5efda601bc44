//! Which texts can hold no signature, decided at a fraction of an automaton's price.
//!
//! ```text
//! signature    /panel/gate-7x.php          its rarest stretch, at every shift of the stride:
//! grams                gate-7 ate-7x te-7x. e-7x.p         6 bytes each, 4 of them
//! text         h.test/panel/gate-7x.php    one gram every 4 bytes: one of them is one of the four, wherever the signature stands
//!              h.test  test/p  /panel …    ──► bit of a small map ──► if set: fingerprint in a table ──► if there: admitted
//! ```
//! Two levels: signatures of 9 bytes and more by grams of 6 bytes every 4 bytes; shorter ones by grams of 4 bytes at every or every other byte.
//! Letters are compared without case by setting bit 5 of every byte: different bytes may fall together, equal ones never part, so
//! `false` is certain. Portable: eight bytes at a time in a register, the map in the first or second cache.

/// Signatures at least this long go by long grams: GRAM + STRIDE - 1.
const LONG_BYTES: usize = 9;
/// Texts are followed by this many bytes that may be read.
const WORD: usize = 8;
/// Bit 5 of each byte: what lower and upper case differ in.
const FOLD: u64 = 0x2020_2020_2020_2020;

/// All signatures of a snapshot, as grams.
pub(crate) struct Sieve {
    long: Option<Level>,
    short: Option<Level>,
}

impl Sieve {
    pub(crate) fn new<'t>(texts: impl Iterator<Item = &'t [u8]>) -> Self {
        let (long, short): (Vec<&[u8]>, Vec<&[u8]>) = texts.partition(|text| text.len() >= LONG_BYTES);
        Self { long: Level::new(&long, 6), short: Level::new(&short, 4) }
    }

    /// `false`: no signature stands in the text. `padded` ends with eight more bytes.
    #[inline]
    pub(crate) fn admits(&self, padded: &[u8]) -> bool {
        self.long.as_ref().is_some_and(|level| level.admits(padded)) || self.short.as_ref().is_some_and(|level| level.admits(padded))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        [&self.long, &self.short].into_iter().flatten().map(|level| level.map.len() * 8 + level.prints.len() * 2).sum()
    }
}

/// Signatures of similar length.
struct Level {
    /// Of a gram.
    mask: u64,
    stride: usize,
    /// One bit for each value of a gram's upper hash bits.
    map: Vec<u64>,
    map_shift: u32,
    /// Open addressing, 0 is empty; at most half full.
    prints: Vec<u16>,
    prints_shift: u32,
}

impl Level {
    fn new(texts: &[&[u8]], gram: usize) -> Option<Self> {
        let shortest = texts.iter().map(|text| text.len()).min()?;
        // One gram of each signature must fall on the stride: it needs gram + stride - 1 bytes.
        let stride = [4, 2, 1].into_iter().find(|stride| gram + stride - 1 <= shortest)?;
        let mask = u64::MAX >> (64 - 8 * gram);
        let mut grams: Vec<u64> = Vec::with_capacity(texts.len() * stride);
        for text in texts {
            let at = rarest(text, gram + stride - 1);
            grams.extend((at..at + stride).map(|at| folded(&text[at..at + gram]) & mask));
        }
        grams.sort_unstable();
        grams.dedup();
        let map_bits = (grams.len() * 16).next_power_of_two().clamp(1 << 12, 1 << 23);
        let slots = (grams.len() * 2).next_power_of_two().max(16);
        let mut level = Self {
            mask,
            stride,
            map: vec![0; map_bits / 64],
            map_shift: u64::BITS - map_bits.ilog2(),
            prints: vec![0; slots],
            prints_shift: u64::BITS - slots.ilog2(),
        };
        grams.iter().for_each(|gram| level.insert(*gram));
        Some(level)
    }

    fn insert(&mut self, gram: u64) {
        let hash = gram.wrapping_mul(MAP_FACTOR);
        let bit = (hash >> self.map_shift) as usize;
        self.map[bit / 64] |= 1 << (bit % 64);
        let (mut slot, print) = self.print(gram);
        while self.prints[slot] != 0 && self.prints[slot] != print {
            slot = (slot + 1) % self.prints.len();
        }
        self.prints[slot] = print;
    }

    #[inline]
    fn print(&self, gram: u64) -> (usize, u16) {
        let product = u128::from(gram ^ PRINT_SALT) * u128::from(PRINT_FACTOR);
        let mixed = (product >> 64) as u64 ^ product as u64;
        ((mixed >> self.prints_shift) as usize, mixed as u16 | 1)
    }

    /// Eight grams at a time: their bits of the map are fetched without a branch, and only if one is set are they looked at.
    #[inline]
    fn admits(&self, padded: &[u8]) -> bool {
        match self.stride {
            4 => self.admits_by::<4>(padded),
            2 => self.admits_by::<2>(padded),
            _ => self.admits_by::<1>(padded),
        }
    }

    #[inline]
    fn admits_by<const STRIDE: usize>(&self, padded: &[u8]) -> bool {
        const GRAMS: usize = 8;
        let mut rest = padded;
        while rest.len() >= GRAMS * STRIDE + WORD {
            let mut set = 0;
            for step in 0..GRAMS {
                set |= self.bit(word(&rest[step * STRIDE..])) << step;
            }
            if set != 0 && self.holds_one(rest, set, STRIDE) {
                return true;
            }
            rest = &rest[GRAMS * STRIDE..];
        }
        let (mut set, mut step) = (0, 0);
        while (step * STRIDE + WORD) < rest.len() {
            set |= self.bit(word(&rest[step * STRIDE..])) << step;
            step += 1;
        }
        set != 0 && self.holds_one(rest, set, STRIDE)
    }

    #[inline]
    fn bit(&self, word: u64) -> u64 {
        let hash = ((word | FOLD) & self.mask).wrapping_mul(MAP_FACTOR);
        let bit = (hash >> self.map_shift) as usize;
        // The map has a power of two words; the mask is what shows it to the compiler.
        self.map[(bit / 64) & (self.map.len() - 1)] >> (bit % 64) & 1
    }

    /// Whether one of the grams whose bits are in `set` is known.
    #[inline(never)]
    fn holds_one(&self, text: &[u8], mut set: u64, stride: usize) -> bool {
        while set != 0 {
            let at = set.trailing_zeros() as usize * stride;
            set &= set - 1;
            let (mut slot, print) = self.print((word(&text[at..]) | FOLD) & self.mask);
            while self.prints[slot] != 0 {
                if self.prints[slot] == print {
                    return true;
                }
                slot = (slot + 1) % self.prints.len();
            }
        }
        false
    }
}

/// The fraction of the golden ratio; only upper bits of the product are used (Knuth, multiplicative hashing).
const MAP_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Any odd number that is not the other one.
const PRINT_FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;
const PRINT_SALT: u64 = 0x2127_599B_F432_5C37;

#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<WORD>().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Up to eight bytes as a text's are read.
fn folded(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word) | FOLD
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
        [text.as_bytes(), &[0; WORD]].concat()
    }

    #[test]
    fn a_text_that_holds_a_signature_is_always_admitted() {
        for length in 4..40 {
            let signature: String = (0..length).map(|at| char::from(b'a' + (at * 7 % 26) as u8)).collect();
            for others in [&[][..], &["abcd", "0123456789abcdef"][..]] {
                let sieve = Sieve::new(others.iter().map(|text| text.as_bytes()).chain([signature.as_bytes()]));
                for before in 0..70 {
                    for after in [0, 1, 3, 9, 40] {
                        let text = format!("{}{}{}", "-".repeat(before), signature.to_uppercase(), "=".repeat(after));
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
