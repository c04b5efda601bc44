//! The backend of every machine: integer arithmetic, no unsafe. Short enough to be believed, and still a real backend.
//!
//! Per block of the hash: one Karatsuba product (96 integer multiplications) and one reduction.

use crate::{
    BLOCK_BYTES, Backend, Bucket, Domain, GROUP, HASHES, Hash128, HashSchedule, Key128, UrlBlock, WithBackend, door,
    field::{dot, reduce, wide},
    hash::PAD,
    probe::{bucket, word},
    seal,
};

/// Runs everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Portable(());

impl Portable {
    /// Needs nothing of the machine.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for Portable {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for Portable {
    fn name(self) -> &'static str {
        "portable"
    }

    #[inline]
    fn run<W: WithBackend>(self, work: W) -> W::Output {
        work.run(self)
    }

    fn classify_block(self, bytes: &[u8], at: usize) -> UrlBlock {
        let mut masks = [0; 8];
        for (i, &byte) in bytes[at..].iter().take(64).enumerate() {
            let class = CLASS[byte as usize] as u64;
            for (bit, mask) in masks.iter_mut().enumerate() {
                *mask |= (class >> bit & 1) << i;
            }
        }
        let [slash, dot, question, hash, percent, delimiter, upper, odd] = masks;
        UrlBlock { slash, dot, question, hash, percent, delimiter, upper, odd }
    }

    fn hash(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8]) -> Hash128 {
        let read: Read = if matches!(domain, Domain::Host) { from_right } else { from_left };
        let mut state = schedule.start(domain);
        for block in 0..bytes.len() / BLOCK_BYTES {
            state = dot(state ^ read(bytes, block), schedule.powers[0]);
        }
        let tail = padded(read(bytes, bytes.len() / BLOCK_BYTES), bytes.len() % BLOCK_BYTES);
        Hash128::from_element(dot(state ^ tail, schedule.powers[0]))
    }

    fn hash_lengths(self, schedule: &HashSchedule, domain: Domain, text: &[u8], lengths: &[u32], hashes: &mut [Hash128; HASHES]) {
        door::lengths(lengths.len());
        let read: Read = if matches!(domain, Domain::Host) { from_right } else { from_left };
        let lengths = lengths.iter().map(|&length| text.len().min(length as usize));
        checkpoints(schedule, domain, text, read, lengths.zip(hashes).rev());
    }

    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        door::pair(paths.len(), keys.len());
        let host = reduce(wide(host.element(), schedule.k));
        for (path, key) in paths.iter().zip(keys) {
            *key = seal(Hash128::from_element(host ^ path.element()));
        }
    }

    fn probe(self, buckets: &[Bucket], at: &[u64; GROUP], tags: &[u64; GROUP], hits: &mut [u8; GROUP], words: &mut [u32; GROUP]) {
        for lane in 0..GROUP {
            let bucket = bucket(buckets, at[lane]);
            hits[lane] = (0..bucket.tags.len()).fold(0, |hits, slot| hits | ((bucket.tags[slot] == tags[lane]) as u8) << slot);
            words[lane] = word(bucket, hits[lane]);
        }
    }
}

/// The `block`-th 16 bytes of the message, zeros past its end.
type Read = fn(bytes: &[u8], block: usize) -> u128;

fn from_left(bytes: &[u8], block: usize) -> u128 {
    let rest = &bytes[block * BLOCK_BYTES..];
    let mut element = [0; BLOCK_BYTES];
    let taken = rest.len().min(BLOCK_BYTES);
    element[..taken].copy_from_slice(&rest[..taken]);
    u128::from_le_bytes(element)
}

/// Last byte first: the bytes before `right`, as a big-endian number.
fn from_right(bytes: &[u8], block: usize) -> u128 {
    let right = bytes.len() - block * BLOCK_BYTES;
    let mut element = [0; BLOCK_BYTES];
    let taken = right.min(BLOCK_BYTES);
    element[BLOCK_BYTES - taken..].copy_from_slice(&bytes[right - taken..right]);
    // Big-endian puts the last byte lowest; a short block leaves zeros in the places of the bytes that would come before.
    u128::from_be_bytes(element)
}

/// Keeps `length` < 16 bytes of a block and pads.
fn padded(block: u128, length: usize) -> u128 {
    let end = 8 * length;
    block & ((1 << end) - 1) | PAD << end
}

/// Each message is that many bytes of the read order. Lengths that ascend cost one pass; where one is shorter than the one before, it begins anew.
fn checkpoints<'a>(
    schedule: &HashSchedule,
    domain: Domain,
    bytes: &[u8],
    read: Read,
    wanted: impl Iterator<Item = (usize, &'a mut Hash128)>,
) {
    let h = schedule.powers[0];
    let (mut state, mut block, mut element) = (schedule.start(domain), 0, read(bytes, 0));
    for (length, hash) in wanted {
        if block > length / BLOCK_BYTES {
            (state, block, element) = (schedule.start(domain), 0, read(bytes, 0));
        }
        while block < length / BLOCK_BYTES {
            state = dot(state ^ element, h);
            block += 1;
            element = read(bytes, block);
        }
        *hash = Hash128::from_element(dot(state ^ padded(element, length % BLOCK_BYTES), h));
    }
}

/// Class bit of each byte value, in the order of `UrlBlock`'s fields; no byte has two.
pub(crate) static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'/' => 1 << 0,
            b'.' => 1 << 1,
            b'?' => 1 << 2,
            b'#' => 1 << 3,
            b'%' => 1 << 4,
            b':' | b'@' | b'[' | b']' => 1 << 5,
            b'A'..=b'Z' => 1 << 6,
            0x00..=0x20 | 0x7f..=0xff | b'\\' => 1 << 7,
            _ => 0,
        };
        byte += 1;
    }
    class
};
