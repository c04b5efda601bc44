//! Where the real files are, for the tests that read them.

use std::path::{Path, PathBuf};

/// `$VERDICT_DATA`, or `../shared/data` beside the workspace.
pub fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let beside = cfg!(target_arch = "x86_64").then_some(beside);
    let found = std::env::var_os("VERDICT_DATA").map(PathBuf::from).or(beside).filter(|found| found.is_dir());
    if found.is_some() {
        return found;
    }
    println!("SKIPPED: the real feeds are not here (set VERDICT_DATA)");
    None
}
