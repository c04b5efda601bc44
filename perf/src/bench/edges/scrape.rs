//! What a scrape of the metrics costs: its own time, how many series it brings after a million different keys, and what lookups notice of it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use verdict_keys::Kind;

use super::Bench;
use crate::fleet::{self, Binary, Nothing, Outcome, Pace, Plan, Pool};
use crate::frame;
use crate::report::{Figure, How};

/// Fifteen times as often as Prometheus does by itself.
const EVERY: Duration = Duration::from_secs(1);
/// A run lasts as long as several of the suite's, so that it has more than one scrape in it.
const LONGER: f64 = 5.0;
const CONNECTIONS: usize = 8;
const BATCH: usize = 100;

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    let daemon = bench.daemon("")?;
    ask_different(bench, daemon.address)?;
    let pool = bench.urls.frames(BATCH);
    let plan = |pace| Plan {
        warm_up: Duration::from_secs_f64(bench.size.times.warm_up),
        duration: Duration::from_secs_f64(LONGER * bench.size.times.seconds),
        ..Plan::new(daemon.address, CONNECTIONS, pace)
    };
    let saturated = fleet::run(&plan(Pace::Closed { in_flight: 4 }), &pool, &Binary)?;
    // At half of it the tail is made of queues, and of what a CPU shared with others happens to be worth at the time.
    let pace = Pace::Open { per_second: saturated.answered as f64 / saturated.elapsed.as_secs_f64() / 4.0 };
    let plan = Plan { spins: bench.cpu.is_some(), ..plan(pace) };
    let p99 = |outcome: &Outcome| outcome.latency.value_at_quantile(0.99) as f64 / 1e3;
    let (mut ratios, mut tails, mut times, mut series) = (Vec::new(), [Vec::new(), Vec::new()], Vec::new(), 0);
    for _ in 0..bench.runs() {
        let alone = p99(&bench.punctual(&plan, &pool, &Binary)?);
        let over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let (cpu, admin, over) = (bench.cpu, daemon.admin, &over);
            let scraping = scope.spawn(move || scrapes(admin, cpu, over));
            let beside = bench.punctual(&plan, &pool, &Binary);
            over.store(true, Ordering::Relaxed);
            let (ms, last) = scraping.join().map_err(|_| io::Error::other("the scraping thread panicked"))??;
            times.push(ms.iter().sum::<f64>() / ms.len().max(1) as f64);
            series = count_series(&last);
            beside
        })?;
        ratios.push(p99(&beside) / alone);
        tails.iter_mut().zip([alone, p99(&beside)]).for_each(|(tails, us)| tails.push(us));
    }
    bench.figures.push(Figure::new("scrape_ms", "ms", How::Measured, "", times));
    bench.figures.push(Figure::new("scrape_series", "series", How::Counted, "", vec![series as f64]));
    bench.figures.push(Figure::new("scrape_p99_ratio", "ratio", How::Measured, "the same without scrapes", ratios));
    for (side, us) in ["alone", "beside"].iter().zip(tails) {
        bench.figures.push(Figure::new(format!("scrape_p99_{side}_us"), "us", How::Measured, "", us));
    }
    daemon.stop()
}

/// A million hosts that nobody else asks about, each once.
fn ask_different(bench: &Bench<'_>, address: SocketAddr) -> io::Result<()> {
    let frames = if bench.setting.small { 10 } else { 1_000 };
    let mut pool = Pool::default();
    for number in 0..frames {
        let hosts: Vec<String> = (0..1_000).map(|host| format!("h{host}.n{number}.example")).collect();
        pool.push(hosts.len(), |out| frame::lookup(out, 0, hosts.iter().map(|host| (Kind::Host as u8, host.as_bytes()))));
    }
    let mut asked = 0;
    let plan = Plan { duration: Duration::from_secs(60), warm_up: Duration::ZERO, ..Plan::new(address, 1, Pace::Closed { in_flight: 1 }) };
    let asked_all = std::cell::Cell::new(false);
    fleet::run_witnessed(
        &plan,
        &pool,
        &Nothing,
        |_, _, _| {
            asked += 1;
            asked_all.set(asked >= frames);
            Ok(())
        },
        || asked_all.get(),
    )?;
    Ok(())
}

/// Milliseconds of each scrape, and the last text. On the server's CPU: the generator has the other one to itself.
fn scrapes(admin: SocketAddr, cpu: Option<usize>, over: &AtomicBool) -> io::Result<(Vec<f64>, String)> {
    cpu.map_or(Ok(()), crate::process::pin_this_thread)?;
    let (mut times, mut text) = (Vec::new(), String::new());
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut stream = TcpStream::connect(admin)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: verdictd\r\n\r\n")?;
        text.clear();
        stream.read_to_string(&mut text)?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
    Ok((times, text))
}

/// Lines that have a value.
fn count_series(text: &str) -> usize {
    let body = text.split_once("\r\n\r\n").map_or(text, |(_, body)| body);
    body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
}
