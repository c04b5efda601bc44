//! A record: figures with all that is needed to judge them. Machine, kernel, toolchain, backend, bias; no names of machines, no paths.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::cost::Discarded;
use super::{Curve, Findings};
use crate::report::Figure;

/// As written to perf/records.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub(crate) suite: String,
    /// Seconds since 1970.
    pub(crate) at_s: u64,
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) version: String,
    pub(crate) commit: String,
    #[serde(default = "x86_64")]
    pub(crate) arch: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) memory_kib: u64,
    pub(crate) kernel: String,
    pub(crate) huge_pages: String,
    pub(crate) toolchain: String,
    pub(crate) backend: String,
    pub(crate) load_before: f64,
    pub(crate) bias: String,
    pub(crate) notes: Vec<String>,
    /// Runs that were not counted.
    #[serde(default)]
    pub(crate) discarded: Discarded,
    pub(crate) figures: Vec<Figure>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) curves: Vec<Curve>,
}

/// The first field of `/proc/loadavg`: who else uses this machine.
pub fn load() -> f64 {
    read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

impl Record {
    /// Of a suite that ran just now; `load_before` was read before it began.
    pub fn new(findings: &Findings, command: &str, seed: u64, load_before: f64) -> Self {
        let Findings { results, curves, discarded } = findings;
        let after = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key)).and_then(|line| line.split_once(':'));
            line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let backend = verdict_simd::detect().map(|backend| verdict_simd::Backend::name(backend).to_owned());
        Record {
            suite: results.name.clone(),
            at_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            command: command.to_owned(),
            seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: output("git", &["rev-parse", "--short=12", "HEAD"]),
            arch: std::env::consts::ARCH.to_owned(),
            cpu: after(&read("/proc/cpuinfo"), "model name"),
            cpus: crate::process::cpus().len(),
            memory_kib: after(&read("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0),
            // The version, not the name that a builder gave it.
            kernel: read("/proc/sys/kernel/osrelease").trim().split('-').next().unwrap_or_default().to_owned(),
            huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled").trim().to_owned(),
            toolchain: output("rustc", &["--version"]),
            backend: backend.unwrap_or_default(),
            load_before,
            bias: results.bias.clone(),
            notes: results.notes.clone(),
            discarded: *discarded,
            figures: results.figures.clone(),
            curves: curves.clone(),
        }
    }

    /// One that was written.
    pub fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    }

    /// Written whole.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }
}

/// Of the first records, which do not say.
fn x86_64() -> String {
    "x86_64".to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
