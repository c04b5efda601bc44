//! `cargo test`, three times: everything here, what has backends on the portable one, and what needs no io_uring on ARM under qemu-user.

use crate::arm::toolchain;
use crate::child::Log;
use crate::died::failed;
use crate::steps::Done;
use crate::workspace::Workspace;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

/// Building and running, on two cores.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// Comma-separated; the simd suite fails if one of them did not run.
const EXPECT: &str = "VERDICT_EXPECT_BACKENDS";
/// Pins one backend where it is to be chosen.
const BACKEND: &str = "VERDICT_BACKEND";
/// What chooses a backend.
const WITH_BACKENDS: [&str; 3] = ["verdict-simd", "verdict-keys", "verdict-tables"];
/// What has code of its own for ARM, or bytes that must be the same there. intel compiles the sample on the emulated machine, to the same bytes.
/// No glommio in them: qemu-user has no io_uring. The daemon runs on the emulated machine instead (`arm_system.rs`).
const PURE: [&str; 5] =
    ["--package=verdict-simd", "--package=verdict-keys", "--package=verdict-tables", "--package=verdict-models", "--package=verdict-wire"];

/// Cargo's words for all tests on this machine.
fn tests(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    command
}

/// Both CPUs compile here; what is built ahead begins afterwards, beside programs that wait more than they compute.
pub fn build(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    log.run(tests(workspace).arg("--no-run"), LIMIT)?;
    Ok(Done::passed())
}

/// The whole workspace, on this machine.
pub fn native(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    log.run(tests(workspace).env(EXPECT, expected_here()), LIMIT)?;
    Ok(Done::Passed(format!("backends {}", expected_here())))
}

/// What has backends, on the portable one. Of the whole workspace, since cargo builds everything anew for a part of it: all libraries' own tests, and
/// the test programs of those crates but where another crate has one of the same name.
pub fn portable(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut wanted, mut others) = (BTreeSet::new(), BTreeSet::new());
    for package in &workspace.packages {
        let directory = package.manifest_path.with_file_name("tests");
        let programs = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let names = programs
            .filter(|path| path.extension().is_some_and(|end| end == "rs"))
            .filter_map(|path| path.file_stem().map(|name| name.to_owned()));
        if WITH_BACKENDS.contains(&package.name.as_str()) { wanted.extend(names) } else { others.extend(names) }
    }
    let mut command = tests(workspace);
    command.arg("--lib").env(BACKEND, "portable").env(EXPECT, "portable");
    for name in wanted.difference(&others) {
        command.arg("--test").arg(name);
    }
    log.run(&mut command, LIMIT)?;
    Ok(Done::passed())
}

/// What a run of all tests does some hundred times, ten thousand times: models, registries and whole directories with a few bytes changed.
pub fn mutations(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = workspace.cargo();
    command.args(["test", "--locked", "--package=verdict-models", "--test=models", "--", "--nocapture", "mutated"]);
    log.run(command.env("VERDICT_MUTATIONS", "10000"), LIMIT)?;
    Ok(Done::passed())
}

/// Cargo's words for the tests of the pure crates on ARM. No documentation tests: the rustdoc at hand has no standard library for ARM.
pub fn arm_tests(workspace: &Workspace) -> Result<Command, String> {
    let mut command = toolchain::emulated(workspace, "test")?;
    command.args(["--locked", "--no-fail-fast", "--lib", "--bins", "--tests"]).args(PURE).env(EXPECT, "neon,portable");
    Ok(command)
}

/// The pure crates, on NEON.
pub fn arm(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = arm_tests(workspace)?;
    let repeated = match log.run(&mut command, LIMIT) {
        Ok(()) => String::new(),
        Err(reason) => again(workspace, log)?.ok_or(reason)?,
    };
    Ok(Done::Passed(format!("run under emulation: bytes and logic, no time{repeated}")))
}

/// A program that a signal ended though none of its tests failed, which the emulator did once to one with threads (hundreds of repetitions did not
/// show it again), is run once more, one test at a time, and must pass; a test that failed stays failed. Says what was repeated; none if it is no
/// such case.
fn again(workspace: &Workspace, log: &Log) -> Result<Option<String>, String> {
    let failed = failed(&log.text());
    if failed.is_empty() || failed.iter().any(|program| program.signal.is_none()) {
        return Ok(None);
    }
    let mut told = String::new();
    for program in failed {
        let mut command = toolchain::emulated(workspace, "test")?;
        command.arg("--locked").args(&program.rerun).env(EXPECT, "neon,portable").args(["--", "--test-threads=1"]);
        log.run(&mut command, LIMIT)?;
        let signal = program.signal.unwrap_or_default();
        told += &format!("; `{}` died of signal {signal} in the emulator and passed when repeated", program.rerun.join(" "));
    }
    Ok(Some(told))
}

/// Each backend that this CPU has.
fn expected_here() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx512vbmi") && std::arch::is_x86_feature_detected!("vpclmulqdq") {
        return "avx512,avx2,portable";
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return "avx2,portable";
    }
    if cfg!(target_arch = "aarch64") { "neon,portable" } else { "portable" }
}
