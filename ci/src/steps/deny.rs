//! Licences and banned crates, as `ci/deny.toml` says. cargo-deny reads that file where it is installed; this step needs nothing but
//! `cargo metadata`, so that the two things which matter most are checked everywhere. Advisories need cargo-deny and its database.

mod licence;

use crate::child::Log;
use crate::steps::prerequisites::answers;
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Package, Workspace};
use serde::Deserialize;
use std::time::Duration;

const FILE: &str = "ci/deny.toml";

/// What we read of cargo-deny's file; the rest is for cargo-deny.
#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Deserialize)]
struct Exception {
    allow: Vec<String>,
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let text = std::fs::read_to_string(workspace.root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let policy: Policy = toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let all = Workspace::with_dependencies()?;
    suite(
        log,
        &[
            ("every_licence_is_allowed", &|| Ok(licences(&policy.licenses, &all.packages))),
            ("no_banned_crate_in_what_we_ship", &|| Ok(bans(&policy.bans, &shipped(workspace)?))),
            ("everything_comes_from_the_registry", &|| Ok(sources(&all.packages))),
        ],
    )?;
    if !answers(workspace.cargo().args(["deny", "--version"])) {
        return Ok(Done::Passed(format!("{} packages; advisories not looked at: cargo-deny is not installed", all.packages.len())));
    }
    let mut deny = workspace.cargo();
    deny.args(["deny", "--offline", "check", "--config", FILE, "bans", "licenses", "sources"]);
    log.run(&mut deny, Duration::from_secs(120))?;
    Ok(Done::Passed(format!("{} packages", all.packages.len())))
}

fn licences(policy: &Licenses, packages: &[Package]) -> Complaints {
    let mut complaints = Vec::new();
    for package in packages {
        let Some(expression) = &package.license else {
            complaints.push(format!("{} {} names no licence", package.name, package.version));
            continue;
        };
        let exceptions = policy.exceptions.iter().filter(|exception| exception.name == package.name).flat_map(|exception| &exception.allow);
        let allowed: Vec<&str> = policy.allow.iter().chain(exceptions).map(String::as_str).collect();
        if !licence::allows(&allowed, expression) {
            complaints.push(format!("{} {} is under `{expression}`, which {FILE} does not allow", package.name, package.version));
        }
    }
    complaints
}

/// `name vVERSION …` of each crate that verdictd and verdictctl are built from, on both architectures. Benches and tests may use more.
fn shipped(workspace: &Workspace) -> Result<Vec<String>, String> {
    let mut tree = workspace.cargo();
    tree.args(["tree", "--locked", "--package=verdictd", "--package=verdictctl", "--edges=normal,build", "--prefix=none", "--format={p}"]);
    tree.args(["--target=x86_64-unknown-linux-gnu", "--target=aarch64-unknown-linux-gnu"]);
    let output = tree.output().map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

fn bans(policy: &Bans, shipped: &[String]) -> Complaints {
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let banned = shipped.iter().filter_map(|line| Some((line, policy.deny.iter().find(|ban| ban.name == name(line))?)));
    banned.map(|(line, ban)| format!("{line}: {}", ban.reason)).collect()
}

fn sources(packages: &[Package]) -> Complaints {
    let foreign = |source: &str| !source.starts_with("registry+");
    let found = packages.iter().filter_map(|package| Some((package, package.source.as_deref().filter(|source| foreign(source))?)));
    found.map(|(package, source)| format!("{} {} comes from {source}, not from the registry", package.name, package.version)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banned_crate_is_told_with_the_reason() {
        let policy = Bans { deny: vec![Ban { name: "cc".into(), reason: "it compiles C".into() }] };
        let shipped = ["cc v1.0.0".to_owned(), "ccc v1.0.0".to_owned()];
        assert_eq!(bans(&policy, &shipped), ["cc v1.0.0: it compiles C"]);
    }
}
