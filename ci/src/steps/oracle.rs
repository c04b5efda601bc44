//! The native evaluator against ONNX Runtime, which someone else wrote: equal logits, to the bit, of made-up models and of those that are shipped.
//!
//! The library comes inside PyPI's wheel, into an environment of its own below `target/`. A model's gate is run beside, as an operator would.

use crate::child::Log;
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const WHEEL: &str = "onnxruntime==1.31.1";
const LIMIT: Duration = Duration::from_secs(900);

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let directory = create(workspace.target.join("xtask/onnxruntime"))?;
    if library(&directory).is_none() {
        log.run(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")), LIMIT)?;
        log.run(Command::new(directory.join("venv/bin/pip")).args(["install", "--quiet", "--no-deps", WHEEL]), LIMIT)?;
    }
    let library = library(&directory).ok_or_else(|| format!("{}: {WHEEL} has no libonnxruntime.so", directory.display()))?;
    let mut test = workspace.cargo();
    test.args(["test", "--locked", "--package=verdict-models", "--test=models"]).env("ORT_DYLIB_PATH", &library);
    log.run(&mut test, LIMIT)?;
    for model in ["url", "dga", "pe"] {
        let mut check = workspace.cargo();
        let file = workspace.root.join(format!("models/artefacts/{model}.onnx"));
        check
            .args(["run", "--quiet", "--locked", "--package=verdictctl", "--", "models", "check"])
            .arg(file)
            .arg("--runtime")
            .arg(&library);
        log.run(&mut check, LIMIT)?;
    }
    Ok(Done::Passed(WHEEL.into()))
}

/// `venv/lib/python3.N/site-packages/onnxruntime/capi/libonnxruntime.so.X`.
fn library(directory: &Path) -> Option<PathBuf> {
    let within = |path: PathBuf, name: &str| {
        let mut found = std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
        found.find(|path| path.file_name().is_some_and(|found| found.to_string_lossy().starts_with(name)))
    };
    let python = within(directory.join("venv/lib"), "python3")?;
    within(python.join("site-packages/onnxruntime/capi"), "libonnxruntime.so")
}
