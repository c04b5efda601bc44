//! The units as systemd reads them: no unknown key, no program that is not in the package, and little that a broken service could do.
//!
//! systemd-analyze looks at a tree of its own: the units, empty programs where the package puts them, and Debian's targets by name. Nothing is started
//! here; `systemd-aarch64` does that.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Exposure in tenths, 0 to 100, that no service may exceed: what remains is sockets and the host's network.
const EXPOSURE_MAX: &str = "15";
/// Of systemd itself, by which ours are ordered.
const TARGETS: [&str; 9] = [
    "sysinit.target",
    "basic.target",
    "sockets.target",
    "timers.target",
    "multi-user.target",
    "network.target",
    "network-online.target",
    "shutdown.target",
    "time-sync.target",
];

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let root = workspace.target.join("xtask/units");
    let _ = fs::remove_dir_all(&root); // the units of last time
    let units = create(root.join("usr/lib/systemd/system"))?;
    let programs = create(root.join("usr/bin"))?;
    let failed = |error: std::io::Error| format!("{}: {error}", root.display());
    for program in ["verdictd", "verdictctl"] {
        fs::write(programs.join(program), "").map_err(failed)?;
        fs::set_permissions(programs.join(program), fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    for target in TARGETS {
        fs::write(units.join(target), "[Unit]\nDescription=stands for systemd's own\n").map_err(failed)?;
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.root.join("systemd")).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "service" || end == "socket" || end == "timer") {
            let name = path.file_name().unwrap_or_default().to_owned();
            fs::copy(&path, units.join(&name)).map_err(failed)?;
            names.push(name);
        }
    }
    names.sort();
    let mut verify = Command::new("systemd-analyze");
    log.run(verify.args(["verify", "--man=no", "--recursive-errors=yes"]).arg(format!("--root={}", root.display())).args(&names), LIMIT)?;
    let services: Vec<_> = names.iter().filter(|name| name.to_string_lossy().ends_with(".service")).collect();
    for service in &services {
        let mut security = Command::new("systemd-analyze");
        security
            .args(["security", "--no-pager", "--offline=true", "--threshold", EXPOSURE_MAX])
            .arg(workspace.root.join("systemd").join(service));
        log.run(&mut security, LIMIT)?;
    }
    let levels = log.text();
    let levels = levels
        .lines()
        .filter_map(|line| line.split_once("exposure level for "))
        .map(|(_, told)| told.split(' ').take(2).collect::<Vec<_>>().join(" "));
    Ok(Done::Passed(format!("exposure: {}", levels.collect::<Vec<_>>().join(", "))))
}
