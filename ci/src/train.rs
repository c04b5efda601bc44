//! `cargo xtask train`: the trainer of models/train in a virtual environment of its own.
//!
//! ```text
//!  python3 -m venv target/train/venv ─► pip install (pinned) ─► cargo build the canonicaliser ─► nice python -m train
//! ```
//! Writes where `--out` says, by default into models/: what is committed there comes from this command.

use crate::release;
use crate::workspace::{Workspace, create};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Train the models again from corpora on this machine
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Directory of the corpora, named as the models' manifests name them
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where artefacts, golden vectors and cards go
    #[arg(long, value_name = "DIR", default_value = "models")]
    out: PathBuf,
    /// Some models only
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = ["url", "dga", "pe"])]
    only: Vec<String>,
    /// Judge on validation rows only; the test part stays unread
    #[arg(long)]
    blind: bool,
    /// Judge and write again what an earlier run has left in OUT/float
    #[arg(long)]
    reuse: bool,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()));
    let (data, out) = (absolute(&arguments.data)?, absolute(&arguments.out)?);
    if !data.is_dir() {
        return Err(format!("{}: no such directory of corpora", data.display()));
    }
    let python = environment(workspace)?;
    release::openly(workspace.cargo().args(["build", "--package", "verdict-keys", "--example", "canonical"]))?;
    let mut trainer = Command::new("nice");
    trainer.args(["-n", "19"]).arg(python).args(["-m", "train", "--data"]).arg(data).arg("--out").arg(out);
    trainer.arg("--canonical").arg(workspace.target.join("debug/examples/canonical")).current_dir(workspace.root.join("models"));
    if !arguments.only.is_empty() {
        trainer.arg("--only").args(&arguments.only);
    }
    trainer.args(arguments.blind.then_some("--blind")).args(arguments.reuse.then_some("--reuse"));
    release::openly(&mut trainer)
}

/// The environment's interpreter; packages are installed when it is new or the pins have changed.
fn environment(workspace: &Workspace) -> Result<PathBuf, String> {
    let (directory, pins) = (create(workspace.target.join("train"))?, workspace.root.join("models/train/requirements.txt"));
    let (python, installed) = (directory.join("venv/bin/python"), directory.join("installed.txt"));
    let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    if python.exists() && installed.exists() && read(&installed)? == read(&pins)? {
        return Ok(python);
    }
    release::openly(Command::new("python3").args(["-m", "venv"]).arg(directory.join("venv")))?;
    release::openly(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&pins))?;
    std::fs::copy(&pins, &installed).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(python)
}
