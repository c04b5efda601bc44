//! The hot kernels looked at without a clock: `verdict-kernels` built for both architectures, and what its machine code says.
//!
//! ```text
//!  verdict-kernels ─┬─ objdump ───────► code.rs      each kernel with all it calls; steps/asm.rs holds it against simd/asm.toml
//!                   ├─ callgrind ─────► gate.rs      instructions an operation, x86-64; held against perf/instructions.toml
//!                   └─ qemu, traced ──► trace.rs     the instructions that ran on ARM, in order ─ llvm-mca ─► model.rs, cycles
//! ```
//! All three look at one build with the flags of a release, its symbols in the form that keeps generics (`probe::<Neon>`).

pub mod code;
pub mod gate;
pub mod model;
pub mod trace;

use crate::arm::toolchain;
use crate::child::Log;
use crate::release::BUILD_LIMIT;
use crate::workspace::{Workspace, create};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "verdict-kernels";

/// Cargo's words for building it for this machine.
pub fn native_build(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    command.args(["build", "--release", "--locked", "--package", PACKAGE]);
    command
}

/// For ARM: static and at fixed addresses, so that a traced address is one of the disassembly.
pub fn arm_build(workspace: &Workspace) -> Result<Command, String> {
    let mut command = toolchain::cargo(workspace, "build")?;
    command.args(["--release", "--locked", "--package", PACKAGE, "--config"]);
    let flags = "['-C', 'target-feature=+crt-static', '-C', 'relocation-model=static']";
    command.arg(format!("target.{}.rustflags={flags}", toolchain::TRIPLE));
    Ok(command)
}

/// The program of this machine, built.
pub fn native(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    log.run(&mut native_build(workspace), BUILD_LIMIT)?;
    Ok(workspace.target.join("release").join(PACKAGE))
}

/// The one of ARM, built.
pub fn arm(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    log.run(&mut arm_build(workspace)?, BUILD_LIMIT)?;
    Ok(workspace.target.join("aarch64").join(toolchain::TRIPLE).join("release").join(PACKAGE))
}

/// A kernel and what one of its operations is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As on the command line of `verdict-kernels`.
    pub name: String,
    /// `key`, `url`, ...
    pub of: String,
}

/// Every kernel there is; `program` is that of this machine.
pub fn list(program: &Path) -> Result<Vec<Kernel>, String> {
    let text = output(Command::new(program).arg("--list"))?;
    let kernel = |line: &str| line.split_once(' ').map(|(name, of)| Kernel { name: name.into(), of: of.into() });
    Ok(text.lines().filter_map(kernel).collect())
}

/// A directory with the tables that the kernels work on, built by this machine's program; emulated ones read them.
pub fn tables(workspace: &Workspace, program: &Path) -> Result<PathBuf, String> {
    let directory = workspace.target.join("xtask/kernels");
    // Those of an older build may be of another format.
    let _ = std::fs::remove_dir_all(&directory);
    let directory = create(directory)?;
    output(Command::new(program).arg("--cache").arg(&directory))?;
    Ok(directory)
}

/// How many operations a line of `verdict-kernels` says: `probe neon 640 key`.
pub fn operations(text: &str, kernel: &str) -> Result<f64, String> {
    let said = text.lines().find(|line| line.starts_with(&format!("{kernel} "))).and_then(|line| line.split(' ').nth(2)?.parse().ok());
    said.filter(|count: &f64| *count > 0.0).ok_or_else(|| format!("verdict-kernels did not say how often it ran {kernel}:\n{text}"))
}

/// What a program printed; an error with its last words where it fails.
pub fn output(command: &mut Command) -> Result<String, String> {
    let shown = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("{shown} cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{shown} ended with {}: {}", output.status, said.lines().next_back().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_those_of_the_kernel_asked_for() {
        let text = "ready 7\nlpm4 neon 2560 address\nlpm6 neon 0 address\n";
        assert_eq!(operations(text, "lpm4").unwrap(), 2560.0);
        assert!(operations(text, "lpm6").is_err());
        assert!(operations(text, "lpm").is_err());
    }
}
