//! `verdict-perf replay`: rules, snapshot, oracle, questions, answers, differences.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use verdict_keys::Scheme;
use verdict_perf::data::Corpus;
use verdict_perf::oracle::Oracle;
use verdict_perf::replay::{self, Manner, Report, Script};
use verdict_perf::rules::RuleSet;
use verdict_perf::seed::Rng;
use verdict_perf::spawn::{AUTO, Daemon, Served, Wanted};
use verdict_perf::{process, questions};
use verdict_tables::Snapshot;

/// Among millions of other rules: the oracle tries each of them at every place of every text.
const SIGNATURES: usize = 300;

/// Without --spawn and --connect the snapshot and the oracle are only built.
#[derive(Args)]
pub struct Options {
    /// Start this verdictd for the time of the replay.
    #[arg(long, value_name = "VERDICTD", conflicts_with = "connect")]
    spawn: Option<PathBuf>,
    /// Ask a server that already serves the snapshot of an earlier --snapshot-out with the same seed and limits.
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<SocketAddr>,
    /// Write the compiled snapshot here.
    #[arg(long, value_name = "FILE")]
    snapshot_out: Option<PathBuf>,
    /// At most this many indicators, spread over all sources; 0 takes all.
    #[arg(long, default_value_t = 0)]
    indicators: usize,
    /// Questions of all kinds; a tenth as many pre-hashed ones go beside them.
    #[arg(long, default_value_t = 1_100_000)]
    questions: usize,
    /// Which expressions the snapshot is made for.
    #[arg(long, value_enum, default_value_t = SchemeName::Full)]
    scheme: SchemeName,
    /// Connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Frames under way on each connection.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Made-up indicators under reserved names, even where real data is to be found.
    #[arg(long)]
    generated: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemeName {
    Full,
    GsbV4,
    GsbV5,
    Exact,
}

impl From<SchemeName> for Scheme {
    fn from(name: SchemeName) -> Self {
        match name {
            SchemeName::Full => Self::Full,
            SchemeName::GsbV4 => Self::GsbV4,
            SchemeName::GsbV5 => Self::GsbV5,
            SchemeName::Exact => Self::Exact,
        }
    }
}

pub fn run(options: &Options, rng: &Rng) -> io::Result<()> {
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let started = Instant::now();
    let corpus = if options.generated {
        Corpus::generated(if options.indicators == 0 { 1_200_000 } else { options.indicators }, rng)
    } else {
        Corpus::real_or_generated(options.indicators, rng)?
    };
    let whence = if corpus.generated { "made up under reserved names" } else { "real" };
    println!(
        "{} indicators, {whence}, of {} sources, {:.1} s",
        corpus.indicators.len(),
        corpus.sources.len(),
        started.elapsed().as_secs_f64()
    );

    let started = Instant::now();
    let mut set = RuleSet::from_corpus(&corpus);
    set.add_signatures(SIGNATURES);
    let built = set.compile(backend, options.scheme.into()).map_err(io::Error::other)?;
    let snapshot = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?;
    let (bytes, seconds) = (built.bytes.len(), started.elapsed().as_secs_f64());
    println!(
        "{} rows are rules, {} are none; snapshot of {bytes} bytes, generation {:016x}, {seconds:.1} s",
        set.rules.len(),
        set.rejected,
        built.generation
    );
    println!("rules: {}", kinds(&set));
    if let Some(path) = &options.snapshot_out {
        std::fs::write(path, &built.bytes)?;
    }

    let started = Instant::now();
    let oracle = Oracle::new(&set, snapshot.profile().clone());
    let asked = questions::about(&set, &corpus.benign, options.questions, rng);
    let hashed = replay::hashed_questions(backend, snapshot.schedule(), &oracle, &set, options.questions / 10, rng);
    drop(snapshot);
    let script = Script::new(&oracle, asked, hashed, built.generation, rng);
    println!("{} questions foretold, {:.1} s", script.len(), started.elapsed().as_secs_f64());

    let manner = Manner { connections: options.connections, in_flight: options.in_flight };
    let report = match (&options.spawn, options.connect) {
        (Some(binary), _) => {
            let daemon = Daemon::start(&Wanted {
                binary,
                driver: AUTO,
                snapshot: Served::Bytes(&built.bytes),
                cpu: None,
                limits: "queue_deadline_ms = 0\n",
            })?;
            let report = replay::run(daemon.address, &script, &oracle, manner)
                .map_err(|error| io::Error::other(format!("{error}\nthe daemon's log:\n{}", daemon.log())))?;
            println!("the daemon's resident memory: {} bytes", process::resident_bytes(daemon.pid())?);
            daemon.stop()?;
            report
        }
        (None, Some(address)) => replay::run(address, &script, &oracle, manner)?,
        (None, None) => {
            println!("nobody was asked: give --spawn or --connect");
            return Ok(());
        }
    };
    print(&report);
    match report.different {
        0 => Ok(()),
        different => Err(io::Error::other(format!("{different} answers differ from the oracle's"))),
    }
}

fn kinds(set: &RuleSet) -> String {
    use verdict_perf::rules::Subject;
    let mut counts: std::collections::BTreeMap<&str, usize> = Default::default();
    for (subject, _) in &set.rules {
        let name = match subject {
            Subject::Host { subdomains: false, .. } => "host",
            Subject::Host { subdomains: true, .. } => "host tree",
            Subject::Url { prefix: true, .. } => "url prefix",
            Subject::Url { subdomains: true, .. } => "url everywhere",
            Subject::Url { .. } => "url",
            Subject::Net { network, bits } if network.is_ipv4() => {
                if *bits == 32 {
                    "ipv4"
                } else {
                    "ipv4 prefix"
                }
            }
            Subject::Net { .. } => "ipv6",
            Subject::File(verdict_keys::Digest::Sha256(_)) => "sha256",
            Subject::File(verdict_keys::Digest::Sha1(_)) => "sha1",
            Subject::File(verdict_keys::Digest::Md5(_)) => "md5",
            Subject::Signature { .. } => "signature",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
}

fn print(report: &Report) {
    let seconds = report.elapsed.as_secs_f64();
    println!("{} answers in {} frames, {seconds:.1} s", report.asked, report.frames);
    let mut answers: Vec<_> = report.answers.iter().collect();
    answers.sort();
    for ((kind, status, class), count) in answers {
        let meaning = match (status, class) {
            (0, 0) => "unknown",
            (0, 1) => "clean",
            (0, 2) => "suspicious",
            (0, 3) => "malicious",
            (1, _) => "unparseable",
            (2, _) => "unsupported",
            (3, _) => "overloaded",
            _ => "error",
        };
        println!("  {kind:<12} {meaning:<12} {count:>9}");
    }
    for difference in &report.differences {
        println!("{difference}\n");
    }
    println!("{} differences", report.different);
}
