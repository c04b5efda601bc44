//! Instructions an operation, held against `perf/instructions.toml`: the regression gate that a busy machine does not disturb.
//!
//! ```text
//! x86-64    valgrind --tool=callgrind --toggle-collect=measured verdict-kernels --rounds 10 KERNEL       avx2 and portable: valgrind has no AVX-512
//! aarch64   the trace of the emulator (trace.rs)                                                         neon
//! ```
//! The same program gives the same count in every run; another compiler gives others. So each architecture's counts name the compiler that
//! made them, and another compiler's are not compared. More instructions fail, and fewer: what got better is blessed, so that it stays.

use super::{Kernel, operations, output};
use crate::steps::Complaints;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The committed counts.
pub const FILE: &str = "perf/instructions.toml";
const HEADER: &str = "# Instructions an operation, written by `cargo xtask instructions --bless`. x86-64 by callgrind, aarch64 by qemu's trace. More than\n\
                      # `tolerance` beyond a count, up or down, fails the step `instructions`; counts of another compiler are not compared.\n\n";
/// What moves a count without anything having changed: a function that is laid out otherwise.
const TOLERANCE: f64 = 0.02;
/// Set-up is not counted, so a few rounds do.
const ROUNDS: &str = "10";

/// Kernel: instructions an operation.
pub type Counts = BTreeMap<String, f64>;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    tolerance: f64,
    /// By architecture.
    #[serde(flatten)]
    architectures: BTreeMap<String, Counted>,
}

/// What one compiler made, by backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// `rustc --version`.
    pub toolchain: String,
    /// Backend: its counts.
    #[serde(flatten)]
    pub backends: BTreeMap<String, Counts>,
}

impl Committed {
    /// One count.
    pub fn count(&self, architecture: &str, backend: &str, kernel: &str) -> Option<f64> {
        self.architectures.get(architecture)?.backends.get(backend)?.get(kernel).copied()
    }
}

/// What was found: complaints, and what was not compared.
#[derive(Debug, Default, PartialEq)]
pub struct Judgement {
    pub complaints: Complaints,
    pub notes: Vec<String>,
    pub compared: usize,
}

/// Counts of one backend of this machine.
pub fn callgrind(program: &Path, backend: &str, kernels: &[Kernel], directory: &Path) -> Result<Counts, String> {
    let mut counts = Counts::new();
    for kernel in kernels {
        let file = directory.join("callgrind.out");
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*verdict_kernels*measured*"]);
        command.arg(format!("--callgrind-out-file={}", file.display())).arg(program).args(["--rounds", ROUNDS, &kernel.name, "--cache"]);
        command.arg(directory);
        let said = output(command.env("VERDICT_BACKEND", backend))?;
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        counts.insert(kernel.name.clone(), rounded(total(&text)? / operations(&said, &kernel.name)?));
    }
    Ok(counts)
}

/// The last line of callgrind's file: `totals: 10001`.
fn total(text: &str) -> Result<f64, String> {
    let said = text.lines().rev().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    let total = said.and_then(|total| total.trim().parse::<f64>().ok()).filter(|total| *total > 0.0);
    total.ok_or_else(|| "callgrind counted nothing: the function `measured` was not found".to_owned())
}

/// As it is written.
pub fn rounded(count: f64) -> f64 {
    (count * 100.0).round() / 100.0
}

/// The version of a compiler.
pub fn toolchain(rustc: &str) -> Result<String, String> {
    Ok(output(Command::new(rustc).arg("--version"))?.trim().to_owned())
}

