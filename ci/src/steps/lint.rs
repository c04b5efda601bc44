//! rustfmt, and clippy for both architectures: each sees only the code that is not cfg'd out for its target.

use crate::arm::toolchain;
use crate::child::Log;
use crate::steps::Done;
use crate::steps::prerequisites::answers;
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(10 * 60);
/// After the packages.
const ARGUMENTS: [&str; 4] = ["--all-targets", "--locked", "--", "--deny=warnings"];
/// What has code of one architecture. The others are the same code for both, and building what they are made of a second time takes a minute.
const WITH_ARCHITECTURES: [&str; 1] = ["verdict-simd"];
/// It runs where it is built for.
const ELSEWHERE: &str = "xtask";

/// `cargo fmt --check`; where the toolchain in use has none, Debian's.
pub fn fmt(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = workspace.cargo();
    if !answers(workspace.cargo().args(["fmt", "--version"])) {
        command = Command::new(toolchain::CARGO_FMT);
        command.current_dir(&workspace.root).env("RUSTFMT", toolchain::RUSTFMT);
    }
    log.run(command.args(["fmt", "--all", "--check"]), LIMIT)?;
    Ok(Done::passed())
}

/// Clippy of the toolchain in use; where it has none, Debian's.
pub fn clippy_native(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    let mut command = workspace.cargo();
    command.arg("clippy");
    if !answers(workspace.cargo().args(["clippy", "--version"])) {
        command = Command::new(toolchain::CARGO_CLIPPY);
        command.current_dir(&workspace.root).arg("clippy").env("RUSTC", toolchain::RUSTC);
    }
    log.run(command.arg("--workspace").args(ARGUMENTS), LIMIT)?;
    Ok(Done::passed())
}

/// Debian's clippy, which is of the version that the ARM standard library has.
pub fn clippy_arm(workspace: &Workspace, log: &Log) -> Result<Done, String> {
    for package in &workspace.packages {
        let known = WITH_ARCHITECTURES.contains(&package.name.as_str()) || package.name == ELSEWHERE;
        if !known && names_an_architecture(package.manifest_path.parent().unwrap_or(&workspace.root))? {
            return Err(format!("{} has code of one architecture: add it to WITH_ARCHITECTURES (ci/src/steps/lint.rs)", package.name));
        }
    }
    let mut command = toolchain::clippy(workspace)?;
    // Their tests are the same code for both, and so are the libraries that only tests use.
    command.args(WITH_ARCHITECTURES.map(|name| format!("--package={name}"))).args(["--lib", "--bins", "--locked", "--", "--deny=warnings"]);
    log.run(&mut command, LIMIT)?;
    Ok(Done::Passed(WITH_ARCHITECTURES.join(", ")))
}

/// Whether a source file of the package, but not of one inside it, leaves code out by `target_arch`. What `cfg!` chooses is compiled for both.
fn names_an_architecture(directory: &Path) -> Result<bool, String> {
    for entry in std::fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            !path.join("Cargo.toml").exists() && names_an_architecture(&path)?
        } else {
            path.extension().is_some_and(|end| end == "rs") && std::fs::read_to_string(&path).is_ok_and(|text| leaves_code_out(&text))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

fn leaves_code_out(text: &str) -> bool {
    text.match_indices("target_arch").any(|(at, _)| !text[..at].ends_with("cfg!("))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_leaves_nothing_out_and_an_attribute_does() {
        assert!(!leaves_code_out("const N: u32 = if cfg!(target_arch = \"aarch64\") { 1 } else { 2 };"));
        assert!(leaves_code_out("#[cfg(target_arch = \"aarch64\")]\nmod neon;"));
        assert!(leaves_code_out("#[cfg(all(unix, target_arch = \"aarch64\"))]"));
    }
}
