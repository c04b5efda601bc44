//! Pictures of a record, as SVG: for a talk, made of the record's JSON and of nothing else.
//!
//! ```text
//! SUITE.json ─┬─► SUITE-ratios.svg                figures that have a target, in times of what they must be
//!             └─► SUITE-PLOT-GROUP.svg            its curves: percentiles, latency by load, CPU time a key by batch
//! ```
//! The foot of each says how, where and when it was come by.

mod bars;
mod canvas;
mod lines;

use std::io;
use std::path::{Path, PathBuf};

use crate::bench::Curve;
use crate::bench::record::Record;
use crate::report::{Figure, How};
use crate::targets::{self, Target};

/// Writes all pictures of a record into a directory, and says which.
pub fn pictures(record: &Record, directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    let mut write = |name: String, svg: Result<String, String>| -> io::Result<()> {
        let path = directory.join(name);
        std::fs::write(&path, svg.map_err(io::Error::other)? + "\n")?;
        written.push(path);
        Ok(())
    };
    let suite = &record.suite;
    let rows = rows(&record.figures)?;
    if !rows.is_empty() {
        let note = "one run of this suite, all sides in turns; ratios are taken round by round".to_owned();
        write(format!("{suite}-ratios.svg"), bars::draw(&format!("verdictd, {}", about(suite)), &rows, &foot(record, note)))?;
    }
    let mut groups: Vec<(&str, &str)> = record.curves.iter().map(|curve| (curve.plot.as_str(), curve.group.as_str())).collect();
    groups.dedup();
    for (plot, group) in groups {
        let curves: Vec<&Curve> =
            record.curves.iter().filter(|curve| (curve.plot.as_str(), curve.group.as_str()) == (plot, group)).collect();
        if let Some(kind) = lines::kind(plot) {
            let title = format!("verdictd, {}: {group}", about(suite));
            let name = format!("{suite}-{plot}-{}.svg", group.replace(' ', "-")).to_lowercase();
            let note = record.notes.iter().rev().take(1).cloned().collect();
            write(name, lines::draw(&title, &kind, &curves, &foot(record, note)))?;
        }
    }
    Ok(written)
}

/// Figures with a target; of a suite without any, its ratios, for which 1 is a draw.
fn rows(figures: &[Figure]) -> io::Result<Vec<(Target, Figure)>> {
    let targets = targets::all()?;
    let with_target = |target: &Target| Some((target.clone(), figures.iter().find(|figure| figure.name == target.figure)?.clone()));
    Ok(targets.iter().filter_map(with_target).collect())
}

fn about(suite: &str) -> &str {
    match suite {
        "peers" => "lookups per second of CPU time beside memcached and Redis",
        "echo" => "CPU time beside servers that only move the bytes",
        "latency" => "latency",
        "tables" => "the exact table",
        "keys" => "from text to keys",
        "drivers" => "ways to move the bytes",
        "feeds" => "all feeds at hand in one snapshot",
        "refresh" => "one update after another",
        other => other,
    }
}

/// How, where, when.
fn foot(record: &Record, note: String) -> Vec<String> {
    let mut kinds: Vec<&str> = record.figures.iter().map(|figure| how(figure.how)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let runs = record.figures.iter().map(|figure| figure.runs).max().unwrap_or(0);
    let Record { arch, cpu, cpus, kernel, toolchain, backend, commit, load_before, .. } = record;
    let toolchain = toolchain.split(' ').take(2).collect::<Vec<_>>().join(" ");
    vec![
        note,
        format!(
            "{}; {arch}, {cpu}, {cpus} CPUs, Linux {kernel}, {toolchain}, backend {backend}, commit {commit}; {runs} runs; load before {load_before:.2}",
            kinds.join(" and ")
        ),
    ]
}

fn how(how: How) -> &'static str {
    match how {
        How::Measured => "measured",
        How::Emulated => "emulated",
        How::Counted => "counted",
        How::Modelled => "modelled",
    }
}
