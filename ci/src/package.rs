//! The Debian package of both programs, by cargo-deb from what is built already (`[package.metadata.deb]` of daemon/Cargo.toml).
//!
//! ```text
//! verdictctl man, verdictctl completions, verdictd --man ─► gzip ─► PROGRAMS/package/ ─┐
//! PROGRAMS/verdictd, verdictctl, systemd/, package/, docs/ ────────────────────────────┴► cargo deb --no-build ─► verdictd_0.1.0-1_ARCH.deb
//! ```
//! Pages and completions are made by the programs of this machine, for every architecture: they come from the same command lines.
//! cargo-deb itself is built once a checkout, into target/xtask/cargo-deb.

use crate::arm::toolchain;
use crate::child::Log;
use crate::release::{self, BUILD_LIMIT, Profile, Programs};
use crate::workspace::{Workspace, create};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Pinned: another one may place files elsewhere.
const CARGO_DEB: &str = "=3.8.0";
const LIMIT: Duration = Duration::from_secs(5 * 60);

/// Make the Debian package of this machine's architecture
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// The command: as it is released, so with the slow and good compression.
pub fn command(workspace: &Workspace, _arguments: &Arguments) -> Result<(), String> {
    let here = release::build_openly(workspace, Profile::Release)?;
    let log = Log::create(create(workspace.target.join("xtask"))?.join("package.log"))?;
    log.run(&mut tool(workspace), BUILD_LIMIT)?;
    let package = make(workspace, &log, &here, None, &["-Zxz"])?;
    println!("{}", package.display());
    Ok(())
}

/// Cargo's words for building cargo-deb; nothing happens if it is there.
pub fn tool(workspace: &Workspace) -> Command {
    let root = workspace.target.join("xtask/cargo-deb");
    let mut command = workspace.cargo();
    command
        .args([
            "install",
            "cargo-deb",
            "--version",
            CARGO_DEB,
            "--locked",
            "--debug",
            "--no-default-features",
            "--features=gzip",
            "--quiet",
        ])
        .arg("--root")
        .arg(&root)
        .env("CARGO_TARGET_DIR", root.join("build"));
    command
}

/// The package of programs that are built: of this machine, or (`emulated`) of ARM, whose directory is named.
pub fn make(workspace: &Workspace, log: &Log, here: &Programs, emulated: Option<&Path>, options: &[&str]) -> Result<PathBuf, String> {
    let programs = match emulated {
        Some(directory) => directory.to_owned(),
        None => here.verdictd.parent().ok_or("a program without a directory")?.to_owned(),
    };
    pages(log, here, &create(programs.join("package"))?)?;
    let output = create(workspace.target.join("xtask/package"))?.join(if emulated.is_some() { "arm64.deb" } else { "amd64.deb" });
    let mut command = Command::new(workspace.target.join("xtask/cargo-deb/bin/cargo-deb"));
    crate::workspace::clean(&mut command);
    command.current_dir(&workspace.root).args(["--package=verdictd", "--no-build", "--no-dbgsym", "--strip"]).args(options);
    command.arg("--output").arg(&output);
    if emulated.is_some() {
        command.args(["--target", toolchain::TRIPLE, "--profile", toolchain::PROFILE]);
        command.env("CARGO_TARGET_DIR", workspace.target.join("aarch64"));
    }
    log.run(&mut command, LIMIT)?;
    Ok(output)
}

/// Manual pages and completions.
fn pages(log: &Log, here: &Programs, to: &Path) -> Result<(), String> {
    let (man1, man8) = (to.join("man1"), to.join("man8"));
    for directory in [&man1, &man8] {
        let _ = fs::remove_dir_all(directory); // pages of commands that are gone
        create(directory.clone())?;
    }
    log.run(Command::new(&here.verdictctl).args(["man", "--to"]).arg(&man1), LIMIT)?;
    write(&man8.join("verdictd.8"), Command::new(&here.verdictd).arg("--man"))?;
    for shell in ["bash", "zsh", "fish"] {
        write(&to.join(format!("verdictctl.{shell}")), Command::new(&here.verdictctl).args(["completions", shell]))?;
    }
    for directory in [man1, man8] {
        let pages = fs::read_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let pages = pages.filter_map(Result::ok).map(|entry| entry.path());
        log.run(Command::new("gzip").args(["-9nf"]).args(pages), LIMIT)?;
    }
    Ok(())
}

fn write(path: &Path, command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    fs::write(path, output.stdout).map_err(|error| format!("{}: {error}", path.display()))
}
