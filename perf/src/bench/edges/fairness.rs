//! Clients of one shard: together more than it can answer, one that asks all the time, and thousands that hardly ask.
//!
//! ```text
//! probe     ─ a question each 5 ms ───────────────────────────────────────────────►   median of 100 ms: as before again?
//! overload  ────────────│ 2 × what a closed loop gets │ given up ───────────────────   goodput = keys answered meanwhile, *overloaded* not counted
//!
//! victim    ─ 16 URLs each 2 ms ─────────────────►  p99 alone │ beside a greedy one: 16 frames of 1,000 URLs always under way
//! ```

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Bench;
use crate::fleet::{self, Binary, Outcome, Pace, Plan, Pool, Sent};
use crate::frame::Received;
use crate::process;
use crate::report::{Figure, How};
use crate::spawn::Daemon;

/// Of the overload, and of what it is held against.
const CONNECTIONS: usize = 16;
const BATCH: usize = 100;
/// As HELLO has it.
const IN_FLIGHT_MAX: usize = 1_024;
/// Probes are looked at by windows of this length.
const WINDOW: Duration = Duration::from_millis(100);
const PROBES_PER_S: f64 = 200.0;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let limits = format!("connections_max = {}\n", bench.size.idle + bench.size.trickling + 100);
    let daemon = bench.daemon(&limits)?;
    process::raise_descriptor_limit((bench.size.idle + bench.size.trickling + 200) as u64);
    overload(bench, &daemon)?;
    greedy(bench, &daemon)?;
    crowd(bench, &daemon)?;
    daemon.stop()
}

fn plan(bench: &Bench<'_>, address: SocketAddr, connections: usize, pace: Pace) -> Plan {
    Plan {
        warm_up: Duration::from_secs_f64(bench.size.times.warm_up),
        duration: Duration::from_secs_f64(bench.size.times.seconds),
        ..Plan::new(address, connections, pace)
    }
}

fn closed(bench: &Bench<'_>, daemon: &Daemon, pool: &Pool) -> io::Result<Outcome> {
    let plan = Plan { server_pid: Some(daemon.pid()), ..plan(bench, daemon.address, CONNECTIONS, Pace::Closed { in_flight: 4 }) };
    fleet::run(&plan, pool, &Binary)
}

/// Keys a second.
fn goodput(outcome: &Outcome) -> f64 {
    outcome.keys as f64 / outcome.elapsed.as_secs_f64()
}

fn overload(bench: &mut Bench<'_>, daemon: &Daemon) -> io::Result<()> {
    let (pool, single) = (bench.urls.frames(BATCH), bench.urls.frames(1));
    let (mut ratios, mut recoveries, mut shed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.runs() {
        let peak = goodput(&closed(bench, daemon, &pool)?);
        let seen = once_overloaded(bench, daemon, [&pool, &single], 2.0 * peak / BATCH as f64)?;
        ratios.push(seen.good_keys_per_s / peak);
        shed.push(seen.overloaded_share);
        recoveries.push(seen.recovery_s);
    }
    let (peer, how) = ("closed loop of the same connections", How::Measured);
    bench.figures.push(Figure::new("goodput_2x_ratio", "ratio", how, peer, ratios));
    bench.figures.push(Figure::new("overload_2x_shed", "of the answers", how, "", shed));
    bench.figures.push(Figure::new("overload_2x_recovery_s", "s", how, "", recoveries));
    Ok(())
}

struct Overloaded {
    good_keys_per_s: f64,
    overloaded_share: f64,
    recovery_s: f64,
}

fn once_overloaded(bench: &Bench<'_>, daemon: &Daemon, [pool, single]: [&Pool; 2], per_second: f64) -> io::Result<Overloaded> {
    let (lead, lasts) = (Duration::from_millis(500), Duration::from_secs_f64(bench.size.overload_s));
    let after = Duration::from_secs_f64(bench.size.after_s);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let probing = scope.spawn(move || probes(daemon.address, lead + lasts + after, single));
        std::thread::sleep(lead);
        let from = began.elapsed();
        let plan = Plan {
            in_flight_max: IN_FLIGHT_MAX,
            gives_up: true,
            warm_up: lasts / 10,
            duration: lasts - lasts / 10,
            ..Plan::new(daemon.address, CONNECTIONS, Pace::Open { per_second })
        };
        let (measured_from, measured_to) = (plan.warm_up.as_nanos() as u64, lasts.as_nanos() as u64);
        let (mut good, mut all) = (0u64, 0u64);
        let count = |sent: &Sent, reply: &[u8], now_ns: u64| {
            if (measured_from..measured_to).contains(&now_ns) {
                all += u64::from(sent.keys);
                good += good_keys(reply);
            }
            Ok(())
        };
        fleet::run_witnessed(&plan, pool, &Binary, count, || false)?;
        let probes = probing.join().map_err(|_| io::Error::other("the probes' thread panicked"))??;
        let seconds = (measured_to - measured_from) as f64 / 1e9;
        Ok(Overloaded {
            good_keys_per_s: good as f64 / seconds,
            overloaded_share: (all - good) as f64 / all.max(1) as f64,
            recovery_s: recovery(&probes, from, from + lasts),
        })
    })
}

