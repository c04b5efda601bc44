//! What the gates said of a compilation, and what would change for those who ask.

use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::diff::write_changes;
use crate::exit::Failure;
use crate::text;
use std::io::Write;
use verdict_intel::Report;
use verdict_intel::gates::{Blast, Checked, State};

/// A line for each gate, its findings, and the blast radius.
pub fn write(out: &mut dyn Write, report: &Report, not_against: Option<&str>) -> Result<(), Failure> {
    if !report.as_of_stated {
        writeln!(out, "as_of is not stated: no row ages, and none expires")?;
    }
    if let Some(profile) = &report.profile {
        let withheld = report.feeds.iter().filter(|feed| feed.withheld.is_some()).count();
        writeln!(out, "deployment {}: {} withheld", text::visible(profile.as_bytes()), text::counted(withheld, "feed"))?;
    }
    if report.gates.gates.is_empty() {
        return Ok(());
    }
    if let Some(reason) = not_against {
        writeln!(out, "held against no snapshot: {}", text::visible(reason.as_bytes()))?;
    }
    writeln!(out)?;
    let mut table = Table::new(&["GATE", "", "MEASURED"]);
    for gate in &report.gates.gates {
        let state = match gate.state {
            State::Passed => Cell::from("passed").coloured(FINE),
            State::Refused => Cell::from("REFUSED").coloured(ALARM),
            State::Off => Cell::from("off").coloured(NOTICE),
            State::NotRun => Cell::from("not run").coloured(NOTICE),
        };
        table.row([gate.gate.code().into(), state, told(gate).into()]);
    }
    table.write_rows(out)?;
    for gate in report.gates.gates.iter().filter(|gate| !gate.findings.is_empty()) {
        write_findings(out, gate)?;
    }
    match &report.gates.blast {
        Some(blast) => write_blast(out, blast),
        None => Ok(()),
    }
}

fn told(gate: &Checked) -> String {
    let told = text::visible(gate.told.as_bytes());
    match &gate.reason {
        Some(reason) => format!("{told} (because: {})", text::visible(reason.as_bytes())),
        None => told,
    }
}

fn write_findings(out: &mut dyn Write, gate: &Checked) -> Result<(), Failure> {
    writeln!(out, "{}:", gate.gate.code())?;
    for finding in &gate.findings {
        let at = text::visible(finding.at.join(", ").as_bytes());
        writeln!(out, "  {}{}", text::visible(finding.what.as_bytes()), if at.is_empty() { at } else { format!("  {at}") })?;
    }
    let more = gate.found - gate.findings.len() as u64;
    if more > 0 {
        writeln!(out, "  and {} more", text::grouped(more))?;
    }
    Ok(())
}

fn write_blast(out: &mut dyn Write, blast: &Blast) -> Result<(), Failure> {
    let [before, after] = [blast.rules_before, blast.rules_after].map(text::grouped);
    writeln!(out, "\nagainst generation {}: {before} rules, and {after} now", blast.against)?;
    match &blast.diff {
        Some(diff) => write_changes(out, diff)?,
        None => writeln!(out, "what was added and removed is not known: an explain store is missing")?,
    }
    for (list, listed) in &blast.lists {
        let [keys, before, after] = [listed.keys, listed.before, listed.after].map(text::grouped);
        writeln!(out, "{list}: of {keys} keys {before} are listed now, and {after} then")?;
    }
    let Some(replay) = &blast.replay else { return Ok(()) };
    let [questions, same] = [replay.questions, replay.same].map(text::grouped);
    writeln!(out, "replayed {questions} questions: {same} keep their class")?;
    for (change, count) in &replay.changed {
        writeln!(out, "  {change}  {}", text::grouped(*count))?;
    }
    for (key, before, after) in &replay.examples {
        writeln!(out, "    {}  {before} -> {after}", text::shortened(&text::visible(key.as_bytes()), text::KEY_COLUMNS_MAX))?;
    }
    Ok(())
}
