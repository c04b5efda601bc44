//! The operator of the emulated Debian: installs the package and does to the daemon what operators and accidents do.
//!
//! ```text
//!  dpkg -i ─► enabled, waits for a key ─► keygen, publish, systemctl start ─► ask ─► publish, systemctl reload ─► a damaged manifest, systemctl reload
//!  ─► credentials, doctor ─► kill -9 ─► a stopped process ─► verdictd.socket, restarts ─► verdict-refresh ─► systemctl stop ─► dpkg --purge
//! ```
//! Each check prints its line to the console, and what systemd says where it failed. Then a line `N passed, N failed`, and ALL_WELL only if all passed.
#![forbid(unsafe_code)]

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `arm/machine.rs` waits for it.
const ALL_WELL: &str = "arm-init: all as expected";
/// Of an emulated machine on a busy one.
const PATIENCE: Duration = Duration::from_secs(60);
const BINARY: &str = "127.0.0.1:7700";

type Check = (&'static str, fn() -> Result<(), String>);

const CHECKS: &[Check] = &[
    ("the_package_installs_enables_and_waits_for_a_key", installs),
    ("it_starts_once_something_is_published", starts),
    ("it_answers_over_tcp_and_the_unix_socket", || ask("tcp:127.0.0.1:7700").and_then(|()| ask("unix:/run/verdictd/verdictd.sock"))),
    ("the_installed_units_are_sound_and_little_exposed", sound),
    ("a_reload_returns_when_the_new_generation_is_served", reloads),
    ("a_reload_of_something_damaged_fails_and_the_old_generation_serves", reload_refused),
    ("keys_come_as_credentials", credentials),
    ("kill_9_is_followed_by_a_start", killed),
    ("a_daemon_that_hangs_is_ended_by_the_watchdog", hangs),
    ("with_its_socket_no_restart_refuses_anybody", socket),
    ("the_refresh_unit_fetches_compiles_and_publishes", refresh),
    ("it_stops_clean", stops),
    ("a_purge_leaves_nothing_of_its_own", purge),
];

fn main() {
    let begun = Instant::now();
    let mut failed = 0;
    for (name, check) in CHECKS {
        let begun = Instant::now();
        match check() {
            Ok(()) => println!("test {name} ... ok ({:.1} s)", begun.elapsed().as_secs_f64()),
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED\n{error}");
                for command in [["systemctl", "status", "--no-pager", "verdictd.service"], ["journalctl", "--no-pager", "-n40", "-b"]] {
                    println!("{}", run(&command).unwrap_or_else(|error| error));
                }
            }
        }
    }
    println!("operator: {} checks in {:.0} s of the emulated clock", CHECKS.len(), begun.elapsed().as_secs_f64());
    println!("{} passed, {failed} failed", CHECKS.len() - failed);
    if failed == 0 {
        println!("{ALL_WELL}");
    }
}

/// What it prints, if it ends well.
fn run(command: &[&str]) -> Result<String, String> {
    let shown = command.join(" ");
    println!("$ {shown}");
    let output = Command::new(command[0]).args(&command[1..]).current_dir("/").output().map_err(|error| format!("{shown}: {error}"))?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    print!("{text}");
    if output.status.success() { Ok(text) } else { Err(format!("`{shown}` ended with {}: {text}", output.status)) }
}

fn expect(what: &str, holds: bool, found: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("not so: {what}: {found}")) }
}

/// A property of the daemon's unit.
fn unit(property: &str) -> Result<String, String> {
    let output = Command::new("systemctl")
        .args(["show", "verdictd.service", "--value", "-p", property])
        .output()
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool, String>) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if holds()? {
            return Ok(());
        }
        sleep(Duration::from_millis(200));
    }
    Err(format!("not within {} s: {what}", PATIENCE.as_secs()))
}

fn is_active() -> Result<bool, String> {
    Ok(unit("ActiveState")? == "active")
}

fn ask(endpoint: &str) -> Result<(), String> {
    run(&["verdictctl", "ask", "/intel/sample/questions.tsv", "--connect", endpoint]).map(drop)
}

