//! One run of `verdictctl`, here or under the emulator: what it printed, and what it cost.
//!
//! The parent learns a child's CPU time exactly when it ends (`cutime`, `cstime`: proc(5)), to a hundredth of a second. Nobody keeps the most memory that
//! a process ever had, so it is read from `/proc/PID/status` while the process is there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process;

/// Between two looks at its memory.
const PAUSE: Duration = Duration::from_millis(5);
/// User mode emulation of a static ARM program.
const EMULATOR: &str = "qemu-aarch64-static";

/// A `verdictctl` to run, and where its output goes.
pub(super) struct Program {
    program: PathBuf,
    emulated: bool,
    directory: PathBuf,
}

/// What a run came to.
pub(super) struct Ran {
    /// Its JSON document; null where it printed none.
    pub told: Value,
    /// Its messages.
    pub said: String,
    /// 0 is success.
    pub status: i32,
    pub cpu: Duration,
    pub wall: Duration,
    pub peak_bytes: u64,
}

impl Program {
    pub fn native(program: &Path, directory: &Path) -> Self {
        Program { program: program.to_owned(), emulated: false, directory: directory.to_owned() }
    }

    pub fn emulated(program: &Path, directory: &Path) -> Self {
        Program { emulated: true, ..Self::native(program, directory) }
    }

    /// Runs it to its end in the directory; whether it succeeded is the caller's to judge.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Ran> {
        let mut command = if self.emulated { Command::new(EMULATOR) } else { Command::new(&self.program) };
        if self.emulated {
            command.arg(&self.program);
        }
        let (out, errors) = (self.directory.join("stdout"), self.directory.join("stderr"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&errors)?);
        let (before, began) = (process::cpu_time_of_ended_children()?, Instant::now());
        let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{:?}: {error}", command.get_program())))?;
        let mut peak_bytes = 0;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            // What has ended meanwhile has no such line.
            peak_bytes = process::peak_resident_bytes(child.id()).unwrap_or(0).max(peak_bytes);
            std::thread::sleep(PAUSE);
        };
        let (wall, cpu) = (began.elapsed(), process::cpu_time_of_ended_children()?.saturating_sub(before));
        let told = serde_json::from_slice(&std::fs::read(&out)?).unwrap_or(Value::Null);
        let said = String::from_utf8_lossy(&std::fs::read(&errors)?).into_owned();
        Ok(Ran { told, said, status: status.code().unwrap_or(-1), cpu, wall, peak_bytes })
    }

    /// The same, and an error with its own words where it fails.
    pub fn succeed(&self, arguments: &[&str]) -> io::Result<Ran> {
        let ran = self.run(arguments)?;
        match ran.status {
            0 => Ok(ran),
            status => Err(io::Error::other(format!("verdictctl {} ended with {status}:\n{}", arguments.join(" "), ran.said))),
        }
    }
}

/// The number at a path of keys.
pub(super) fn number(document: &Value, path: &[&str]) -> io::Result<f64> {
    let found = path.iter().try_fold(document, |value, key| value.get(key)).and_then(Value::as_f64);
    found.ok_or_else(|| io::Error::other(format!("verdictctl's JSON has no number {}", path.join("."))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_told_with_its_end_its_time_and_its_memory() {
        let directory = std::env::temp_dir().join(format!("verdict-perf-child-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let shell = Program::native(Path::new("/bin/sh"), &directory);
        let burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo '{\"a\": {\"b\": 7}}'; echo wrong >&2; exit 3";
        let ran = shell.run(&["-c", burn]).unwrap();
        assert_eq!((ran.status, ran.said.as_str(), number(&ran.told, &["a", "b"]).unwrap()), (3, "wrong\n", 7.0));
        assert!(ran.cpu > Duration::ZERO && ran.peak_bytes > 100_000, "{:?} {}", ran.cpu, ran.peak_bytes);
        assert!(shell.succeed(&["-c", burn]).is_err());
        assert!(number(&ran.told, &["a", "c"]).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
