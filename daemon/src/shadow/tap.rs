//! The shard's side: which keys are taken, and the queue that they leave by. No lock, no allocation, no waiting.
//!
//! A key is copied when its request is read, because the bytes are gone when its answer is final; the answer's first byte is added then. Keys are taken by chance
//! and not by count: clients whose frames have 64 keys each would be sampled at one place of them for ever.

use crate::metrics::ShardMetrics;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use verdict_keys::Kind;
use verdict_tables::Verdict;

/// Longer keys are not taken.
pub const KEY_BYTES: usize = 512;
/// Keys that wait for the thread, of one shard: half a megabyte.
pub const QUEUE: usize = 1024;
/// Keys that are taken in one turn.
const TURN_MAX: usize = 256;

/// A key and what was answered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Of the key.
    pub kind: Kind,
    /// First byte of the answer: status and class.
    pub outcome: u8,
    length: u16,
    bytes: [u8; KEY_BYTES],
}

impl Asked {
    /// The key as it was asked.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// From one shard to the thread.
#[derive(Debug)]
pub struct Feed {
    queue: ArrayQueue<Asked>,
    wanted: AtomicBool,
}

impl Feed {
    /// For so many keys, less one.
    pub fn new(places: usize) -> Self {
        Feed { queue: ArrayQueue::new(places), wanted: AtomicBool::new(false) }
    }

    /// Whether there is anything to be asked.
    pub fn want(&self, wanted: bool) {
        self.wanted.store(wanted, Relaxed);
    }

    /// The next; called by one thread only.
    pub fn take(&self) -> Option<Asked> {
        self.queue.pop()
    }

    /// False when full. Called by one shard only.
    ///
    /// One place always stays free. The queue's `push` spins when the place that it is to fill is still being emptied; whoever empties it runs when nobody else
    /// wants the CPU, so a shard that spun there could keep it from ever coming to its end. With one on either side that place is the last free one.
    #[inline]
    fn give(&self, asked: Asked) -> bool {
        self.queue.len() + 1 < self.queue.capacity() && self.queue.push(asked).is_ok()
    }
}

/// What one shard takes along in its turns.
pub struct Tap {
    feed: Arc<Feed>,
    one_in: u32,
    /// Keys that are passed by before the next is taken.
    gap: usize,
    random: u64,
    /// Of this turn: which item, and its key.
    taken: Vec<(usize, Asked)>,
}

impl Tap {
    /// One key of so many goes to this feed.
    pub fn new(feed: Arc<Feed>, one_in: u32, shard: usize) -> Self {
        let random = (shard as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut tap = Tap { feed, one_in: one_in.max(1), gap: 0, random, taken: Vec::with_capacity(TURN_MAX) };
        tap.gap = tap.draw();
        tap
    }

    /// Between 0 and twice the mean, all alike (xorshift64).
    fn draw(&mut self) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let ways = 2 * u64::from(self.one_in) - 1;
        ((self.random >> 32) % ways) as usize
    }

    /// Takes its share of these `count` keys, which are the items of the turn from `first` on. Of a kind that is not known there is nothing to compare.
    #[inline]
    pub fn note<'k>(
        &mut self,
        metrics: &ShardMetrics,
        first: usize,
        count: usize,
        mut keys: impl Iterator<Item = (Option<Kind>, &'k [u8])>,
    ) {
        if !self.feed.wanted.load(Relaxed) {
            return;
        }
        let mut passed = 0;
        while self.gap < count - passed {
            let key = keys.nth(self.gap);
            let item = first + passed + self.gap;
            passed += self.gap + 1;
            self.gap = self.draw();
            if let Some((Some(kind), bytes)) = key {
                self.keep(metrics, item, kind, bytes);
            }
        }
        self.gap -= count - passed;
    }

    fn keep(&mut self, metrics: &ShardMetrics, item: usize, kind: Kind, bytes: &[u8]) {
        if bytes.len() > KEY_BYTES || self.taken.len() == TURN_MAX {
            metrics.shadow_dropped.add(1);
            return;
        }
        let mut asked = Asked { kind, outcome: 0, length: bytes.len() as u16, bytes: [0; KEY_BYTES] };
        asked.bytes[..bytes.len()].copy_from_slice(bytes);
        self.taken.push((item, asked));
    }