fn generation() -> Result<String, String> {
    let status = unit("StatusText")?;
    status.split(' ').nth(1).map(str::to_owned).ok_or_else(|| format!("STATUS= tells no generation: {status}"))
}

/// Compiles the sample, or the sample of another day, which is another generation, and publishes it.
fn publish(as_of: &str) -> Result<(), String> {
    run(&["verdictctl", "compile", "/intel/sample/feeds.toml", "--as-of", as_of, "--no-store", "-o", "/tmp/sample.snap"])?;
    run(&["verdictctl", "publish", "/tmp/sample.snap", "--key", "/etc/verdictd/publisher.key", "--to", "/srv/verdicts"])?;
    Ok(())
}

fn installs() -> Result<(), String> {
    run(&["dpkg", "--install", "/verdictd.deb"])?;
    run(&["dpkg", "--verify", "verdictd"])?;
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    expect("both users are there", users.contains("verdictd:") && users.contains("verdict-refresh:"), &users)?;
    expect("/srv/verdicts is there", fs::metadata("/srv/verdicts").is_ok(), "")?;
    expect("the unit is enabled", run(&["systemctl", "is-enabled", "verdictd.service"])?.trim() == "enabled", "")?;
    let (state, condition) = (unit("ActiveState")?, unit("ConditionResult")?);
    expect("it waits, and has not failed", (state.as_str(), condition.as_str()) == ("inactive", "no"), &format!("{state}, {condition}"))
}

fn starts() -> Result<(), String> {
    run(&["verdictctl", "keygen", "--to", "/etc/verdictd/publisher"])?;
    publish("2026-06-01")?;
    run(&["systemctl", "start", "verdictd.service"])?;
    expect("it is active", is_active()?, &unit("ActiveState")?)?;
    let status = unit("StatusText")?;
    println!("STATUS={status}");
    expect("it tells what it serves", status.contains("epoch 1") && status.contains("neon"), &status)
}

fn sound() -> Result<(), String> {
    run(&[
        "systemd-analyze",
        "verify",
        "--man=no",
        "verdictd.service",
        "verdictd.socket",
        "verdict-refresh.service",
        "verdict-refresh.timer",
    ])?;
    run(&["systemd-analyze", "security", "--no-pager", "--threshold=15", "verdictd.service"]).map(drop)
}

fn reloads() -> Result<(), String> {
    let before = generation()?;
    publish("2026-06-02")?;
    run(&["systemctl", "reload", "verdictd.service"])?;
    let after = generation()?;
    expect("another generation is served at once", before != after, &after)?;
    ask("tcp:127.0.0.1:7700")
}

fn reload_refused() -> Result<(), String> {
    let before = generation()?;
    let manifest = fs::read("/srv/verdicts/manifest").map_err(|error| error.to_string())?;
    let mut damaged = manifest.clone();
    damaged[100] ^= 1;
    fs::write("/srv/verdicts/manifest", damaged).map_err(|error| error.to_string())?;
    let refused = run(&["systemctl", "reload", "verdictd.service"]);
    fs::write("/srv/verdicts/manifest", manifest).map_err(|error| error.to_string())?;
    expect("the reload fails", refused.is_err(), "systemctl reload ended with 0")?;
    expect("the daemon serves on", is_active()? && generation()? == before, &generation()?)?;
    run(&["systemctl", "reload", "verdictd.service"]).map(drop)
}

/// The public key, from a file that only root may read.
fn credentials() -> Result<(), String> {
    let config = fs::read_to_string("/etc/verdictd/verdictd.toml").map_err(|error| error.to_string())?;
    let config = config.replace("\"/etc/verdictd/publisher.pub\"", "\"credential:publisher.pub\"");
    fs::write("/etc/verdictd/verdictd.toml", config).map_err(|error| error.to_string())?;
    drop_in("credentials", "[Service]\nLoadCredential=publisher.pub:/etc/verdictd/publisher.pub\n")?;
    run(&["chmod", "600", "/etc/verdictd/publisher.pub"])?;
    run(&["systemctl", "restart", "verdictd.service"])?;
    ask("tcp:127.0.0.1:7700")
}

