//! `verdict-perf differential`: ours against ada-url and `url`, over mutated real URLs.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use verdict_perf::data;
use verdict_perf::differential::peers::{self, Peer};
use verdict_perf::differential::{mutated, run as compare, undetected_canary, urls};
use verdict_perf::seed::Rng;

/// Real URLs where there are any, else made-up ones.
#[derive(Args)]
pub struct Options {
    /// URLs compared, mutated or not.
    #[arg(long, default_value_t = 1_000_000)]
    urls: usize,
    /// Made-up URLs under reserved names, even where real data is to be found.
    #[arg(long)]
    generated: bool,
}

pub fn run(options: &Options, rng: &Rng) -> io::Result<()> {
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let originals = match data::directory().filter(|_| !options.generated) {
        Some(directory) => urls::real(&directory)?,
        None => {
            println!("data files not found or not wanted: made-up URLs under reserved names instead");
            urls::generated(options.urls.div_ceil(2), rng)
        }
    };
    let originals = Arc::new(originals);
    let peers = peers::all();
    let peers: Vec<&dyn Peer> = peers.iter().map(Box::as_ref).collect();
    let names: Vec<&str> = peers.iter().map(|peer| peer.name()).collect();
    println!("{} originals, backend {}, against {}", originals.len(), verdict_simd::Backend::name(backend), names.join(" and "));
    if !names.iter().any(|name| name.starts_with("ada")) {
        println!("without ada-url: this build is without feature `ada`, which needs a C++ compiler");
    }
    let started = Instant::now();
    let report = compare(backend, mutated(originals.clone(), options.urls, rng), &peers);
    for ((peer, class), count) in &report.classes {
        println!("{count:>9}  {peer:<10} {class}");
    }
    println!("{} of {} took the fast path", report.fast, report.urls);
    for difference in &report.shown {
        println!("DIFFERENCE {difference}");
    }
    println!("{} unexplained differences among {} URLs, {:.1} s", report.unexplained, report.urls, started.elapsed().as_secs_f64());
    if report.unexplained > 0 {
        return Err(io::Error::other(format!("{} unexplained differences", report.unexplained)));
    }
    match undetected_canary(|| mutated(originals.clone(), options.urls, rng), &peers) {
        Some(canary) => Err(io::Error::other(format!("the canary «{canary}» was not found out: the comparison sees nothing"))),
        None => {
            println!("all canaries found out");
            Ok(())
        }
    }
}
