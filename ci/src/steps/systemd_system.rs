//! The package as an operator meets it: installed on Debian for ARM, with systemd as PID 1 on an emulated Neoverse N1.
//!
//! `bin/arm-operator.rs` is that operator; what it did and found is in this step's log. No disk: the whole system is the initramfs.

use crate::arm::{debian, initramfs::Initramfs, kernel, machine};
use crate::child::Log;
use crate::steps::{Done, arm_system, package};
use crate::workspace::{Workspace, create};
use std::fs;
use std::os::unix::fs::symlink;

/// Starts the operator once the system is up, on the console, and powers off whatever becomes of it.
const UNIT: &str = "\
[Unit]
Description=The operator
After=basic.target
[Service]
Type=idle
ExecStart=/usr/bin/arm-operator
ExecStopPost=/bin/systemctl poweroff --force --force
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
";

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let package = package::arm64(workspace, log)?;
    let programs = arm_system::cross_build(workspace, log)?;
    let kernel = kernel::obtain(workspace, log)?;
    let root = debian::make(workspace, log)?;
    let failed = |error: std::io::Error| format!("{}: {error}", root.display());
    fs::copy(&package, root.join("verdictd.deb")).map_err(failed)?;
    fs::copy(programs.join("arm-operator"), root.join("usr/bin/arm-operator")).map_err(failed)?;
    let units = root.join("etc/systemd/system");
    fs::write(units.join("operator.service"), UNIT).map_err(failed)?;
    let wants = create(units.join("multi-user.target.wants"))?;
    symlink("../operator.service", wants.join("operator.service")).map_err(failed)?;

    let mut archive = Initramfs::default();
    archive.tree(&root)?;
    archive.directory("intel")?;
    archive.copy_directory("intel/sample", &workspace.root.join("intel/sample"))?;
    let path = create(workspace.target.join("xtask/arm"))?.join("debian.cpio");
    fs::write(&path, archive.finish()?).map_err(|error| format!("{}: {error}", path.display()))?;
    machine::boot(log, &kernel, &path, 2048)?;
    let text = log.text();
    let seconds = text.lines().find_map(|line| line.trim().strip_prefix("operator: ")).unwrap_or_default();
    Ok(Done::Passed(format!("run under emulation, as PID 1 systemd {seconds}")))
}
