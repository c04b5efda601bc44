//! `cargo xtask arm-model`: cycles of every kernel on four ARM cores as llvm-mca models them, beside the instructions that were counted.
//!
//! ```text
//! kernel          instructions    n1     n2     v1     v2      per key, block, url, ...
//!                 counted         modelled
//! ```
//! No ARM hardware was at hand when this was written: nothing here was measured, and each figure says so. The limit that a lookup is
//! held against is that of memory: 7.1 ns a random line on a Graviton 3 with huge pages, 20 cycles at 2.8 GHz. Below it the work hides behind memory.

use crate::child::Log;
use crate::kernels::code::Code;
use crate::kernels::model::{CORES, Model};
use crate::kernels::trace::{self, Run};
use crate::kernels::{self, gate, output};
use crate::workspace::{Workspace, create};
use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Cycles in which a Graviton 3 core gets one random line from memory, at best.
const LINE_CYCLES: f64 = 20.0;
/// Kernels that touch one line an operation.
const ONE_LINE: [&str; 2] = ["probe", "lookup_hashed"];
const BIAS: &str = "Nothing here was measured. Instructions are counted under emulation (qemu-user, neoverse-n1) over one round of made-up inputs with warm \
                    buffers. Cycles are modelled by llvm-mca over exactly the instructions that ran, branches as taken: no caches, no TLB, no mispredicted branch, no \
                    front end, no order of memory. Real time is longer by what those cost; where a kernel waits for memory it is memory's time.";

/// Cycles of every kernel on four ARM cores, modelled
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write the figures here, an array of objects
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the record arm.json into this directory
    #[arg(long, value_name = "DIRECTORY")]
    record: Option<PathBuf>,
}

/// A figure, with the fields that verdict-perf's have.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    name: String,
    median: f64,
    min: f64,
    max: f64,
    runs: usize,
    unit: String,
    how: &'static str,
    peer: String,
}

impl Figure {
    fn new(name: String, value: f64, unit: String, how: &'static str, peer: &str) -> Self {
        let value = gate::rounded(value);
        Figure { name, median: value, min: value, max: value, runs: 1, unit, how, peer: peer.into() }
    }
}

#[derive(Debug, Serialize)]
struct Record<'a> {
    suite: &'static str,
    at_s: u64,
    command: &'static str,
    commit: String,
    toolchain: String,
    model: &'a str,
    bias: &'static str,
    figures: &'a [Figure],
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    let model = Model::find()?;
    let work = create(workspace.target.join("xtask/arm-model"))?;
    let log = Log::create(workspace.target.join("xtask/arm-model.log"))?;
    let (native, arm) = (kernels::native(workspace, &log)?, kernels::arm(workspace, &log)?);
    let code = Code::of("aarch64-linux-gnu-objdump", &arm)?;
    let runs = trace::run(&arm, &code, "neon", &kernels::list(&native)?, &kernels::tables(workspace, &native)?)?;
    let mut figures = Vec::new();
    println!(
        "| kernel | an operation is a | instructions, counted (emulated) | {} |",
        CORES.map(|core| format!("{core}, modelled")).join(" | ")
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    for run in &runs {
        let mut cycles = Vec::new();
        for core in CORES {
            cycles.push(model.cycles(core, run, &work)?);
        }
        let shown: Vec<String> = cycles.iter().map(|cycles| format!("{cycles:.1}")).collect();
        println!("| {} | {} | {:.1} | {} |", run.kernel.name, run.kernel.of, run.per_operation(), shown.join(" | "));
        figures.extend(of(run, &cycles, &model.version));
    }
    println!("\ncycles an operation by {} over the instructions that ran; no caches, no mispredicted branches", model.version);
    let json = |value: Result<String, serde_json::Error>| value.map_err(|error| error.to_string());
    if let Some(path) = &arguments.json {
        let text = json(serde_json::to_string_pretty(&figures))?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(directory) = &arguments.record {
        let path = directory.join("arm.json");
        let record = Record {
            suite: "arm",
            at_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            command: "cargo xtask arm-model --record perf/records",
            commit: output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).current_dir(&workspace.root))?.trim().to_owned(),
            toolchain: gate::toolchain(crate::arm::toolchain::RUSTC)?,
            model: &model.version,
            bias: BIAS,
            figures: &figures,
        };
        let text = json(serde_json::to_string_pretty(&record))?;
        std::fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Instructions, cycles on each core, and for a probe its share of the time that memory takes.
fn of(run: &Run<'_>, cycles: &[f64], version: &str) -> Vec<Figure> {
    let (name, of) = (&run.kernel.name, &run.kernel.of);
    let counted = Figure::new(
        format!("arm_{name}_instructions"),
        run.per_operation(),
        format!("instructions/{of}"),
        "counted",
        "qemu-aarch64, counted under emulation",
    );
    let mut figures = vec![counted];
    for (core, cycles) in CORES.iter().zip(cycles) {
        let short = core.rsplit('-').next().unwrap_or(core);
        figures.push(Figure::new(
            format!("arm_{name}_{short}_cycles"),
            *cycles,
            format!("cycles/{of}"),
            "modelled",
            &format!("{version}, {core}"),
        ));
    }
    if ONE_LINE.contains(&name.as_str()) {
        let peer = "20 cycles, a random line each 7.1 ns at 2.8 GHz";
        figures.push(Figure::new(format!("arm_{name}_n1_vs_line_limit"), cycles[0] / LINE_CYCLES, "ratio".into(), "modelled", peer));
    }
    figures
}
