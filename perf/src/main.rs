//! The command `verdict-perf`: one subcommand per way to find out whether the daemon is right, and how fast.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use verdict_perf::seed::Rng;
use verdict_perf::{null_server, process};

mod command;

#[derive(Parser)]
#[command(name = "verdict-perf", version, about = "Benches, load generator, replay and records of verdictd")]
struct Cli {
    /// All random choices come from this number; it is printed with every result.
    #[arg(long, global = true, default_value_t = 20_260_701)]
    seed: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A million real questions to the daemon, every answer compared with a naive oracle.
    Replay(command::replay::Options),
    /// Ten million addresses: the answers of full prefix tables beside another implementation and a naive oracle.
    Addresses(command::addresses::Options),
    /// What a daemon must survive: swaps under load, hostile peers, a peer that never reads.
    Soak(command::soak::Options),
    /// Open-loop load on a running server: a fixed schedule, latency from the intended start.
    Load(command::load::Load),
    /// Saturation of a running server: as many requests under way as asked for.
    Closed(command::load::Closed),
    /// Serves frames without looking at them: the price of moving the bytes.
    NullServer(NullServer),
    /// A million mutated real URLs through our canonicaliser and two browsers' parsers.
    Differential(command::differential::Options),
    /// A snapshot of made-up pre-hashed keys, as large as wanted: how long it takes, and how much memory.
    Large(command::large::Options),
    /// Where the time goes, as an SVG: the daemon under load, or a kernel alone.
    Flamegraph(command::flamegraph::Options),
    /// Figures beside peers on this machine.
    Bench(command::bench::Options),
    /// Pictures of records, as SVG.
    Plot(command::plot::Options),
}

#[derive(Args)]
struct NullServer {
    /// Where to listen; port 0 lets the kernel choose.
    #[arg(long, default_value = "127.0.0.1:7790")]
    listen: SocketAddr,
    /// How it moves the bytes.
    #[arg(long, value_enum, default_value_t = null_server::Twin::Blocking)]
    twin: null_server::Twin,
    /// Speak HTTP/1.1 instead of frames, with responses of so many bytes.
    #[arg(long, value_name = "BYTES")]
    http: Option<usize>,
}

/// Where the daemon comes from.
#[derive(Args)]
struct Target {
    /// The verdictd binary to start for the time of the check, in a temporary directory and on loopback.
    #[arg(long, value_name = "VERDICTD")]
    spawn: PathBuf,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let rng = Rng::new(cli.seed);
    eprintln!("seed {}", cli.seed);
    let result = match cli.command {
        Command::Replay(options) => command::replay::run(&options, &rng),
        Command::Addresses(options) => command::addresses::run(&options, &rng),
        Command::Soak(options) => command::soak::run(&options, &rng),
        Command::Load(options) => command::load::load(&options, &rng),
        Command::Closed(options) => command::load::closed(&options, &rng),
        Command::NullServer(options) => serve_nothing(&options),
        Command::Differential(options) => command::differential::run(&options, &rng),
        Command::Large(options) => command::large::run(&options),
        Command::Flamegraph(options) => command::flamegraph::run(&options, &rng),
        Command::Bench(options) => command::bench::run(&options, cli.seed, &rng),
        Command::Plot(options) => command::plot::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("verdict-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_nothing(options: &NullServer) -> io::Result<()> {
    process::raise_descriptor_limit(65_536);
    let voice = options.http.map_or(null_server::Voice::Frames, |reply_bytes| null_server::Voice::Http { reply_bytes });
    null_server::serve(options.twin, voice, options.listen, |address| println!("listening on {address}"))
}
