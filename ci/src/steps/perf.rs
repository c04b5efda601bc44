//! The sealed checks of verdict-perf on programs as the tests are built: a million URLs as browsers read them, right answers for a million questions, what a daemon must survive, and that
//! the benches run. Their figures are not looked at here; a machine that is busy testing has none to give.

use crate::child::Log;
use crate::release::{self, BUILD_LIMIT, Profile};
use crate::steps::Done;
use crate::workspace::{Workspace, create};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10 * 60);
/// Beside `full`, which is the default.
const OTHER_SCHEMES: [&str; 3] = ["gsb-v4", "gsb-v5", "exact"];
/// What each figure of a bench says, at least.
const FIELDS: [&str; 8] = ["name", "median", "min", "max", "runs", "unit", "how", "peer"];

/// Figures that there are on any machine, one at least of each suite.
const FIGURES: [&str; 14] = [
    "p999_vs_echo",
    "swap_p99_ratio",
    "echo_cpu_ratio_b16",
    "echo_cpu_ratio_b100",
    "echo_cpu_ratio_b1000_epoll",
    "echo_cpu_ratio_hashed_b100_blocking",
    "probe_vs_hashbrown",
    "bytes_per_entry",
    "keys_vs_url",
    "hash_vs_best",
    "fast_path_share",
    "goodput_2x_ratio",
    "greedy_p99_ratio",
    "scrape_series",
];
/// Figures beside each peer that is installed.
const BESIDE: [&str; 3] = ["url_b100", "hash_b256", "hash_b1_c64"];
/// What a record says of its making.
const RECORD: [&str; 6] = ["cpu", "kernel", "toolchain", "backend", "bias", "command"];

/// A million questions, each answer compared with a naive oracle; then fewer, and made up, under the other schemes of keys.
pub fn replay(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, verdictd) = built(workspace, log)?;
    log.run(perf.arg("replay").arg("--spawn").arg(&verdictd), LIMIT)?;
    let text = log.text();
    for scheme in OTHER_SCHEMES {
        let (mut perf, _) = built(workspace, log)?;
        perf.args(["replay", "--generated", "--indicators=20000", "--questions=40000", "--scheme", scheme, "--spawn"]).arg(&verdictd);
        log.run(&mut perf, LIMIT)?;
    }
    if log.text().lines().filter(|line| line.trim() == "0 differences").count() != 1 + OTHER_SCHEMES.len() {
        return Err("not every scheme had its 0 differences".into());
    }
    let line = |part: &str| {
        text.lines().rev().find(|line| line.contains(part)).map_or_else(|| format!("no line says `{part}`"), |line| line.trim().to_owned())
    };
    if text.lines().any(|line| line.trim() == "0 differences") {
        Ok(Done::Passed(format!("{}; 0 differences", line(" answers in "))))
    } else {
        Err(line(" differences"))
    }
}

/// A million mutated real URLs through our canonicaliser and two browsers' parsers; every difference must have a name.
pub fn differential(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, _) = built(workspace, log)?;
    log.run(perf.arg("differential"), LIMIT)?;
    let text = log.text();
    let said = |part: &str| text.lines().rev().find(|line| line.contains(part));
    if said("all canaries found out").is_none() {
        return Err("it did not say that all canaries were found out".into());
    }
    let without = if release::has_cxx() { "" } else { "; SKIPPED ada-url: there is no C++ compiler" };
    match said(" unexplained differences among ") {
        Some(line) if line.starts_with("0 ") => Ok(Done::Passed(format!("{line}{without}"))),
        line => Err(line.unwrap_or("no line counts the differences").to_owned()),
    }
}

/// Ten million addresses, each answer compared with another implementation's, some with a scan.
pub fn addresses(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, _) = built(workspace, log)?;
    log.run(perf.arg("addresses"), LIMIT)?;
    let text = log.text();
    let line = |part: &str| text.lines().rev().find(|line| line.contains(part)).unwrap_or("nothing was said").trim().to_owned();
    if text.lines().any(|line| line.trim() == "0 differences") {
        Ok(Done::Passed(format!("{}; {}; 0 differences", line(" prefixes: "), line(" addresses asked"))))
    } else {
        Err(line(" differences"))
    }
}

