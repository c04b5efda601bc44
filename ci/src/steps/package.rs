//! The Debian packages of both architectures: made, and held against Debian's policy by lintian. No tag is let through but those of
//! package/lintian-overrides.

use crate::child::Log;
use crate::package;
use crate::release::{self, BUILD_LIMIT};
use crate::steps::{Done, arm_system};
use crate::workspace::Workspace;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5 * 60);
/// They are thrown away, so little is spent on making them small.
const QUICKLY: [&str; 3] = ["-Zgz", "--fast", "--compress-system"];

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let here = release::release_logged(workspace, log)?;
    log.run(&mut package::tool(workspace), BUILD_LIMIT)?;
    let amd64 = package::make(workspace, log, &here, None, &QUICKLY)?;
    let arm64 = arm64(workspace, log)?;
    log.run(Command::new("dpkg-deb").arg("--info").arg(&amd64), LIMIT)?;
    log.run(Command::new("dpkg-deb").arg("--contents").arg(&arm64), LIMIT)?;
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning", "--display-level", ">=warning", "--tag-display-limit", "0"]);
    log.run(lintian.arg(&amd64).arg(&arm64), LIMIT)?;
    Ok(Done::Passed("lintian has nothing to say of either".into()))
}

/// That of the programs which the emulated machine runs.
pub fn arm64(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    let here = release::build_logged(workspace, log)?;
    let programs = arm_system::cross_build(workspace, log)?;
    log.run(&mut package::tool(workspace), BUILD_LIMIT)?;
    package::make(workspace, log, &here, Some(&programs), &QUICKLY)
}
