//! Fuzz smoke: each target of each crate's `fuzz/` for a few seconds, where a nightly compiler and cargo-fuzz are.
//!
//! The corpora are replayed by `cargo test` everywhere; this finds what they do not hold. A target named `canary` has a fault on purpose and must
//! be found out: it guards the set-up itself. All targets build in one directory, so that what they share is built once. Each begins with what is
//! committed for it; what it finds interesting besides is kept under target/ for the next time.

use crate::child::Log;
use crate::steps::Done;
use crate::steps::prerequisites::answers;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Mostly the instrumented build.
const LIMIT: Duration = Duration::from_secs(5 * 60);
const SECONDS: u32 = 10;
/// A canary's fault is found well within this.
const CANARY_SECONDS: u32 = 120;
const CANARY: &str = "canary";

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let targets = targets(workspace);
    if targets.is_empty() {
        return Ok(Done::Skipped("no crate has fuzz targets".into()));
    }
    if !answers(fuzz().arg("--version")) {
        return Ok(Done::Skipped(format!("{} targets; needs cargo-fuzz and a nightly toolchain", targets.len())));
    }
    for (directory, target) in &targets {
        let canary = target == CANARY;
        let limit = format!("-max_total_time={}", if canary { CANARY_SECONDS } else { SECONDS });
        let built = workspace.target.join("fuzz");
        let mut command = fuzz();
        command.env("CARGO_TARGET_DIR", &built).args(["run", "--fuzz-dir"]).arg(directory).arg(target);
        command.arg(kept(&built, directory, target)?).args(seeds(directory, target)).args(["--", &limit]);
        let crashes_before = crashes(log);
        let ended = log.run(&mut command, LIMIT);
        match (canary, ended) {
            (false, ended) => ended?,
            (true, Ok(())) => return Err(format!("{} did not fail: the fuzzer does not see faults", directory.display())),
            (true, Err(_)) if crashes(log) > crashes_before => log.line("the canary was found out, as it must be")?,
            (true, Err(error)) => return Err(error), // it did not even run
        }
    }
    log.suite_ended(targets.len(), 0)?;
    Ok(Done::Passed(format!("{} targets, {SECONDS} s each", targets.len())))
}

/// How many crashes the fuzzer has reported so far.
fn crashes(log: &Log) -> usize {
    log.text().matches("libFuzzer: deadly signal").count()
}

fn fuzz() -> Command {
    let mut command = Command::new("cargo");
    crate::workspace::clean(&mut command);
    // cargo-fuzz asks the toolchain in use for flags that only nightly has.
    command.env("RUSTUP_TOOLCHAIN", "nightly").arg("fuzz");
    command
}

/// Where the fuzzer writes, apart from the checkout: of its corpora it takes the first for that.
fn kept(built: &Path, directory: &Path, target: &str) -> Result<PathBuf, String> {
    let package = directory.parent().and_then(Path::file_name).unwrap_or_default();
    let kept = built.join("corpus").join(package).join(target);
    std::fs::create_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    Ok(kept)
}

/// What is committed for a target: its corpus, its own seeds, and those that a crate has for all of its targets.
fn seeds(directory: &Path, target: &str) -> Vec<PathBuf> {
    let folders = [format!("corpus/{target}"), format!("seeds-{target}"), "seeds".to_owned()];
    folders.into_iter().map(|folder| directory.join(folder)).filter(|folder| folder.is_dir()).collect()
}

/// Directory and name of each.
fn targets(workspace: &Workspace) -> Vec<(PathBuf, String)> {
    let mut targets = Vec::new();
    for package in &workspace.packages {
        let directory = package.manifest_path.with_file_name("fuzz");
        for entry in std::fs::read_dir(directory.join("fuzz_targets")).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_string_lossy().strip_suffix(".rs") {
                targets.push((directory.clone(), name.to_owned()));
            }
        }
    }
    targets.sort();
    targets
}
