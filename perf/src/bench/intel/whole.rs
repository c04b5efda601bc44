//! All feeds at once.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::child::{Program, Ran, number};
use super::files::{Case, Feed, feeds, toml};
use super::{Room, data, lists, sha256, shuffle};
use crate::bench::{Definition, Findings, Results, Setting, definition};
use crate::report::{Figure, How};

/// A static verdictctl for ARM; `cargo xtask bench feeds` builds one.
const ARM_PROGRAM: &str = "VERDICT_ARM_VERDICTCTL";
const MIB: f64 = (1u64 << 20) as f64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    /// Which part of the data directory.
    below: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    indicators_full_min: f64,
    indicators_small_min: f64,
}

/// Runs it.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Expected, Case> = definition(include_str!("../../../definitions/feeds.toml"))?;
    let Definition { name, bias, full, small, expected, case: cases } = definition;
    let (size, least) = if setting.small { (small, expected.indicators_small_min) } else { (full, expected.indicators_full_min) };
    let room = Room::new("feeds")?;
    let verdictctl = Program::native(&setting.verdictctl(), &room.0);
    let data = data()?;
    lists(&data, &room)?;
    let mut feeds = feeds(&data.join(&size.below), &cases)?;

    let mut runs = Vec::new();
    let mut digest = None;
    for number in 0..setting.runs.unwrap_or(size.runs).max(1) {
        let ran = compile(&verdictctl, &room, &feeds, &cases)?;
        eprintln!(
            "run {number}: {:.1} s, {:.1} s of CPU time, {:.0} MiB",
            ran.wall.as_secs_f64(),
            ran.cpu.as_secs_f64(),
            ran.peak_bytes as f64 / MIB
        );
        same(&mut digest, sha256(&room.path(SNAPSHOT))?, "compiled again")?;
        runs.push(ran);
    }
    let digest = digest.unwrap_or_default();
    let last = runs.last().ok_or(io::ErrorKind::InvalidData)?;
    let mut notes = account(&last.told, &feeds)?;
    let of_gates = last.told["report"]["gates"]["gates"].as_array().into_iter().flatten();
    let word = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    let gates: Vec<_> = of_gates.map(|gate| format!("{} {}: {}", word(gate, "gate"), word(gate, "state"), word(gate, "told"))).collect();
    notes.push(format!("gates on the final bytes: {}", gates.join("; ")));
    let figures = figures(&runs, &room)?;
    let indicators = figures.iter().find(|figure| figure.name == "indicators").map_or(0.0, |figure| figure.median);
    if indicators < least {
        return Err(io::Error::other(format!("{indicators} indicators, and there should be {least} at least")));
    }

    learn_formats(&mut feeds, &last.told);
    let arm = std::env::var_os(ARM_PROGRAM).map(PathBuf::from);
    let emulated = match &arm {
        Some(program) => {
            let ran = compile(&Program::emulated(program, &room.0), &room, &feeds, &cases)?;
            same(&mut Some(digest.clone()), sha256(&room.path(SNAPSHOT))?, "compiled by the ARM program")?;
            format!("by the ARM program under emulation ({:.0} s of it)", ran.wall.as_secs_f64())
        }
        None => format!("not tried on ARM: {ARM_PROGRAM} names no program"),
    };
    let moved = shuffle::shuffle(&mut feeds, &room.path("shuffled"), &mut setting.rng.fork("feeds"))?;
    compile(&verdictctl, &room, &feeds, &cases)?;
    same(&mut Some(digest.clone()), sha256(&room.path(SNAPSHOT))?, "compiled of shuffled feeds")?;
    notes
        .push(format!("the same bytes, sha256 {digest}: {} times in a row; with feeds and {moved} lines shuffled; {emulated}", runs.len()));
    Ok(Results { name, bias, figures, notes }.into())
}

const SNAPSHOT: &str = "all.snap";

