//! What a supervisor sees of a start that cannot be: status 78, and one line of cause and remedy; and what whoever asks before is told (check/).

#[allow(dead_code)] // some of it is for the tests of the edge
#[path = "edge/certificates.rs"]
mod certificates;
mod check;
mod confined;
mod credentials;
#[allow(unused_macros)]
#[path = "support/mod.rs"]
mod support;

use std::process::Command;

/// Starts the daemon with these lines for its shards; it must not start, with status 78. What it said.
fn refused(name: &str, shards: &str) -> String {
    let config = std::env::temp_dir().join(format!("verdictd-status-{}-{name}.toml", std::process::id()));
    std::fs::write(&config, format!("[snapshot]\npath = \"/nonexistent.snap\"\n[shards]\n{shards}\n")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_verdictd")).arg("--config").arg(&config).output().unwrap();
    std::fs::remove_file(&config).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    said
}

/// A CPU that is not there stands for whatever a machine may lack; a kernel that denies rings is had by a filter (confined/mod.rs).
#[test]
fn a_machine_that_cannot_is_status_78_with_cause_and_remedy() {
    let said = refused("cpu", "cpus = [4095]\ndriver = \"ring\"");
    assert!(said.contains("CPU 4095") && said.contains("correct shards.cpus"), "{said}");
}

#[test]
fn a_driver_that_nobody_knows_is_status_78_with_those_there_are() {
    let said = refused("driver", "driver = \"dpdk\"");
    assert!(said.contains("ring") && said.contains("epoll"), "{said}");
}
