//! The backend of every machine: integer arithmetic, no unsafe. Short enough to be believed, and still a real backend.
//!
//! Per block of the hash: one Karatsuba product (96 integer multiplications) and one reduction.

use crate::{
    BLOCK_BYTES, Backend, Bucket, Domain, Hash128, HashSchedule, Key128, UrlBlock, door,
    field::{dot, reduce, wide},
    hash::PAD,
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

    fn classify_url(self, bytes: &[u8], blocks: &mut [UrlBlock]) {
        door::classify(bytes.len(), blocks.len());
        for (bytes, block) in bytes.chunks(64).zip(blocks) {
            *block = UrlBlock::default();
            for (i, &byte) in bytes.iter().enumerate() {
                let class = CLASS[byte as usize] as u64;
                block.slash |= (class & 1) << i;
                block.dot |= (class >> 1 & 1) << i;
                block.delimiter |= (class >> 2 & 1) << i;
                block.upper |= (class >> 3 & 1) << i;
                block.odd |= (class >> 4 & 1) << i;
            }
        }
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

    fn hash_prefixes(self, schedule: &HashSchedule, domain: Domain, bytes: &[u8], ends: &[u32], hashes: &mut [Hash128]) {
        door::prefixes(domain, bytes, ends, hashes);
        let lengths = ends.iter().map(|&end| end as usize);
        checkpoints(schedule, domain, bytes, from_left, lengths.zip(hashes));
    }

    fn hash_host_suffixes(self, schedule: &HashSchedule, bytes: &[u8], starts: &[u32], hashes: &mut [Hash128]) {
        door::suffixes(bytes, starts, hashes);
        let lengths = starts.iter().map(|&start| bytes.len() - start as usize);
        checkpoints(schedule, Domain::Host, bytes, from_right, lengths.zip(hashes));
    }

    fn pair(self, schedule: &HashSchedule, host: Hash128, paths: &[Hash128], keys: &mut [Key128]) {
        door::pair(paths.len(), keys.len());
        let host = reduce(wide(host.element(), schedule.k));
        for (path, key) in paths.iter().zip(keys) {
            *key = seal(Hash128::from_element(host ^ path.element()));
        }
    }

    fn probe(self, buckets: &[Bucket], at: &[u32], tags: &[u64], hits: &mut [u8]) {
        door::probe(at.len(), tags.len(), hits.len());
        for ((&at, &tag), hits) in at.iter().zip(tags).zip(hits) {
            let slots = &buckets[at as usize].tags;
            *hits = (0..slots.len()).fold(0, |hits, slot| hits | ((slots[slot] == tag) as u8) << slot);
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

/// Lengths ascend; each message is that many bytes of the read order.
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
        while block < length / BLOCK_BYTES {
            state = dot(state ^ element, h);
            block += 1;
            element = read(bytes, block);
        }
        *hash = Hash128::from_element(dot(state ^ padded(element, length % BLOCK_BYTES), h));
    }
}

/// Class bits of each byte value: 0 slash, 1 dot, 2 delimiter, 3 upper, 4 odd.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'/' => 1 << 0,
            b'.' => 1 << 1,
            b':' | b'@' | b'?' | b'#' | b'[' | b']' => 1 << 2,
            b'A'..=b'Z' => 1 << 3,
            0x00..=0x20 | 0x7f..=0xff | b'%' | b'\\' => 1 << 4,
            _ => 0,
        };
        byte += 1;
    }
    class
};
