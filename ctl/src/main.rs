//! `verdictctl`, the operator's command: ask a daemon, compile feeds into a snapshot, look into a snapshot.
//!
//! Data goes to standard output, everything else to standard error; `--json` is stable. Each subcommand is a file; `exit.rs` is the list of exit
//! statuses; `text.rs` makes foreign bytes fit to print. No subcommand writes anything but the files that it was told to write.
#![forbid(unsafe_code)]

mod answer;
mod ask;
mod block;
mod columns;
mod compile;
mod completions;
mod control;
mod daemon;
mod date;
mod describe;
mod diff;
mod doctor;
mod exit;
mod explain;
mod feeds;
mod fetch;
mod hello;
mod inspect;
mod keygen;
mod leave;
mod lookup;
mod man;
mod models;
mod orders;
mod overlay;
mod ping;
mod progress;
mod publish;
mod quarantine;
mod question;
mod rollback;
mod snapshot;
mod store;
mod switch;
mod text;
mod tls;
mod top;
mod verify;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use exit::{Failure, Outcome};
use std::io::Write;
use std::process::ExitCode;
use verdict_simd::Backend;

/// Ask a verdict daemon, compile threat intelligence into a snapshot, look into a snapshot.
#[derive(Debug, Parser)]
#[command(name = "verdictctl", after_help = exit::HELP, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lookup(lookup::Arguments),
    Ask(ask::Arguments),
    Describe(describe::Arguments),
    Hello(hello::Arguments),
    Ping(ping::Arguments),
    Fetch(fetch::Arguments),
    Compile(compile::Arguments),
    Inspect(inspect::Arguments),
    Verify(verify::Arguments),
    Keygen(keygen::Arguments),
    Publish(publish::Arguments),
    Rollback(rollback::Arguments),
    Quarantine(quarantine::Arguments),
    Explain(explain::Arguments),
    Diff(diff::Arguments),
    Feeds(feeds::Arguments),
    Doctor(doctor::Arguments),
    Block(block::BlockArguments),
    Unblock(block::UnblockArguments),
    Overlay(overlay::Arguments),
    Reload(orders::ReloadArguments),
    Drain(orders::DrainArguments),
    Switch(switch::Arguments),
    Freeze(switch::FreezeArguments),
    Thaw(switch::ThawArguments),
    Pin(switch::PinArguments),
    Revert(switch::RevertArguments),
    Unpin(switch::UnpinArguments),
    Leave(leave::LeaveArguments),
    Join(leave::JoinArguments),
    Models(models::Arguments),
    Top(top::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Command {
    fn run(&self, out: &mut dyn Write) -> Result<Outcome, Failure> {
        match self {
            Self::Lookup(arguments) => lookup::run(arguments, out),
            Self::Ask(arguments) => ask::run(arguments, out),
            Self::Describe(arguments) => describe::run(arguments, out),
            Self::Hello(arguments) => hello::run(arguments, out),
            Self::Ping(arguments) => ping::run(arguments, out),
            Self::Fetch(arguments) => fetch::run(arguments, out),
            Self::Compile(arguments) => compile::run(arguments, out),
            Self::Inspect(arguments) => inspect::run(arguments, out),
            Self::Verify(arguments) => verify::run(arguments, out),
            Self::Keygen(arguments) => keygen::run(arguments, out),
            Self::Publish(arguments) => publish::run(arguments, out),
            Self::Rollback(arguments) => rollback::run(arguments, out),
            Self::Quarantine(arguments) => quarantine::run(arguments, out),
            Self::Explain(arguments) => explain::run(arguments, out),
            Self::Diff(arguments) => diff::run(arguments, out),
            Self::Feeds(arguments) => feeds::run(arguments, out),
            Self::Doctor(arguments) => doctor::run(arguments, out),
            Self::Block(arguments) => block::block(arguments, out),
            Self::Unblock(arguments) => block::unblock(arguments, out),
            Self::Overlay(arguments) => overlay::run(arguments, out),
            Self::Reload(arguments) => orders::reload(arguments, out),
            Self::Drain(arguments) => orders::drain(arguments, out),
            Self::Switch(arguments) => switch::run(arguments, out),
            Self::Freeze(arguments) => switch::freeze(arguments, out),
            Self::Thaw(arguments) => switch::thaw(arguments, out),
            Self::Pin(arguments) => switch::pin(arguments, out),
            Self::Revert(arguments) => switch::revert(arguments, out),
            Self::Unpin(arguments) => switch::unpin(arguments, out),
            Self::Leave(arguments) => leave::leave(arguments, out),
            Self::Join(arguments) => leave::join(arguments, out),
            Self::Models(arguments) => models::run(arguments, out),
            Self::Top(arguments) => top::run(arguments, out),
            Self::Completions(arguments) => completions::run(arguments, out),
            Self::Man(arguments) => man::run(arguments, out),
        }
    }
}

/// `0.1.0 (avx2)`: the version, and which kernels hash and probe here.
fn version() -> String {
    let backend = verdict_simd::detect().map_or("no such backend", |backend| backend.name());
    format!("{} ({backend})", env!("CARGO_PKG_VERSION"))
}

fn main() -> ExitCode {
    let matches = Arguments::command().version(version()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let mut out = anstream::stdout().lock();
    let result = arguments.command.run(&mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(outcome) => outcome.code(),
        Err(Failure::Closed) => Failure::Closed.code(),
        Err(failure) => {
            // Nobody is left to tell if standard error is gone too.
            let _ = writeln!(std::io::stderr(), "verdictctl: {failure}");
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const DOCUMENTS: [&str; 9] = [
        "README.md",
        "ARCHITECTURE.md",
        "docs/manual.md",
        "docs/feeds.md",
        "docs/lookup.md",
        "docs/explain-store.md",
        "docs/verdicts.md",
        "docs/gates.md",
        "docs/security.md",
    ];

    fn document(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The words of a simple command of a shell, up to a comment, pipe, redirection or `&&`; single quotes are known, nothing else.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.last_mut().expect("never empty").push_str(part);
                continue;
            }
            for (index, word) in part.split(' ').enumerate() {
                if index > 0 {
                    words.push(String::new());
                }
                words.last_mut().expect("never empty").push_str(word);
            }
        }
        let ends = |word: &String| ["#", "|", "<", ">", "&", "&&"].contains(&word.as_str());
        words.into_iter().take_while(|word| !ends(word)).filter(|word| !word.is_empty()).collect()
    }

    /// Lines that call this command: in code blocks of the documents, and in our own help.
    fn examples() -> Vec<(String, String)> {
        let mut texts: Vec<(String, String)> = DOCUMENTS.iter().map(|name| ((*name).to_owned(), document(name))).collect();
        for command in Arguments::command().get_subcommands() {
            texts.extend(command.get_after_help().map(|help| (format!("{} --help", command.get_name()), format!("```sh\n{help}\n```"))));
        }
        let mut examples = Vec::new();
        for (name, text) in texts {
            for block in text.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh\n")) {
                let lines = block.lines().map(|line| line.trim().trim_start_matches("Example: ").trim_start_matches("target/release/"));
                examples.extend(lines.filter(|line| line.starts_with("verdictctl ")).map(|line| (name.clone(), line.to_owned())));
            }
        }
        examples
    }

    #[test]
    fn every_example_of_the_documents_and_the_help_is_a_command() {
        let examples = examples();
        assert!(examples.len() > 15, "only {} examples: does the search still work?", examples.len());
        for (name, example) in examples {
            if let Err(error) = Arguments::command().try_get_matches_from(words(&example)) {
                panic!("{name}: `{example}`: {error}");
            }
        }
    }

    #[test]
    fn the_manual_of_feeds_names_every_format() {
        let text = document("docs/feeds.md");
        for format in verdict_intel::Format::ALL {
            assert!(text.contains(&format!("`{format}`")), "docs/feeds.md: {format} is missing");
        }
    }

    #[test]
    fn the_manual_lists_every_exit_status_of_the_help() {
        let text = document("docs/manual.md");
        let statuses = exit::HELP.lines().filter_map(|line| line.trim_start().split_once("  ")).map(|(status, _)| status);
        for status in statuses.filter(|status| status.parse::<u8>().is_ok()) {
            assert!(text.contains(&format!("\n| {status} |")), "docs/manual.md: exit status {status} is missing");
        }
    }

    /// The daemon is no dependency of this command, its sources are: they say what there is to configure.
    #[test]
    fn the_manual_names_every_limit() {
        let text = document("docs/manual.md");
        let limits = document("daemon/src/limits.rs");
        let limits: Vec<&str> =
            limits.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": u")).map(|(name, _)| name).collect();
        assert!(limits.len() >= 9, "{limits:?}: does the search still work?");
        for name in limits {
            assert!(text.contains(&format!("`limits.{name}`")), "docs/manual.md: limits.{name} is missing");
        }
    }
}
