//! Tidy: what no compiler looks at. Each complaint says where, what, and what to do instead.
//!
//! Two kinds of rule. *Bans* hold everywhere, always: leftovers, file names that say nothing, files without a header, `.unwrap()` outside
//! tests, paths of somebody's machine. *Ratchets* (`ci/ratchets.toml`) are numbers that may only fall, such as functions longer than a screen,
//! and ties of a source file to the document that describes it: when the source changes, someone has to read the document again.
//! `cargo xtask tidy --bless` lowers the numbers and renews the ties; it never raises a number.

mod ratchets;
mod rules;

use crate::child::Log;
use crate::steps::{Complaints, Done, suite};
use crate::workspace::Workspace;
use std::fs;
use std::path::{Path, PathBuf};

/// Check names, headers, leftovers and ratchets
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Lower the ratchets to what is true now, and renew the ties of sources to documents
    #[arg(long)]
    bless: bool,
}

/// A text file of the tree.
struct Source {
    /// Relative to the root.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Numbered lines of the program itself: no comments, nothing from `mod tests` on, nothing under tests/, benches/, fuzz/.
    fn program(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_program =
            self.is_rust() && self.path.contains("/src/") && !self.path.contains("/fuzz/") && !self.path.ends_with("/tests.rs");
        let lines = self.text.lines().take_while(move |line| is_program && line.trim() != "#[cfg(test)]");
        lines.enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let sources = read(&workspace.root)?;
    let each = |rule: fn(&Source) -> Complaints| sources.iter().flat_map(rule).collect::<Vec<_>>();
    suite(
        log,
        &[
            ("file_names_say_what_is_inside", &|| Ok(each(rules::file_name))),
            ("every_file_begins_with_what_it_is", &|| Ok(each(rules::header))),
            ("nothing_is_left_for_later", &|| Ok(each(rules::leftovers))),
            ("no_unwrap_outside_tests", &|| Ok(each(rules::unwraps))),
            ("no_path_of_a_machine", &|| Ok(each(rules::machine_paths))),
            ("ratchets_only_fall", &|| ratchets::check(&workspace.root, &sources)),
        ],
    )
}

/// `cargo xtask tidy`.
pub fn command(workspace: &Workspace, arguments: &Arguments) -> Result<(), String> {
    if arguments.bless {
        ratchets::bless(&workspace.root, &read(&workspace.root)?)?;
    }
    let log = Log::create(crate::workspace::create(workspace.target.join("xtask"))?.join("tidy.log"))?;
    let result = run(workspace, &log);
    print!("{}", log.text());
    result.map(|_| ())
}

/// Every .rs, .md and .toml file, in the order of names.
fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    walk(root, &mut paths)?;
    paths.sort();
    let mut sources = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        sources.push(Source { path: path.strip_prefix(root).unwrap_or(&path).display().to_string(), text });
    }
    Ok(sources)
}

/// Hidden directories and what builds leave behind are passed over.
fn walk(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name().display().to_string());
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !name.starts_with('.') && !["target", "corpus", "artifacts"].contains(&name.as_str()) {
            walk(&path, paths)?;
        } else if kind.is_file() && [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end)) {
            paths.push(path);
        }
    }
    Ok(())
}

/// For the docs step: every Markdown file, path and text.
pub fn documents(root: &Path) -> Result<Vec<(String, String)>, String> {
    Ok(read(root)?.into_iter().filter(|source| source.path.ends_with(".md")).map(|source| (source.path, source.text)).collect())
}
