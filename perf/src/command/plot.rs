//! `verdict-perf plot`: pictures of records that are there.

use std::io;
use std::path::PathBuf;

use clap::Args;
use verdict_perf::bench::record::Record;
use verdict_perf::plot;

#[derive(Args)]
pub struct Options {
    /// Records, as `bench --record` writes them.
    #[arg(required = true, value_name = "RECORD")]
    records: Vec<PathBuf>,
    /// Where the pictures go.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    out: PathBuf,
}

pub fn run(options: &Options) -> io::Result<()> {
    for path in &options.records {
        let record = Record::read(path)?;
        for picture in plot::pictures(&record, &options.out)? {
            println!("{}", picture.display());
        }
    }
    Ok(())
}
