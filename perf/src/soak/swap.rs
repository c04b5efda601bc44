//! A thousand swaps between two snapshots that agree on nothing, under open-loop load.
//!
//! ```text
//! snapshot A: every key malicious, score 90          snapshot B: the same keys suspicious, score 30, and some keys only there
//! load        ── frames of known keys, fixed schedule, several connections ─────────────────────────────►
//! control     rename A or B into place, SIGHUP, wait until PING names it ── 1,000 times
//! witness     each ANSWERS frame: all its answers are those of the generation that it names, and of no other
//! ```

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use verdict_keys::{Kind, Scheme};
use verdict_simd::Backend;
use verdict_tables::{Class, Vote};

use crate::data::{Corpus, Indicator, Meant, vote};
use crate::fleet::{Binary, Pace, Plan, Pool, run_witnessed};
use crate::frame::{self, Received};
use crate::oracle::Expected;
use crate::process;
use crate::rules::RuleSet;
use crate::seed::Rng;
use crate::spawn::{Daemon, Served, Wanted, generation};

/// Size of the check.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Swaps.
    pub swaps: usize,
    /// Rules in each snapshot.
    pub rules: usize,
    /// Frames a second.
    pub per_second: f64,
    /// Connections that ask.
    pub connections: usize,
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Report {
    /// Swaps that were seen by PING.
    pub swaps: usize,
    /// Frames answered meanwhile.
    pub frames: u64,
    /// Frames by generation: both must have answered.
    pub by_generation: Vec<(u64, u64)>,
    /// Median and slowest time from SIGHUP to the new generation.
    pub swap_time: (Duration, Duration),
    /// p50, p99 and highest latency of frames in microseconds.
    pub latency_us: (u64, u64, u64),
    /// Resident memory after the first ten swaps and at the end.
    pub resident: (u64, u64),
}

/// Resident memory may grow by this much between the tenth swap and the last.
pub const RESIDENT_GROWTH_MAX: u64 = 64 << 20;

const KEYS_PER_FRAME: usize = 64;

/// Runs the check with a daemon of its own.
pub fn run<B: Backend>(backend: B, binary: &Path, driver: &str, size: Size, rng: &Rng) -> io::Result<Report> {
    let base = Corpus::generated(size.rules, &rng.fork("swap"));
    let (a, b) = (Side::new(backend, &base, 'a')?, Side::new(backend, &base, 'b')?);
    let daemon =
        Daemon::start(&Wanted { binary, driver, snapshot: Served::Bytes(&a.bytes), cpu: None, limits: "queue_deadline_ms = 0\n" })?;
    daemon.keep_snapshot("a.snap", &a.bytes)?;
    daemon.keep_snapshot("b.snap", &b.bytes)?;
    let sides = HashMap::from([(a.generation, &a), (b.generation, &b)]);
    let pool = requests(&base, &mut rng.fork("swap requests"));
    let plan = Plan {
        warm_up: Duration::ZERO,
        // Ended by the last swap; each may take a second.
        duration: Duration::from_secs(30 + size.swaps as u64),
        ..Plan::new(daemon.address, size.connections, Pace::Open { per_second: size.per_second })
    };
    let done = AtomicBool::new(false);
    let mut by_generation: HashMap<u64, u64> = HashMap::new();
    let (swapped, outcome) = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            let result = swap_all(&daemon, size.swaps, [&b, &a]);
            done.store(true, Ordering::Relaxed);
            result
        });
        let outcome = run_witnessed(
            &plan,
            &pool,
            &Binary,
            |_, reply, _| {
                let generation = witness(&sides, reply)?;
                *by_generation.entry(generation).or_default() += 1;
                Ok(())
            },
            || done.load(Ordering::Relaxed),
        );
        (swapping.join(), outcome)
    });
    let outcome = outcome?;
    let (mut times, resident) = swapped.map_err(|_| io::Error::other("the swapping thread panicked"))??;
    if outcome.tally.overloaded + outcome.tally.odd > 0 {
        return Err(io::Error::other(format!("not every key was answered: {:?}", outcome.tally)));
    }
    if resident.1 > resident.0 + RESIDENT_GROWTH_MAX {
        return Err(io::Error::other(format!("resident memory grew from {} to {} bytes", resident.0, resident.1)));
    }
    daemon.stop()?;
    times.sort_unstable();
    let quantile = |q| outcome.latency.value_at_quantile(q) / 1_000;
    let mut by_generation: Vec<(u64, u64)> = by_generation.into_iter().collect();
    by_generation.sort_unstable();
    if by_generation.len() != 2 {
        return Err(io::Error::other(format!("the load met {} generations instead of two", by_generation.len())));
    }
    Ok(Report {
        swaps: times.len(),
        frames: by_generation.iter().map(|(_, frames)| frames).sum(),
        by_generation,
        swap_time: (times[times.len() / 2], times[times.len() - 1]),
        latency_us: (quantile(0.5), quantile(0.99), outcome.latency.max() / 1_000),
        resident,
    })
}

/// A snapshot and the one answer that it gives to every known key.
struct Side {
    bytes: Vec<u8>,
    generation: u64,
    known: Expected,
    /// Keys of this side alone start with this letter.
    mark: char,
}

