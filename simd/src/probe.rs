//! What a probe of a bucket means, for all backends: hits, the word behind them, and what the two say together.
//!
//! ```text
//! a bucket      tag 0 .. tag 4 │ ref 0 .. ref 4 │ away       one cache line
//! probe         tag == tags?  ─► hits, a bit a slot; the word: the ref of the lowest hit, away where there is none
//! settle        hits, word    ─► the ref  │  SEVERAL  │  0; and a bit for those that are absent here and perhaps away
//! ```
//! Two steps, because between them lies time: a vector that is loaded over narrow stores waits until they have left the core, and they
//! wait for every prefetch before them (perf/investigations/probe.md). So hits are stored as they come, and read a chunk later.

use crate::Bucket;

/// Keys that one probe takes: the 64-bit lanes of the widest register.
pub const GROUP: usize = 8;
/// Keys that are settled together: a bit each in a `u64`.
pub const CHUNK: usize = 64;
/// Instead of a ref: more than one slot, or an empty one, has this tag.
pub const SEVERAL: u32 = 1 << 30;
/// Bytes of a bucket.
const LINE: u64 = size_of::<Bucket>() as u64;

/// The bits that an entry sets in its home's `away` when it is kept elsewhere.
#[inline(always)]
pub const fn away_bits(tag: u64) -> u32 {
    1 << (tag & 31) | 1 << (tag >> 5 & 31)
}

/// The bucket at a byte offset, which must be a multiple of 64.
#[inline(always)]
pub(crate) fn bucket(buckets: &[Bucket], at: u64) -> &Bucket {
    // What is no multiple becomes a number beyond all buckets.
    &buckets[at.rotate_right(LINE.trailing_zeros()) as usize]
}

/// The ref of the lowest hit; `away` where there is none.
#[inline(always)]
pub(crate) fn word(bucket: &Bucket, hits: u8) -> u32 {
    // Slot 5 stands for none: the words behind the tags are one array.
    let words: &[u32; 16] = bytemuck::cast_ref(bucket);
    words[10 + (u32::from(hits) & 31 | 1 << 5).trailing_zeros() as usize]
}

const _: () = assert!(std::mem::offset_of!(Bucket, refs) == 40 && std::mem::offset_of!(Bucket, away) == 60);

/// `Backend::settle` in plain loops, of 32-bit lanes and without branches.
#[inline(always)]
pub(crate) fn settle(tags: &[u64], hits: &[u8], words: &mut [u32]) -> u64 {
    let mut open = 0;
    let groups = tags.as_chunks::<GROUP>().0.iter().zip(hits.as_chunks::<GROUP>().0).zip(words.as_chunks_mut::<GROUP>().0);
    for (group, ((tags, hits), words)) in groups.enumerate() {
        let (tags, hits) = (tags.map(|tag| tag as u32), hits.map(|hits| u32::from(hits & 31)));
        let mut away = [0; GROUP];
        for lane in 0..GROUP {
            let wanted = 1 << (tags[lane] & 31) | 1 << (tags[lane] >> 5 & 31);
            away[lane] = if (hits[lane] == 0) & (words[lane] & wanted == wanted) { 1u32 << lane } else { 0 };
        }
        for lane in 0..GROUP {
            words[lane] = found(hits[lane], words[lane]);
        }
        open |= u64::from(away.iter().sum::<u32>()) << (group * GROUP);
    }
    open
}

/// The ref that one probe found: 0 where no slot has the key, `SEVERAL` where more than one or an empty one has it.
#[inline(always)]
const fn found(hits: u32, word: u32) -> u32 {
    let several = (hits & hits.wrapping_sub(1) != 0) | (word == 0);
    let present = if several { SEVERAL } else { word };
    if hits == 0 { 0 } else { present }
}

/// `Backend::places` in a loop.
#[inline(always)]
pub(crate) fn places(mut bits: u64) -> [u8; CHUNK] {
    let mut places = [bits.trailing_zeros() as u8 % CHUNK as u8; CHUNK];
    let mut count = 0;
    while bits != 0 {
        places[count % CHUNK] = bits.trailing_zeros() as u8;
        bits &= bits - 1;
        count += 1;
    }
    places
}
