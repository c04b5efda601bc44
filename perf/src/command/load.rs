//! `verdict-perf load` and `verdict-perf closed`: a server that is already there, asked at a fixed pace or as fast as it answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use verdict_keys::Kind;
use verdict_perf::data::Corpus;
use verdict_perf::fleet::{self, Binary, Outcome, Pace, Plan, Pool};
use verdict_perf::rules::RuleSet;
use verdict_perf::seed::Rng;
use verdict_perf::{process, workload};

#[derive(Args)]
struct Common {
    /// The server.
    #[arg(long, default_value = "127.0.0.1:7700")]
    connect: SocketAddr,
    /// Connections, all driven by one thread.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Keys in a frame, 1 to 4096.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,
    /// Kind of the keys.
    #[arg(long, value_enum, default_value_t = Mix::Mixed)]
    keys: Mix,
    /// Seconds measured.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before that.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Keep the generator to this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Server process, for its CPU time per key.
    #[arg(long)]
    pid: Option<u32>,
    /// Indicators that the questions are about; 0 takes all there are.
    #[arg(long, default_value_t = 200_000)]
    indicators: usize,
}

#[derive(Args)]
pub struct Load {
    #[command(flatten)]
    common: Common,
    /// Frames a second over all connections.
    #[arg(long, default_value_t = 1_000.0)]
    per_second: f64,
}

#[derive(Args)]
pub struct Closed {
    #[command(flatten)]
    common: Common,
    /// Frames under way on each connection, 1 to 64.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    in_flight: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mix {
    Mixed,
    Url,
    Host,
    Ipv4,
    Ipv6,
    Sha256,
}

pub fn load(options: &Load, rng: &Rng) -> io::Result<()> {
    let (outcome, pool) = run(&options.common, Pace::Open { per_second: options.per_second }, rng)?;
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "offered {:.1} frames/s, answered {:.1} frames/s of {:.1} keys",
        outcome.offered as f64 / seconds,
        outcome.answered as f64 / seconds,
        pool.keys_per_request()
    );
    latency(&outcome);
    let lag = outcome.lag.value_at_quantile(0.999) / 1_000;
    println!("generator lag p99.9 {lag} us");
    if outcome.behind {
        println!("the server did not keep up: requests were still waiting half a second after the schedule ended");
    }
    if outcome.lagged() {
        return Err(io::Error::other(format!(
            "run discarded: the generator itself was late (p99.9 {lag} us, allowed {} us)",
            fleet::LAG_NS_MAX / 1_000
        )));
    }
    Ok(())
}

pub fn closed(options: &Closed, rng: &Rng) -> io::Result<()> {
    let (outcome, pool) = run(&options.common, Pace::Closed { in_flight: options.in_flight.into() }, rng)?;
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "{:.0} keys/s in {:.0} frames/s of {:.1} keys, {:.0} bytes",
        outcome.keys as f64 / seconds,
        outcome.answered as f64 / seconds,
        pool.keys_per_request(),
        pool.bytes_per_request()
    );
    if let Some(cpu) = outcome.server_cpu {
        println!("{:.0} keys per second of the server's CPU time", outcome.keys as f64 / cpu.as_secs_f64());
    }
    latency(&outcome);
    Ok(())
}

fn run(common: &Common, pace: Pace, rng: &Rng) -> io::Result<(Outcome, Pool)> {
    let corpus = Corpus::real_or_generated(common.indicators, rng)?;
    let set = RuleSet::from_corpus(&corpus);
    let kind = match common.keys {
        Mix::Mixed => None,
        Mix::Url => Some(Kind::Url),
        Mix::Host => Some(Kind::Host),
        Mix::Ipv4 => Some(Kind::Ipv4),
        Mix::Ipv6 => Some(Kind::Ipv6),
        Mix::Sha256 => Some(Kind::Sha256),
    };
    let questions = workload::questions_of(kind, &corpus, &set, 200_000, rng);
    let pool = workload::frames(&questions, common.batch.into(), 1_024.min(4_000_000 / usize::from(common.batch)));
    if let Some(cpu) = common.cpu {
        process::pin_this_thread(cpu)?;
    }
    process::raise_descriptor_limit(common.connections as u64 + 64);
    let plan = Plan {
        warm_up: Duration::from_secs_f64(common.warm_up),
        duration: Duration::from_secs_f64(common.seconds),
        server_pid: common.pid,
        ..Plan::new(common.connect, common.connections, pace)
    };
    let outcome = fleet::run(&plan, &pool, &Binary)?;
    let told = outcome.tally;
    println!("known {}, overloaded {}, otherwise not ok {}", told.known, told.overloaded, told.odd);
    Ok((outcome, pool))
}

fn latency(outcome: &Outcome) {
    let us = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    println!("latency us: p50 {:.1}  p99 {:.1}  p99.9 {:.1}  max {:.1}", us(0.5), us(0.99), us(0.999), outcome.latency.max() as f64 / 1e3);
}
