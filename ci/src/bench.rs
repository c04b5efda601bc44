//! `cargo xtask bench`: builds release programs and hands over to `verdict-perf bench`, which owns the definitions and the records.

use crate::release;
use crate::workspace::Workspace;

/// Measure; arguments go to `verdict-perf bench`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench echo --json target/echo.json")]
pub struct Arguments {
    /// For example: SUITE --json FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    release::build_openly(workspace)?;
    let (mut build, program) = release::perf(workspace);
    release::openly(&mut build)?;
    release::openly(std::process::Command::new(program).arg("bench").args(&arguments.arguments))
}