fn drop_in(name: &str, text: &str) -> Result<(), String> {
    let directory = "/etc/systemd/system/verdictd.service.d";
    fs::create_dir_all(directory).map_err(|error| format!("{directory}: {error}"))?;
    fs::write(format!("{directory}/{name}.conf"), text).map_err(|error| format!("{directory}: {error}"))?;
    run(&["systemctl", "daemon-reload"]).map(drop)
}

fn is_another(pid: &str) -> Result<bool, String> {
    let now = unit("MainPID")?;
    Ok(now != pid && now != "0" && is_active()?)
}

fn killed() -> Result<(), String> {
    let pid = unit("MainPID")?;
    run(&["systemctl", "kill", "--kill-whom=main", "--signal=KILL", "verdictd.service"])?;
    eventually("another process serves", || is_another(&pid))?;
    ask("tcp:127.0.0.1:7700")
}

/// Stopped, it feeds no watchdog.
fn hangs() -> Result<(), String> {
    drop_in("watchdog", "[Service]\nWatchdogSec=4s\nRestartSec=1s\n")?;
    run(&["systemctl", "restart", "verdictd.service"])?;
    let pid = unit("MainPID")?;
    sleep(Duration::from_secs(6));
    expect("a healthy one is left alone", unit("MainPID")? == pid, &unit("MainPID")?)?;
    run(&["systemctl", "kill", "--kill-whom=main", "--signal=STOP", "verdictd.service"])?;
    eventually("another process serves", || is_another(&pid))?;
    fs::remove_file("/etc/systemd/system/verdictd.service.d/watchdog.conf").map_err(|error| error.to_string())?;
    run(&["systemctl", "daemon-reload"])?;
    ask("tcp:127.0.0.1:7700")
}

fn socket() -> Result<(), String> {
    run(&["systemctl", "stop", "verdictd.service"])?;
    run(&["systemctl", "start", "verdictd.socket"])?;
    run(&["systemctl", "start", "verdictd.service"])?;
    let restarts = std::thread::spawn(|| (0..2).try_for_each(|_| run(&["systemctl", "restart", "verdictd.service"]).map(drop)));
    let (mut connected, mut refused) = (0, 0);
    while !restarts.is_finished() {
        match TcpStream::connect(BINARY) {
            Ok(_) => connected += 1,
            Err(_) => refused += 1,
        }
        sleep(Duration::from_millis(20));
    }
    restarts.join().map_err(|_| "a panic")??;
    println!("{connected} connected, {refused} refused, over two restarts");
    expect("nobody is refused", refused == 0 && connected > 10, "see above")?;
    ask("tcp:127.0.0.1:7700")
}

fn refresh() -> Result<(), String> {
    for (from, to) in [("/intel/sample/.", "/var/lib/verdict-refresh/"), ("/srv/verdicts", "/tmp/before")] {
        run(&["mkdir", "-p", "/var/lib/verdict-refresh"])?;
        run(&["cp", "-r", from, to])?;
    }
    run(&["chown", "-R", "verdict-refresh:verdict-refresh", "/var/lib/verdict-refresh", "/srv/verdicts"])?;
    run(&["systemctl", "start", "verdict-refresh.service"])?;
    let manifest = |path: &str| fs::read(path).map_err(|error| format!("{path}: {error}"));
    expect("another manifest is published", manifest("/srv/verdicts/manifest")? != manifest("/tmp/before/manifest")?, "")?;
    run(&["systemctl", "reload", "verdictd.service"]).map(drop)
}

fn stops() -> Result<(), String> {
    run(&["systemctl", "stop", "verdictd.socket", "verdictd.service"])?;
    let (result, status) = (unit("Result")?, unit("ExecMainStatus")?);
    expect("in order", (result.as_str(), status.as_str()) == ("success", "0"), &format!("{result}, {status}"))
}

fn purge() -> Result<(), String> {
    run(&["dpkg", "--purge", "verdictd"])?;
    for path in ["/usr/bin/verdictd", "/etc/verdictd/verdictd.toml", "/var/lib/verdictd", "/lib/systemd/system/verdictd.service"] {
        expect("it is gone", fs::metadata(path).is_err(), path)?;
    }
    expect("keys stay", fs::metadata("/etc/verdictd/publisher.key").is_ok(), "publisher.key")
}
