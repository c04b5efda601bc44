//! `quarantine`: what stands in a daemon's state directory, and taking one out. That a daemon then tries it again is a test of the daemon's.

use crate::fake::verdictctl;
use std::path::{Path, PathBuf};

/// A state directory with these in quarantine, and what a crash or a hand may have left beside them.
fn state(name: &str, held: &[(&str, &str)]) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-quarantine-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(directory.join("quarantine")).expect("cargo gives tests a directory");
    for (file, why) in held {
        std::fs::write(directory.join("quarantine").join(file), format!("{why}\n")).expect("it can be written");
    }
    directory
}

#[test]
fn a_list_shows_hash_time_and_reason_and_lifting_takes_one_out() {
    let (one, other) = ("5b1e90aa".repeat(8), "5b1e90ab".repeat(8));
    let why = "canary www.example.test: answered malicious, expected unknown";
    let directory = state("lift", &[(&one, why), (&other, "3 starts with it \x1b[2J did not last 10 s"), ("5b1e.partial", "half")]);
    let ran = |arguments: &[&str]| verdictctl(&[arguments, &["--state", directory.to_str().expect("a plain path")]].concat());
    let listed = ran(&["quarantine", "list"]);
    assert_eq!((listed.status, listed.stderr.as_str(), listed.stdout.lines().count()), (0, "", 3), "{}", listed.stdout);
    for part in ["SHA256", &one, &other, why, "starts with it \\x1b[2J did", "Z  "] {
        assert!(listed.stdout.contains(part), "{part} is not in\n{}", listed.stdout);
    }
    let json: serde_json::Value = serde_json::from_str(&ran(&["quarantine", "list", "--json"]).stdout).expect("JSON");
    assert_eq!((json[0]["sha256"].as_str(), json[0]["why"].as_str()), (Some(one.as_str()), Some(why)));
    // Digits that two begin with, that none begins with, that are none.
    for (hash, status, what) in [("5b1e90", 2, "8 or more"), ("5b1e90ax", 2, "hexadecimal"), ("00000000", 3, "no snapshot")] {
        let refused = ran(&["quarantine", "lift", hash]);
        assert!(refused.status == status && refused.stderr.contains(what), "{hash}: {} {}", refused.status, refused.stderr);
    }
    let lifted = ran(&["quarantine", "lift", "5B1E90AA"]);
    assert_eq!(lifted.status, 0, "{}", lifted.stderr);
    assert!(lifted.stdout.starts_with(&format!("{one}: lifted")) && lifted.stdout.contains(why), "{}", lifted.stdout);
    let left: Vec<String> = std::fs::read_dir(directory.join("quarantine"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(left.len() == 2 && left.contains(&other), "{left:?}");
    assert_eq!(ran(&["quarantine", "lift", &one]).status, 3, "it is gone");
}

#[test]
fn digits_that_two_begin_with_are_too_few() {
    let (one, other) = (format!("{:0<64}", "aaaaaaaa1"), format!("{:0<64}", "aaaaaaaa2"));
    let directory = state("two", &[(&one, "a"), (&other, "b")]);
    let ran = verdictctl(&["quarantine", "lift", "aaaaaaaa", "--state", directory.to_str().expect("a plain path")]);
    assert!(ran.status == 2 && ran.stderr.contains("give more digits"), "{}", ran.stderr);
}

#[test]
fn a_directory_that_is_none_is_told() {
    let empty = state("empty", &[]);
    let list = |directory: &Path| verdictctl(&["quarantine", "list", "--state", directory.to_str().expect("a plain path")]);
    assert_eq!(list(&empty).stdout, "no snapshot is in quarantine\n");
    let ran = list(&empty.join("nowhere"));
    assert!(ran.status == 66 && ran.stderr.contains("snapshot.state"), "{} {}", ran.status, ran.stderr);
}
