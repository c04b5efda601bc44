//! Debian's Rust for ARM, driven by the cargo that is there; only `RUSTC` is replaced.
//!
//! Builds go to `target/aarch64/`, apart from the others: the compilers differ in version.

use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target.
pub const TRIPLE: &str = "aarch64-unknown-linux-gnu";
/// Debian's compiler.
pub const RUSTC: &str = "/usr/bin/rustc";
/// Debian's clippy: it must be called by path, where another toolchain stands first in PATH.
pub const CARGO_CLIPPY: &str = "/usr/bin/cargo-clippy";
/// Debian's formatter, for toolchains without one (package rustfmt-web).
pub const CARGO_FMT: &str = "/usr/bin/cargo-fmt";
/// What it runs.
pub const RUSTFMT: &str = "/usr/bin/rustfmt";
const LINKER: &str = "/usr/bin/aarch64-linux-gnu-gcc";
const EMULATOR: &str = "/usr/bin/qemu-aarch64-static";
/// Where the emulator finds the ARM dynamic loader.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
/// And its libc: where libc6:arm64 is installed as well, that loader would take the other one's libc, and the first new thread spins for ever.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu/lib";

/// `cargo SUBCOMMAND --target aarch64-unknown-linux-gnu`, tests run by qemu-user.
pub fn cargo(workspace: &Workspace, subcommand: &str) -> Result<Command, String> {
    let mut command = workspace.cargo();
    prepare(workspace, &mut command, subcommand)?;
    Ok(command)
}

/// The same for clippy.
pub fn clippy(workspace: &Workspace) -> Result<Command, String> {
    require(CARGO_CLIPPY)?;
    let mut command = Command::new(CARGO_CLIPPY);
    crate::workspace::clean(&mut command);
    command.current_dir(&workspace.root);
    prepare(workspace, &mut command, "clippy")?;
    Ok(command)
}

/// Cargo's profile for all that runs under emulation: tests and the programs of the emulated machine share what they are built of.
pub const PROFILE: &str = "emulated";

/// `cargo SUBCOMMAND` in that profile, static: the machine needs no libc of its own, the emulator no loader.
pub fn emulated(workspace: &Workspace, subcommand: &str) -> Result<Command, String> {
    let mut command = cargo(workspace, subcommand)?;
    command.args(["--profile", PROFILE]);
    // Added to the flags of .cargo/config.toml (frame pointers, neoverse-n1).
    command.args(["--config", &format!("target.{TRIPLE}.rustflags=['-C', 'target-feature=+crt-static']")]);
    Ok(command)
}

/// Where programs of that profile are.
pub fn programs_directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("aarch64").join(TRIPLE).join(PROFILE)
}

fn prepare(workspace: &Workspace, command: &mut Command, subcommand: &str) -> Result<(), String> {
    for path in [RUSTC, LINKER, EMULATOR] {
        require(path)?;
    }
    command
        .arg(subcommand)
        .args(["--target", TRIPLE])
        .env("RUSTC", RUSTC)
        .env("CARGO_TARGET_DIR", workspace.target.join("aarch64"))
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", format!("{EMULATOR} -L {SYSROOT} -E LD_LIBRARY_PATH={LIBRARIES}"));
    Ok(())
}

/// An error that names the way out.
pub fn require(path: &str) -> Result<(), String> {
    if Path::new(path).exists() { Ok(()) } else { Err(format!("{path} is missing: cargo xtask test --only prerequisites")) }
}
