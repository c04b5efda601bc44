//! rustfmt, and clippy for both architectures: each sees only the code that is not cfg'd out for its target.

use crate::arm::toolchain;
use crate::child::Log;
use crate::steps::Done;
use crate::steps::prerequisites::answers;
use crate::workspace::Workspace;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10 * 60);
/// After the subcommand and the target.
const ARGUMENTS: [&str; 5] = ["--workspace", "--all-targets", "--locked", "--", "--deny=warnings"];

/// `cargo fmt --check`; where the toolchain in use has none, Debian's.
pub fn fmt(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = workspace.cargo();
    if !answers(workspace.cargo().args(["fmt", "--version"])) {
        command = Command::new(toolchain::CARGO_FMT);
        command.current_dir(&workspace.root).env("RUSTFMT", toolchain::RUSTFMT);
    }
    log.run(command.args(["fmt", "--all", "--check"]), LIMIT)?;
    Ok(Done::passed())
}

/// Clippy of the toolchain in use; where it has none, Debian's.
pub fn clippy_native(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = workspace.cargo();
    command.arg("clippy");
    if !answers(workspace.cargo().args(["clippy", "--version"])) {
        command = Command::new(toolchain::CARGO_CLIPPY);
        command.current_dir(&workspace.root).arg("clippy").env("RUSTC", toolchain::RUSTC);
    }
    log.run(command.args(ARGUMENTS), LIMIT)?;
    Ok(Done::passed())
}

/// Debian's clippy, which is of the version that the ARM standard library has.
pub fn clippy_arm(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = toolchain::clippy(workspace)?;
    log.run(command.args(ARGUMENTS), LIMIT)?;
    Ok(Done::passed())
}
