//! `cargo xtask`: the one entry for building, showing and checking verdictd; the same by hand and in CI.
//!
//! ```text
//!  demo.rs       compile the sample, serve it, ask, stop
//!  test.rs       every check as a named step; steps/ has one file each
//!  arm/          the ARM side: toolchain, kernel, initramfs, the emulated machine (bin/arm-init.rs is its PID 1)
//!  bench.rs      hands over to verdict-perf
//! ```
//! `workspace.rs` knows where things are, `child.rs` runs programs with a log and a deadline, `counts.rs` reads how many tests ran.
//! There are no shell scripts: what a step needs beyond programs of Debian and cargo is written here.
#![forbid(unsafe_code)]

mod arm;
mod bench;
mod child;
mod counts;
mod demo;
mod died;
mod release;
mod steps;
mod test;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use workspace::Workspace;

/// Build, show and check verdictd.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Tidy(steps::tidy::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = Workspace::find().and_then(|workspace| match &arguments.command {
        Command::Demo(arguments) => demo::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => test::run(&workspace, arguments),
        Command::Bench(arguments) => bench::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Tidy(arguments) => steps::tidy::command(&workspace, arguments).map(|()| ExitCode::SUCCESS),
    });
    result.unwrap_or_else(|reason| {
        eprintln!("cargo xtask: {reason}");
        ExitCode::FAILURE
    })
}
