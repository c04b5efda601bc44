//! The release programs, built once and used by every command and step.
//!
//! The same packages are always named together, so that cargo never finds a reason to build a dependency twice with other features.

use crate::child::Log;
use crate::steps::prerequisites::answers;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The longest a release build may take, on two cores from nothing.
pub const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Two programs of one build.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The daemon.
    pub verdictd: PathBuf,
    /// The operator's command.
    pub verdictctl: PathBuf,
}

impl Programs {
    fn of(workspace: &Workspace) -> Self {
        let directory = workspace.target.join("release");
        Programs { verdictd: directory.join("verdictd"), verdictctl: directory.join("verdictctl") }
    }
}

fn build(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--package=verdictd", "--package=verdictctl"]);
    command
}

/// Builds with cargo's own progress on the terminal.
pub fn build_openly(workspace: &Workspace) -> Result<Programs, String> {
    openly(&mut build(workspace))?;
    Ok(Programs::of(workspace))
}

/// Builds into a step's log.
pub fn build_logged(workspace: &Workspace, log: &Log) -> Result<Programs, String> {
    log.run(&mut build(workspace), BUILD_LIMIT)?;
    Ok(Programs::of(workspace))
}

/// verdict-perf, which `bench` and the sealed checks run; with ada-url where a C++ compiler is, always the same way, so that it is built once. The
/// programs are named with it: alone it would have what they share built again, with fewer features.
pub fn perf(workspace: &Workspace) -> (Command, PathBuf) {
    let mut command = build(workspace);
    command.arg("--package=verdict-perf");
    if has_cxx() {
        command.arg("--features=verdict-perf/ada");
    }
    (command, workspace.target.join("release/verdict-perf"))
}

/// Whether there is a C++ compiler, as the `cc` crate looks for one.
pub fn has_cxx() -> bool {
    let named = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    answers(Command::new(named).arg("--version"))
}

/// Runs a command on our terminal; its output is ours.
pub fn openly(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("{program} cannot be started: {error}")),
    }
}
