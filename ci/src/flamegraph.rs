//! `cargo xtask flamegraph`: builds release programs with symbols and hands over to `verdict-perf flamegraph`, which samples and draws.

use crate::release::{self, Profile};
use crate::workspace::{Workspace, create};
use std::process::Command;

/// Where the time goes: an SVG of the daemon under load, or of a kernel
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask flamegraph urls\n  cargo xtask flamegraph hashed --seconds 20\n  cargo xtask flamegraph probe"
)]
pub struct Arguments {
    /// The daemon asked for `urls`, `hashed` or `mixed` keys; or a kernel: probe, keys, hash, suffixes, lookup_hashed, lpm4, ...
    what: String,
    /// For example: --seconds 20, --small, --svg FILE
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<std::ffi::OsString>,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    release::build_openly(workspace, Profile::Release)?;
    let (mut build, program) = release::perf(workspace, Profile::Release);
    release::openly(&mut build)?;
    release::openly(workspace.cargo().args(["build", "--release", "--package=verdict-kernels"]))?;
    let svg = create(workspace.target.join("flamegraph"))?.join(format!("{}.svg", arguments.what));
    let mut draw = Command::new(program);
    draw.args(["flamegraph", &arguments.what]);
    if arguments.more.iter().all(|argument| argument != "--svg") {
        draw.arg("--svg").arg(svg);
    }
    release::openly(draw.args(&arguments.more))
}
