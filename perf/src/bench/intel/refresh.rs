//! Lists in a row, each compiled, judged, published and adopted; a client asks all the time.
//!
//! ```text
//! list n ─► compile --against n-1 ─┬─ refused: the reason is kept, n-1 stays
//!                                  └─ passed ─► publish ─► manifest renamed ── daemon verifies, swaps ──► first reply of n
//!                                                               └────────────── adopted_ms ───────────────┘
//! ```

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::Value;
use verdict_wire::{Client, ClientOptions, Endpoint, KeyKind};

use super::child::{Program, number};
use super::{Room, data, lists};
use crate::bench::{Curve, Definition, Findings, Results, Setting, definition};
use crate::report::{Figure, How};
use crate::spawn::{AUTO, Daemon, Served, Wanted};

/// Between two frames.
const PACE: Duration = Duration::from_micros(200);
/// Before a publication: what a reply takes when nothing happens.
const STEADY: Duration = Duration::from_millis(500);
/// After the first reply of a new generation: the old one is freed.
const AFTER: Duration = Duration::from_millis(50);
/// For one adoption.
const PATIENCE: Duration = Duration::from_secs(20);
/// Names in a frame; nobody has them.
const KEYS: usize = 16;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    lists: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    adopted_min: f64,
}

/// What an update came to.
#[derive(Default)]
struct Seen {
    /// By the number of the list.
    added: Vec<(f64, f64)>,
    removed: Vec<(f64, f64)>,
    snapshot_bytes: Vec<(f64, f64)>,
    resent: Vec<(f64, f64)>,
    adopted_ms: Vec<(f64, f64)>,
    build_ms: Vec<(f64, f64)>,
    refused: Vec<String>,
}

/// Runs it.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Expected> = definition(include_str!("../../../definitions/refresh.toml"))?;
    let Definition { name, bias, full, small, expected, .. } = definition;
    let size = if setting.small { small } else { full };
    let room = Room::new("refresh")?;
    let data = data()?;
    lists(&data, &room)?;
    let mut paths = std::fs::read_dir(data.join("feeds/urlhaus-filter/consecutive_202106"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    paths.sort();
    paths.truncate(size.lists);

    let verdictctl = Program::native(&setting.verdictctl(), &room.0);
    verdictctl.succeed(&["keygen", "--to", "key"])?;
    std::fs::write(room.path("hash.secret"), format!("verdict-perf {}", setting.rng.clone().bits()))?;
    let (mut seen, mut asked) = (Seen::default(), Asked::new()?);
    let mut daemon: Option<Daemon> = None;
    for (at, path) in paths.iter().enumerate() {
        if !compiled(&verdictctl, &room, at, path, &mut seen)? {
            continue;
        }
        match &daemon {
            None => {
                publish(&verdictctl)?;
                let (directory, key) = (room.path("published"), room.path("key.pub"));
                let snapshot = Served::Published { directory: &directory, key: &key };
                daemon = Some(Daemon::start(&Wanted { binary: &setting.verdictd, driver: AUTO, snapshot, cpu: None, limits: "" })?);
            }
            Some(daemon) => adopt(&verdictctl, &room, daemon, at, &mut seen, &mut asked)?,
        }
    }
    daemon.map_or(Ok(()), Daemon::stop)?;
    let share = (seen.adopted_ms.len() + 1) as f64 / paths.len() as f64;
    if share < expected.adopted_min {
        return Err(io::Error::other(format!(
            "{} of {} lists were adopted:\n{}",
            seen.adopted_ms.len(),
            paths.len(),
            seen.refused.join("\n")
        )));
    }
    findings(name, bias, paths.len(), seen, asked)
}

/// Whether it passed the gates; why not is kept.
fn compiled(verdictctl: &Program, room: &Room, at: usize, path: &Path, seen: &mut Seen) -> io::Result<bool> {
    let of = at as f64;
    std::fs::write(room.path("feeds.toml"), feeds_toml(path)?)?;
    let ran = verdictctl.run(&["compile", "feeds.toml", "-o", "verdicts.snap", "--json"])?;
    let report = &ran.told["report"];
    match ran.status {
        0 => {}
        3 => {
            let refused = report["gates"]["gates"].as_array().into_iter().flatten().filter(|gate| gate["state"] == "refused");
            let why: Vec<_> = refused.filter_map(|gate| Some(format!("{}: {}", gate["gate"].as_str()?, gate["told"].as_str()?))).collect();
            seen.refused.push(format!("list {at}: {}", why.join("; ")));
            return Ok(false);
        }
        status => return Err(io::Error::other(format!("list {at}: compile ended with {status}:\n{}", ran.said))),
    }
    seen.build_ms.push((of, number(report, &["seconds"])? * 1e3));
    seen.snapshot_bytes.push((of, number(report, &["snapshot_bytes"])?));
    if report["gates"]["blast"] != Value::Null {
        seen.added.push((of, number(report, &["gates", "blast", "diff", "total", "added"])?));
        seen.removed.push((of, number(report, &["gates", "blast", "diff", "total", "removed"])?));
    }
    Ok(true)
}

/// `NN_2021-06-01T1213.txt.gz` was the list at that moment.
fn feeds_toml(path: &Path) -> io::Result<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let moment =
        name.get(3..18).filter(|_| name.as_bytes()[2] == b'_').ok_or(io::Error::other(format!("{name}: no moment in its name")))?;
    let (day, hour, minute) = (&moment[..10], &moment[11..13], &moment[13..15]);
    Ok(format!(
        "[snapshot]\nas_of = {day}T{hour}:{minute}:00Z\nsecret_file = \"hash.secret\"\nsteady_hash_key = true\n\
         [gates]\nnever_block = \"never-block.txt\"\ntop_sites = \"top-sites.txt\"\n\
         canary_good = {{ off = true, reason = \"never_block is as long\" }}\n\
         canary_bad = {{ off = true, reason = \"nothing stays on this list\" }}\n\
         [[feed]]\nname = \"urlhaus\"\npath = {:?}\n",
        path.display().to_string()
    ))
}

