//! `cargo xtask bench compare A B`: is B quicker than A, on this machine, and is that more than noise?
//!
//! ```text
//! A, B: commits  ─► two worktrees, built with the same flags ─► A B, B A, A B, ... each one run of the suite ─┐
//! A, B: files    ─► figures of `bench --json` or records, their samples ──────────────────────────────────────┴─► verdict.rs ─► table, JSON
//! ```
//! Runs alternate, and so does who comes first, so that a machine that grows warm or busy does it to both. One run gives one sample of each figure.

mod verdict;

use crate::release::{self, has_cxx};
use crate::workspace::{Workspace, create};
use clap::Parser;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use verdict::Compared;

/// Compare two commits, or two files of figures
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench compare", no_binary_name = true)]
struct Arguments {
    /// A commit, or a file that `bench --json` or `bench --record` wrote
    a: String,
    /// The other one
    b: String,
    /// The suite to run, for commits
    #[arg(long, default_value = "keys")]
    suite: String,
    /// Runs of each, for commits; four are the fewest that can say anything
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// The small size: seconds, and figures that mean little
    #[arg(long)]
    small: bool,
    /// Write what came out here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What we read of a figure.
#[derive(Clone, Debug, Deserialize)]
struct Figure {
    name: String,
    median: f64,
    unit: String,
    #[serde(default)]
    samples: Vec<f64>,
}

/// A list, or a record that holds one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Figures {
    List(Vec<Figure>),
    Record { figures: Vec<Figure> },
}

/// Name: unit and samples.
type Samples = BTreeMap<String, (String, Vec<f64>)>;

/// The command, after the word `compare`.
pub fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<(), String> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(), // help, or what is wrong with them
    };
    let (a, b) = match (Path::new(&arguments.a), Path::new(&arguments.b)) {
        (a, b) if a.is_file() && b.is_file() => (of_file(a)?, of_file(b)?),
        _ => of_commits(workspace, &arguments)?,
    };
    let compared = compare(&a, &b);
    if compared.is_empty() {
        return Err("the two have no figure in common".into());
    }
    println!("{}", verdict::table(&arguments.a, &arguments.b, &compared));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&compared).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn compare(a: &Samples, b: &Samples) -> Vec<Compared> {
    let both = a.iter().filter_map(|(name, (unit, a))| b.get(name).map(|(_, b)| (name, unit, a, b)));
    both.map(|(name, unit, a, b)| Compared::new(name, unit, a, b)).collect()
}

/// Every sample of every figure; the median where there are none.
fn of_file(path: &Path) -> Result<Samples, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let figures = parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let samples =
        |figure: Figure| (figure.name, (figure.unit, if figure.samples.is_empty() { vec![figure.median] } else { figure.samples }));
    Ok(figures.into_iter().map(samples).collect())
}

fn parse(text: &str) -> Result<Vec<Figure>, String> {
    match serde_json::from_str(text).map_err(|error| format!("no figures: {error}"))? {
        Figures::List(figures) | Figures::Record { figures } => Ok(figures),
    }
}

/// Both built, then run in turns.
fn of_commits(workspace: &Workspace, arguments: &Arguments) -> Result<(Samples, Samples), String> {
    let sides = [Side::build(workspace, &arguments.a)?, Side::build(workspace, &arguments.b)?];
    let mut samples = [Samples::new(), Samples::new()];
    for round in 0..arguments.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            eprintln!("run {} of {}: {}", round + 1, arguments.rounds, sides[side].name);
            for figure in sides[side].run(arguments)? {
                samples[side].entry(figure.name).or_insert_with(|| (figure.unit, Vec::new())).1.push(figure.median);
            }
        }
    }
    let [a, b] = samples;
    Ok((a, b))
}

/// One commit, built.
struct Side {
    name: String,
    directory: PathBuf,
}

impl Side {
    /// A worktree under the target directory, with a target directory of its own; both stay, so that the next time is quick.
    fn build(workspace: &Workspace, commit: &str) -> Result<Self, String> {
        let hash = git(&workspace.root, &["rev-parse", "--verify", "--short=12", &format!("{commit}^{{commit}}")])?;
        let directory = create(workspace.target.join("compare"))?.join(&hash);
        if !directory.join("Cargo.toml").is_file() {
            git(&workspace.root, &["worktree", "prune"])?;
            git(&workspace.root, &["worktree", "add", "--detach", "--force", &directory.display().to_string(), &hash])?;
        }
        let side = Side { name: format!("{commit} ({hash})"), directory };
        eprintln!("building {}", side.name);
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--locked", "--package=verdictd", "--package=verdictctl"]);
        release::openly(side.here(&mut cargo))?;
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--locked", "--package=verdict-perf"]);
        if has_cxx() {
            cargo.arg("--features=ada");
        }
        release::openly(side.here(&mut cargo))?;
        Ok(side)
    }

    fn here<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.current_dir(&self.directory).env("CARGO_TARGET_DIR", self.directory.join("target"))
    }

    /// The suite once.
    fn run(&self, arguments: &Arguments) -> Result<Vec<Figure>, String> {
        let json = self.directory.join("target/compared.json");
        let mut bench = Command::new(self.directory.join("target/release/verdict-perf"));
        bench.args(["bench", &arguments.suite, "--runs", "1", "--json"]).arg(&json).stdout(std::process::Stdio::null());
        if arguments.small {
            bench.arg("--small");
        }
        release::openly(self.here(&mut bench))?;
        parse(&std::fs::read_to_string(&json).map_err(|error| format!("{}: {error}", json.display()))?)
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String, String> {
    Ok(crate::kernels::output(Command::new("git").arg("-C").arg(root).args(arguments))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_records_are_read_alike() {
        let list = r#"[{"name": "a", "median": 1.5, "unit": "ns", "samples": [1.0, 2.0]}]"#;
        for text in [list.to_owned(), format!(r#"{{"suite": "s", "figures": {list}}}"#)] {
            let figures = parse(&text).unwrap();
            assert_eq!((figures[0].name.as_str(), figures[0].samples.len()), ("a", 2));
        }
        assert!(parse("{}").is_err());
    }

    #[test]
    fn what_only_one_side_has_is_left_out() {
        let side = |names: &[&str]| names.iter().map(|name| (name.to_string(), ("ns".to_owned(), vec![1.0]))).collect::<Samples>();
        let compared = compare(&side(&["a", "b"]), &side(&["b", "c"]));
        assert_eq!(compared.iter().map(|compared| compared.name.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}
