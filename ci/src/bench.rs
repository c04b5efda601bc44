//! `cargo xtask bench`: builds release programs and hands over to `verdict-perf bench`, which owns the definitions and the records.

use crate::arm::toolchain;
use crate::release::{self, Profile};
use crate::workspace::Workspace;

/// Measure; arguments go to `verdict-perf bench`, but for `compare A B`: two commits, or two files of figures
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench echo --json target/echo.json\n  cargo xtask bench feeds --record perf/records\n  cargo xtask bench compare HEAD~1 HEAD --suite keys"
)]
pub struct Arguments {
    /// For example: SUITE --json FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    if arguments.arguments.first().is_some_and(|first| first == "compare") {
        return crate::compare::run(workspace, &arguments.arguments[1..]);
    }
    release::build_openly(workspace, Profile::Release)?;
    let (mut build, program) = release::perf(workspace, Profile::Release);
    release::openly(&mut build)?;
    let mut bench = std::process::Command::new(program);
    bench.arg("bench").args(&arguments.arguments);
    if arguments.arguments.first().is_some_and(|first| first == "feeds") {
        match arm_verdictctl(workspace) {
            Ok(program) => drop(bench.env("VERDICT_ARM_VERDICTCTL", program)),
            Err(reason) => eprintln!("the same bytes on ARM will not be looked at: {reason}"),
        }
        return release::openly(&mut bench);
    }
    match arm_program(workspace) {
        Ok(program) => drop(bench.env("VERDICT_ARM_COUNT_URLS", program)),
        Err(reason) => eprintln!("ARM instructions will not be counted: {reason}"),
    }
    release::openly(&mut bench)
}

/// Run under emulation, to compare what it writes.
fn arm_verdictctl(workspace: &Workspace) -> Result<std::path::PathBuf, String> {
    let mut command = toolchain::emulated(workspace, "build")?;
    release::openly(command.args(["--locked", "--package=verdictctl", "--bin=verdictctl"]))?;
    Ok(toolchain::programs_directory(workspace).join("verdictctl"))
}

/// The program whose ARM instructions are counted.
fn arm_program(workspace: &Workspace) -> Result<std::path::PathBuf, String> {
    let mut command = toolchain::cargo(workspace, "build")?;
    release::openly(command.args(["--locked", "--release", "--package=verdict-keys", "--example=count-urls"]))?;
    Ok(workspace.target.join("aarch64").join(toolchain::TRIPLE).join("release/examples/count-urls"))
}
