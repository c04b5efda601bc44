//! The sealed checks of verdict-perf on the release build: a million URLs as browsers read them, right answers for a million questions, what a daemon must survive, and that
//! the benches run. Their figures are not looked at here; a machine that is busy testing has none to give.

use crate::child::Log;
use crate::release::{self, BUILD_LIMIT};
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10 * 60);
/// What each figure of a bench says, at least.
const FIELDS: [&str; 8] = ["name", "median", "min", "max", "runs", "unit", "how", "peer"];

/// A million questions, each answer compared with a naive oracle.
pub fn replay(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, verdictd) = built(workspace, log)?;
    log.run(perf.arg("replay").arg("--spawn").arg(verdictd), LIMIT)?;
    let text = log.text();
    let line = |part: &str| {
        text.lines().rev().find(|line| line.contains(part)).map_or_else(|| format!("no line says `{part}`"), |line| line.trim().to_owned())
    };
    if text.lines().any(|line| line.trim() == "0 differences") {
        Ok(Done::Passed(format!("{}; 0 differences", line(" answers in "))))
    } else {
        Err(line(" differences"))
    }
}

/// A million mutated real URLs through our canonicaliser and two browsers' parsers; every difference must have a name.
pub fn differential(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, _) = built(workspace, log)?;
    log.run(perf.arg("differential"), LIMIT)?;
    let text = log.text();
    let said = |part: &str| text.lines().rev().find(|line| line.contains(part));
    if said("all canaries found out").is_none() {
        return Err("it did not say that all canaries were found out".into());
    }
    let without = if release::has_cxx() { "" } else { "; SKIPPED ada-url: there is no C++ compiler" };
    match said(" unexplained differences among ") {
        Some(line) if line.starts_with("0 ") => Ok(Done::Passed(format!("{line}{without}"))),
        line => Err(line.unwrap_or("no line counts the differences").to_owned()),
    }
}

/// Ten million addresses, each answer compared with another implementation's, some with a scan.
pub fn addresses(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, _) = built(workspace, log)?;
    log.run(perf.arg("addresses"), LIMIT)?;
    let text = log.text();
    let line = |part: &str| text.lines().rev().find(|line| line.contains(part)).unwrap_or("nothing was said").trim().to_owned();
    if text.lines().any(|line| line.trim() == "0 differences") {
        Ok(Done::Passed(format!("{}; {}; 0 differences", line(" prefixes: "), line(" addresses asked"))))
    } else {
        Err(line(" differences"))
    }
}

/// Swaps under load, hostile peers, peers that never read: in full with the driver that the daemon takes by itself, a quarter of it with the others.
pub fn soak(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let quarter = ["--swaps=250", "--frames=2500", "--connections=250", "--deaf-peers=2"].as_slice();
    for (driver, size) in [("auto", [].as_slice()), ("ring", quarter), ("streams", quarter)] {
        let (mut perf, verdictd) = built(workspace, log)?;
        log.run(perf.args(["soak", "--driver", driver]).args(size).arg("--spawn").arg(verdictd), LIMIT)?;
    }
    let held = log.text().lines().filter(|line| *line == "all held").count();
    if held == 3 { Ok(Done::Passed("drivers epoll (auto), ring, streams".into())) } else { Err(format!("{held} of 3 said `all held`")) }
}

/// Every suite at its small size; the JSON has the agreed shape.
pub fn bench(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, verdictd) = built(workspace, log)?;
    let json = create(workspace.target.join("xtask"))?.join("bench.json");
    log.run(perf.args(["bench", "--small", "--json"]).arg(&json).arg("--verdictd").arg(verdictd), LIMIT)?;
    let text = std::fs::read_to_string(&json).map_err(|error| format!("{}: {error}", json.display()))?;
    let figures: Vec<serde_json::Map<String, serde_json::Value>> =
        serde_json::from_str(&text).map_err(|error| format!("{}: not an array of objects: {error}", json.display()))?;
    if figures.is_empty() {
        return Err(format!("{} holds no figure", json.display()));
    }
    for figure in &figures {
        if let Some(field) = FIELDS.iter().find(|field| !figure.contains_key(**field)) {
            return Err(format!("{}: a figure without `{field}`: {figure:?}", json.display()));
        }
    }
    Ok(Done::Passed(format!("{} figures, at the small size", figures.len())))
}

/// verdict-perf, and the daemon that it starts.
fn built(workspace: &Workspace, log: &Log) -> Result<(Command, std::path::PathBuf), String> {
    let programs = release::build_logged(workspace, log)?;
    let (mut build, perf) = release::perf(workspace);
    log.run(&mut build, BUILD_LIMIT)?;
    let mut command = Command::new(perf);
    command.current_dir(&workspace.root);
    Ok((command, programs.verdictd))
}
