//! `verdict-perf bench`: figures as a table and as JSON.

use std::io;

use clap::Args;
use verdict_perf::seed::Rng;

#[derive(Args)]
pub struct Options {}

pub fn run(_options: &Options, _rng: &Rng) -> io::Result<()> {
    Err(io::Error::other("not built yet"))
}