/// Compiles into an empty place: nothing to hold it against, nothing left of the run before.
fn compile(program: &Program, room: &Room, feeds: &[Feed], cases: &[Case]) -> io::Result<Ran> {
    std::fs::write(room.path("feeds.toml"), toml(feeds, cases))?;
    for old in [SNAPSHOT.to_owned(), format!("{SNAPSHOT}.explain")] {
        match std::fs::remove_file(room.path(&old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    program.succeed(&["compile", "feeds.toml", "-o", SNAPSHOT, "--json"])
}

fn same(digest: &mut Option<String>, now: String, when: &str) -> io::Result<()> {
    match digest.replace(now.clone()) {
        Some(before) if before != now => Err(io::Error::other(format!("other bytes when {when}: sha256 {now} instead of {before}"))),
        _ => Ok(()),
    }
}

fn figures(runs: &[Ran], room: &Room) -> io::Result<Vec<Figure>> {
    let told = &runs.last().ok_or(io::ErrorKind::InvalidData)?.told;
    let rules = &told["report"]["counts"]["rules"];
    let indicators: f64 = rules.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_f64()).sum();
    let entries = number(told, &["snapshot", "rules"])?;
    let bytes = std::fs::metadata(room.path(SNAPSHOT))?.len() as f64;
    let rejected: f64 =
        told["report"]["counts"]["rejected"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_f64()).sum();
    let counted = |name: &str, unit: &str, value| Figure::new(name, unit, How::Counted, "", vec![value]);
    let mut figures = vec![
        counted("feeds", "feeds", told["report"]["feeds"].as_array().map_or(0, Vec::len) as f64),
        counted("rows", "rows", number(told, &["report", "counts", "rows"])?),
        counted("kept", "rows", number(told, &["report", "counts", "kept"])?),
        counted("rejected", "rows", rejected),
        counted("indicators", "rules", indicators),
        counted("entries", "rules", entries),
        counted("snapshot_bytes", "bytes", bytes),
        counted("intel_bytes_per_entry", "bytes", bytes / entries),
        counted("store_bytes", "bytes", number(told, &["report", "store_bytes"])?),
    ];
    let mut measured = |name: &str, unit: &str, of: &dyn Fn(&Ran) -> io::Result<f64>| -> io::Result<()> {
        figures.push(Figure::new(name, unit, How::Measured, "", runs.iter().map(of).collect::<io::Result<_>>()?));
        Ok(())
    };
    measured("indicators_per_minute_core", "rules", &|ran| Ok(indicators / ran.cpu.as_secs_f64() * 60.0))?;
    measured("indicators_per_minute_wall", "rules", &|ran| Ok(indicators / ran.wall.as_secs_f64() * 60.0))?;
    measured("cpu_s", "s", &|ran| Ok(ran.cpu.as_secs_f64()))?;
    measured("wall_s", "s", &|ran| Ok(ran.wall.as_secs_f64()))?;
    measured("build_s", "s", &|ran| number(&ran.told, &["report", "build_seconds"]))?;
    measured("gates_s", "s", &|ran| number(&ran.told, &["report", "gate_seconds"]))?;
    measured("store_s", "s", &|ran| number(&ran.told, &["report", "store_seconds"]))?;
    measured("peak_memory_mib", "MiB", &|ran| Ok(ran.peak_bytes as f64 / MIB))?;
    Ok(figures)
}

/// Rejected rows by reason, rows by format: what became of all of them.
fn account(told: &Value, feeds: &[Feed]) -> io::Result<Vec<String>> {
    let report = &told["report"];
    let count = |of: &Value| of.as_u64().unwrap_or(0);
    let (rows, kept) = (count(&report["counts"]["rows"]), count(&report["counts"]["kept"]));
    let reasons = |counts: &Value| -> BTreeMap<String, u64> {
        counts.as_object().into_iter().flatten().map(|(reason, rows)| (reason.clone(), count(rows))).collect()
    };
    let rejected = reasons(&report["counts"]["rejected"]);
    let rest = count(&report["counts"]["comments"]) + count(&report["counts"]["blank"]);
    if rows != kept + rejected.values().sum::<u64>() + rest {
        return Err(io::Error::other(format!(
            "{rows} rows are not {kept} kept, {rejected:?} rejected and {rest} comments and blank lines"
        )));
    }
    let mut by_format: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for feed in report["feeds"].as_array().into_iter().flatten() {
        let of = by_format.entry(feed["format"].as_str().unwrap_or("several")).or_default();
        let rows = [1, count(&feed["counts"]["rows"]), count(&feed["counts"]["kept"])];
        of.iter_mut().zip(rows).for_each(|(sum, more)| *sum += more);
    }
    let listed = |of: BTreeMap<String, u64>| {
        let mut of: Vec<_> = of.into_iter().collect();
        of.sort_by_key(|(name, rows)| (std::cmp::Reverse(*rows), name.clone()));
        of.iter().map(|(name, rows)| format!("{name} {rows}")).collect::<Vec<_>>().join(", ")
    };
    let by_format: Vec<_> = by_format.iter().map(|(format, [feeds, rows, kept])| format!("{format} {kept} of {rows} in {feeds}")).collect();
    Ok(vec![
        format!("rejected rows by reason: {}", listed(rejected)),
        format!("rejected parts of kept rows: {}", listed(reasons(&report["counts"]["parts_rejected"]))),
        format!("kept rows of all rows, comments among them, in how many of the {} feeds: {}", feeds.len(), by_format.join(", ")),
    ])
}

fn learn_formats(feeds: &mut [Feed], told: &Value) {
    for report in told["report"]["feeds"].as_array().into_iter().flatten() {
        if let Some(feed) = feeds.iter_mut().find(|feed| report["name"] == feed.name.as_str()) {
            feed.format = report["format"].as_str().map(str::to_owned);
        }
    }
}
