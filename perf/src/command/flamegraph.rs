//! `verdict-perf flamegraph`: a daemon under load, or a kernel alone, sampled and drawn.
//!
//! ```text
//! urls, hashed, mixed    CPU 0: verdictd, sampled      CPU 1: this process, 8 connections, 16 frames of 100 keys under way on each
//! probe, keys, ...       verdict-kernels with that kernel in a loop, on a table of 4,000,000 entries
//! ```

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use verdict_keys::{Digest, Kind, Scheme};
use verdict_perf::data::{Corpus, Indicator, Meant, vote};
use verdict_perf::flame::{self, Perf};
use verdict_perf::fleet::{self, Binary, Pace, Plan, Pool};
use verdict_perf::questions::Questions;
use verdict_perf::rules::RuleSet;
use verdict_perf::seed::Rng;
use verdict_perf::spawn::{AUTO, Daemon, Served, Wanted};
use verdict_perf::workload::{self, UrlStrings};
use verdict_perf::{frame, process};
use verdict_simd::seal;
use verdict_tables::{Builder, Class, Rule, Snapshot, Source};

#[derive(Args)]
pub struct Options {
    /// The daemon asked for `urls`, `hashed` keys or `mixed` ones; or a kernel: `probe`, `keys`, `hash`, ... (`verdict-kernels --list`).
    what: String,
    /// The picture.
    #[arg(long, value_name = "FILE", default_value = "flamegraph.svg")]
    svg: PathBuf,
    /// Seconds sampled.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// A small table: shows that it works.
    #[arg(long)]
    small: bool,
    /// The verdictd binary; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    verdictd: Option<PathBuf>,
    /// The verdict-kernels binary; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    kernels: Option<PathBuf>,
}

/// Servers are sampled after this, when buffers are warm.
const WARM_UP: Duration = Duration::from_millis(500);

pub fn run(options: &Options, rng: &Rng) -> io::Result<()> {
    let perf = Perf::find().map_err(io::Error::other)?;
    let beside = std::env::current_exe()?;
    let time = Duration::from_secs_f64(options.seconds);
    let script = match options.what.as_str() {
        "urls" | "hashed" | "mixed" => {
            let verdictd = options.verdictd.clone().unwrap_or_else(|| beside.with_file_name("verdictd"));
            server(perf, &options.what, &verdictd, options.small, time, rng)?
        }
        kernel => {
            let program = options.kernels.clone().unwrap_or_else(|| beside.with_file_name("verdict-kernels"));
            alone(perf, kernel, &program, options.small, time)?
        }
    };
    let folded = flame::fold(&script)?;
    let (all, ours) = flame::weight(&folded, "verdict");
    if ours == 0 {
        return Err(io::Error::other("no sample has a function of ours: is it a build with symbols?"));
    }
    // perf says how much each sample stands for: nanoseconds of the clock, or cycles.
    let billions = all as f64 / 1e9;
    let sampled = if perf.event == "cycles" { format!("{billions:.2} billion cycles") } else { format!("{billions:.2} s of CPU time") };
    let subtitle = format!("{sampled}, sampled 997 times a second by {}; width is time, colours mean nothing", perf.event);
    flame::draw(&folded, &format!("verdictd: {}", options.what), &subtitle, &options.svg)?;
    println!("{sampled} by {}, {:.1} % of it in or below functions of ours", perf.event, 100.0 * ours as f64 / all as f64);
    println!("{}", options.svg.display());
    Ok(())
}

/// The daemon, sampled while it is asked as fast as it answers.
fn server(perf: Perf, what: &str, verdictd: &Path, small: bool, time: Duration, rng: &Rng) -> io::Result<Vec<u8>> {
    let (snapshot, pool) = match what {
        "hashed" => hashed(small, rng)?,
        "urls" => urls(small, rng)?,
        _ => mixed(small, rng)?,
    };
    let cpus = process::cpus();
    let daemon = Daemon::start(&Wanted {
        binary: verdictd,
        driver: AUTO,
        snapshot: Served::Bytes(&snapshot),
        cpu: cpus.first().copied(),
        limits: "",
    })?;
    if let [_, client, ..] = cpus[..] {
        process::pin_this_thread(client)?;
    }
    let plan = Plan {
        address: daemon.address,
        connections: 8,
        pace: Pace::Closed { in_flight: 16 },
        in_flight_max: 64,
        warm_up: WARM_UP,
        duration: time + Duration::from_millis(500),
        server_pid: Some(daemon.pid()),
        first: 0,
        trust: None,
        gives_up: false,
        spins: false,
    };
    let pid = daemon.pid();
    let script = std::thread::scope(|scope| {
        let sampled = scope.spawn(move || {
            std::thread::sleep(WARM_UP);
            perf.record(pid, time)
        });
        let outcome = fleet::run(&plan, &pool, &Binary)?;
        println!("{:.0} keys/s meanwhile", outcome.keys as f64 / outcome.elapsed.as_secs_f64());
        sampled.join().map_err(|_| io::Error::other("the thread that samples ended early"))?
    })?;
    daemon.stop()?;
    Ok(script)
}

