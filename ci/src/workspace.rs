//! Where things are, and how cargo is called.
//!
//! `cargo metadata` is asked once; all paths come from it (a developer may have moved the target directory). Programs are started without
//! the variables that `cargo run` left in our environment, so that a build started here reuses what a build started by hand made.

use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout and its packages.
#[derive(Debug, Deserialize)]
pub struct Workspace {
    /// The directory of the workspace's Cargo.toml.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// Where x86-64 builds go; builds for ARM go to `aarch64/` in it.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    /// The members, without their dependencies.
    pub packages: Vec<Package>,
}

/// A package, as `cargo metadata` prints it.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// An SPDX expression.
    pub license: Option<String>,
    /// Its Cargo.toml.
    pub manifest_path: PathBuf,
    /// None for a package of this workspace.
    pub source: Option<String>,
    /// What it asks for.
    pub dependencies: Vec<Dependency>,
}

/// An arrow.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package it points to.
    pub name: String,
    /// None, `dev` or `build`.
    pub kind: Option<String>,
    /// The directory, for a package of this workspace.
    pub path: Option<PathBuf>,
}

impl Workspace {
    /// The workspace that this xtask belongs to.
    pub fn find() -> Result<Self, String> {
        Self::read(&["--no-deps"])
    }

    /// With every package it depends on, on Linux; fails when Cargo.lock is not up to date.
    pub fn with_dependencies() -> Result<Self, String> {
        Self::read(&["--locked", "--filter-platform=x86_64-unknown-linux-gnu", "--filter-platform=aarch64-unknown-linux-gnu"])
    }

    fn read(arguments: &[&str]) -> Result<Self, String> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let output = cargo()
            .args(["metadata", "--format-version=1", "--manifest-path"])
            .arg(manifest)
            .args(arguments)
            .output()
            .map_err(|error| format!("cargo cannot be started: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata printed something unexpected: {error}"))
    }

    /// Cargo, in the root.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command
    }

    /// A path below the root as people write it: relative.
    pub fn shown<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clean(&mut command);
    command
}

/// Takes what `cargo run` set for us out of a child's environment.
pub fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let said = name.to_string_lossy();
        if said.starts_with("CARGO_PKG_") || said.starts_with("CARGO_MANIFEST_") || said == "LD_LIBRARY_PATH" {
            command.env_remove(&name);
        }
    }
}

/// Creates a directory and those above it.
pub fn create(directory: PathBuf) -> Result<PathBuf, String> {
    std::fs::create_dir_all(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}
