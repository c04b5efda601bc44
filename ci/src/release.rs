//! The programs, built once as they are released for every command; the steps take those that the tests are built with.
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
    /// As they are released, optimised across crates.
    Release,
    /// As `cargo test --workspace` builds them for its tests, with overflow and debug assertions checked: after those nothing is left to build.
    Checks,
}

impl Profile {
    fn directory(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(match self {
            Profile::Release => "release",
            Profile::Checks => "debug",
        })
    }
}

impl Programs {
    fn of(workspace: &Workspace, profile: Profile) -> Self {
        let directory = profile.directory(workspace);
        Programs { verdictd: directory.join("verdictd"), verdictctl: directory.join("verdictctl") }
    }
}

fn build(workspace: &Workspace, profile: Profile) -> Command {
    let mut command = workspace.cargo();
    command.arg("build");
    match profile {
        Profile::Release => command.args(["--release", "--package=verdictd", "--package=verdictctl"]),
        // Examples need what tests depend on: with them, cargo chooses the features that it chooses for the tests.
        Profile::Checks => command.args(["--profile=test", "--workspace", "--examples", "--bin=verdictd", "--bin=verdictctl"]),
    };
    command
}

/// Builds with cargo's own progress on the terminal.
pub fn build_openly(workspace: &Workspace, profile: Profile) -> Result<Programs, String> {
    openly(&mut build(workspace, profile))?;
    Ok(Programs::of(workspace, profile))
}

/// Builds for a check, into the step's log.
pub fn build_logged(workspace: &Workspace, log: &Log) -> Result<Programs, String> {
    log_build(workspace, log, Profile::Checks)
}

/// Builds what is released, into a step's log.
pub fn release_logged(workspace: &Workspace, log: &Log) -> Result<Programs, String> {
    log_build(workspace, log, Profile::Release)
}

fn log_build(workspace: &Workspace, log: &Log, profile: Profile) -> Result<Programs, String> {
    log.run(&mut build(workspace, profile), BUILD_LIMIT)?;
    Ok(Programs::of(workspace, profile))
}

/// verdict-perf, which `bench` and the sealed checks run; with ada-url where a C++ compiler is, always the same way, so that it is built once. The
/// programs are named with it: alone it would have what they share built again, with fewer features.
pub fn perf(workspace: &Workspace, profile: Profile) -> (Command, PathBuf) {
    let mut command = build(workspace, profile);
    command.arg(match profile {
        Profile::Release => "--package=verdict-perf",
        Profile::Checks => "--bin=verdict-perf",
    });
    if has_cxx() {
        command.arg("--features=verdict-perf/ada");
    }
    (command, profile.directory(workspace).join("verdict-perf"))
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