/// What the suites `echo` and `peers` ask: URLs as they are met, half of them listed. Real ones where they are at hand.
fn urls(small: bool, rng: &Rng) -> io::Result<(Vec<u8>, Pool)> {
    let backend = verdict_simd::detect().map_err(io::Error::other)?;
    let strings = UrlStrings::of(&Corpus::real_or_generated(if small { 20_000 } else { 0 }, rng)?);
    let mut table = Corpus { sources: vec![("listed".into(), "unknown".into())], ..Corpus::default() };
    let vote = vote(0, Class::Malicious, 90, 1);
    table.indicators.extend(strings.listed.iter().map(|text| Indicator { text: text.clone(), meant: Meant::Url, vote }));
    let snapshot = RuleSet::from_corpus(&table).compile(backend, Scheme::Full).map_err(io::Error::other)?.bytes;
    let mut questions = Questions::default();
    strings.mixed(100_000, &mut rng.fork("asked")).iter().for_each(|url| questions.push(Kind::Url as u8, url.as_bytes()));
    Ok((snapshot, workload::frames(&questions, 100, 1_000)))
}

/// Real indicators where they are at hand, and questions about them of every kind, one in two in a spelling that takes the slow path.
fn mixed(small: bool, rng: &Rng) -> io::Result<(Vec<u8>, Pool)> {
    let backend = verdict_simd::detect().map_err(io::Error::other)?;
    let corpus = Corpus::real_or_generated(if small { 20_000 } else { 0 }, rng)?;
    let mut set = RuleSet::from_corpus(&corpus);
    let snapshot = set.compile(backend, Scheme::Full).map_err(io::Error::other)?.bytes;
    let questions = workload::questions_of(None, &corpus, &set, 100_000, rng);
    Ok((snapshot, workload::frames(&questions, 100, 1_000)))
}

/// Digests made up from numbers, half of the questions about them.
fn hashed(small: bool, rng: &Rng) -> io::Result<(Vec<u8>, Pool)> {
    let backend = verdict_simd::detect().map_err(io::Error::other)?;
    let mut rng = rng.fork("hashed keys");
    let digest = |number: u64| Digest::Md5(u128::from(number).to_le_bytes());
    let listed: Vec<u64> = (0..if small { 20_000 } else { 4_000_000 }).map(|_| rng.bits()).collect();
    let mut builder = Builder::new(Scheme::Full, b"flamegraph", 0);
    let source = builder.source(Source { name: "made-up files", licence: "none" });
    for number in &listed {
        builder.add(Rule::File(digest(*number)), vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    let built = builder.build(backend).map_err(io::Error::other)?;
    let snapshot = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?;
    let mut key = || {
        let number = if rng.one_in(2) { *rng.pick(&listed) } else { rng.bits() };
        let key = seal(digest(number).hash(backend, snapshot.schedule()));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.lo.to_le_bytes());
        bytes[8..].copy_from_slice(&key.hi.to_le_bytes());
        bytes
    };
    let keys: Vec<[u8; 16]> = (0..100_000).map(|_| key()).collect();
    let mut pool = Pool::default();
    for keys in keys.chunks_exact(100) {
        pool.push(100, |out| frame::lookup_hashed(out, 0, built.generation, 0, keys));
    }
    Ok((built.bytes, pool))
}

/// A kernel in a loop; sampled once its tables are built.
fn alone(perf: Perf, kernel: &str, program: &Path, small: bool, time: Duration) -> io::Result<Vec<u8>> {
    let seconds = (time.as_secs() + 2).to_string();
    let entries = if small { "2000" } else { "4000000" };
    let mut command = Command::new(program);
    command.args([kernel, "--seconds", &seconds, "--entries", entries]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut driver = Ended(command.spawn().map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?);
    let words = driver.0.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut words = BufReader::new(words).lines();
    match words.next() {
        Some(Ok(ready)) if ready.starts_with("ready ") => perf.record(driver.0.id(), time),
        _ => Err(io::Error::other(format!("verdict-kernels did not begin with `{kernel}`; `verdict-kernels --list` has them"))),
    }
}

/// Ended with us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