/// Answers with a verdict.
fn good_keys(reply: &[u8]) -> u64 {
    let received = Received::first(reply).ok().flatten();
    let answers = received.as_ref().and_then(Received::answers).into_iter().flatten();
    answers.filter(|answer| answer.told.status == 0).count() as u64
}

/// Meant start and latency of every probe.
type Probes = Vec<(Duration, Duration)>;

fn probes(address: SocketAddr, lasts: Duration, single: &Pool) -> io::Result<Probes> {
    let plan = Plan { warm_up: Duration::ZERO, duration: lasts, ..Plan::new(address, 1, Pace::Open { per_second: PROBES_PER_S }) };
    let mut probes = Vec::new();
    let note = |sent: &Sent, _: &[u8], now_ns: u64| {
        probes.push((Duration::from_nanos(sent.meant_ns), Duration::from_nanos(now_ns.saturating_sub(sent.meant_ns))));
        Ok(())
    };
    fleet::run_witnessed(&plan, single, &Binary, note, || false)?;
    Ok(probes)
}

/// Seconds from the overload's end to the first window whose median is at most twice that of the time before; to the end where there is none.
fn recovery(probes: &Probes, from: Duration, to: Duration) -> f64 {
    let median = |within: std::ops::Range<Duration>| {
        let mut latencies: Vec<Duration> = probes.iter().filter(|(meant, _)| within.contains(meant)).map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        latencies.get(latencies.len() / 2).copied()
    };
    let Some(before) = median(Duration::ZERO..from) else { return f64::NAN };
    let last = probes.last().map_or(to, |(meant, _)| *meant);
    let mut window = to;
    while window < last {
        if median(window..window + WINDOW).is_some_and(|latency| latency <= 2 * before) {
            break;
        }
        window += WINDOW / 10;
    }
    (window - to).as_secs_f64()
}

fn greedy(bench: &mut Bench<'_>, daemon: &Daemon) -> io::Result<()> {
    let (small, large) = (bench.urls.frames(16), bench.urls.frames(if bench.setting.small { 200 } else { 1_000 }));
    let victim = Plan { spins: false, ..plan(bench, daemon.address, 1, Pace::Open { per_second: 500.0 }) };
    let victim = Plan { duration: victim.duration * 4, ..victim };
    let (mut ratios, mut alone, mut beside, mut keys) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let p99 = |outcome: &Outcome| outcome.latency.value_at_quantile(0.99) as f64 / 1e3;
    for _ in 0..bench.runs() {
        let solo = p99(&bench.watched(&victim, &small)?);
        let over = AtomicBool::new(false);
        let (with, eaten) = std::thread::scope(|scope| {
            let eating = scope.spawn(|| eat(daemon.address, &large, &over));
            std::thread::sleep(Duration::from_millis(50));
            let with = bench.watched(&victim, &small);
            over.store(true, Ordering::Relaxed);
            let eaten = eating.join().map_err(|_| io::Error::other("the greedy thread panicked"))?;
            io::Result::Ok((with?, eaten?))
        })?;
        ratios.push(p99(&with) / solo);
        alone.push(solo);
        beside.push(p99(&with));
        keys.push(eaten.checked_keys as f64 / eaten.started.elapsed().as_secs_f64());
    }
    bench.figures.push(Figure::new("greedy_p99_ratio", "ratio", How::Measured, "the same client alone", ratios));
    bench.figures.push(Figure::new("greedy_p99_alone_us", "us", How::Measured, "", alone));
    bench.figures.push(Figure::new("greedy_p99_beside_us", "us", How::Measured, "", beside));
    bench.figures.push(Figure::new("greedy_keys", "keys/s", How::Measured, "", keys));
    Ok(())
}

