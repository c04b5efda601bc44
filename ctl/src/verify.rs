//! `verdictctl verify SNAPSHOT | DIR`: would a daemon take it? And would `explain` take its store?

use crate::date;
use crate::exit::{Failure, Outcome};
use crate::snapshot::load;
use crate::store;
use crate::text;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use verdict_tables::manifest::epoch::{self, Floor};
use verdict_tables::manifest::{Directory, KeySet, Manifest, Refusal, check_canaries, read_bounded};

/// Check every byte of a snapshot, or of a published directory, as the daemon does before it serves one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl verify new.snap && mv new.snap /var/lib/verdictd/verdicts.snap && systemctl reload verdictd
  verdictctl verify /srv/verdicts --keys publisher.pub

The explain store beside it, SNAPSHOT.explain, is checked as well, if there is one; a store may also be named itself. Of a published
directory: signature, expiry, sizes, checksums, structure, canaries; then each earlier manifest that is kept, without its parts.

Exit status: 0 it is as its builder or publisher wrote it; 3 a canary is answered wrongly; 65 it is not, with section and offset, or the
reason; 66 it cannot be read.")]
pub struct Arguments {
    /// The file or directory
    snapshot: PathBuf,
    /// Public keys, any one of which suffices; for a published directory
    #[arg(long, value_name = "FILE", num_args = 1..)]
    keys: Vec<PathBuf>,
}

/// Verifies and says so.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if arguments.snapshot.is_dir() {
        return published(&Directory::new(&arguments.snapshot), &arguments.keys, out);
    }
    if !arguments.keys.is_empty() {
        return Err(Failure::Usage("--keys is for a published directory: a snapshot file has no signature".to_owned()));
    }
    if store::is_one(&arguments.snapshot) {
        return store::verify(&arguments.snapshot, None, out).map(|()| Outcome::Done);
    }
    let snapshot = load(&arguments.snapshot)?;
    let rules = text::grouped(snapshot.stats().rules_total());
    writeln!(out, "{}: ok, generation {:016x}, {rules} rules", text::path(&arguments.snapshot), snapshot.generation())?;
    let beside = verdict_intel::store::beside(&arguments.snapshot);
    if beside.exists() {
        store::verify(&beside, Some(&snapshot), out)?;
    }
    Ok(Outcome::Done)
}

/// As a daemon that never took anything before.
fn published(directory: &Directory, keys: &[PathBuf], out: &mut dyn Write) -> Result<Outcome, Failure> {
    if keys.is_empty() {
        return Err(Failure::Usage("a published directory is verified with the public keys of its daemons: --keys FILE".to_owned()));
    }
    let keys = read_keys(keys)?;
    let shown = text::path(&directory.manifest());
    let fail = |refusal: Refusal| {
        let told = format!("{shown}: {}", text::visible(refusal.to_string().as_bytes()));
        match refusal {
            Refusal::Io { .. } => Failure::Input(told),
            Refusal::Canary { .. } => Failure::Refused(told),
            _ => Failure::Data(told),
        }
    };
    let bytes = directory.read_manifest().map_err(fail)?;
    let (manifest, by) = Manifest::verify(&bytes, &keys).map_err(fail)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    epoch::check(&manifest, &Floor::default(), now_s).map_err(fail)?;
    let snapshot = directory.assemble(&manifest).map_err(fail)?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    check_canaries(backend, &snapshot, &manifest.canaries).map_err(fail)?;
    writeln!(out, "{}: ok, signed by {by}", text::path(&directory.path))?;
    write_manifest(&manifest, out)?;
    for path in earlier(&directory.archive())? {
        let told = match read_bounded(&path).and_then(|bytes| Manifest::verify(&bytes, &keys)) {
            Ok((manifest, by)) => {
                format!(
                    "epoch {}, generation {:016x}, of {}, signed by {by}",
                    manifest.epoch,
                    manifest.generation,
                    date::from_seconds(manifest.created_s)
                )
            }
            Err(refusal) => format!("{}: {}", text::path(&path), text::visible(refusal.to_string().as_bytes())),
        };
        writeln!(out, "earlier     {told}")?;
    }
    Ok(Outcome::Done)
}

fn write_manifest(manifest: &Manifest, out: &mut dyn Write) -> Result<(), Failure> {
    let rollback = if manifest.rollback { ", a rollback" } else { "" };
    writeln!(out, "epoch       {}{rollback}", manifest.epoch)?;
    writeln!(out, "generation  {:016x}, {} rules", manifest.generation, text::grouped(manifest.rules))?;
    writeln!(out, "created     {}", date::from_seconds(manifest.created_s))?;
    writeln!(out, "expires     {}", date::from_seconds(manifest.expires_s))?;
    writeln!(out, "formats     {} to {}", manifest.formats.0, manifest.formats.1)?;
    writeln!(out, "stage       {} %", manifest.stage)?;
    writeln!(out, "parts       {}, {}", text::grouped(manifest.parts.len() as u64), text::bytes(manifest.snapshot_bytes))?;
    writeln!(out, "canaries    {}", text::grouped(manifest.canaries.len() as u64))?;
    Ok(())
}

/// Manifests that are kept for a rollback, newest first.
fn earlier(archive: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(archive).into_iter().flatten() {
        paths.push(entry.map_err(|error| Failure::Input(format!("{}: {error}", text::path(archive))))?.path());
    }
    paths.sort_by(|a, b| b.cmp(a));
    Ok(paths)
}

/// Public keys of these files.
pub fn read_keys(paths: &[PathBuf]) -> Result<KeySet, Failure> {
    let mut texts = Vec::new();
    for path in paths {
        let read = std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{}: {error}", text::path(path))))?;
        texts.push((text::path(path), read));
    }
    KeySet::from_texts(texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))).map_err(Failure::Data)
}
