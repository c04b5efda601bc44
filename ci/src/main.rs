//! `cargo xtask`: the one entry for building, showing and checking verdictd; the same by hand and in CI.
//!
//! ```text
//!  demo.rs       compile the sample, serve it, ask, stop
//!  test.rs       every check as a named step; steps/ has one file each
//!  arm/          the ARM side: toolchain, kernel, initramfs, the emulated machine (bin/arm-init.rs is its PID 1)
//!  bench.rs      hands over to verdict-perf, as flamegraph.rs does; compare.rs holds two commits against each other
//!  kernels/      the kernels' machine code: disassembled, counted, traced and modelled, without a clock; arm_model.rs prints the table
//!  package.rs    the Debian package, by cargo-deb
//!  train.rs      the models' trainer, Python, in an environment of its own
//! ```
//! `workspace.rs` knows where things are, `child.rs` runs programs with a log and a deadline, `counts.rs` reads how many tests ran.
//! There are no shell scripts: what a step needs beyond programs of Debian and cargo is written here.
#![forbid(unsafe_code)]

mod ahead;
mod arm;
mod arm_model;
mod bench;
mod child;
mod compare;
mod counts;
mod demo;
mod died;
mod flamegraph;
mod kernels;
mod package;
mod release;
mod sample;
mod steps;
mod test;
mod train;
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
    Instructions(steps::instructions::Arguments),
    ArmModel(arm_model::Arguments),
    Flamegraph(flamegraph::Arguments),
    Package(package::Arguments),
    Tidy(steps::tidy::Arguments),
    Train(train::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = Workspace::find().and_then(|workspace| match &arguments.command {
        Command::Demo(arguments) => demo::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => test::run(&workspace, arguments),
        Command::Bench(arguments) => bench::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Instructions(arguments) => steps::instructions::command(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::ArmModel(arguments) => arm_model::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Flamegraph(arguments) => flamegraph::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Package(arguments) => package::command(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Tidy(arguments) => steps::tidy::command(&workspace, arguments).map(|()| ExitCode::SUCCESS),
        Command::Train(arguments) => train::run(&workspace, arguments).map(|()| ExitCode::SUCCESS),
    });
    result.unwrap_or_else(|reason| {
        eprintln!("cargo xtask: {reason}");
        ExitCode::FAILURE
    })
}