/// As much as it gets, until it is over.
fn eat(address: SocketAddr, pool: &Pool, over: &AtomicBool) -> io::Result<Outcome> {
    // Refused only to those who may not even be nice; then the victim's clock is late, and says so.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    let plan = Plan { duration: Duration::from_secs(3600), ..Plan::new(address, 1, Pace::Closed { in_flight: 16 }) };
    fleet::run_witnessed(&plan, pool, &Binary, |_, _, _| Ok(()), || over.load(Ordering::Relaxed))
}

/// What thousands of connections cost that ask nothing, or never finish to ask.
fn crowd(bench: &mut Bench<'_>, daemon: &Daemon) -> io::Result<()> {
    let pool = bench.urls.frames(BATCH);
    let (mut ratios, mut walls, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let per_cpu = |outcome: &Outcome| outcome.keys as f64 / outcome.server_cpu.unwrap_or_default().as_secs_f64();
    for _ in 0..bench.runs() {
        let alone = closed(bench, daemon, &pool)?;
        let before = process::resident_bytes(daemon.pid())?;
        let idle = connect(daemon.address, bench.size.idle)?;
        let trickling = connect(daemon.address, bench.size.trickling)?;
        let over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let trickle = scope.spawn(|| trickle(daemon.address, trickling, &over));
            // Until every one of them has begun a frame.
            std::thread::sleep(Duration::from_millis(1_500));
            let beside = closed(bench, daemon, &pool);
            over.store(true, Ordering::Relaxed);
            trickle.join().map_err(|_| io::Error::other("the trickling thread panicked"))??;
            beside
        })?;
        let more = process::resident_bytes(daemon.pid())?.saturating_sub(before);
        bytes.push(more as f64 / (bench.size.idle + bench.size.trickling) as f64);
        ratios.push(per_cpu(&beside) / per_cpu(&alone));
        walls.push(goodput(&beside) / goodput(&alone));
        drop(idle);
    }
    let peer = "the same without them";
    bench.figures.push(Figure::new("crowd_goodput_ratio", "ratio of keys/CPU-s", How::Measured, peer, ratios));
    bench.figures.push(Figure::new("crowd_goodput_wall_ratio", "ratio of keys/s", How::Measured, peer, walls));
    bench.figures.push(Figure::new("crowd_bytes_each", "resident bytes", How::Measured, "", bytes));
    Ok(())
}

fn connect(address: SocketAddr, count: usize) -> io::Result<Vec<TcpStream>> {
    (0..count).map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(5))).collect()
}

/// A byte a second on each, of a frame that says it is long; who is closed for it comes again.
fn trickle(address: SocketAddr, mut streams: Vec<TcpStream>, over: &AtomicBool) -> io::Result<()> {
    let mut frame = Vec::new();
    crate::frame::lookup(&mut frame, 1, (0..100).map(|_| (1u8, &b"http://slow.example/"[..])));
    let mut sent = vec![0usize; streams.len()];
    while !over.load(Ordering::Relaxed) {
        let round = Instant::now();
        for (stream, sent) in streams.iter_mut().zip(&mut sent) {
            // Nobody waits for a reply: it never is a whole frame.
            if stream.write_all(&frame[*sent..*sent + 1]).is_err() {
                *stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
                *sent = 0;
            } else {
                *sent += 1;
            }
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_secs(1).saturating_sub(round.elapsed()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_is_over_when_probes_are_answered_as_before() {
        let ms = Duration::from_millis;
        let latency = |at: u64| if (1_000..2_300).contains(&at) { ms(50) } else { ms(1) };
        let probes: Probes = (0..600).map(|number| (ms(5 * number), latency(5 * number))).collect();
        let seconds = recovery(&probes, ms(1_000), ms(2_000));
        assert!((0.2..0.35).contains(&seconds), "{seconds}");
        let never: Probes = (0..600).map(|number| (ms(5 * number), if number < 200 { ms(1) } else { ms(9) })).collect();
        assert!(recovery(&never, ms(1_000), ms(2_000)) > 0.9);
    }
}