impl Side {
    fn new<B: Backend>(backend: B, base: &Corpus, mark: char) -> io::Result<Self> {
        let said: Vote = match mark {
            'a' => vote(0, Class::Malicious, 90, 1 << 1),
            _ => vote(0, Class::Suspicious, 30, 1 << 0),
        };
        let mut corpus = Corpus { sources: vec![("swap".into(), "unknown".into())], ..Corpus::default() };
        for row in &base.indicators {
            corpus.indicators.push(Indicator { vote: said, ..row.clone() });
        }
        for number in 0..1_000 {
            let text = format!("{mark}{number}.only.example").into();
            corpus.indicators.push(Indicator { text, meant: Meant::Host, vote: said });
        }
        let built = RuleSet::from_corpus(&corpus).compile(backend, Scheme::Full).map_err(io::Error::other)?;
        let known = Expected { status: 0, class: said.class, flags: 0, score: said.score, categories: said.categories };
        Ok(Side { bytes: built.bytes, generation: built.generation, known, mark })
    }
}

/// Requests of host questions: listed hosts of both sides, then one name that only A knows and one that only B knows.
fn requests(base: &Corpus, rng: &mut Rng) -> Pool {
    let hosts: Vec<&str> =
        base.indicators.iter().filter(|row| matches!(row.meant, Meant::Host | Meant::HostTree)).map(|row| &*row.text).collect();
    let mut pool = Pool::default();
    for _ in 0..256 {
        let mut names: Vec<String> = (2..KEYS_PER_FRAME).map(|_| (*rng.pick(&hosts)).to_owned()).collect();
        names.extend(['a', 'b'].map(|mark| format!("{mark}{}.only.example", rng.below(1_000))));
        pool.push(names.len(), |out| frame::lookup(out, 0, names.iter().map(|name| (Kind::Host as u8, name.as_bytes()))));
    }
    pool
}

/// All answers of one frame are of the generation that it names.
fn witness(sides: &HashMap<u64, &Side>, reply: &[u8]) -> io::Result<u64> {
    let received = Received::first(reply).map_err(io::Error::other)?.ok_or(io::ErrorKind::InvalidData)?;
    let generation = received.generation().ok_or(io::ErrorKind::InvalidData)?;
    let side = sides.get(&generation).ok_or_else(|| io::Error::other(format!("generation {generation:016x} was never served")))?;
    let answers = received.answers().ok_or(io::ErrorKind::InvalidData)?;
    let marks = answers.len() - 2;
    for (index, answer) in answers.enumerate() {
        let is_known = index < marks || (index == marks) == (side.mark == 'a');
        let expected = if is_known { side.known } else { Expected::UNKNOWN };
        if answer.told != expected {
            let what =
                format!("answer {index} of a frame of generation {generation:016x} ({}) is {:?}, not {expected:?}", side.mark, answer.told);
            return Err(io::Error::other(what));
        }
    }
    Ok(generation)
}

type Swapped = (Vec<Duration>, (u64, u64));

fn swap_all(daemon: &Daemon, swaps: usize, turns: [&Side; 2]) -> io::Result<Swapped> {
    let mut times = Vec::with_capacity(swaps);
    let mut resident_early = 0;
    for number in 0..swaps {
        let side = turns[number % 2];
        let started = Instant::now();
        daemon.link_snapshot(&format!("{}.snap", side.mark))?;
        while generation(daemon.address)? != side.generation {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(io::Error::other(format!("swap {number} was not seen within ten seconds:\n{}", daemon.log())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        times.push(started.elapsed());
        if number == 10.min(swaps - 1) {
            resident_early = process::resident_bytes(daemon.pid())?;
        }
    }
    Ok((times, (resident_early, process::resident_bytes(daemon.pid())?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(generation: u64, answers: &[[u8; 8]]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::unknown_answers(&mut out, 1, generation, answers.len());
        let at = out.len() - 8 * answers.len();
        out[at..].copy_from_slice(answers.as_flattened());
        out
    }

    #[test]
    fn a_frame_that_mixes_generations_is_caught() {
        let side = |mark, class, score, categories, generation| {
            let known = Expected { status: 0, class, flags: 0, score, categories };
            Side { bytes: Vec::new(), generation, known, mark }
        };
        let (a, b) = (side('a', Class::Malicious, 90, 2, 1), side('b', Class::Suspicious, 30, 1, 2));
        let sides = HashMap::from([(1, &a), (2, &b)]);
        let (of_a, of_b, unknown) = ([0x30, 90, 2, 0, 0, 5, 0, 0], [0x20, 30, 1, 0, 0, 6, 0, 0], [0; 8]);
        assert_eq!(witness(&sides, &reply(1, &[of_a, of_a, of_a, unknown])).unwrap(), 1);
        assert_eq!(witness(&sides, &reply(2, &[of_b, of_b, unknown, of_b])).unwrap(), 2);
        for mixed in [[of_a, of_b, of_a, unknown], [of_b, of_b, of_b, unknown], [of_a, of_a, unknown, unknown], [of_a, of_a, of_a, of_a]] {
            assert!(witness(&sides, &reply(1, &mixed)).is_err());
        }
        assert!(witness(&sides, &reply(3, &[of_a, of_a, of_a, unknown])).is_err());
    }
}
