//! The JSON API against schemathesis, which someone else wrote: it reads openapi.json from the daemon and tries what that says, and what it forbids.
//!
//! It comes from PyPI into an environment of its own below `target/`; the daemon and its rules are those of the daemon's own tests.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::process::Command;
use std::time::Duration;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
const LIMIT: Duration = Duration::from_secs(600);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = create(workspace.target.join("xtask/schemathesis"))?;
    let program = directory.join("venv/bin/schemathesis");
    if !program.exists() {
        log.run(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")), LIMIT)?;
        log.run(Command::new(directory.join("venv/bin/pip")).args(["install", "--quiet", SCHEMATHESIS]), LIMIT)?;
    }
    let mut test = workspace.cargo();
    test.args(["test", "--locked", "--package=verdictd", "--test=edge", "api::", "--", "--nocapture", "--test-threads=1"])
        .env("VERDICT_SCHEMATHESIS", &program);
    log.run(&mut test, LIMIT)?;
    Ok(Done::Passed(SCHEMATHESIS.into()))
}