fn publish(verdictctl: &Program) -> io::Result<f64> {
    let ran = verdictctl.succeed(&["publish", "verdicts.snap", "--key", "key.key", "--to", "published", "--keep", "3", "--json"])?;
    number(&ran.told, &["new_bytes"])
}

/// Publishes, and waits for the first reply of it; a client measures before, meanwhile and a little longer.
fn adopt(verdictctl: &Program, room: &Room, daemon: &Daemon, at: usize, seen: &mut Seen, asked: &mut Asked) -> io::Result<()> {
    let manifest = room.path("published/manifest");
    let ended = AtomicBool::new(false);
    let (resent, took) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| asked.watch(daemon, &manifest, &ended));
        std::thread::sleep(STEADY);
        let resent = publish(verdictctl);
        ended.store(resent.is_err(), Ordering::Relaxed);
        (resent, watching.join())
    });
    let took = took.map_err(|_| io::Error::other("the asking thread panicked"))?;
    seen.resent.push((at as f64, resent?));
    seen.adopted_ms.push((at as f64, took?.as_secs_f64() * 1e3));
    Ok(())
}

/// What replies took.
struct Asked {
    steady: Histogram<u64>,
    during: Histogram<u64>,
    keys: Vec<(KeyKind, String)>,
}

impl Asked {
    fn new() -> io::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(io::Error::other);
        let keys = (0..KEYS).map(|at| (KeyKind::Host, format!("name-{at}.example"))).collect();
        Ok(Asked { steady: histogram()?, during: histogram()?, keys })
    }

    /// From a new file of that name until a reply of another generation.
    fn watch(&mut self, daemon: &Daemon, manifest: &Path, given_up: &AtomicBool) -> io::Result<Duration> {
        let mut client = Client::connect(&Endpoint::Tcp(daemon.address.to_string()), ClientOptions::default()).map_err(io::Error::other)?;
        let mut ask = || client.lookup(&self.keys).map_err(io::Error::other);
        let (inode, generation) = (std::fs::metadata(manifest)?.ino(), ask()?.generation);
        let (began, mut published, mut adopted) = (Instant::now(), None::<Instant>, None::<Instant>);
        loop {
            if published.is_none() && std::fs::metadata(manifest)?.ino() != inode {
                published = Some(Instant::now());
            }
            let sent = Instant::now();
            let answers = ask()?;
            let took = sent.elapsed().as_nanos() as u64;
            if published.is_some() { &mut self.during } else { &mut self.steady }.saturating_record(took);
            if answers.generation != generation {
                adopted = adopted.or(Some(Instant::now()));
            }
            match (published, adopted) {
                (Some(published), Some(adopted)) if adopted.elapsed() > AFTER => return Ok(adopted.saturating_duration_since(published)),
                _ if given_up.load(Ordering::Relaxed) => return Err(io::Error::other("nothing was published")),
                _ if began.elapsed() > PATIENCE => {
                    return Err(io::Error::other(format!("not adopted within {PATIENCE:?}:\n{}", daemon.log())));
                }
                _ => std::thread::sleep(PACE),
            }
        }
    }
}

