//! The steps of `cargo xtask test`, one file each.

pub mod alerts;
pub mod api;
pub mod architecture;
pub mod arm_system;
pub mod asm;
pub mod book;
pub mod browser;
pub mod container;
pub mod demo;
pub mod deny;
pub mod docs;
pub mod fuzz;
pub mod instructions;
pub mod lint;
pub mod oracle;
pub mod package;
pub mod perf;
pub mod prerequisites;
pub mod suites;
pub mod systemd_system;
pub mod taxii;
pub mod tidy;
pub mod units;

use crate::child::Log;

/// How a step ended that did not fail.
#[derive(Debug)]
pub enum Done {
    /// With a remark for the reader, or an empty one.
    Passed(String),
    /// The reason.
    Skipped(String),
}

impl Done {
    /// Without a remark.
    pub fn passed() -> Self {
        Done::Passed(String::new())
    }
}

/// What a check of our own found: complaints that tell what to do.
pub type Complaints = Vec<String>;

/// A sentence and the check that holds it.
pub type NamedCheck<'a> = (&'a str, &'a dyn Fn() -> Result<Complaints, String>);

/// Runs named checks of our own as one suite: a line each in the log, complaints below it.
pub fn suite(log: &Log, checks: &[NamedCheck<'_>]) -> Result<Done, String> {
    let (mut passed, mut all) = (0, Vec::new());
    for (name, check) in checks {
        let complaints = check().unwrap_or_else(|error| vec![error]);
        log.line(&format!("test {name} ... {}", if complaints.is_empty() { "ok" } else { "FAILED" }))?;
        passed += usize::from(complaints.is_empty());
        all.extend(complaints);
    }
    for complaint in &all {
        log.line(&format!("  {complaint}"))?;
    }
    log.suite_ended(passed, checks.len() - passed)?;
    if all.is_empty() { Ok(Done::passed()) } else { Err(format!("{} to put right", all.len())) }
}
