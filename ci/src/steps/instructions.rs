//! Instructions an operation of every kernel, on x86-64 and ARM, held against what was committed: the step, and `cargo xtask instructions`.

use crate::arm::toolchain;
use crate::child::Log;
use crate::kernels::code::Code;
use crate::kernels::gate::{self, Counted};
use crate::kernels::{self, trace};
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::collections::BTreeMap;

/// Valgrind has no AVX-512.
const X86_BACKENDS: [&str; 2] = ["avx2", "portable"];
const ARM_BACKEND: &str = "neon";

/// Count the kernels' instructions and hold them against perf/instructions.toml
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Write the counts instead of comparing them
    #[arg(long)]
    bless: bool,
}

/// The command.
pub fn command(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    let log = Log::create(create(workspace.target.join("xtask"))?.join("instructions.log"))?;
    let now = count(workspace, &log)?;
    let committed = gate::load(workspace)?;
    println!("{:<16} {:<10} {:>12} {:>12}", "kernel", "backend", "was", "is");
    for (architecture, counted) in &now {
        for (backend, counts) in &counted.backends {
            for (kernel, count) in counts {
                let was = committed.count(architecture, backend, kernel).map_or("-".to_owned(), |was| was.to_string());
                println!("{kernel:<16} {backend:<10} {was:>12} {count:>12}");
            }
        }
    }
    if arguments.bless {
        return gate::bless(workspace, now);
    }
    let judgement = gate::judge(&committed, &now);
    judgement.notes.iter().chain(&judgement.complaints).for_each(|line| println!("{line}"));
    if judgement.complaints.is_empty() { Ok(()) } else { Err(format!("{} counts differ from {}", judgement.complaints.len(), gate::FILE)) }
}

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let now = count(workspace, log)?;
    let judgement = gate::judge(&gate::load(workspace)?, &now);
    for line in judgement.notes.iter().chain(&judgement.complaints) {
        log.line(&format!("  {line}"))?;
    }
    let failed = judgement.complaints.len();
    log.suite_ended(judgement.compared.saturating_sub(failed), failed)?;
    if failed > 0 {
        return Err(format!("{failed} counts differ from {}: {}", gate::FILE, judgement.complaints[0]));
    }
    if judgement.compared == 0 {
        return Ok(Done::Skipped(judgement.notes.join("; ")));
    }
    let notes: String = judgement.notes.iter().map(|note| format!("; {note}")).collect();
    Ok(Done::Passed(format!("{} counts as committed{notes}", judgement.compared)))
}

fn count(workspace: &Workspace, log: &Log) -> Result<BTreeMap<String, Counted>, String> {
    let program = kernels::native(workspace, log)?;
    let arm = kernels::arm(workspace, log)?;
    let kernels = kernels::list(&program)?;
    let directory = kernels::tables(workspace, &program)?;
    let mut x86 = BTreeMap::new();
    for backend in X86_BACKENDS {
        x86.insert(backend.to_owned(), gate::callgrind(&program, backend, &kernels, &directory)?);
    }
    let code = Code::of("aarch64-linux-gnu-objdump", &arm)?;
    let runs = trace::run(&arm, &code, ARM_BACKEND, &kernels, &directory)?;
    let neon = runs.iter().map(|run| (run.kernel.name.clone(), gate::rounded(run.per_operation()))).collect();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    Ok(BTreeMap::from([
        ("x86-64".to_owned(), Counted { toolchain: gate::toolchain(&rustc)?, backends: x86 }),
        (
            "aarch64".to_owned(),
            Counted { toolchain: gate::toolchain(toolchain::RUSTC)?, backends: BTreeMap::from([(ARM_BACKEND.to_owned(), neon)]) },
        ),
    ]))
}
