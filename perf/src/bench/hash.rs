//! Suite `keys`, the hash alone: whole texts of 16 to 128 bytes, beside xxh3 and rapidhash.
//!
//! ```text
//! hash_vs_best    real URLs in the order of their feeds, lengths mixed as they come      ours / the quicker of three, run by run
//! hash_49_ns ..   one length over and over: what a branch predictor makes of it          ours and each of the three, winners and losers
//! ```
//! The peers get a seed, which is no key: they have neither proof of collisions nor checkpoints, and rapidhash and xxh3_64 give 64 bits. At one
//! length they win; over real URLs they lose what their branches on the length cost.

use std::hint::black_box;
use std::time::Duration;

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use verdict_simd::{Backend, Domain, HashKey, HashSchedule, Selected, WithBackend};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use super::timed;
use crate::report::{Figure, How};

const LENGTHS: [usize; 8] = [16, 20, 32, 48, 49, 64, 96, 128];
/// Texts that stay in the second cache together.
const CHUNK: usize = 4000;
const SEED: u64 = 0x7665_7264_6963_7464;

/// Nanoseconds a text: of ours, and of each peer.
struct Times {
    ours: Figure,
    peers: [Figure; 3],
}

/// The figures, `runs` runs each.
pub fn figures(backend: Selected, urls: &[Box<str>], runs: usize) -> Vec<Figure> {
    let mixed: Vec<&[u8]> = urls.iter().map(|url| url.as_bytes()).filter(|url| (16..=128).contains(&url.len())).collect();
    let times = times(backend, "hash_mixed", &mixed, runs);
    let best = times.peers.iter().min_by(|a, b| a.median.total_cmp(&b.median)).unwrap_or(&times.peers[0]);
    let mut figures = vec![Figure::ratio("hash_vs_best", &best.peer, &times.ours, best)];
    figures.extend([times.ours].into_iter().chain(times.peers));
    for length in LENGTHS {
        // As many different texts of one length as stay in the first cache.
        let text: Vec<u8> = mixed.iter().flat_map(|url| url.iter().copied()).take(16 * 1024).collect();
        let texts: Vec<&[u8]> = text.chunks_exact(length).cycle().take(mixed.len().min(50_000)).collect();
        let times = self::times(backend, &format!("hash_{length}"), &texts, runs.min(5));
        figures.extend([times.ours].into_iter().chain(times.peers));
    }
    figures
}

/// Ours and theirs take turns.
fn times(backend: Selected, name: &str, texts: &[&[u8]], runs: usize) -> Times {
    let secrets = RapidSecrets::seed(SEED);
    let mut samples: [Vec<f64>; 4] = Default::default();
    for _ in 0..runs {
        let mut elapsed = [Duration::ZERO; 4];
        for texts in texts.chunks(CHUNK) {
            // Whoever comes first would pay for fetching the texts from memory.
            black_box(texts.iter().flat_map(|text| text.iter()).fold(0u64, |sum, byte| sum + u64::from(*byte)));
            elapsed[0] += timed(|| backend.run(Whole(texts))).1;
            elapsed[1] += timed(|| black_box(texts.iter().fold(0, |sum, text| sum ^ rapidhash_v3_seeded(text, &secrets)))).1;
            elapsed[2] += timed(|| black_box(texts.iter().fold(0, |sum, text| sum ^ xxh3_64_with_seed(text, SEED)))).1;
            elapsed[3] += timed(|| black_box(texts.iter().fold(0, |sum, text| sum ^ xxh3_128_with_seed(text, SEED)))).1;
        }
        for (samples, elapsed) in samples.iter_mut().zip(elapsed) {
            samples.push(elapsed.as_nanos() as f64 / texts.len().max(1) as f64);
        }
    }
    let [ours, rapid, xxh64, xxh128] = samples;
    let figure = |peer: &str, samples| {
        let suffix = if peer.is_empty() { String::new() } else { format!("_{peer}") };
        Figure::new(format!("{name}{suffix}_ns"), "ns/text", How::Measured, peer, samples)
    };
    Times { ours: figure("", ours), peers: [figure("rapidhash", rapid), figure("xxh3_64", xxh64), figure("xxh3_128", xxh128)] }
}

/// Each text hashed once.
struct Whole<'a>(&'a [&'a [u8]]);

impl WithBackend for Whole<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<B: Backend>(self, backend: B) -> u64 {
        let schedule = HashSchedule::new(&HashKey { h: *b"a multiplier of ", k: *b"another of those" });
        let sum = self.0.iter().fold(0, |sum, text| {
            let hash = backend.hash(&schedule, Domain::Path, text);
            sum ^ hash.lo ^ hash.hi
        });
        black_box(sum)
    }
}
