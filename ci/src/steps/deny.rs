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
            ("no_banned_crate", &|| Ok(bans(&policy.bans, &all.packages))),
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

fn bans(policy: &Bans, packages: &[Package]) -> Complaints {
    let banned = packages.iter().filter_map(|package| Some((package, policy.deny.iter().find(|ban| ban.name == package.name)?)));
    banned.map(|(package, ban)| format!("{} {}: {}", package.name, package.version, ban.reason)).collect()
}

fn sources(packages: &[Package]) -> Complaints {
    let foreign = |source: &str| !source.starts_with("registry+");
    let found = packages.iter().filter_map(|package| Some((package, package.source.as_deref().filter(|source| foreign(source))?)));
    found.map(|(package, source)| format!("{} {} comes from {source}, not from the registry", package.name, package.version)).collect()
}
