//! Running a program of a step: output to the step's log, a deadline, and nothing left behind.
//!
//! Each program leads a process group of its own, so that a deadline ends it with all that it started. The price is that Ctrl-C no longer
//! reaches it by itself: `end_children_with_us` passes it on.

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The groups that run now, for the signal thread: of the step, and of what is built ahead.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// How often we look whether the program has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One step's output.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// An empty log.
    pub fn create(path: PathBuf) -> Result<Self, String> {
        File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Appending, so that our lines and those of the programs do not overwrite each other.
        let file = OpenOptions::new().append(true).open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Log { path, file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds.
    pub fn text(&self) -> String {
        std::fs::read(&self.path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Adds a line of ours.
    pub fn line(&self, line: &str) -> Result<(), String> {
        writeln!(&self.file, "{line}").map_err(|error| self.broken(&error))
    }

    /// Adds the end of a suite of our own, in the words of `cargo test`, which the summary reads.
    pub fn suite_ended(&self, passed: usize, failed: usize) -> Result<(), String> {
        let word = if failed == 0 { "ok" } else { "FAILED" };
        self.line(&format!("\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored"))
    }

    /// Runs a program to its end, at most `limit`.
    ///
    /// An error says which program failed and how; its output is in the log.
    pub fn run(&self, command: &mut Command, limit: Duration) -> Result<(), String> {
        let shown = shown(command);
        self.line(&format!("$ {shown}"))?;
        let out = self.file.try_clone().map_err(|error| self.broken(&error))?;
        let err = self.file.try_clone().map_err(|error| self.broken(&error))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("`{shown}` cannot be started: {error}"))?;
        match ended_within(&mut child, limit)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("`{shown}` ended with {status}")),
            None => Err(format!("`{shown}` took longer than {} s and was ended", limit.as_secs())),
        }
    }

    fn broken(&self, error: &std::io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }
}

/// None when it had to be killed.
fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>, String> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("a process without an id")?;
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(group);
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break Some(status),
            None if begun.elapsed() > limit => {
                // A group that ends at this moment is no error.
                let _ = kill_process_group(group, Signal::KILL);
                child.wait().map_err(|error| error.to_string())?;
                break None;
            }
            None => sleep(LOOK_EVERY),
        }
    };
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).retain(|running| *running != group);
    Ok(ended)
}

/// On SIGINT and SIGTERM, ends what runs and then this process.
pub fn end_children_with_us() -> Result<(), String> {
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("signals: {error}"))?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for group in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let _ = kill_process_group(*group, Signal::TERM);
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// The command as one would type it, with the variables that were set for it.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| Some(format!("{}={}", name.display(), value?.display())));
    let program = Path::new(command.get_program());
    // `cargo` reads better than the path that cargo gave us for it.
    let program = program.file_name().unwrap_or(command.get_program());
    let arguments = command.get_args().map(|argument| argument.display().to_string());
    set.chain([program.display().to_string()]).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(name: &str) -> Log {
        Log::create(std::env::temp_dir().join(format!("xtask-{name}-{}.log", std::process::id()))).unwrap()
    }

    #[test]
    fn output_and_our_lines_share_the_log_in_order() {
        let log = log("order");
        log.run(Command::new("/bin/echo").arg("said"), Duration::from_secs(5)).unwrap();
        log.line("ours").unwrap();
        assert_eq!(log.text(), "$ echo said\nsaid\nours\n");
        std::fs::remove_file(log.path()).unwrap();
    }

    #[test]
    fn a_program_past_its_deadline_is_ended() {
        let log = log("deadline");
        let begun = Instant::now();
        let error = log.run(Command::new("/bin/sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10) && error.contains("took longer"), "{error}");
        std::fs::remove_file(log.path()).unwrap();
    }

    #[test]
    fn a_failure_names_the_command_as_typed() {
        let log = log("failure");
        let error = log.run(Command::new("/bin/false").arg("x").env("WHY", "y"), Duration::from_secs(5)).unwrap_err();
        assert!(error.starts_with("`WHY=y false x` ended with"), "{error}");
        std::fs::remove_file(log.path()).unwrap();
    }
}