fn findings(name: String, bias: String, lists: usize, seen: Seen, asked: Asked) -> io::Result<Findings> {
    let values = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).collect::<Vec<_>>();
    let shares = |of: &[(f64, f64)]| -> Vec<f64> {
        let size = |at: f64| seen.snapshot_bytes.iter().find(|(of, _)| *of == at).map_or(f64::NAN, |(_, bytes)| *bytes);
        of.iter().map(|(at, bytes)| bytes / size(*at)).collect()
    };
    let p99 = |histogram: &Histogram<u64>| histogram.value_at_quantile(0.99) as f64 / 1e3;
    let counted = |name: &str, unit: &str, samples| Figure::new(name, unit, How::Counted, "", samples);
    let measured = |name: &str, unit: &str, samples| Figure::new(name, unit, How::Measured, "", samples);
    let figures = vec![
        counted("lists", "lists", vec![lists as f64]),
        counted("lists_refused", "lists", vec![seen.refused.len() as f64]),
        counted("rules_added", "rules", values(&seen.added)),
        counted("rules_removed", "rules", values(&seen.removed)),
        counted("refresh_snapshot_bytes", "bytes", values(&seen.snapshot_bytes)),
        counted("resent_bytes", "bytes", values(&seen.resent)),
        counted("resent_share", "ratio", shares(&seen.resent)),
        measured("compile_ms", "ms", values(&seen.build_ms)),
        measured("adopted_ms", "ms", values(&seen.adopted_ms)),
        measured("refresh_steady_p99_us", "us", vec![p99(&asked.steady)]),
        measured("refresh_during_p99_us", "us", vec![p99(&asked.during)]),
    ];
    let mut notes = seen.refused;
    notes.push(format!(
        "frames asked: {} while nothing happened, {} from a manifest's name to 50 ms after its first reply",
        asked.steady.len(),
        asked.during.len()
    ));
    let curve =
        |plot: &str, name: &str, points| Curve { plot: plot.into(), group: "thirty lists in a row".into(), name: name.into(), points };
    let curves = vec![
        curve("churn", "rules added", seen.added),
        curve("churn", "rules removed", seen.removed),
        curve("resent", "the snapshot", seen.snapshot_bytes),
        curve("resent", "parts sent again", seen.resent),
        curve("adopted", "published to adopted", seen.adopted_ms),
        curve("adopted", "compiled, with gates", seen.build_ms),
    ];
    Ok(Findings { curves, ..Findings::from(Results { name, bias, figures, notes }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_list_is_in_its_name() {
        let toml: toml::Value = toml::from_str(&feeds_toml(Path::new("a/07_2021-06-05T0022.txt.gz")).unwrap()).unwrap();
        assert_eq!(toml["snapshot"]["as_of"].to_string(), "2021-06-05T00:22:00Z");
        assert_eq!(toml["feed"][0]["path"].as_str(), Some("a/07_2021-06-05T0022.txt.gz"));
        assert!(feeds_toml(Path::new("list.txt")).is_err() && feeds_toml(Path::new("ab")).is_err());
    }
}
