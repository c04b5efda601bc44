//! `verdict-perf soak`: one check, or all of them in turn.

use std::io;

use clap::{Args, ValueEnum};
use verdict_perf::seed::Rng;
use verdict_perf::soak::{deaf, hostile, swap};
use verdict_perf::spawn::AUTO;

use crate::Target;

#[derive(Args)]
pub struct Options {
    /// Which check.
    #[arg(value_enum, default_value_t = Check::All)]
    check: Check,
    #[command(flatten)]
    target: Target,
    /// How the daemon speaks to the kernel, as its `shards.driver`.
    #[arg(long, default_value = AUTO)]
    driver: String,
    /// Snapshots swapped.
    #[arg(long, default_value_t = 1_000)]
    swaps: usize,
    /// Frames a second while swapping.
    #[arg(long, default_value_t = 2_000.0)]
    per_second: f64,
    /// Mutated frames.
    #[arg(long, default_value_t = 10_000)]
    frames: usize,
    /// Connections that trickle, stall or vanish.
    #[arg(long, default_value_t = 1_000)]
    connections: usize,
    /// Peers that never read.
    #[arg(long, default_value_t = 8)]
    deaf_peers: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    All,
    Swap,
    Hostile,
    Deaf,
}

pub fn run(options: &Options, rng: &Rng) -> io::Result<()> {
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let (binary, driver) = (&options.target.spawn, options.driver.as_str());
    let wanted = |check| options.check == Check::All || options.check == check;
    if wanted(Check::Swap) {
        let size = swap::Size { swaps: options.swaps, rules: 50_000, per_second: options.per_second, connections: 8 };
        println!("swap: {:#?}", swap::run(backend, binary, driver, size, rng)?);
    }
    if wanted(Check::Hostile) {
        let size = hostile::Size { frames: options.frames, connections: options.connections };
        println!("hostile: {:#?}", hostile::run(backend, binary, driver, size, rng)?);
    }
    if wanted(Check::Deaf) {
        println!("deaf: {:#?}", deaf::run(backend, binary, driver, options.deaf_peers, rng)?);
    }
    println!("all held");
    Ok(())
}
