//! `verdictctl`, the operator's command: ask a daemon, compile feeds into a snapshot, look into a snapshot.
//!
//! Data goes to standard output, everything else to standard error; `--json` is stable. Each subcommand is a file; `exit.rs` is the list of exit
//! statuses; `text.rs` makes foreign bytes fit to print. No subcommand writes anything but the files that it was told to write.
#![forbid(unsafe_code)]

mod answer;
mod ask;
mod columns;
mod compile;
mod completions;
mod daemon;
mod date;
mod describe;
mod exit;
mod explain;
mod hello;
mod inspect;
mod lookup;
mod ping;
mod progress;
mod question;
mod snapshot;
mod text;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{Failure, Outcome};
use std::io::Write;
use std::process::ExitCode;
use verdict_simd::Backend;

/// Ask a verdict daemon, compile threat intelligence into a snapshot, look into a snapshot.
#[derive(Debug, Parser)]
#[command(name = "verdictctl", after_help = exit::HELP, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lookup(lookup::Arguments),
    Ask(ask::Arguments),
    Describe(describe::Arguments),
    Hello(hello::Arguments),
    Ping(ping::Arguments),
    Compile(compile::Arguments),
    Inspect(inspect::Arguments),
    Verify(verify::Arguments),
    Explain(explain::Arguments),
    Completions(completions::Arguments),
}

impl Command {
    fn run(&self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        match self {
            Self::Lookup(arguments) => lookup::run(arguments, out),
            Self::Ask(arguments) => ask::run(arguments, out),
            Self::Describe(arguments) => describe::run(arguments, out),
            Self::Hello(arguments) => hello::run(arguments, out),
            Self::Ping(arguments) => ping::run(arguments, out),
            Self::Compile(arguments) => compile::run(arguments, out),
            Self::Inspect(arguments) => inspect::run(arguments, out),
            Self::Verify(arguments) => verify::run(arguments, out),
            Self::Explain(arguments) => explain::run(arguments, out),
            Self::Completions(arguments) => completions::run(arguments, out),
        }
    }
}

/// `0.1.0 (avx2)`: the version, and which kernels hash and probe here.
fn version() -> String {
    let backend = verdict_simd::detect().map_or("no such backend", |backend| backend.name());
    format!("{} ({backend})", env!("CARGO_PKG_VERSION"))
}

fn main() -> ExitCode {
    let matches = Arguments::command().version(version()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut out = anstream::stdout().lock();
    let result = arguments.command.run(&mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(outcome) => outcome.code(),
        Err(Failure::Closed) => Failure::Closed.code(),
        Err(failure) => {
            // Nobody is left to tell if standard error is gone too.
            let _ = writeln!(std::io::stderr(), "verdictctl: {failure}");
            failure.code()
        }
    }
}
