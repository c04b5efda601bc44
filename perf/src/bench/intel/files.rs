//! A feeds.toml of all files below a directory: one feed a file, but for what the definition says of some.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What has to be said, for files whose path holds `file`, or once, for all.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    file: String,
    /// Lines of its `[[feed]]`.
    lines: String,
    /// Not read.
    skip: bool,
    /// Lines of `[gates]`.
    gates: String,
    /// For people.
    #[allow(dead_code, reason = "a definition gives its reasons")]
    why: String,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub name: String,
    pub path: PathBuf,
    /// What the definition says of it.
    lines: String,
    /// Its format, where it is known by now.
    pub format: Option<String>,
}

/// The longest name of a feed.
const NAME_BYTES_MAX: usize = 48;

/// Every file below a directory, by path.
pub(super) fn feeds(directory: &Path, cases: &[Case]) -> io::Result<Vec<Feed>> {
    let mut paths = Vec::new();
    walk(directory, &mut paths)?;
    let mut names = BTreeMap::new();
    let mut feeds = Vec::new();
    for path in paths {
        let below = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
        let said: Vec<&Case> = cases.iter().filter(|case| !case.file.is_empty() && below.contains(&case.file)).collect();
        if said.iter().any(|case| case.skip) {
            continue;
        }
        let name = name(&below);
        if let Some(other) = names.insert(name.clone(), below.clone()) {
            return Err(io::Error::other(format!("{other} and {below} have one name, {name}")));
        }
        let lines = said.iter().map(|case| case.lines.clone() + "\n").collect();
        feeds.push(Feed { name, path, lines, format: None });
    }
    if feeds.is_empty() { Err(io::Error::other(format!("{}: no feeds there", directory.display()))) } else { Ok(feeds) }
}

/// The end of its path, which tells most.
fn name(below: &str) -> String {
    let plain: String = below.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    plain[plain.len().saturating_sub(NAME_BYTES_MAX)..].trim_start_matches(['.', '-', '_']).to_owned()
}

fn walk(directory: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", directory.display()));
    let mut entries = std::fs::read_dir(directory).map_err(named)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() { walk(&entry, into)? } else { into.push(entry) }
    }
    Ok(())
}

/// The configuration, in this order.
pub(super) fn toml(feeds: &[Feed], cases: &[Case]) -> String {
    let mut out = String::new();
    for gates in cases.iter().map(|case| &case.gates).filter(|gates| !gates.is_empty()) {
        out += &format!("[gates]\n{gates}\n");
    }
    for Feed { name, path, lines, format } in feeds {
        // Writing to a String cannot fail. A TOML string is escaped as a Rust one, as far as paths go.
        let _ = write!(out, "[[feed]]\nname = {name:?}\npath = {:?}\n{lines}", path.display().to_string());
        if let Some(format) = format.as_ref().filter(|_| !lines.contains("columns")) {
            let _ = writeln!(out, "format = {format:?}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_feeds_with_what_is_said_of_them() {
        let directory = std::env::temp_dir().join(format!("verdict-perf-files-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("below")).unwrap();
        for name in ["b.txt", "a list.txt", "below/c.csv", "schema.json"] {
            std::fs::write(directory.join(name), "x").unwrap();
        }
        let case = |file: &str, lines: &str| Case { file: file.into(), lines: lines.into(), ..Case::default() };
        let cases = [
            case("c.csv", "action = \"allow\""),
            Case { skip: true, ..case("schema", "") },
            Case { gates: "never_block = \"x\"".into(), ..case("", "") },
        ];
        let mut feeds = feeds(&directory, &cases).unwrap();
        let names: Vec<_> = feeds.iter().map(|feed| feed.name.as_str()).collect();
        assert_eq!(names, ["a-list.txt", "b.txt", "below-c.csv"]);
        feeds[1].format = Some("hosts".into());
        let parsed: toml::Value = toml::from_str(&toml(&feeds, &cases)).unwrap();
        assert_eq!(parsed["gates"]["never_block"].as_str(), Some("x"));
        assert_eq!(parsed["feed"][1]["format"].as_str(), Some("hosts"));
        assert_eq!(parsed["feed"][2]["action"].as_str(), Some("allow"));
        assert!(name(&"long".repeat(40)).len() <= NAME_BYTES_MAX);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