    /// The answers of the turn, final.
    #[inline]
    pub fn give(&mut self, metrics: &ShardMetrics, verdicts: &[Verdict]) {
        for (item, mut asked) in self.taken.drain(..) {
            let Some(verdict) = verdicts.get(item) else { continue };
            asked.outcome = verdict.outcome;
            if !self.feed.give(asked) {
                metrics.shadow_dropped.add(1);
            }
        }
    }

    /// Forgets an unfinished turn.
    pub fn clear(&mut self) {
        self.taken.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(one_in: u32, places: usize) -> (Tap, Arc<Feed>, ShardMetrics) {
        let feed = Arc::new(Feed::new(places));
        feed.want(true);
        (Tap::new(feed.clone(), one_in, 0), feed, ShardMetrics::default())
    }

    fn hosts(count: usize) -> impl Iterator<Item = (Option<Kind>, &'static [u8])> {
        (0..count).map(|_| (Some(Kind::Host), b"a.test".as_slice()))
    }

    #[test]
    fn one_of_so_many_is_taken_at_every_place_of_a_frame() {
        let (mut tap, feed, metrics) = tap(16, QUEUE);
        let (mut taken, mut places) = (0, [0; 64]);
        for _ in 0..10_000 {
            tap.note(&metrics, 0, 64, hosts(64));
            tap.taken.iter().for_each(|&(item, _)| places[item] += 1);
            tap.give(&metrics, &[Verdict::default(); 64]);
            taken += std::iter::from_fn(|| feed.take()).count();
        }
        assert!((38_000..42_000).contains(&taken), "{taken} of 640000");
        assert!(places.iter().all(|&count| (400..900).contains(&count)), "{places:?}");
        assert_eq!(metrics.shadow_dropped.get(), 0);
    }

    #[test]
    fn a_full_queue_drops_what_comes_and_the_shard_goes_on() {
        let (mut tap, feed, metrics) = tap(1, 8);
        for number in 0..20u8 {
            tap.note(&metrics, 0, 1, std::iter::once((Some(Kind::Ipv4), [number; 4].as_slice())));
            tap.give(&metrics, &[Verdict { outcome: 0x30, ..Verdict::default() }]);
        }
        assert_eq!(metrics.shadow_dropped.get(), 13, "seven of eight places are used");
        let kept: Vec<u8> =
            std::iter::from_fn(|| feed.take()).inspect(|asked| assert_eq!(asked.outcome, 0x30)).map(|asked| asked.bytes()[0]).collect();
        assert_eq!(kept, [0, 1, 2, 3, 4, 5, 6]);
        tap.note(&metrics, 0, 1, hosts(1));
        tap.give(&metrics, &[Verdict::default()]);
        assert_eq!(feed.take().unwrap().bytes(), b"a.test", "there is room again");
    }

    #[test]
    fn what_is_too_long_or_too_much_for_one_turn_is_dropped_and_counted() {
        let (mut tap, feed, metrics) = tap(1, QUEUE);
        let long = [b'a'; KEY_BYTES + 1];
        tap.note(&metrics, 0, 3, [(Some(Kind::Url), &long[..]), (Some(Kind::Url), &long[1..]), (None, b"?")].into_iter());
        assert_eq!((tap.taken.len(), metrics.shadow_dropped.get()), (1, 1), "a kind that nobody knows is no key");
        tap.clear();
        tap.note(&metrics, 5, TURN_MAX + 9, hosts(TURN_MAX + 9));
        tap.give(&metrics, &[Verdict::default(); TURN_MAX]);
        assert_eq!((feed.queue.len(), metrics.shadow_dropped.get()), (TURN_MAX - 5, 10), "and items without an answer are none");
    }

    #[test]
    fn nothing_is_copied_where_nothing_is_on_trial() {
        let (mut tap, feed, metrics) = tap(1, QUEUE);
        feed.want(false);
        tap.note(&metrics, 0, 9, hosts(9));
        assert!(tap.taken.is_empty());
    }
}
