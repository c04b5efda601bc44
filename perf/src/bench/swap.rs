//! What a swap of the snapshot does to latency: frames at a fixed rate all the time, two snapshots that take turns.
//!
//! ```text
//! ── steady ──│── during: SIGHUP ... first reply of the new generation, and a little longer ──│ pause │── steady ──│── during ...
//! swap_p99_ratio = p99 of frames meant to start during ÷ p99 of frames meant to start in the steady time before
//! ```
//! A swap does not count where the generator was late by more than a quarter of a p99 that it measured, or where other processes than the daemon used the
//! CPUs; what the daemon's own threads take from one another always counts.
//! Both snapshots answer the questions alike and hold millions of rules more; reading, verifying and freeing them is what may disturb.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::latency::{LAG_PART, Size, percentiles};
use super::material::Urls;
use super::{Curve, Setting};
use crate::fleet::{Binary, Plan, Pool, run_witnessed};
use crate::frame::Received;
use crate::process;
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};

/// After the first reply of the new generation: the old snapshot is freed.
const AFTER: Duration = Duration::from_millis(50);
/// After asking what other processes do, which takes the server's CPU for some milliseconds.
const SETTLE: Duration = Duration::from_millis(50);
/// Before the next steady time.
const PAUSE: Duration = Duration::from_millis(200);
/// For one swap.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was seen.
pub(super) struct Seen {
    /// Swaps that do not count, since the generator lagged.
    pub lagged: usize,
    /// Nor these, since other processes used the CPUs.
    pub neighbours: usize,
    /// Where none counts.
    pub note: Option<String>,
    pub figures: Vec<Figure>,
    pub curves: Vec<Curve>,
}

/// One frame: when it was meant to start, its latency, by how much the generator was late with it; in nanoseconds.
type Timed = (u64, u64, u64);

/// One swap.
struct Window {
    began: Instant,
    ended: Instant,
    /// CPU time of other processes, from the steady time before to the end.
    others: Duration,
}

/// How often the swaps are done again where the generator lagged in some.
const BATCHES: usize = 4;

pub(super) fn run(setting: &Setting, size: &Size, urls: &Urls, plan: &mut Plan, pool: &Pool, cpu: Option<usize>) -> io::Result<Seen> {
    let [a, b] = [size.swap_entries, size.swap_entries + 1].map(|files| urls.snapshot_with_files(files));
    let (a, b) = (a?, b?);
    let daemon = Daemon::start(&Wanted { binary: &setting.verdictd, driver: AUTO, snapshot: Served::Bytes(&a.bytes), cpu, limits: "" })?;
    daemon.keep_snapshot("a.snap", &a.bytes)?;
    daemon.keep_snapshot("b.snap", &b.bytes)?;
    let mut judged = Judged::new(size, a.bytes.len());
    // `a` is served: an even number of swaps leaves it so.
    let turns = [("b.snap", b.generation), ("a.snap", a.generation)];
    drop((a, b));
    plan.address = daemon.address;
    // Ended by the last swap.
    plan.duration = PATIENCE * (1 + size.swaps as u32);
    let mut last = None;
    for _ in 0..BATCHES {
        if judged.samples[0].len() < size.swaps {
            let batch = swaps_under_load(&daemon, size, plan, pool, cpu, turns)?;
            judged.batch(&batch, true)?;
            last = Some(batch);
        }
    }
    daemon.stop()?;
    let mut note = None;
    if let (true, Some(batch)) = (judged.samples[0].is_empty(), last) {
        note = Some(
            "UNSOUND: every swap was disturbed, by the generator's own lag or by other processes; the last ones are shown nevertheless"
                .to_owned(),
        );
        judged.batch(&batch, false)?;
    }
    Ok(Seen { note, ..judged.seen() })
}

/// Frames, swaps, and nanosecond 0 of the frames.
type Batch = (Vec<Timed>, Vec<Window>, Instant);

fn swaps_under_load(
    daemon: &Daemon,
    size: &Size,
    plan: &Plan,
    pool: &Pool,
    cpu: Option<usize>,
    turns: [(&str, u64); 2],
) -> io::Result<Batch> {
    let (answering, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut frames: Vec<Timed> = Vec::with_capacity(1 << 22);
    let (windows, outcome) = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            // Not beside the generator.
            let result = cpu.map_or(Ok(()), process::pin_this_thread).and_then(|()| swap_in_turn(daemon, size, turns, &answering));
            done.store(true, Ordering::Relaxed);
            result
        });
        let outcome = run_witnessed(
            plan,
            pool,
            &Binary,
            |sent, reply, now| {
                frames.push((sent.meant_ns, now.saturating_sub(sent.meant_ns), sent.late_ns));
                let generation = Received::first(reply).ok().flatten().and_then(|received| received.generation());
                answering.store(generation.ok_or(io::ErrorKind::InvalidData)?, Ordering::Relaxed);
                Ok(())
            },
            || done.load(Ordering::Relaxed),
        );
        (swapping.join(), outcome)
    });
    let windows = windows.map_err(|_| io::Error::other("the swapping thread panicked"))??;
    let outcome = outcome?;
    if outcome.tally.odd > 0 || outcome.tally.wrong > outcome.tally.overloaded {
        return Err(io::Error::other(format!("answers went wrong while snapshots were swapped: {:?}", outcome.tally)));
    }
    Ok((frames, windows, outcome.started))
}

