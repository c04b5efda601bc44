//! `verdict-perf bench`: figures as a table, as JSON, and as records.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use verdict_perf::bench::record::{self, Record};
use verdict_perf::bench::{self, Setting, Suite};
use verdict_perf::process;
use verdict_perf::report::{self, Figure};
use verdict_perf::seed::Rng;
use verdict_perf::{plot, targets};

#[derive(Args)]
pub struct Options {
    /// Which figures.
    #[arg(value_enum, default_value_t = Name::All)]
    suite: Name,
    /// Write the figures here, an array of objects; without it they are only printed.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a record of each suite into this directory: SUITE.json with samples, machine, kernel, toolchain, backend and bias, and pictures of it.
    #[arg(long, value_name = "DIRECTORY")]
    record: Option<PathBuf>,
    /// A second instead of minutes: shows that it works, its figures mean nothing.
    #[arg(long)]
    small: bool,
    /// Runs instead of the definition's.
    #[arg(long)]
    runs: Option<usize>,
    /// The verdictd binary; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    verdictd: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    All,
    Peers,
    Echo,
    Latency,
    Drivers,
    Tables,
    Keys,
    /// What models cost, alone and in a daemon all of whose questions are unknown
    Models,
    /// What other protocols cost, and what one client does to the others
    Edges,
    /// All feeds at hand in one snapshot, by the verdictctl beside verdictd. Not part of `all`: it needs the data files
    Feeds,
    /// Thirty consecutive lists of one feed, compiled, published and adopted. Not part of `all` either
    Refresh,
}

/// Begins anew with a malloc that asks for huge pages, as our tables do: hashbrown's memory comes from it. A C library that does not know the
/// setting ignores it.
fn with_huge_pages(program: &std::path::Path) -> io::Result<()> {
    const SETTING: &str = "GLIBC_TUNABLES";
    if std::env::var_os(SETTING).is_some() {
        return Ok(());
    }
    Err(std::process::Command::new(program).args(std::env::args_os().skip(1)).env(SETTING, "glibc.malloc.hugetlb=1").exec())
}

pub fn run(options: &Options, seed: u64, rng: &Rng) -> io::Result<()> {
    let verdict_perf = std::env::current_exe()?;
    if options.suite == Name::Tables {
        with_huge_pages(&verdict_perf)?;
    }
    let verdictd = options.verdictd.clone().unwrap_or_else(|| verdict_perf.with_file_name("verdictd"));
    let setting = Setting { small: options.small, runs: options.runs, verdictd, verdict_perf, rng: rng.clone() };
    if cfg!(debug_assertions) {
        eprintln!("not a release build: the figures mean nothing");
    }
    if let Some(directory) = &options.record {
        // Before the minutes, not after them.
        std::fs::create_dir_all(directory).map_err(|error| io::Error::other(format!("{}: {error}", directory.display())))?;
    }
    let mut figures: Vec<Figure> = Vec::new();
    process::cpus();
    // Those with servers last: they keep this thread to one CPU.
    for (name, suite) in [
        (Name::Keys, Suite::Keys),
        (Name::Tables, Suite::Tables),
        (Name::Drivers, Suite::Drivers),
        (Name::Echo, Suite::Echo),
        (Name::Latency, Suite::Latency),
        (Name::Peers, Suite::Peers),
        (Name::Models, Suite::Models),
        (Name::Edges, Suite::Edges),
        (Name::Feeds, Suite::Feeds),
        (Name::Refresh, Suite::Refresh),
    ] {
        let of_all = !matches!(name, Name::Feeds | Name::Refresh);
        if options.suite != name && (options.suite != Name::All || !of_all) {
            continue;
        }
        let load = record::load();
        let findings = bench::run(suite, &setting)?;
        let results = &findings.results;
        println!("{}\n{}", results.name, report::table(&results.figures));
        print!("{}", targets::lines(&results.figures)?);
        results.notes.iter().for_each(|note| println!("  {note}"));
        println!();
        if let Some(directory) = &options.record {
            let small = if options.small { " --small" } else { "" };
            let command = format!("verdict-perf bench {}{small}", results.name);
            let record = Record::new(&findings, &command, seed, load);
            record.write(&directory.join(format!("{}.json", results.name)))?;
            plot::pictures(&record, directory)?;
        }
        if findings.discarded.total() > 0 {
            println!("  discarded: {:?}", findings.discarded);
        }
        figures.extend(findings.results.figures);
    }
    match &options.json {
        Some(path) => std::fs::write(path, serde_json::to_string_pretty(&figures)? + "\n")
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display()))),
        None => Ok(()),
    }
}
