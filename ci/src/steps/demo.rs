//! The demo as a newcomer runs it, then once more with a feed of one's own.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::process::Command;
use std::time::Duration;

/// Includes the build.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let xtask = std::env::current_exe().map_err(|error| format!("our own program: {error}"))?;
    log.run(Command::new(&xtask).args(["demo", "--profile", "checks"]), LIMIT)?;
    let feed = create(workspace.target.join("xtask"))?.join("own-feed.txt");
    std::fs::write(&feed, "own-feed.example\nhttp://own-feed.test/a/b\n192.0.2.200\n")
        .map_err(|error| format!("{}: {error}", feed.display()))?;
    log.run(Command::new(&xtask).args(["demo", "--profile", "checks", "--shards", "1"]).arg(&feed), LIMIT)?;
    Ok(Done::passed())
}
