//! `cargo xtask test`: everything there is to check, as named steps, on both architectures.
//!
//! ```text
//!  [8/18] clippy-aarch64    the same for ARM, of what has code of one architecture
//!         ok, 31 s
//! ```
//! A failed step does not keep the others from running. Each writes its log to `target/xtask/`; the end is a table and one plain line
//! with the number of individual tests, summed over all runners (`counts.rs`). Where `VERDICT_MINUTES` is set, as in CI, whose runs are ended after half
//! an hour, no step begins once so many have passed: on a slow machine the last ones are skipped, and say so.
//!
//! Adding a step: a function `fn(&Workspace, &Log) -> Result<Done, String>` under `steps/`, and a line in `STEPS`.

use crate::ahead;
use crate::child::{self, Log};
use crate::counts::Counts;
use crate::steps::{self, Done};
use crate::workspace::{Workspace, create};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use xtask::server::tail;

/// Check everything, on both architectures
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these steps
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    only: Vec<String>,
    /// Print the steps and end
    #[arg(long)]
    list: bool,
}

/// One step.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace, &Log) -> Result<Done, String>,
}

/// Steps that run only when they are named: what they find beyond the others is not worth their minutes in every run.
const ON_REQUEST: &[&str] = &["container", "package", "fuzz", "mutations", "taxii", "api", "oracle", "book"];

/// The first step whose programs wait more than they compute: what later steps need is built beside it.
const AHEAD_OF: &str = "tests-x86-64";

/// In this order: what fails fast comes first, what needs a build comes after it.
#[rustfmt::skip]
const STEPS: &[Step] = &[
    Step { name: "prerequisites",    what: "Debian packages for ARM, linting and peers; installed where possible",           run: steps::prerequisites::run },
    Step { name: "fmt",              what: "rustfmt agrees",                                                                 run: steps::lint::fmt },
    Step { name: "architecture",     what: "the arrows of ARCHITECTURE.md, where unsafe code may stand, a reason per dependency", run: steps::architecture::run },
    Step { name: "tidy",             what: "names, headers, leftovers, and ratchets",                                        run: steps::tidy::run },
    Step { name: "docs",             what: "the two commands are in the README, links lead somewhere",                       run: steps::docs::run },
    Step { name: "deny",             what: "licences and banned crates, as in ci/deny.toml",                                 run: steps::deny::run },
    Step { name: "units",            what: "systemd-analyze: the units are sound, and exposed to 1.5 of 10 at most",         run: steps::units::run },
    Step { name: "clippy-x86-64",    what: "every target linted, warnings are errors",                                       run: steps::lint::clippy_native },
    Step { name: "clippy-aarch64",   what: "the same for ARM, of what has code of one architecture",                                run: steps::lint::clippy_arm },
    Step { name: "build-x86-64",     what: "all tests and programs of the workspace, for what follows",                      run: steps::suites::build },
    Step { name: "tests-x86-64",     what: "cargo test --workspace; every expected backend must run",                        run: steps::suites::native },
    Step { name: "tests-portable",   what: "simd, keys and tables with VERDICT_BACKEND=portable",                            run: steps::suites::portable },
    Step { name: "tests-aarch64",    what: "simd, keys, tables, models and wire on NEON, under qemu-user",            run: steps::suites::arm },
    Step { name: "asm",              what: "machine code of each kernel on both architectures, as in simd/asm.toml",          run: steps::asm::run },
    Step { name: "instructions",     what: "instructions an operation of each kernel, as in perf/instructions.toml",         run: steps::instructions::run },
    Step { name: "demo",             what: "cargo xtask demo's flow on this machine, twice",                         run: steps::demo::run },
    Step { name: "alerts",           what: "rules, their tests and the dashboard, by promtool and against a daemon that runs",  run: steps::alerts::run },
    Step { name: "browser",          what: "the live page in headless Chromium, at work, asked, and on a phone's width",      run: steps::browser::run },
    Step { name: "container",        what: "manifests by Kubernetes' schemas, the build file linted, the daemon in the image's tree", run: steps::container::run },
    Step { name: "build-aarch64",    what: "static build for ARM, neoverse-n1",                                     run: steps::arm_system::build },
    Step { name: "demo-aarch64",     what: "the same flow on a Debian ARM kernel, emulated Neoverse N1",                     run: steps::arm_system::run },
    Step { name: "package",          what: "Debian packages of both architectures, by cargo-deb; lintian is content",        run: steps::package::run },
    Step { name: "systemd-aarch64",  what: "the package installed, started, reloaded, killed, stopped: systemd on Debian ARM", run: steps::systemd_system::run },
    Step { name: "differential",     what: "a million mutated URLs against ada-url and url: no unexplained difference",      run: steps::perf::differential },
    Step { name: "replay",           what: "a million questions to the daemon, against a naive oracle",                      run: steps::perf::replay },
    Step { name: "addresses",        what: "ten million addresses over full prefix tables, against another implementation",  run: steps::perf::addresses },
    Step { name: "soak",             what: "swaps under load, mutated frames, peers that stall or never read",               run: steps::perf::soak },
    Step { name: "bench",            what: "every bench at its small size; the JSON has the agreed shape",                   run: steps::perf::bench },
    Step { name: "taxii",            what: "the TAXII client against the reference server, from PyPI",                        run: steps::taxii::run },
    Step { name: "api",              what: "the JSON API against its description, by schemathesis, from PyPI",                 run: steps::api::run },
    Step { name: "mutations",        what: "ten thousand mutated models, registries and directories of both",                 run: steps::suites::mutations },
    Step { name: "oracle",           what: "models natively and by ONNX Runtime, from PyPI: equal to the bit",               run: steps::oracle::run },
    Step { name: "book",             what: "docs/ as a book, by mdBook: no warning, every link leads somewhere",              run: steps::book::run },
    Step { name: "fuzz",             what: "each fuzz target for a few seconds",                                             run: steps::fuzz::run },
];

