//! `verdictctl models`: whether a model may serve, which ones a node runs, and the signature that lets it.
//!
//! ```text
//! check FILE ─► one model, on this machine          publish DIR ─► check of each ─► models.toml.sig          list DIR ─► what a daemon would run
//! ```

mod check;
mod list;
mod publish;

use crate::exit::{Failure, Outcome};
use std::io::Write;

/// Small quantized models: check one before it serves, sign a registry of them, and see what it says
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    Check(check::Arguments),
    Publish(publish::Arguments),
    List(list::Arguments),
}

/// Does what was asked.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    match &arguments.command {
        Subcommand::Check(arguments) => check::run(arguments, out),
        Subcommand::Publish(arguments) => publish::run(arguments, out),
        Subcommand::List(arguments) => list::run(arguments, out),
    }
}

/// The exit status that a directory of models amounts to, and the words for it.
fn node_failure(error: &verdict_models::NodeError) -> Failure {
    let told = crate::text::visible(error.to_string().as_bytes());
    match error.fault {
        verdict_models::NodeFault::Unreadable => Failure::Input(told),
        _ => Failure::Data(told),
    }
}

/// Unix seconds of now.
fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
