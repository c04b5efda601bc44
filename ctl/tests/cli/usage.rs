//! Help, usage errors and completions: what the command says of itself.
//!
//! The help texts are golden files in `tests/help`; `VERDICT_BLESS=1 cargo test -p verdictctl` rewrites them.

use crate::fake::verdictctl;
use std::path::Path;
use std::process::{Command, Stdio};

fn subcommands() -> Vec<String> {
    let help = verdictctl(&["--help"]).stdout;
    let list = help.split("Commands:\n").nth(1).expect("a list of commands").split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    names.filter_map(|line| line.split_whitespace().next()).filter(|&name| name != "help").map(str::to_owned).collect()
}

fn check_golden(name: &str, arguments: &[&str]) {
    let ran = verdictctl(arguments);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{name}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help").join(format!("{name}.txt"));
    if std::env::var_os("VERDICT_BLESS").is_some() {
        std::fs::write(&path, &ran.stdout).expect("the source tree can be written");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == ran.stdout, "{} is not what the command prints now:\n{}", path.display(), ran.stdout);
}

#[test]
fn help_is_as_reviewed() {
    check_golden("verdictctl", &["--help"]);
    for name in subcommands() {
        check_golden(&name, &[&name, "--help"]);
    }
}

#[test]
fn every_golden_help_has_a_command() {
    let names = subcommands();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help")).expect("golden files").flatten() {
        let name = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(name == "verdictctl" || names.contains(&name), "tests/help/{name}.txt is of no command");
    }
}

#[test]
fn wrong_usage_is_2() {
    let cases: [&[&str]; 8] = [
        &[],
        &["frobnicate"],
        &["lookup"],
        &["lookup", "--kind", "ip", "a.test"],
        &["lookup", "--kind", "hash", "a.test"],
        &["lookup", "192.0.2.0/24"],
        &["lookup", "-", "a.test"],
        &["lookup", "--connect", "nowhere", "a.test"],
    ];
    for arguments in cases {
        let ran = verdictctl(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = verdictctl(&["completions", shell]);
        assert_eq!(ran.status, 0);
        for name in subcommands() {
            assert!(ran.stdout.contains(&name), "{shell} does not know {name}");
        }
    }
}

#[test]
fn a_reader_that_went_away_is_no_reason_to_complain() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdictctl"));
    let output = command.args(["completions", "bash"]).stdout(writer).stderr(Stdio::piped()).output().expect("the command ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(141), &b""[..]));
}

#[test]
fn the_version_names_the_vector_backend() {
    let ran = verdictctl(&["--version"]);
    let backends = ["(neon)", "(avx512)", "(avx2)", "(portable)"];
    assert!(ran.stdout.starts_with(concat!("verdictctl ", env!("CARGO_PKG_VERSION"), " (")), "{}", ran.stdout);
    assert!(backends.iter().any(|backend| ran.stdout.contains(backend)), "{}", ran.stdout);
}
