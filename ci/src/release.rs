//! The programs: as they are released for every command, and as the tests have built them for every step.
//!
//! The same packages are always named together, so that cargo never finds a reason to build a dependency twice with other features.

use crate::child::Log;
use crate::steps::prerequisites::answers;
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The longest a build may take, on two cores from nothing.
pub const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Two programs of one build.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The daemon.
    pub verdictd: PathBuf,
    /// The operator's command.
    pub verdictctl: PathBuf,
}

/// How they are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// As they are released.
    Release,
    /// With the tests: of a release build most is optimising crates together, of which a check gains nothing; and this one asserts more.
    Tests,
}

impl Profile {
    fn directory(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(if self == Profile::Release { "release" } else { "debug" })
    }

    fn programs(self, workspace: &Workspace) -> Programs {
        let directory = self.directory(workspace);
        Programs { verdictd: directory.join("verdictd"), verdictctl: directory.join("verdictctl") }
    }

    fn build(self, workspace: &Workspace) -> Command {
        match self {
            Profile::Release => {
                let mut command = workspace.cargo();
                command.args(["build", "--release", "--package=verdictd", "--package=verdictctl"]);
                command
            }
            Profile::Tests => {
                let mut command = tests(workspace);
                command.arg("--no-run");
                command
            }
        }
    }
}

/// Cargo's words for all tests of this machine, always the same, so that nothing is built twice: with ada-url where a C++ compiler is.
pub fn tests(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--locked"]);
    with_ada(&mut command);
    command
}

/// Builds with cargo's own progress on the terminal.
pub fn build_openly(workspace: &Workspace, profile: Profile) -> Result<Programs, String> {
    openly(&mut profile.build(workspace))?;
    Ok(profile.programs(workspace))
}

/// Builds into a step's log.
pub fn build_logged(workspace: &Workspace, log: &Log, profile: Profile) -> Result<Programs, String> {
    log.run(&mut profile.build(workspace), BUILD_LIMIT)?;
    Ok(profile.programs(workspace))
}

/// verdict-perf as it is released, for `bench` and flamegraphs. The programs are named with it: alone it would have what they share built again, with
/// fewer features.
pub fn perf(workspace: &Workspace) -> (Command, PathBuf) {
    let mut command = Profile::Release.build(workspace);
    command.arg("--package=verdict-perf");
    with_ada(&mut command);
    (command, Profile::Release.directory(workspace).join("verdict-perf"))
}

/// verdict-perf, and the programs that it starts, for a step.
pub fn tested_perf(workspace: &Workspace, log: &Log) -> Result<(Programs, PathBuf), String> {
    let programs = build_logged(workspace, log, Profile::Tests)?;
    Ok((programs, Profile::Tests.directory(workspace).join("verdict-perf")))
}

fn with_ada(command: &mut Command) {
    if has_cxx() {
        command.arg("--features=verdict-perf/ada");
    }
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
