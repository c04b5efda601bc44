//! What the other steps need beyond cargo and a C linker: packages of Debian, installed by apt where we may.
//!
//! Debian 12 carries a current Rust with an ARM standard library (`rustc-web`, `libstd-rust-web-dev:arm64`), a cross linker, both emulators
//! and clippy of the same version. As root, or where sudo asks nothing, they are installed; elsewhere the one line to type is printed.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A package, and why.
#[rustfmt::skip]
const PACKAGES: &[(&str, &str)] = &[
    ("rustc-web",                 "the compiler whose version the ARM standard library has"),
    ("libstd-rust-web-dev:arm64", "that standard library"),
    ("rust-web-clippy",           "clippy of that version"),
    ("gcc-aarch64-linux-gnu",     "links ARM programs"),
    ("libc6-dev-arm64-cross",     "what they link against"),
    ("qemu-user-static",          "runs the ARM tests"),
    ("qemu-system-arm",           "runs the ARM kernel with the whole daemon"),
    ("g++",                       "compiles ada-url, the browser's parser that `differential` and the benches compare with"),
    ("memcached",                 "a peer of the benches"),
    ("redis-server",              "the other one"),
    ("haproxy",                   "asks the SPOE agent, and stands before two daemons"),
    ("nginx",                     "asks for authorization, by the example configurations"),
    ("caddy",                     "likewise"),
    ("valgrind",                  "callgrind counts the instructions of the kernels"),
    ("openssl",                   "makes certificates for the tests of TLS, and speaks it"),
    ("systemd",                   "systemd-analyze reads the units"),
    ("lintian",                   "holds the packages against Debian's policy"),
    ("dpkg-dev",                  "finds what the package depends on"),
    ("xz-utils",                  "compresses it"),
    ("strace",                    "ends and fails publisher and daemon at each of their system calls"),
    ("chromium-headless-shell",   "shows the live page as people see it"),
];

/// apt on a slow mirror.
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut wanted: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).collect();
    // A minimal toolchain may come without these two.
    if !answers(workspace.cargo().args(["fmt", "--version"])) {
        wanted.push("rustfmt-web");
    }
    let missing: Vec<&str> = wanted.iter().copied().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(Done::Passed("all there".into()));
    }
    log.line(&format!("missing: {}", missing.join(" ")))?;
    // All are named, not only the missing: compiler and library must be moved to the same version together.
    let by_hand = format!(
        "sudo dpkg --add-architecture arm64 && sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        wanted.join(" ")
    );
    if !answers(Command::new("dpkg-query").arg("--version")) {
        return Err(format!("{} missing, and this is not Debian; there it would be: {by_hand}", missing.join(", ")));
    }
    let Some(sudo) = sudo() else {
        return Err(format!("{} missing; as root: {by_hand}", missing.join(", ")));
    };
    log.run(&mut root(sudo, &["dpkg", "--add-architecture", "arm64"]), LIMIT)?;
    log.run(&mut root(sudo, &["apt-get", "update"]), LIMIT)?;
    let mut install = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
    install.extend(&wanted);
    log.run(&mut root(sudo, &install), LIMIT)?;
    Ok(Done::Passed(format!("installed {}", missing.join(", "))))
}

/// One program out of a package that is not to be installed (its service would start, or it brings much else), below `target/xtask/tools/`. Needs no root
/// where apt has its lists.
pub fn unpacked(workspace: &Workspace, log: &Log, package: &str, program: &str) -> Result<PathBuf, String> {
    let tools = create(workspace.target.join("xtask/tools"))?;
    let kept = tools.join(Path::new(program).file_name().unwrap_or_default());
    if kept.exists() {
        return Ok(kept);
    }
    let scratch = tools.join(format!("{package}.unpacking"));
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let _ = std::fs::remove_dir_all(&scratch); // of a run that was ended
    create(scratch.clone())?;
    let fetch = || {
        let mut fetch = Command::new("apt-get");
        // apt's own user may not be let into our directory.
        log.run(fetch.args(["-o", "APT::Sandbox::User=root", "download", package]).current_dir(&scratch), LIMIT)
    };
    if fetch().is_err() {
        let sudo =
            sudo().ok_or_else(|| format!("apt-get download {package} does not work, and its lists cannot be renewed without root"))?;
        log.run(&mut root(sudo, &["apt-get", "update"]), LIMIT)?;
        fetch()?;
    }
    let files = std::fs::read_dir(&scratch).map_err(|error| failed(&scratch, error))?;
    let archive = files.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "deb"));
    let archive = archive.ok_or_else(|| format!("apt-get download {package} left no package"))?;
    log.run(Command::new("dpkg-deb").arg("--extract").arg(archive).arg(&scratch), LIMIT)?;
    let found = scratch.join(program);
    std::fs::rename(&found, &kept).map_err(|error| failed(&found, error))?;
    std::fs::remove_dir_all(&scratch).map_err(|error| failed(&scratch, error))?;
    Ok(kept)
}

fn installed(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}", package]).output();
    query.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"ii"))
}

/// Whether a program is there and ends well.
pub fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// How to become root: not needed, by sudo without a question, or not at all.
fn sudo() -> Option<bool> {
    if rustix::process::geteuid().is_root() { Some(false) } else { answers(Command::new("sudo").args(["-n", "true"])).then_some(true) }
}

/// env, since sudo may drop variables.
fn root(sudo: bool, arguments: &[&str]) -> Command {
    let mut command = if sudo { Command::new("sudo") } else { Command::new("env") };
    if sudo {
        command.args(["-n", "env"]);
    }
    command.arg("DEBIAN_FRONTEND=noninteractive").args(arguments);
    command
}