/// Swaps under load, hostile peers, peers that never read: in full with the driver that the daemon takes by itself, a quarter of it with the others.
pub fn soak(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let quarter = ["--swaps=250", "--frames=2500", "--connections=250", "--deaf-peers=2"].as_slice();
    for (driver, size) in [("auto", [].as_slice()), ("ring", quarter), ("streams", quarter)] {
        let (mut perf, verdictd) = built(workspace, log)?;
        log.run(perf.args(["soak", "--driver", driver]).args(size).arg("--spawn").arg(verdictd), LIMIT)?;
    }
    let held = log.text().lines().filter(|line| *line == "all held").count();
    if held == 3 { Ok(Done::Passed("drivers epoll (auto), ring, streams".into())) } else { Err(format!("{held} of 3 said `all held`")) }
}

/// Every suite at its small size: the JSON has the agreed shape and the figures that have a target, records say where they were made, plots are drawn.
pub fn bench(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let (mut perf, verdictd) = built(workspace, log)?;
    let records = create(workspace.target.join("xtask/records"))?;
    let json = records.join("figures.json");
    log.run(
        perf.args(["bench", "all", "--small", "--json"]).arg(&json).arg("--record").arg(&records).arg("--verdictd").arg(verdictd),
        LIMIT,
    )?;
    let figures: Vec<Object> = read(&json)?;
    if let Some((figure, field)) =
        figures.iter().find_map(|figure| Some((figure, FIELDS.iter().find(|field| !figure.contains_key(**field))?)))
    {
        return Err(format!("{}: a figure without `{field}`: {figure:?}", json.display()));
    }
    let is_there =
        |name: &str| figures.iter().any(|figure| figure["name"] == name && figure["median"].as_f64().is_some_and(|median| median > 0.0));
    let peers =
        [("memcached", "/usr/bin/memcached"), ("redis", "/usr/bin/redis-server")].map(|(peer, path)| (peer, Path::new(path).exists()));
    let beside = peers.iter().filter(|(_, there)| *there).flat_map(|(peer, _)| BESIDE.map(|figure| format!("{figure}_vs_{peer}")));
    if let Some(missing) = FIGURES.map(str::to_owned).into_iter().chain(beside).find(|name| !is_there(name)) {
        return Err(format!("{}: no figure `{missing}`", json.display()));
    }
    let record: Object = read(&records.join("peers.json"))?;
    if let Some(key) = RECORD.iter().find(|key| record.get(**key).and_then(serde_json::Value::as_str).is_none_or(str::is_empty)) {
        return Err(format!("peers.json does not say `{key}`"));
    }
    for picture in ["echo-ratios.svg", "echo-cost_by_batch-urls.svg", "latency-percentiles-half-of-saturation.svg"] {
        let svg = std::fs::read_to_string(records.join(picture)).unwrap_or_default();
        if !svg.starts_with("<svg") || !svg.trim_end().ends_with("</svg>") {
            return Err(format!("{picture} is no picture"));
        }
    }
    let without: String = peers.iter().filter(|(_, there)| !there).map(|(peer, _)| format!("; SKIPPED {peer}: not installed")).collect();
    Ok(Done::Passed(format!("{} figures, at the small size{without}", figures.len())))
}

type Object = serde_json::Map<String, serde_json::Value>;

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// verdict-perf, and the daemon that it starts.
fn built(workspace: &Workspace, log: &Log) -> Result<(Command, std::path::PathBuf), String> {
    let programs = release::build_logged(workspace, log)?;
    let (mut build, perf) = release::perf(workspace, Profile::Checks);
    log.run(&mut build, BUILD_LIMIT)?;
    let mut command = Command::new(perf);
    command.current_dir(&workspace.root);
    Ok((command, programs.verdictd))
}
