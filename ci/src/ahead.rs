//! Builds of later steps, begun early at the lowest priority: they fill what the tests before them leave of the CPUs.
//!
//! ```text
//! steps   clippy  build-x86-64  tests-x86-64  tests-aarch64  asm ...  build-aarch64 ...  differential ...
//! ahead                         ··ARM tests···kernels··········ARM programs···cargo-deb···verdict-perf              nice 19
//! ```
//! In the order of the steps. Nothing depends on it: a step finds its build made, half made or not begun, and makes what is missing; one whose build is
//! under way waits for cargo's lock.

use crate::child::Log;
use crate::kernels;
use crate::package;
use crate::release::{self, Profile};
use crate::steps::{arm_system, suites};
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Command;
use std::thread;

/// Begins them; what they say is in `ahead.log`. A build that fails here fails in its step too, which says so.
pub fn begin(workspace: &Workspace, logs: &Path) -> Result<(), String> {
    let log = Log::create(logs.join("ahead.log"))?;
    let (build, _) = release::perf(workspace, Profile::Checks);
    // Without the toolchain for ARM its steps say what is missing.
    let tests = suites::arm_tests(workspace).map(|mut tests| {
        tests.arg("--no-run");
        tests
    });
    let before = [tests, Ok(kernels::native_build(workspace)), kernels::arm_build(workspace), arm_system::programs(workspace)];
    let builds: Vec<Command> = before.into_iter().flatten().chain([package::tool(workspace), build]).collect();
    thread::spawn(move || {
        for build in builds {
            let _ = log.run(&mut idly(&build), release::BUILD_LIMIT);
        }
    });
    Ok(())
}

/// The same command, for whom CPU time is left.
fn idly(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        nice.current_dir(directory);
    }
    nice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_run_at_the_lowest_priority() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "nice; echo $WORD; pwd"]).env("WORD", "kept").env_remove("HOME").current_dir("/");
        let output = idly(&command).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "19\nkept\n/\n");
    }
}