/// Waits, swaps, waits until a reply names the new generation.
fn swap_in_turn(daemon: &Daemon, size: &Size, turns: [(&str, u64); 2], answering: &AtomicU64) -> io::Result<Vec<Window>> {
    let mut windows = Vec::new();
    std::thread::sleep(PAUSE);
    for number in 0..size.swaps.next_multiple_of(2) {
        let (name, generation) = turns[number % 2];
        let others = process::cpu_time_of_others(daemon.pid());
        std::thread::sleep(SETTLE + Duration::from_secs_f64(size.steady_s));
        let began = Instant::now();
        daemon.link_snapshot(name)?;
        while answering.load(Ordering::Relaxed) != generation {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("swap {number} was not seen within {PATIENCE:?}:\n{}", daemon.log())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = Instant::now();
        std::thread::sleep(AFTER);
        windows.push(Window { began, ended, others: process::cpu_time_of_others(daemon.pid()).saturating_sub(others) });
        std::thread::sleep(PAUSE);
    }
    Ok(windows)
}

/// What the swaps that count say.
struct Judged<'a> {
    size: &'a Size,
    bytes: usize,
    steady: Histogram<u64>,
    during: Histogram<u64>,
    /// Ratio, p99 before and during in microseconds, milliseconds that the swap took.
    samples: [Vec<f64>; 4],
    lagged: usize,
    neighbours: usize,
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("these bounds are valid")
}

fn p99_us(histogram: &Histogram<u64>) -> f64 {
    histogram.value_at_quantile(0.99) as f64 / 1e3
}

impl<'a> Judged<'a> {
    fn new(size: &'a Size, bytes: usize) -> Self {
        Judged { size, bytes, steady: histogram(), during: histogram(), samples: Default::default(), lagged: 0, neighbours: 0 }
    }

    fn batch(&mut self, (frames, windows, started): &Batch, strict: bool) -> io::Result<()> {
        for Window { began, ended, others } in windows {
            let began_ns = began.duration_since(*started).as_nanos() as u64;
            let ended_ns = (ended.duration_since(*started) + AFTER).as_nanos() as u64;
            let steady_ns = began_ns.saturating_sub((self.size.steady_s * 1e9) as u64);
            let (mut steady, mut during) = ([histogram(), histogram()], [histogram(), histogram()]);
            for (meant_ns, latency_ns, late_ns) in frames.iter().filter(|(meant_ns, ..)| (steady_ns..ended_ns).contains(meant_ns)) {
                let [latency, late] = if *meant_ns < began_ns { &mut steady } else { &mut during };
                latency.saturating_record(*latency_ns);
                late.saturating_record((*late_ns).max(1));
            }
            let share = others.as_secs_f64() * 1e9 / (ended_ns - steady_ns) as f64;
            if strict && (self.lagged(&steady) || self.lagged(&during)) {
                self.lagged += 1;
                continue;
            }
            if strict && share > self.size.others_max {
                self.neighbours += 1;
                continue;
            }
            let ([steady, _], [during, _]) = (steady, during);
            let (before, while_swapping) = (p99_us(&steady), p99_us(&during));
            let values = [while_swapping / before, before, while_swapping, ended.duration_since(*began).as_secs_f64() * 1e3];
            self.samples.iter_mut().zip(values).for_each(|(samples, value)| samples.push(value));
            self.steady.add(&steady).map_err(io::Error::other)?;
            self.during.add(&during).map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Latency and lateness of one side.
    fn lagged(&self, [latency, late]: &[Histogram<u64>; 2]) -> bool {
        late.value_at_quantile(0.99) > (self.size.lag_us_max * 1_000).max(latency.value_at_quantile(0.99) / LAG_PART)
    }

    fn seen(self) -> Seen {
        let [ratio, steady, during, took] = self.samples;
        let figure = |name: &str, unit: &str, samples| Figure::new(name, unit, How::Measured, "verdictd, steady", samples);
        let figures = vec![
            figure("swap_p99_ratio", "ratio", ratio),
            figure("swap_steady_p99_us", "us", steady),
            figure("swap_during_p99_us", "us", during),
            figure("swap_took_ms", "ms", took),
            Figure::new("swap_snapshot_bytes", "bytes", How::Counted, "", vec![self.bytes as f64]),
        ];
        let curve = |name: &str, histogram| Curve {
            plot: "percentiles".into(),
            group: "while a snapshot is swapped".into(),
            name: name.into(),
            points: percentiles(histogram),
        };
        let curves = vec![curve("steady", &self.steady), curve("during swaps", &self.during)];
        Seen { lagged: self.lagged, neighbours: self.neighbours, note: None, figures, curves }
    }
}