/// How a step went.
struct Report {
    name: &'static str,
    result: Result<Done, String>,
    tests: Counts,
    took: Duration,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode, String> {
    if arguments.list {
        for step in STEPS {
            println!("{:16}  {}", step.name, step.what);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(&arguments.only)?;
    child::end_children_with_us()?;
    let logs = create(workspace.target.join("xtask"))?;
    let mut reports = Vec::new();
    let (began, minutes) = (Instant::now(), minutes()?);
    for (index, step) in chosen.iter().enumerate() {
        println!("[{}/{}] {:16}  {}", index + 1, chosen.len(), step.name, step.what);
        let log = Log::create(logs.join(format!("{}.log", step.name)))?;
        if step.name == AHEAD_OF && arguments.only.is_empty() {
            ahead::begin(workspace, &logs)?;
        }
        let asked = arguments.only.iter().any(|name| name == step.name);
        let over = minutes.filter(|minutes| !asked && began.elapsed() >= Duration::from_secs(60 * minutes));
        let report = run_step(workspace, step, &log, asked, over);
        print_end(workspace, &report, &log);
        reports.push(report);
    }
    Ok(summary(&reports))
}

fn choose(only: &[String]) -> Result<Vec<&'static Step>, String> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != name.as_str())) {
        return Err(format!("there is no step `{unknown}`; `cargo xtask test --list` has them"));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

/// After how many a run begins no further step.
fn minutes() -> Result<Option<u64>, String> {
    let Some(text) = std::env::var_os("VERDICT_MINUTES") else { return Ok(None) };
    let minutes = text.to_str().and_then(|text| text.parse().ok());
    minutes.map(Some).ok_or_else(|| format!("VERDICT_MINUTES is a number of minutes, not `{}`", text.display()))
}

/// `over`: the minutes that have passed, where no further step begins.
fn run_step(workspace: &Workspace, step: &Step, log: &Log, asked: bool, over: Option<u64>) -> Report {
    let begun = Instant::now();
    let result = match over {
        Some(minutes) => Ok(Done::Skipped(format!("{minutes} minutes have passed: cargo xtask test --only {}", step.name))),
        None if asked || !ON_REQUEST.contains(&step.name) => (step.run)(workspace, log),
        None => Ok(Done::Skipped(format!("on request: cargo xtask test --only {}", step.name))),
    };
    let tests = count(&result, Counts::read(&log.text()));
    Report { name: step.name, result, tests, took: begun.elapsed() }
}

/// A step that ran no runner is a test itself; one that failed has at least one failure.
fn count(result: &Result<Done, String>, read: Counts) -> Counts {
    let mut tests = read;
    match result {
        Ok(Done::Passed(_)) if read.total() == 0 => tests.passed = 1,
        Ok(Done::Skipped(_)) => tests.skipped = tests.skipped.max(1),
        Err(_) => tests.failed = tests.failed.max(1),
        Ok(Done::Passed(_)) => {}
    }
    tests
}

fn print_end(workspace: &Workspace, report: &Report, log: &Log) {
    let seconds = report.took.as_secs_f64();
    match &report.result {
        Ok(Done::Passed(note)) if note.is_empty() => println!("        ok, {seconds:.1} s"),
        Ok(Done::Passed(note)) => println!("        ok, {seconds:.1} s: {note}"),
        Ok(Done::Skipped(reason)) => println!("        skipped: {reason}"),
        Err(reason) => {
            println!("        FAILED after {seconds:.1} s: {reason}");
            println!("        {}, what matters of it:", workspace.shown(log.path()).display());
            for line in excerpt(&log.text()).lines() {
                println!("        | {line}");
            }
        }
    }
}

/// The failures as `cargo test` lists them, or the last words of a program that died, and the end.
fn excerpt(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let dead = || lines.iter().position(|line| line.contains("process didn't exit successfully")).map(|at| at.saturating_sub(30));
    let begin = lines.iter().position(|line| *line == "failures:").or_else(dead).unwrap_or(lines.len());
    let failures = lines[begin..].iter().take(40).copied().collect::<Vec<_>>().join("\n");
    let rest = lines[(begin + 40).min(lines.len())..].join("\n");
    if failures.is_empty() { tail(log, 60) } else { format!("{failures}\n…\n{}", tail(&rest, 20)) }
}

fn summary(reports: &[Report]) -> ExitCode {
    let mut tests = Counts::default();
    println!("\n{:16}  {:8} {:>8} {:>8}", "STEP", "RESULT", "TESTS", "SECONDS");
    for report in reports {
        let result = match &report.result {
            Ok(Done::Passed(_)) => "ok",
            Ok(Done::Skipped(_)) => "skipped",
            Err(_) => "FAILED",
        };
        println!("{:16}  {result:8} {:>8} {:>8.1}", report.name, report.tests.total(), report.took.as_secs_f64());
        tests += report.tests;
    }
    println!("\n{tests}");
    if reports.iter().any(|report| report.result.is_err()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_begins_once_the_minutes_are_over() {
        let workspace = Workspace::find().unwrap();
        let path = std::env::temp_dir().join(format!("xtask-over-{}.log", std::process::id()));
        let log = Log::create(path.clone()).unwrap();
        let step = Step { name: "bench", what: "", run: |_, _| Err("it was run".to_owned()) };
        let report = run_step(&workspace, &step, &log, false, Some(23));
        assert!(matches!(report.result, Ok(Done::Skipped(reason)) if reason.contains("23 minutes") && reason.contains("--only bench")));
        assert!(run_step(&workspace, &step, &log, false, None).result.is_err());
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_excerpt_shows_what_a_program_died_of() {
        let log = format!(
            "{}error: test failed\n  process didn't exit successfully: `x` (signal: 6)\n{}",
            "ok\n".repeat(100),
            "more\n".repeat(100)
        );
        assert!(excerpt(&log).contains("(signal: 6)"), "{}", excerpt(&log));
    }

    #[test]
    fn an_excerpt_begins_with_the_failures() {
        let log = format!("{}failures:\n\n---- a ----\n{}error: 1 target failed\n", "ok\n".repeat(100), "more\n".repeat(100));
        let excerpt = excerpt(&log);
        assert!(excerpt.starts_with("failures:\n\n---- a ----\n") && excerpt.ends_with("error: 1 target failed"), "{excerpt}");
        assert!(excerpt.lines().count() < 70);
    }

    #[test]
    fn an_unknown_step_is_refused() {
        assert!(choose(&["clipy".into()]).err().unwrap().contains("`clipy`"));
    }

    #[test]
    fn chosen_steps_keep_their_order() {
        let chosen = choose(&["tidy".into(), "fmt".into()]).unwrap();
        assert_eq!(chosen.iter().map(|step| step.name).collect::<Vec<_>>(), ["fmt", "tidy"]);
    }

    #[test]
    fn a_failed_step_counts_a_failure_even_when_all_its_tests_passed() {
        let read = Counts { passed: 3, ..Counts::default() };
        assert_eq!(count(&Err("it hung".into()), read), Counts { passed: 3, failed: 1, skipped: 0 });
        assert_eq!(count(&Ok(Done::passed()), read), read);
        assert_eq!(count(&Ok(Done::passed()), Counts::default()).passed, 1);
    }
}
