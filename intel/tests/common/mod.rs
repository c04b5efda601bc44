//! Where the real files are, for the tests that read them, and what a file names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use verdict_intel::Reason;
use verdict_intel::read::Said;
use verdict_intel::scan::Visitor;
use verdict_keys::Digest;
use verdict_tables::Rule;

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

/// The rules of a file by what they name; whether names below are covered is left out.
#[derive(Default)]
pub struct Named(pub BTreeSet<String>);

impl Visitor for Named {
    fn rule(&mut self, _line: u64, rule: Rule<'_>, _said: &Said, _reference: Option<&[u8]>) -> Result<(), Reason> {
        self.0.insert(match rule {
            Rule::Host { host, .. } => host.to_owned(),
            Rule::Net { network, bits } => format!("{network}/{bits}"),
            Rule::Url { host, path_query, .. } => format!("{host}{path_query}"),
            Rule::File(Digest::Sha256(bytes)) => hex(&bytes),
            Rule::File(Digest::Sha1(bytes)) => hex(&bytes),
            Rule::File(Digest::Md5(bytes)) => hex(&bytes),
            other => panic!("{other:?}"),
        });
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
