//! The law of the house, held against `cargo metadata` and the files: which crate may know which, where unsafe code may live, and that
//! every dependency has a reason.
//!
//! ```text
//!  simd ◄─ keys ◄─ tables ◄─ intel ◄─ ctl          wire ◄─ daemon, ctl, perf          perf may use anything, nothing uses perf
//!    ▲──────┴────────┴──── daemon                   the daemon never links intel: the snapshot file is their interface
//! ```

use crate::child::Log;
use crate::steps::{Complaints, Done, suite};
use crate::workspace::{Package, Workspace};
use std::fs;
use std::path::PathBuf;

/// Each crate, what its programs may link, lowest first. Tests may use any crate that stands above the line of their own.
#[rustfmt::skip]
const ARROWS: &[(&str, &[&str])] = &[
    ("verdict-simd",   &[]),
    ("verdict-wire",   &[]),
    ("verdict-keys",   &["verdict-simd"]),
    ("verdict-tables", &["verdict-keys", "verdict-simd"]),
    ("verdict-models", &["verdict-keys", "verdict-simd"]),
    ("verdict-intel",  &["verdict-tables", "verdict-keys", "verdict-simd", "verdict-models"]),
    ("verdictd",       &["verdict-wire", "verdict-tables", "verdict-keys", "verdict-models", "verdict-simd"]),
    ("verdict-fetch",  &["verdict-intel"]),
    ("verdictctl",     &["verdict-wire", "verdict-fetch", "verdict-intel", "verdict-tables", "verdict-models", "verdict-keys", "verdict-simd"]),
    ("verdict-perf",   &["verdict-simd", "verdict-wire", "verdict-keys", "verdict-tables", "verdict-models", "verdict-intel", "verdictd", "verdictctl"]),
    ("verdict-kernels", &["verdict-tables", "verdict-keys", "verdict-simd"]),
    ("xtask",          &[]),
];

/// Where unsafe code may live.
const MAY_BE_UNSAFE: &[&str] = &["verdict-simd"];
/// One file of a crate that denies it to all others.
const ONE_UNSAFE_FILE: &[(&str, &str)] = &[("verdictd", "src/driver/sys.rs")];

/// The step.
pub fn run(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    suite(
        log,
        &[
            ("arrows_go_down_only", &|| arrows(&workspace.packages)),
            ("unsafe_code_is_forbidden_outside_simd", &|| unsafe_code(workspace)),
            ("unsafe_code_of_a_crate_stands_in_its_one_file", &|| one_unsafe_file(workspace)),
            ("every_dependency_has_a_reason", &|| reasons(workspace)),
            ("every_crate_stands_on_the_map", &|| map(workspace)),
            ("the_lock_file_is_up_to_date", &|| Workspace::with_dependencies().map(|_| Vec::new())),
        ],
    )
}

fn arrows(packages: &[Package]) -> Result<Complaints, String> {
    let rank = |name: &str| ARROWS.iter().position(|(known, _)| *known == name);
    let mut complaints = Vec::new();
    for package in packages {
        let Some(own) = rank(&package.name) else {
            complaints.push(format!(
                "{}: a new crate; give it a line in ARROWS (ci/src/steps/architecture.rs) and in ARCHITECTURE.md",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let only_for_tests = dependency.kind.as_deref() == Some("dev");
            let below = rank(&dependency.name).is_some_and(|other| other < own);
            if !(ARROWS[own].1.contains(&dependency.name.as_str()) || only_for_tests && below) {
                complaints.push(format!(
                    "{} -> {}: this arrow is not in ARCHITECTURE.md; a new one is a change of design",
                    package.name, dependency.name
                ));
            }
        }
    }
    Ok(complaints)
}

fn unsafe_code(workspace: &Workspace) -> Result<Complaints, String> {
    let mut complaints = Vec::new();
    for package in workspace.packages.iter().filter(|package| !MAY_BE_UNSAFE.contains(&package.name.as_str())) {
        for root in roots(package) {
            let text = fs::read_to_string(&root).map_err(|error| format!("{}: {error}", root.display()))?;
            let excepted = root.ends_with("lib.rs") && ONE_UNSAFE_FILE.iter().any(|(name, _)| *name == package.name);
            if excepted && text.lines().any(|line| line.starts_with("#![deny(unsafe_code)]")) {
                continue;
            }
            if !text.lines().any(|line| line == "#![forbid(unsafe_code)]") {
                complaints
                    .push(format!("{}: add #![forbid(unsafe_code)]; unsafe code has an address, simd/", workspace.shown(&root).display()));
            }
        }
    }
    Ok(complaints)
}

/// What denies unsafe code may be told to allow it, file by file: here it may be told so once.
fn one_unsafe_file(workspace: &Workspace) -> Result<Complaints, String> {
    let mut complaints = Vec::new();
    for (name, file) in ONE_UNSAFE_FILE {
        let Some(package) = workspace.packages.iter().find(|package| package.name == *name) else { continue };
        let allowed = package.manifest_path.with_file_name(file);
        let mut folders = vec![package.manifest_path.with_file_name("src")];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path != allowed && fs::read_to_string(&path).is_ok_and(|text| text.contains("allow(unsafe_code)")) {
                    complaints.push(format!("{}: unsafe code of {name} has an address, {file}", workspace.shown(&path).display()));
                }
            }
        }
    }
    Ok(complaints)
}

