//! `verdict-perf addresses`: full prefix tables, ten million addresses, differences.

use std::io;

use clap::Args;
use verdict_perf::addresses;
use verdict_perf::prefixes::Prefixes;
use verdict_perf::seed::Rng;

/// How much is asked.
#[derive(Args)]
pub struct Options {
    /// Addresses of each family.
    #[arg(long, default_value_t = 5_000_000)]
    count: usize,
    /// How many of them a scan of all prefixes answers too.
    #[arg(long, default_value_t = 1_000)]
    scanned: usize,
}

pub fn run(options: &Options, rng: &Rng) -> io::Result<()> {
    let prefixes = Prefixes::real_or_generated(1, rng)?;
    let kind = if prefixes.generated { "made-up (the data files are not at hand)" } else { "real" };
    println!("{kind} prefixes: {} IPv4, {} IPv6", prefixes.v4.len(), prefixes.v6.len());
    let report = addresses::compare(&prefixes, options.count, options.scanned, rng)?;
    println!("{} addresses asked, {} of them also of a scan of all prefixes, {} covered", report.asked, report.scanned, report.covered);
    println!("{} differences", report.differences.len());
    for difference in report.differences.iter().take(20) {
        println!("  {difference}");
    }
    if report.differences.is_empty() { Ok(()) } else { Err(io::Error::other("the answers differ")) }
}
