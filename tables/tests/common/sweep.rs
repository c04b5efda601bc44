//! A program ended, or failed, at each of its system calls: strace counts the calls of an undisturbed run, then repeats it once for every one of them.
//!
//! `VERDICT_SWEEP=full` takes every call; otherwise about `RUNS` of them, spread evenly, are taken, which is what a build has time for.
//! A process that is killed loses nothing of what it gave the kernel, whatever the file system: stages may lie in memory, where `fsync` takes no time.
#![allow(dead_code, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// Calls by which files are changed or found changed. What a program of ours writes, it writes by these.
const CALLS: [&str; 13] =
    ["openat", "write", "read", "fsync", "fdatasync", "syncfs", "rename", "unlink", "mkdir", "flock", "ftruncate", "getdents64", "close"];

/// Runs of a sweep that is not full.
const RUNS: usize = 16;

/// What befalls a call.
#[derive(Clone, Copy, Debug)]
pub enum Blow {
    /// The process is killed instead.
    Kill,
    /// The disk fails.
    Eio,
    /// The disk is full.
    Enospc,
}

impl Blow {
    fn as_strace_says(self) -> &'static str {
        match self {
            Blow::Kill => "signal=KILL",
            Blow::Eio => "error=EIO",
            Blow::Enospc => "error=ENOSPC",
        }
    }

    /// Reading does not run out of room, nor opening what is there, and nothing fails by closing that mattered.
    fn befalls(self, place: &Place) -> bool {
        let call = place.call.as_str();
        match self {
            Blow::Kill => true,
            Blow::Eio => call != "close" && call != "flock",
            Blow::Enospc if call == "openat" => place.on.contains("O_CREAT"),
            Blow::Enospc => ["write", "fsync", "fdatasync", "syncfs", "rename", "mkdir"].contains(&call),
        }
    }
}

pub fn strace_is_there() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok_and(|ran| ran.status.success());
    if !there {
        println!("SKIPPED: strace is not installed");
    }
    there
}

/// One call of the run.
#[derive(Clone, Debug)]
pub struct Place {
    call: String,
    /// Counted in its thread.
    number: usize,
    /// The file, and of `openat` how it is opened.
    on: String,
}

/// Where a stage does not wait for a disk, if there is such a place.
pub fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let probe = memory.join(format!("verdict-sweep-{}", std::process::id()));
    match std::fs::create_dir(&probe).and_then(|()| std::fs::remove_dir(&probe)) {
        Ok(()) => memory.to_owned(),
        Err(_) => std::env::temp_dir(),
    }
}

/// The file of a call as `strace -y` writes its arguments: `3</a/b>, "text", 4` or `"/a/b", O_RDONLY) = 3</a/b>`.
fn file(call: &str, arguments: &str) -> String {
    let quoted = |text: &str| text.split_once('"').map_or(String::new(), |(_, name)| name.split(')').next().unwrap_or(name).to_owned());
    match arguments.split_once('<').and_then(|(_, path)| path.split_once('>')) {
        Some((path, _)) if call != "openat" && arguments.starts_with(|first: char| first.is_ascii_digit()) => path.to_owned(),
        _ => quoted(arguments),
    }
}

/// The first of all calls of one kind on one file, opened in one way.
pub fn distinct(places: Vec<Place>) -> Vec<Place> {
    let mut seen = std::collections::BTreeSet::new();
    places.into_iter().filter(|place| seen.insert((place.call.clone(), place.on.clone()))).collect()
}

/// The calls of an undisturbed run that come after `mark` was opened for the first time: before, it is the program being loaded.
pub fn places(run: &[&str], environment: &[(&str, &str)], mark: &Path, log: &Path) -> Vec<Place> {
    let traced = format!("trace={}", CALLS.join(","));
    let ended = Command::new("strace")
        .args(["-f", "-y", "-o"])
        .arg(log)
        .args(["-e", &traced])
        .args(run)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let text = std::fs::read_to_string(log).unwrap();
    let mark = mark.to_str().unwrap();
    let begin = text.lines().position(|line| line.contains(mark)).expect("the mark is opened");
    let thread = text.lines().nth(begin).unwrap().split(' ').next().unwrap().to_owned();
    let (mut counts, mut places) = (std::collections::BTreeMap::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let Some((call, arguments)) = call.trim_start().split_once('(') else { continue };
        if pid != thread || !CALLS.contains(&call) {
            continue;
        }
        let count = counts.entry(call.to_owned()).or_insert(0);
        *count += 1;
        if number >= begin {
            places.push(Place { call: call.to_owned(), number: *count, on: file(call, arguments) });
        }
    }
    places
}

/// The places of this sweep.
pub fn chosen(places: Vec<Place>, blow: Blow) -> Vec<Place> {
    let all: Vec<Place> = places.into_iter().filter(|place| blow.befalls(place)).collect();
    if std::env::var_os("VERDICT_SWEEP").is_some_and(|how| how == "full") {
        return all;
    }
    let step = all.len().div_ceil(RUNS).max(1);
    // What makes a state the next one is always among them.
    let place = |(index, place): (usize, Place)| (index % step == 0 || place.call == "rename").then_some(place);
    all.into_iter().enumerate().filter_map(place).collect()
}

/// Runs it with one blow.
pub fn strike(run: &[&str], environment: &[(&str, &str)], place: &Place, blow: Blow) -> ExitStatus {
    let Place { call, number, .. } = place;
    let inject = format!("inject={call}:{}:when={number}", blow.as_strace_says());
    let traced = format!("trace={call}");
    let ran = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", &traced, "-e", &inject])
        .args(run)
        .envs(environment.iter().copied())
        .output();
    ran.unwrap().status
}

pub fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &target),
            false => assert!(std::fs::copy(&path, &target).is_ok()),
        }
    }
}
