//! What lies in `observe/`, by Prometheus' own promtool and against a daemon that runs.
//!
//! ```text
//!  verdictd.rules.yml ──► promtool check rules, test rules; every alert has a test in which it fires
//!  verdictd.json      ──► panels and targets; each expression in a rules file of its own ─► promtool check rules
//!  daemon, /metrics   ──► promtool check metrics; OpenMetrics has the same series
//!  every metric named in an expression ──► is exported there, or is in docs/metrics.md, or is recorded by a rule
//! ```
//! promtool is taken out of Debian's package `prometheus` without installing it: its service is not wanted here. It does not read OpenMetrics,
//! so that format is held against the other one.

mod dashboard;
mod expressions;

use crate::child::Log;
use crate::sample::Served;
use crate::steps::prerequisites::{answers, unpacked};
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Workspace, create};
use dashboard::Board;
use expressions::{Expression, Rules};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use xtask::server::http_get_as;

const LIMIT: Duration = Duration::from_secs(120);
const RULES: &str = "verdictd.rules.yml";
const TESTS: [&str; 2] = ["verdictd.test.yml", "verdictd.days.test.yml"];
const TEXT: &str = "text/plain; version=0.0.4";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0";

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let program = match promtool(workspace, log) {
        Ok(program) => program,
        Err(reason) => return Ok(Done::Skipped(format!("promtool is missing: {reason}"))),
    };
    let (scratch, files) = (create(workspace.target.join("xtask/alerts"))?, workspace.root.join("observe/prometheus"));
    let rules = Rules::read(&text(&files.join(RULES))?)?;
    let tests = TESTS.iter().map(|name| text(&files.join(name))).collect::<Result<String, String>>()?;
    let board = Board::read(&text(&workspace.root.join("observe/grafana/verdictd.json"))?)?;
    let documented = text(&workspace.root.join("docs/metrics.md"))?;
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        log.run(command.arg("check").args(arguments).current_dir(&files), LIMIT).map(|()| Complaints::new())
    };
    let served = Served::start(workspace, log, "alerts")?;
    let admin = served.server.admin;
    let done = suite(
        log,
        &[
            ("the_rules_are_valid", &|| promtool(&["rules", RULES])),
            ("every_alert_fires_for_its_reason_and_no_other", &|| {
                let mut command = Command::new(&program);
                log.run(command.args(["test", "rules"]).args(TESTS).current_dir(&files), LIMIT).map(|()| Complaints::new())
            }),
            ("every_alert_has_a_test_in_which_it_fires", &|| Ok(rules.untested(&tests))),
            ("the_dashboard_is_sound", &|| Ok(board.complaints.clone())),
            ("every_expression_of_the_dashboard_is_one", &|| {
                promtool(&["rules", "--lint=none", &write(&scratch.join("dashboard.rules.json"), &board.as_rules())?])
            }),
            ("what_a_daemon_says_is_in_order", &|| {
                let said = write(&scratch.join("metrics.txt"), &scrape(admin, TEXT)?)?;
                let mut command = Command::new("sh"); // promtool reads what it checks from its standard input
                log.run(command.args(["-c", "exec \"$0\" check metrics < \"$1\""]).arg(&program).arg(said), LIMIT)?;
                Ok(Complaints::new())
            }),
            ("openmetrics_has_the_same_series", &|| Ok(differences(&scrape(admin, TEXT)?, &scrape(admin, OPENMETRICS)?))),
            ("every_metric_that_is_named_is_there", &|| {
                let exported = scrape(admin, TEXT)?;
                let known = known(&exported, &documented, &rules.recorded);
                Ok(rules.expressions.iter().chain(&board.expressions).flat_map(|expression| unknown(expression, &known)).collect())
            }),
        ],
    )
    .map(|_| Done::Passed(format!("{} alerts, {} expressions on the dashboard", rules.alerts.len(), board.expressions.len())));
    served.stop()?;
    done
}

/// Where it is installed, or out of its package.
fn promtool(workspace: &Workspace, log: &Log) -> Result<PathBuf, String> {
    if answers(Command::new("promtool").arg("--version")) {
        return Ok("promtool".into());
    }
    unpacked(workspace, log, "prometheus", "usr/bin/promtool")
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The path as programs elsewhere find it.
fn write(path: &Path, text: &str) -> Result<String, String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

fn scrape(admin: SocketAddr, accept: &str) -> Result<String, String> {
    match http_get_as(admin, "/metrics", accept) {
        Ok((200, body)) => Ok(body),
        other => Err(format!("/metrics as {accept}: {other:?}")),
    }
}

/// Name and labels of every line that is a number.
fn series(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect()
}

fn differences(plain: &str, open: &str) -> Complaints {
    let mut complaints = Complaints::new();
    if !open.ends_with("\n# EOF\n") {
        complaints.push("OpenMetrics does not end with its # EOF".into());
    }
    if series(plain).len() < 100 {
        complaints.push(format!("{} series only", series(plain).len()));
    }
    complaints.extend(series(plain).symmetric_difference(&series(open)).map(|one| format!("{one}: in one of the two formats only")));
    complaints
}

/// What an expression may name: what is exported, what is documented (with the series of a histogram), what rules record, and what Prometheus adds.
fn known(exported: &str, documented: &str, recorded: &BTreeSet<String>) -> BTreeSet<String> {
    let mut known: BTreeSet<String> = series(exported).iter().filter_map(|one| one.split('{').next()).map(str::to_owned).collect();
    for line in documented.lines() {
        let mut cells = line.split(" | ");
        let Some(name) = cells.next().and_then(|cell| cell.strip_prefix("| `")?.strip_suffix('`')) else { continue };
        match cells.next() {
            Some("histogram") => known.extend(["bucket", "sum", "count"].map(|end| format!("{name}_{end}"))),
            _ => drop(known.insert(name.to_owned())),
        }
    }
    known.extend(recorded.iter().cloned());
    known.insert("up".into());
    known
}

fn unknown(expression: &Expression, known: &BTreeSet<String>) -> Complaints {
    let named = expression.metrics();
    if named.is_empty() {
        return vec![format!("{}: it names no metric", expression.place)];
    }
    named.iter().filter(|name| !known.contains(*name)).map(|name| format!("{}: there is no metric {name}", expression.place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_is_neither_exported_nor_documented_nor_recorded_is_named_with_its_place() {
        let documented = "| metric | kind |\n|---|---|\n| `a_seconds` | histogram |  | x |\n| `b_total` | counter |  | y |\n";
        let known = known("# TYPE c gauge\nc{x=\"y z\"} 1\n", documented, &BTreeSet::from(["r:c:sum".to_owned()]));
        let of = |text: &str| unknown(&Expression { place: "here".into(), text: text.into() }, &known);
        assert_eq!(of("rate(a_seconds_bucket[5m]) + b_total + c + r:c:sum + up"), Complaints::new());
        assert_eq!(of("a_seconds + d"), ["here: there is no metric a_seconds", "here: there is no metric d"]);
        assert_eq!(of("1 > 0"), ["here: it names no metric"]);
    }

    #[test]
    fn a_series_of_one_format_only_is_a_difference() {
        let many: String = (0..100).map(|number| format!("a{{b=\"{number}\"}} 1\n")).collect();
        assert_eq!(differences(&many, &format!("{many}# EOF\n")), Complaints::new());
        assert_eq!(differences(&format!("{many}c 1\n"), &format!("{many}# EOF\n")), ["c: in one of the two formats only"]);
        assert!(differences(&many, &many)[0].contains("EOF"));
    }
}