/// lib.rs, main.rs and bin/*.rs.
fn roots(package: &Package) -> Vec<PathBuf> {
    let source = package.manifest_path.with_file_name("src");
    let bins = fs::read_dir(source.join("bin")).into_iter().flatten().flatten().map(|entry| entry.path());
    let roots = bins.chain([source.join("lib.rs"), source.join("main.rs")]);
    roots.filter(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn reasons(workspace: &Workspace) -> Result<Complaints, String> {
    let members = workspace.packages.iter().map(|package| package.manifest_path.clone());
    let mut complaints = Vec::new();
    for path in members.chain([workspace.root.join("Cargo.toml")]) {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (number, line) in without_reason(&text) {
            complaints.push(format!("{}:{number}: `{line}` needs a comment that says why it is here", workspace.shown(&path).display()));
        }
    }
    Ok(complaints)
}

/// Lines of dependency sections that name a foreign crate without a comment. `x.workspace = true` has its reason in the root.
fn without_reason(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.trim_end_matches(']').ends_with("dependencies");
        } else if inside && line.contains('=') && !line.starts_with('#') {
            let explained = line.contains('#') || line.contains("workspace = true") || line.contains("path = ");
            if !explained {
                found.push((index + 1, line));
            }
        }
    }
    found
}

fn map(workspace: &Workspace) -> Result<Complaints, String> {
    let text = fs::read_to_string(workspace.root.join("ARCHITECTURE.md")).map_err(|error| format!("ARCHITECTURE.md: {error}"))?;
    let directory =
        |package: &Package| package.manifest_path.parent().and_then(|path| path.file_name()).unwrap_or_default().display().to_string();
    let absent = workspace.packages.iter().map(directory).filter(|name| !text.contains(&format!("{name}/")));
    Ok(absent.map(|name| format!("ARCHITECTURE.md: a line on {name}/ is missing")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependency: &str, kind: Option<&str>) -> Package {
        let dependency = Dependency { name: dependency.into(), kind: kind.map(str::to_owned), path: Some("somewhere".into()) };
        Package {
            name: name.into(),
            version: String::new(),
            license: None,
            manifest_path: PathBuf::new(),
            source: None,
            dependencies: vec![dependency],
        }
    }

    #[test]
    fn an_arrow_that_is_not_in_the_list_is_refused() {
        assert_eq!(arrows(&[package("verdictd", "verdict-tables", None)]).unwrap(), Vec::<String>::new());
        assert_eq!(arrows(&[package("verdictd", "verdict-intel", None)]).unwrap().len(), 1);
        assert_eq!(arrows(&[package("verdict-keys", "verdict-perf", Some("dev"))]).unwrap().len(), 1);
    }

    #[test]
    fn tests_may_use_what_stands_lower() {
        assert_eq!(arrows(&[package("verdictd", "verdict-intel", Some("dev"))]).unwrap(), Vec::<String>::new());
        assert_eq!(arrows(&[package("verdict-intel", "verdictd", Some("dev"))]).unwrap().len(), 1);
    }

    #[test]
    fn a_new_crate_must_be_given_its_place() {
        assert!(arrows(&[package("verdict-new", "verdict-keys", None)]).unwrap()[0].contains("a new crate"));
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest =
            "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\nc = \"1\"\nd = \"1\" # why\n[lints]\nworkspace = true\n";
        assert_eq!(without_reason(manifest), [(5, "c = \"1\"")]);
    }
}
