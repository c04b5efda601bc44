//! A check runs in a process of its own, with limits: a model is a stranger's program, and the library that runs it is C++.
//!
//! ```text
//! verdictctl models check FILE ──spawns itself──► child: limits on itself, then reads FILE ──one JSON text──► parent: bounded, timed, judged
//!                                                 dies of a signal, runs out of time or says too much ──► the model is refused
//! ```

use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Address space of the child: ONNX Runtime maps 100 MB, a model of a few MB needs some tens more.
pub const MEMORY_BYTES: u64 = 1 << 30;
/// CPU time of the child.
pub const CPU_SECONDS: u64 = 60;
/// Wall time of the child; a machine may be busy.
pub const WALL: Duration = Duration::from_secs(120);
/// Bytes that a child may say.
const SAID_BYTES_MAX: usize = 1 << 20;

/// Limits this process, and what it starts, for good: memory, CPU, open files, a MiB of a written file (ONNX Runtime writes one when it starts), no core.
pub fn confine() -> Result<(), String> {
    let limits = [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Nofile, 64),
        (Resource::Fsize, 1 << 20),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(|error| format!("limiting {resource:?}: {error}"))?;
    }
    Ok(())
}

/// How a child ended that did not say what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Died {
    /// It could not be started, or not be listened to.
    NotStarted(String),
    /// It took longer than [`WALL`].
    TooSlow,
    /// It said more than any report has.
    TooLoud,
    /// A signal or a status ended it; with the last line of what it said on standard error.
    Ended(String),
}

impl std::fmt::Display for Died {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotStarted(why) => write!(formatter, "the checking process could not be run: {why}"),
            Self::TooSlow => write!(formatter, "the checking process took longer than {} s", WALL.as_secs()),
            Self::TooLoud => write!(formatter, "the checking process said more than {SAID_BYTES_MAX} bytes"),
            Self::Ended(how) => write!(formatter, "the checking process died: {how}"),
        }
    }
}

/// Runs a child that confines itself; what it said, if it ended well.
pub fn run(command: &mut Command, wall: Duration) -> Result<Vec<u8>, Died> {
    let not_started = |error: std::io::Error| Died::NotStarted(error.to_string());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_started)?;
    // Two readers: a child that fills one pipe must not keep the other waiting.
    let out = child.stdout.take().map(|pipe| std::thread::spawn(move || bounded(pipe)));
    let err = child.stderr.take().map(|pipe| std::thread::spawn(move || bounded(pipe)));
    let status = wait(&mut child, wall);
    let join = |reader: Option<std::thread::JoinHandle<Vec<u8>>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let (out, err) = (join(out), join(err));
    let status = status?;
    if !status.success() {
        return Err(Died::Ended(last_words(status, &err)));
    }
    if out.len() > SAID_BYTES_MAX { Err(Died::TooLoud) } else { Ok(out) }
}

/// Reads a little more than is allowed, and drops the rest.
fn bounded(mut pipe: impl Read) -> Vec<u8> {
    let mut said = Vec::new();
    let kept = pipe.by_ref().take(SAID_BYTES_MAX as u64 + 1).read_to_end(&mut said);
    if kept.is_ok() {
        // Its end, or an error that is one.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    }
    said
}

fn wait(child: &mut Child, wall: Duration) -> Result<ExitStatus, Died> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if begun.elapsed() < wall => std::thread::sleep(Duration::from_millis(2)),
            ended => {
                // It may have ended by itself meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(ended.map_or_else(|error| Died::NotStarted(error.to_string()), |_| Died::TooSlow));
            }
        }
    }
}

fn last_words(status: ExitStatus, err: &[u8]) -> String {
    let text = String::from_utf8_lossy(err);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{status}: {}", line.chars().take(300).collect::<String>()),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, wall: Duration) -> Result<String, Died> {
        run(Command::new("sh").args(["-c", script]), wall).map(|said| String::from_utf8(said).expect("text"))
    }

    #[test]
    fn what_a_child_says_is_heard() {
        assert_eq!(shell("echo said; echo aside >&2", WALL), Ok("said\n".into()));
    }

    #[test]
    fn a_child_that_dies_is_told_with_its_last_words() {
        assert_eq!(shell("echo 'cannot go on' >&2; kill -ABRT $$", WALL), Err(Died::Ended("signal: 6 (SIGABRT): cannot go on".into())));
        assert_eq!(shell("exit 3", WALL), Err(Died::Ended("exit status: 3".into())));
    }

    #[test]
    fn a_child_that_hangs_is_ended() {
        let begun = Instant::now();
        assert_eq!(shell("exec sleep 60", Duration::from_millis(50)), Err(Died::TooSlow));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_that_never_stops_talking_is_refused() {
        assert_eq!(shell("head -c 3000000 /dev/zero", WALL), Err(Died::TooLoud));
    }
}
