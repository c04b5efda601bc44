//! PID 1 of the emulated ARM machine: the demo's questions, asked of the real daemon on an ARM kernel.
//!
//! ```text
//!  mount dev, proc, sys, tmp ─► raise lo ─► verdictctl compile: same bytes as sample.snap? ─► verdictd on them ─► verdictctl ask, TCP and Unix
//!                                                                                             ─► SIGHUP ─► SIGTERM, exit status 0 ─► power off
//! ```
//! Everything is printed to the console, which the step reads: a line `N passed, N failed` and, only if nothing failed, the line ALL_WELL.
//! The machine powers off however it ends; a panic here is a kernel panic, which ends the emulator as well.
#![forbid(unsafe_code)]

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use std::ffi::CStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use xtask::server::{AUTO, Server, http_get};

/// `arm/machine.rs` waits for it.
const ALL_WELL: &str = "arm-init: all as expected";

type Check = fn() -> Result<(), String>;

fn main() {
    if std::process::id() != 1 {
        eprintln!("arm-init is the first process of an emulated machine: cargo xtask test --only demo-aarch64");
        std::process::exit(2);
    }
    match prepare() {
        Ok(()) => check_all(),
        Err(error) => println!("arm-init: the machine could not be prepared: {error}"),
    }
    if let Err(error) = reboot(RebootCommand::PowerOff) {
        println!("arm-init: no power-off: {error}");
    }
}

/// What an init does that runs one program.
fn prepare() -> Result<(), String> {
    let mounts: [(&CStr, &CStr); 4] = [(c"devtmpfs", c"/dev"), (c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"tmpfs", c"/tmp")];
    for (kind, place) in mounts {
        mount(kind, place, kind, MountFlags::empty(), None).map_err(|error| format!("mount {place:?}: {error}"))?;
    }
    // IFF_UP; the kernel gives a loopback device its 127.0.0.1 when it is raised.
    fs::write("/sys/class/net/lo/flags", "0x1").map_err(|error| format!("lo: {error}"))
}

fn check_all() {
    let checks: [(&str, Check); 4] = [
        ("neon_is_chosen", neon_is_chosen),
        ("compiles_to_the_same_bytes", compiles_to_the_same_bytes),
        ("serves_the_sample", || serves_the_sample(AUTO)),
        ("serves_the_sample_on_the_ring", || serves_the_sample("ring")),
    ];
    let mut failed = 0;
    for (name, check) in checks {
        match check() {
            Ok(()) => println!("test {name} ... ok"),
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n{error}");
            }
        }
    }
    println!("{} passed, {failed} failed", checks.len() - failed);
    if failed == 0 {
        println!("{ALL_WELL}");
    }
}

fn neon_is_chosen() -> Result<(), String> {
    let output = Command::new("/bin/verdictd").arg("--version").output().map_err(|error| error.to_string())?;
    let version = String::from_utf8_lossy(&output.stdout);
    println!("{}", version.trim());
    if version.contains("neon") { Ok(()) } else { Err("verdictd --version does not say neon".into()) }
}

fn compiles_to_the_same_bytes() -> Result<(), String> {
    run(Command::new("/bin/verdictctl").args(["compile", "--output", "/tmp/arm.snap", "intel/sample/feeds.toml"]))?;
    let read = |path: &str| fs::read(path).map_err(|error| format!("{path}: {error}"));
    let (theirs, ours) = (read("/sample.snap")?, read("/tmp/arm.snap")?);
    if theirs == ours {
        println!("sample.snap: {} bytes, the same as compiled on x86-64", ours.len());
        return Ok(());
    }
    let at = theirs.iter().zip(&ours).position(|(theirs, ours)| theirs != ours);
    Err(format!("the snapshots differ: {} and {} bytes, first at {at:?}", theirs.len(), ours.len()))
}

fn serves_the_sample(driver: &str) -> Result<(), String> {
    let server = Server::start(Path::new("/bin/verdictd"), Path::new("/tmp"), Path::new("/sample.snap"), 0, driver)?;
    ask(&server)?;
    server.reload()?;
    ask(&server)?;
    let (_, ready) = http_get(server.admin, "/readyz").map_err(|error| format!("/readyz: {error}"))?;
    let wanted = if driver == AUTO { "epoll" } else { driver };
    if !ready.contains(wanted) {
        return Err(format!("/readyz does not name the driver {wanted}: {ready}"));
    }
    println!("/readyz: {}", ready.trim());
    let (status, metrics) = http_get(server.admin, "/metrics").map_err(|error| format!("/metrics: {error}"))?;
    if status != 200 || metrics.is_empty() {
        return Err(format!("/metrics: status {status}, {} bytes", metrics.len()));
    }
    let took = server.stop()?;
    println!("verdictd stopped cleanly in {} ms of the emulated clock", took.as_millis());
    Ok(())
}

fn ask(server: &Server) -> Result<(), String> {
    for endpoint in [format!("tcp:{}", server.tcp), format!("unix:{}", server.unix.display())] {
        run(Command::new("/bin/verdictctl").args(["ask", "intel/sample/questions.tsv", "--connect", &endpoint]))
            .map_err(|error| format!("{endpoint}: {error}\n{}", server.last_words()))?;
    }
    Ok(())
}

/// Its output goes to the console, through us: a pipe is no terminal, so nothing in it moves or is coloured.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.current_dir("/").output().map_err(|error| format!("{command:?}: {error}"))?;
    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(format!("{command:?} ended with {}", output.status)) }
}
