//! Suite `keys`, ARM instructions of a URL: NEON beside portable, counted under an emulator that says which instructions it passes.
//!
//! ```text
//! qemu-aarch64 -singlestep -d nochain,exec   count-urls FILE n        one line an instruction
//!                                            count-urls FILE 2n       the difference, over n: no start, no reading, nothing but URLs
//! ```
//! A count, no time: it says how much less there is to do, not how fast a core does it. `cargo xtask bench` builds the program for ARM (the example
//! `count-urls` of `verdict-keys`) and names it in `VERDICT_ARM_COUNT_URLS`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::{Figure, How};

/// URLs of the shorter run.
const URLS: usize = 200;

/// Both counts and their ratio, or why there are none.
pub fn figures(urls: &[Box<str>]) -> Result<Vec<Figure>, String> {
    let program = std::env::var_os("VERDICT_ARM_COUNT_URLS").ok_or("no ARM program was built (`cargo xtask bench` builds it)")?;
    let file = std::env::temp_dir().join(format!("verdict-perf-urls-{}", std::process::id()));
    let chosen: Vec<&str> = urls.iter().step_by((urls.len() / (2 * URLS)).max(1)).take(2 * URLS).map(|url| &**url).collect();
    if chosen.len() < 2 * URLS {
        return Err(format!("{} URLs are too few", chosen.len()));
    }
    std::fs::File::create(&file).and_then(|mut out| out.write_all(chosen.join("\n").as_bytes())).map_err(|error| error.to_string())?;
    let of = |backend: &str| per_url(program.as_ref(), &file, backend);
    let both = of("neon").and_then(|neon| Ok((neon, of("portable")?)));
    let _ = std::fs::remove_file(&file);
    let (neon, portable) = both?;
    let figure =
        |name: &str, value| Figure::new(name, "instructions/url", How::Counted, "qemu-aarch64, counted under emulation", vec![value]);
    let (neon, portable) = (figure("arm_neon_instructions", neon), figure("arm_portable_instructions", portable));
    let mut ratio = Figure::ratio("neon_vs_portable_instructions", "portable, counted under emulation", &neon, &portable);
    ratio.how = How::Counted;
    Ok(vec![ratio, neon, portable])
}

fn per_url(program: &Path, file: &Path, backend: &str) -> Result<f64, String> {
    let (once, twice) = (executed(program, file, backend, URLS)?, executed(program, file, backend, 2 * URLS)?);
    Ok(twice.saturating_sub(once) as f64 / URLS as f64)
}

/// Lines of the emulator's log: one for each instruction.
fn executed(program: &Path, file: &Path, backend: &str, urls: usize) -> Result<u64, String> {
    let mut command = Command::new("qemu-aarch64-static");
    command.args(["-singlestep", "-d", "nochain,exec", "-L", "/usr/aarch64-linux-gnu"]).arg(program).arg(file).arg(urls.to_string());
    command.env("VERDICT_BACKEND", backend).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("qemu-aarch64-static: {error}"))?;
    let log = child.stderr.take().ok_or("no log")?;
    let mut lines = 0;
    let mut reader = BufReader::with_capacity(1 << 20, log);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        lines += u64::from(line.starts_with(b"Trace "));
        line.clear();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(lines) } else { Err(format!("the ARM program under emulation: {status}")) }
}
