//! A Debian for ARM with systemd, as a directory: packages fetched by apt, unpacked by dpkg-deb, and not one of their programs run.
//!
//! ```text
//!  apt --download-only, of an empty system ─► 80 packages, 30 MB ─► dpkg-deb --extract ─► /usr merged ─► dpkg's database, users, no documentation
//! ```
//! An image made the usual way runs each package's scripts under qemu-user, which needs binfmt_misc and takes a minute. What those scripts would leave
//! behind that a boot needs is three files, written here; systemd makes the rest. So this takes seconds, and works where binfmt_misc is not to be had.

use crate::child::Log;
use crate::workspace::{Workspace, create};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5 * 60);
/// With what they depend on. `usr-is-merged` stands in for a script that merges.
const PACKAGES: &str = "systemd-sysv usr-is-merged base-passwd base-files bash dash coreutils dpkg sed grep util-linux init-system-helpers perl-base \
                        hostname findutils diffutils debianutils libc-bin login";
/// Links into /usr; packages of this release still hold files of both names.
const MERGED: [&str; 3] = ["bin", "sbin", "lib"];
/// For people, or for apt.
const LEFT_OUT: [&str; 5] = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt"];
/// First-boot work that changes nothing for what is tested.
const MASKED: [&str; 4] =
    ["systemd-hwdb-update.service", "ldconfig.service", "systemd-journal-catalog-update.service", "systemd-journal-flush.service"];

/// Made anew, so that nothing of the last run is in it.
pub fn make(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    let archives = create(workspace.target.join("xtask/debian/archives"))?;
    let root = workspace.target.join("xtask/debian/root");
    if root.exists() {
        fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    }
    create(root.clone())?;
    fetch(log, &archives)?;
    let packages = packages(&archives)?;
    log.line(&format!("{} packages are unpacked", packages.len()))?;
    let (mut status, info) = (String::new(), create(root.join("var/lib/dpkg/info"))?);
    for package in &packages {
        run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
        let fields = run(Command::new("dpkg-deb").arg("--field").arg(package))?;
        let name = fields.lines().find_map(|line| line.strip_prefix("Package: ")).unwrap_or_default();
        status += &format!("{}\nStatus: install ok installed\n\n", fields.trim_end());
        fs::write(info.join(format!("{name}.list")), "/.\n").map_err(|error| format!("{name}: {error}"))?;
    }
    complete(&root, &status).map_err(|error| format!("{}: {error}", root.display()))?;
    Ok(root)
}

fn fetch(log: &Log, archives: &Path) -> Result<(), String> {
    create(archives.join("partial"))?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--download-only", "--yes", "--no-install-recommends", "--quiet"])
        .args(["-o", "Dir::State::status=/dev/null", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"])
        .args(["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"])
        .arg("-o")
        .arg(format!("Dir::Cache::archives={}", archives.display()))
        .args(PACKAGES.split_whitespace());
    log.run(&mut apt, LIMIT)
}

fn packages(archives: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(archives).map_err(|error| format!("{}: {error}", archives.display()))?;
    let mut packages: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "deb")).collect();
    packages.sort();
    if packages.is_empty() { Err(format!("apt left no package in {}", archives.display())) } else { Ok(packages) }
}

/// What the packages' scripts would have made.
fn complete(root: &Path, status: &str) -> std::io::Result<()> {
    for name in MERGED {
        merge(&root.join(name), &root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    for path in LEFT_OUT.map(|name| root.join(name)).iter().filter(|path| path.exists()) {
        fs::remove_dir_all(path)?;
    }
    fs::create_dir_all(root.join("var/lib/dpkg/updates"))?;
    fs::write(root.join("var/lib/dpkg/status"), status)?;
    fs::write(root.join("var/lib/dpkg/available"), "")?;
    for (name, master) in [("passwd", "passwd.master"), ("group", "group.master")] {
        fs::copy(root.join("usr/share/base-passwd").join(master), root.join("etc").join(name))?;
    }
    for (name, text) in [("shadow", ""), ("gshadow", ""), ("machine-id", ""), ("hostname", "arm\n"), ("hosts", "127.0.0.1 localhost arm\n")]
    {
        fs::write(root.join("etc").join(name), text)?;
    }
    for unit in MASKED {
        symlink("/dev/null", root.join("etc/systemd/system").join(unit))?;
    }
    symlink("sbin/init", root.join("init"))
}

/// Everything below one directory to another, over what is there.
fn merge(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() && target.is_dir() { merge(&entry.path(), &target)? } else { fs::rename(entry.path(), target)? }
    }
    fs::remove_dir(from)
}

/// What it prints.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_directories_of_one_name_become_one() {
        let root = std::env::temp_dir().join(format!("xtask-merge-{}", std::process::id()));
        for (path, text) in [("lib/a/one", "1"), ("usr/lib/a/two", "2"), ("lib/b", "3")] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        merge(&root.join("lib"), &root.join("usr/lib")).unwrap();
        let read = |path: &str| fs::read_to_string(root.join("usr/lib").join(path)).unwrap();
        assert_eq!((read("a/one"), read("a/two"), read("b"), root.join("lib").exists()), ("1".into(), "2".into(), "3".into(), false));
        fs::remove_dir_all(&root).unwrap();
    }
}
