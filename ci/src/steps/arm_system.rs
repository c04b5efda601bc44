//! The real daemon on a Debian ARM kernel: cross-built, booted on an emulated Neoverse N1, asked the demo's questions.
//!
//! The snapshot that it serves was compiled here, on this machine; the emulated one compiles the same feeds again and compares the bytes
//! (the same inputs give the same snapshot on every architecture). `bin/arm-init.rs` does that, as PID 1.

use crate::arm::{initramfs::Initramfs, kernel, machine, toolchain};
use crate::child::Log;
use crate::demo;
use crate::release::{self, BUILD_LIMIT};
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// What goes into the machine; each is one file.
const PROGRAMS: [&str; 4] = ["verdictd", "verdictctl", "arm-init", "arm-operator"];

/// The build for ARM: optimised where it computes, without LTO, and static, so that the machine needs no libc of its own.
pub fn build(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = cross_build(workspace, log)?;
    let mut sizes = Vec::new();
    for program in PROGRAMS {
        let path = directory.join(program);
        let bytes = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        sizes.push(format!("{program} {:.1} MB", bytes as f64 / 1e6));
    }
    Ok(Done::Passed(sizes.join(", ")))
}

/// Boots it.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = cross_build(workspace, log)?;
    let kernel = kernel::obtain(workspace, log)?;
    let work = create(workspace.target.join("xtask/arm"))?;
    let snapshot = work.join("sample.snap");
    let here = release::build_logged(workspace, log)?;
    log.run(&mut demo::compile(workspace, &here, &snapshot), Duration::from_secs(60))?;

    let mut archive = Initramfs::default();
    for name in ["bin", "dev", "proc", "sys", "tmp", "intel"] {
        archive.directory(name)?;
    }
    archive.copy("init", &directory.join("arm-init"))?;
    for program in ["verdictd", "verdictctl"] {
        archive.copy(&format!("bin/{program}"), &directory.join(program))?;
    }
    archive.copy("sample.snap", &snapshot)?;
    // At the same relative path as here, since reports name files as they were given.
    archive.copy_directory("intel/sample", &workspace.root.join("intel/sample"))?;
    let path = work.join("initramfs.cpio");
    fs::write(&path, archive.finish()?).map_err(|error| format!("{}: {error}", path.display()))?;

    machine::boot(log, &kernel, &path, 1024)?;
    let version = kernel.file_name().unwrap_or_default().display().to_string().replace("vmlinuz-", "");
    Ok(Done::Passed(format!("run under emulation on Linux {version}, snapshot bytes identical")))
}

/// Where the programs are, built.
pub fn cross_build(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    log.run(&mut programs(workspace)?, BUILD_LIMIT)?;
    Ok(toolchain::programs_directory(workspace))
}

/// Cargo's words for the build.
pub fn programs(workspace: &Workspace) -> Result<Command, String> {
    let mut command = toolchain::emulated(workspace, "build")?;
    command.args(["--package=verdictd", "--package=verdictctl", "--package=xtask"]);
    for program in PROGRAMS {
        command.args(["--bin", program]);
    }
    Ok(command)
}