/// What was committed; nothing where there is no file yet.
pub fn load(workspace: &Workspace) -> Result<Committed, String> {
    match std::fs::read_to_string(workspace.root.join(FILE)) {
        Ok(text) => toml::from_str(&text).map_err(|error| format!("{FILE}: {error}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Committed { tolerance: TOLERANCE, architectures: BTreeMap::new() })
        }
        Err(error) => Err(format!("{FILE}: {error}")),
    }
}

/// Takes the counts of one architecture as what shall be.
pub fn bless(workspace: &Workspace, now: BTreeMap<String, Counted>) -> Result<(), String> {
    let mut committed = load(workspace)?;
    committed.architectures.extend(now);
    let text = toml::to_string(&committed).map_err(|error| format!("{FILE}: {error}"))?;
    std::fs::write(workspace.root.join(FILE), format!("{HEADER}{text}")).map_err(|error| format!("{FILE}: {error}"))
}

/// Holds counts against what was committed.
pub fn judge(committed: &Committed, now: &BTreeMap<String, Counted>) -> Judgement {
    let mut judgement = Judgement::default();
    for (architecture, now) in now {
        let Some(was) = committed.architectures.get(architecture) else {
            judgement.complaints.push(format!("{architecture}: no counts in {FILE}: cargo xtask instructions --bless"));
            continue;
        };
        if was.toolchain != now.toolchain {
            judgement.notes.push(format!(
                "{architecture} NOT compared: {FILE} is of {}, this is {}; cargo xtask instructions --bless",
                was.toolchain, now.toolchain
            ));
            continue;
        }
        for (backend, now) in &now.backends {
            let none = Counts::new();
            let was = was.backends.get(backend).unwrap_or(&none);
            judgement.compared += was.len();
            judgement.complaints.extend(differences(&format!("{architecture} {backend}"), was, now, committed.tolerance));
        }
    }
    judgement
}

fn differences(place: &str, was: &Counts, now: &Counts, tolerance: f64) -> Complaints {
    let names = was.keys().chain(now.keys().filter(|name| !was.contains_key(*name)));
    let judge = |name: &String| match (was.get(name), now.get(name)) {
        (Some(was), Some(now)) => {
            let change = now / was - 1.0;
            let what = match change {
                change if change > tolerance => "make it as short as it was, or say why in the commit and bless",
                change if change < -tolerance => "better: bless it, so that it stays",
                _ => return None,
            };
            Some(format!("{place} {name}: {was} instructions became {now} ({:+.1} %): {what}", 100.0 * change))
        }
        (None, Some(now)) => Some(format!("{place} {name}: {now} instructions, not in {FILE}: bless")),
        (_, None) => Some(format!("{place} {name}: in {FILE}, but no such kernel was counted: bless")),
    };
    names.filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(toolchain: &str, probe: f64) -> BTreeMap<String, Counted> {
        let counts = Counts::from([("probe".to_owned(), probe), ("hash".to_owned(), 100.0)]);
        let backends = BTreeMap::from([("avx2".to_owned(), counts)]);
        BTreeMap::from([("x86-64".to_owned(), Counted { toolchain: toolchain.into(), backends })])
    }

    fn check(now: f64, complaint: &str) {
        let committed = Committed { tolerance: TOLERANCE, architectures: counted("rustc 1", 20.0) };
        let judgement = judge(&committed, &counted("rustc 1", now));
        assert_eq!(judgement.compared, 2);
        match complaint {
            "" => assert_eq!(judgement.complaints, Complaints::new()),
            part => assert!(judgement.complaints.len() == 1 && judgement.complaints[0].contains(part), "{judgement:?}"),
        }
    }

    #[test]
    fn a_slower_kernel_is_caught() {
        check(20.5, "20 instructions became 20.5 (+2.5 %)");
    }

    #[test]
    fn a_quicker_kernel_asks_to_be_kept() {
        check(19.5, "bless it, so that it stays");
    }

    #[test]
    fn within_the_tolerance_nothing_is_said() {
        check(20.39, "");
        check(19.61, "");
    }

    #[test]
    fn another_compilers_counts_are_not_compared_and_that_is_said() {
        let committed = Committed { tolerance: TOLERANCE, architectures: counted("rustc 1", 20.0) };
        let judgement = judge(&committed, &counted("rustc 2", 99.0));
        assert_eq!((judgement.compared, judgement.complaints.len()), (0, 0));
        assert!(judgement.notes[0].contains("NOT compared"));
    }

    #[test]
    fn a_kernel_that_came_or_went_is_named() {
        let (was, mut now) = (Counts::from([("gone".to_owned(), 1.0)]), Counts::new());
        now.insert("new".to_owned(), 2.0);
        assert_eq!(differences("x", &was, &now, TOLERANCE).len(), 2);
    }

    #[test]
    fn the_file_reads_back_as_it_was_written() {
        let committed = Committed { tolerance: TOLERANCE, architectures: counted("rustc 1", 20.25) };
        let text = toml::to_string(&committed).unwrap();
        assert_eq!(toml::from_str::<Committed>(&text).unwrap(), committed, "{text}");
    }

    #[test]
    fn a_file_of_callgrind_without_a_count_is_an_error() {
        assert_eq!(total("events: Ir\nfn=(1) x\n1 2\ntotals: 10001\n").unwrap(), 10001.0);
        assert!(total("totals: 0\n").is_err());
        assert!(total("").is_err());
    }
}
