//! Where the time goes, as a picture: perf's samples of one process, folded and drawn by the crate inferno, no shell between.
//!
//! ```text
//! a process under load ◄─ perf record --call-graph fp ─► perf.data ─ perf script ─► names made readable ─► folded stacks ─► SVG
//! ```
//! Frame pointers are in every build (`.cargo/config.toml`), so stacks are exact but for frames that were inlined: those are part of their
//! caller. Virtual machines often have no hardware counters; then the clock of the CPU takes the samples, at the same pace but never inside code with interrupts off.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use inferno::collapse::Collapse;

/// Samples a second; no divisor of timers that tick at 100 or 250.
const PER_SECOND: &str = "997";

/// A perf that can be used on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Perf {
    /// `cycles`, or `cpu-clock` where there are no hardware counters.
    pub event: &'static str,
}

impl Perf {
    /// Tries it on a program that does nothing; the error is one line with the remedy.
    pub fn find() -> Result<Self, String> {
        let says = |arguments: &[&str]| Command::new("perf").args(arguments).stdin(Stdio::null()).output();
        if !says(&["--version"]).is_ok_and(|output| output.status.success()) {
            return Err("perf is missing or not for this kernel: sudo apt-get install linux-perf".into());
        }
        let file = std::env::temp_dir().join(format!("verdict-perf-try-{}", std::process::id()));
        let records = |event: &str| {
            let output = says(&["record", "-q", "-e", event, "-o", &file.display().to_string(), "--", "true"]);
            let _ = std::fs::remove_file(&file);
            output.is_ok_and(|output| output.status.success())
        };
        let counts = says(&["stat", "-x,", "-e", "cycles", "true"])
            .is_ok_and(|output| output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("<not"));
        if counts && records("cycles") {
            return Ok(Perf { event: "cycles" });
        }
        if records("cpu-clock") {
            return Ok(Perf { event: "cpu-clock" });
        }
        Err("perf may not record here: as root, or sudo sysctl kernel.perf_event_paranoid=1; in a container, CAP_PERFMON".into())
    }

    /// Samples a process for a while; what `perf script` says of it.
    pub fn record(self, pid: u32, time: Duration) -> io::Result<Vec<u8>> {
        let file = Scratch(std::env::temp_dir().join(format!("verdict-perf-{pid}.data")));
        let mut command = Command::new("perf");
        command.args(["record", "-q", "-F", PER_SECOND, "--call-graph", "fp", "-e", self.event, "-p", &pid.to_string(), "-o"]);
        output(command.arg(&file.0).args(["--", "sleep", &time.as_secs_f64().to_string()]))?;
        output(Command::new("perf").args(["script", "--no-inline", "-i"]).arg(&file.0))
    }
}

/// Removed when dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody reads it any more; the directory is for such files.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn output(command: &mut Command) -> io::Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("perf ended with {}: {}", output.status, said.lines().next_back().unwrap_or_default())))
}

/// Stacks as lines, `thread;outer;inner 12`, from what `perf script` said.
pub fn fold(script: &[u8]) -> io::Result<Vec<u8>> {
    let mut folded = Vec::new();
    let readable = readable(&String::from_utf8_lossy(script));
    inferno::collapse::perf::Folder::default().collapse(BufReader::new(readable.as_bytes()), &mut folded)?;
    Ok(folded)
}

/// Mangled names made readable, without their hashes: `  7f00 _ZN8verdictd4main17h0123456789abcdefE+0x10 (/x)`.
fn readable(script: &str) -> String {
    let line = |line: &str| {
        let mangled = line.split_whitespace().nth(1).filter(|name| name.starts_with("_ZN") || name.starts_with("_R"));
        let Some(mangled) = mangled.map(|name| name.split_once("+0x").map_or(name, |(name, _)| name)) else { return line.to_owned() };
        line.replacen(mangled, &format!("{:#}", rustc_demangle::demangle(mangled)), 1)
    };
    script.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Draws folded stacks.
pub fn draw(folded: &[u8], title: &str, subtitle: &str, svg: &Path) -> io::Result<()> {
    let mut options = inferno::flamegraph::Options::default();
    options.title = title.to_owned();
    options.subtitle = Some(subtitle.to_owned());
    options.hash = true; // one function, one colour: two pictures can be laid side by side
    let file = std::fs::File::create(svg)?;
    inferno::flamegraph::from_reader(&mut options, folded, file).map_err(io::Error::other)
}

/// What all samples in folded stacks stand for, and how much of it those that have a function whose name holds `part`.
pub fn weight(folded: &[u8], part: &str) -> (u64, u64) {
    let (mut all, mut with) = (0, 0);
    for line in String::from_utf8_lossy(folded).lines() {
        let Some((stack, count)) = line.rsplit_once(' ').and_then(|(stack, count)| Some((stack, count.parse::<u64>().ok()?))) else {
            continue;
        };
        all += count;
        with += if stack.contains(part) { count } else { 0 };
    }
    (all, with)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
verdictd 7 1.0:    1001001 cpu-clock:ppp:
\t    55d0c8a1b2c3 _ZN14verdict_tables6lookup6lookup17h0123456789abcdefE+0x1f2 (/x/verdictd)
\t    55d0c8a1b000 _ZN8verdictd5shard5Shard4turn17hfedcba9876543210E+0x10 (/x/verdictd)

verdictd 7 1.1:    1001001 cpu-clock:ppp:
\t    55d0c8a1b2d0 _ZN14verdict_tables6lookup6lookup17h0123456789abcdefE+0x1ff (/x/verdictd)
\t    55d0c8a1b000 _ZN8verdictd5shard5Shard4turn17hfedcba9876543210E+0x10 (/x/verdictd)

verdictd 7 1.2:    1001001 cpu-clock:ppp:
\tffffffff81000000 tcp_sendmsg+0x10 ([kernel.kallsyms])

";

    #[test]
    fn equal_stacks_fold_into_one_line_with_readable_names() {
        let folded = String::from_utf8(fold(SCRIPT.as_bytes()).unwrap()).unwrap();
        assert!(
            folded.lines().any(|line| line == "verdictd;verdictd::shard::Shard::turn;verdict_tables::lookup::lookup 2002002"),
            "{folded}"
        );
        assert_eq!(weight(folded.as_bytes(), "verdict_tables"), (3_003_003, 2_002_002));
    }

    #[test]
    fn the_picture_holds_the_names() {
        let svg = std::env::temp_dir().join(format!("verdict-perf-flame-{}.svg", std::process::id()));
        draw(&fold(SCRIPT.as_bytes()).unwrap(), "t", "s", &svg).unwrap();
        let text = std::fs::read_to_string(&svg).unwrap();
        std::fs::remove_file(&svg).unwrap();
        assert!(text.contains("verdict_tables::lookup::lookup") && text.contains("tcp_sendmsg"));
    }
}
