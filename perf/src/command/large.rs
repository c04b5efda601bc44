//! `verdict-perf large`: builds a snapshot of so many made-up pre-hashed keys, and says what that took.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use verdict_perf::bench::large::Large;
use verdict_perf::process;

/// How large, and where.
#[derive(Args)]
pub struct Options {
    /// Rules.
    #[arg(long, default_value_t = 100_000_000)]
    entries: u64,
    /// The file; without it, the one that the benches share, made only where it is missing.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub fn run(options: &Options) -> io::Result<()> {
    let backend = verdict_simd::detect().map_err(io::Error::other)?;
    let Some(path) = &options.to else {
        let large = Large::get(backend, options.entries)?;
        println!("{}", large.path.display());
        return Ok(());
    };
    let began = Instant::now();
    let mut last = (String::new(), Duration::ZERO);
    let progress = move |phase: &str, done: u64, total: u64| {
        let now = began.elapsed();
        if last.0 != phase || now - last.1 > Duration::from_secs(1) || done == total {
            eprintln!("{:>7.1} s  {phase:<7} {done:>12} of {total}", now.as_secs_f64());
            last = (phase.to_owned(), now);
        }
    };
    Large::build(backend, options.entries, path, Box::new(progress))?;
    let seconds = began.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(path)?.len();
    let peak = process::peak_resident_bytes(std::process::id())?;
    println!(
        "{} entries in {seconds:.1} s, {bytes} bytes ({:.2} an entry), at most {:.2} GiB resident",
        options.entries,
        bytes as f64 / options.entries as f64,
        peak as f64 / (1u64 << 30) as f64
    );
    Ok(())
}
