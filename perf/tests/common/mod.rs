//! The daemon's binary, built the way these tests were built. Cargo gives a test the binaries of its own package only.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Where it is; built on the first call.
pub fn verdictd() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let profile = if cfg!(debug_assertions) { "test" } else { "release" };
            let path = PathBuf::from(env!("CARGO_BIN_EXE_verdict-perf")).with_file_name("verdictd");
            let target = path.parent().and_then(|profile| profile.parent()).expect("binaries stand in TARGET/PROFILE");
            let status = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "verdictd", "--bin", "verdictd", "--profile", profile, "--target-dir"])
                .arg(target)
                .status()
                .expect("cargo runs");
            assert!(status.success() && path.is_file(), "{}", path.display());
            path
        })
        .clone()
}
