//! A Debian kernel for ARM: the newest `cloud` image of the release, unpacked once.
//!
//! The signed package has the same kernel inside a boot-loader signature; the unsigned one is what qemu boots directly.

use crate::child::Log;
use crate::workspace::{Workspace, create};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5 * 60);
/// Depends on the newest kernel of the release.
const META_PACKAGE: &str = "linux-image-cloud-arm64:arm64";

/// The kernel's file, from the cache or downloaded.
pub fn obtain(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    let directory = create(workspace.target.join("xtask/kernel"))?;
    if let Some(kernel) = unpacked(&directory) {
        return Ok(kernel);
    }
    let package = newest()?;
    log.run(Command::new("apt-get").args(["download", &package]).current_dir(&directory), LIMIT)?;
    let archive = find(&directory, |name| name.starts_with("linux-image-") && name.ends_with(".deb"))
        .ok_or_else(|| format!("apt-get download {package} left no package in {}", directory.display()))?;
    log.run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&directory), LIMIT)?;
    fs::remove_file(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
    // Modules: everything that we need is built in.
    fs::remove_dir_all(directory.join("lib")).map_err(|error| format!("{}/lib: {error}", directory.display()))?;
    unpacked(&directory).ok_or_else(|| format!("{package} holds no boot/vmlinuz-*"))
}

fn unpacked(directory: &Path) -> Option<PathBuf> {
    find(&directory.join("boot"), |name| name.starts_with("vmlinuz-"))
}

fn find(directory: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let mut entries = fs::read_dir(directory).ok()?.filter_map(Result::ok);
    entries.find(|entry| wanted(&entry.file_name().to_string_lossy())).map(|entry| entry.path())
}

/// `linux-image-6.1.0-NN-cloud-arm64-unsigned:arm64`.
fn newest() -> Result<String, String> {
    let output = Command::new("apt-cache").args(["depends", META_PACKAGE]).output().map_err(|error| format!("apt-cache: {error}"))?;
    unsigned_of(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| format!("apt-cache knows no {META_PACKAGE}: dpkg --add-architecture arm64 && apt-get update"))
}

fn unsigned_of(depends: &str) -> Option<String> {
    let signed = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "))?;
    let name = signed.strip_suffix(":arm64").unwrap_or(signed);
    Some(format!("{name}-unsigned:arm64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unsigned_twin_of_the_newest_kernel_is_chosen() {
        let printed = "linux-image-cloud-arm64:arm64\n  Depends: linux-image-6.1.0-56-cloud-arm64:arm64\n";
        assert_eq!(unsigned_of(printed).unwrap(), "linux-image-6.1.0-56-cloud-arm64-unsigned:arm64");
        assert_eq!(unsigned_of("N: Unable to locate package\n"), None);
    }
}
