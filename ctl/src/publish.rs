//! `verdictctl publish SNAPSHOT --key FILE --to DIR`: a signed, expiring manifest and the parts that it names.
//!
//! What was published before stays until the new is there, complete, and was read back as a daemon reads it.

use crate::answer::write_json;
use crate::date;
use crate::exit::{Failure, Outcome};
use crate::text;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use verdict_intel::publish::{self, PublishError, Published, SecretKey, Terms};
use verdict_tables::manifest::{Canary, read_canaries};

/// Sign a snapshot and put it where daemons look
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl publish verdicts.snap --key publisher.key --to /srv/verdicts --canaries canaries.tsv
  verdictctl publish verdicts.snap --key old.key --key new.key --to /srv/verdicts

DIR may be copied to other machines as it is: `parts` first, `manifest` last. Nothing in it is secret. A crash at any moment leaves what was published
before, or the new, complete.

Exit status: 0 published, 3 refused (a daemon would refuse it: a canary is answered wrongly), 65 the snapshot, a key or what is published
already is damaged, 66 a file cannot be opened, 73 DIR cannot be written, 75 another publisher is at work.")]
pub struct Arguments {
    /// The snapshot file
    snapshot: PathBuf,
    #[command(flatten)]
    terms: TermArguments,
    /// Questions with known answers, which daemons ask before they serve it: QUESTION <tab> CLASS or CLASS|CLASS
    #[arg(long, value_name = "FILE")]
    canaries: Option<PathBuf>,
}

/// What `publish` and `rollback` share.
#[derive(Debug, clap::Args)]
pub struct TermArguments {
    /// A secret key (verdictctl keygen); two while one replaces the other
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// The published directory; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// How long it is good for: 36h, 7d. After that daemons call their answers stale and take it no more
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_time)]
    valid_for: u64,
    /// Nodes that take it, in percent; which ones is drawn anew each time
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100))]
    stage: u32,
    /// Earlier manifests to keep, with their parts, to go back to
    #[arg(long, value_name = "COUNT", default_value = "8")]
    keep: usize,
    /// Begin anew at this epoch, though what is published there is damaged or of an unknown key
    #[arg(long)]
    epoch: Option<u64>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || "write 90m, 36h or 7d".to_owned();
    let unit = match text.chars().next_back() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(unit).filter(|seconds| (1..=400 * 86_400).contains(seconds)).ok_or_else(|| "1s to 400d".to_owned())
}

impl TermArguments {
    /// Reads the keys.
    pub fn terms(&self, canaries: Vec<Canary>) -> Result<Terms, Failure> {
        let keys = self.keys.iter().map(|path| SecretKey::read(path).map_err(|error| told(&error))).collect::<Result<_, _>>()?;
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Ok(Terms { keys, now_s, valid_s: self.valid_for, stage: self.stage, canaries, keep: self.keep, epoch: self.epoch })
    }

    /// What is there now.
    pub fn tell(&self, published: &Published, out: &mut dyn Write) -> Result<Outcome, Failure> {
        let Published { manifest, new_parts, pruned } = published;
        if let Err(error) = pruned {
            eprintln!("verdictctl: published; what is not needed any more stayed: {}", text::visible(error.to_string().as_bytes()));
        }
        let pruned = pruned.as_ref().map_or(0, |count| *count);
        if self.json {
            let document = Document {
                directory: text::path(&self.to),
                epoch: manifest.epoch,
                generation: format!("{:016x}", manifest.generation),
                rollback: manifest.rollback,
                expires: date::from_seconds(manifest.expires_s),
                parts: manifest.parts.len(),
                bytes: manifest.snapshot_bytes,
                new_parts: new_parts.0,
                new_bytes: new_parts.1,
                canaries: manifest.canaries.len(),
                pruned,
            };
            write_json(out, &document)?;
            return Ok(Outcome::Done);
        }
        let share = new_parts.1 as f64 / manifest.snapshot_bytes as f64 * 100.0;
        writeln!(
            out,
            "{}: epoch {}, generation {:016x}{}",
            text::path(&self.to),
            manifest.epoch,
            manifest.generation,
            if manifest.rollback { ", a rollback" } else { "" }
        )?;
        writeln!(out, "expires     {}", date::from_seconds(manifest.expires_s))?;
        writeln!(
            out,
            "parts       {}, {}; new are {}, {} ({share:.1} %)",
            text::grouped(manifest.parts.len() as u64),
            text::bytes(manifest.snapshot_bytes),
            text::grouped(new_parts.0 as u64),
            text::bytes(new_parts.1)
        )?;
        writeln!(out, "canaries    {}", text::grouped(manifest.canaries.len() as u64))?;
        writeln!(out, "pruned      {}", text::counted(pruned, "file"))?;
        Ok(Outcome::Done)
    }
}

#[derive(Serialize)]
struct Document {
    directory: String,
    epoch: u64,
    generation: String,
    rollback: bool,
    expires: String,
    parts: usize,
    bytes: u64,
    new_parts: usize,
    new_bytes: u64,
    canaries: usize,
    pruned: usize,
}

/// Publishes and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let canaries = arguments.canaries.as_deref().map_or(Ok(Vec::new()), canaries)?;
    if !canaries.iter().any(|canary| canary.expected.needs_a_listing()) {
        eprintln!(
            "verdictctl: no canary must be listed: a snapshot that has lost its rules would not be noticed by what it answers (--canaries)"
        );
    }
    let terms = arguments.terms.terms(canaries)?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    let published = publish::publish(backend, &arguments.snapshot, &arguments.terms.to, &terms).map_err(|error| told(&error))?;
    arguments.terms.tell(&published, out)
}

fn canaries(path: &Path) -> Result<Vec<Canary>, Failure> {
    let list = std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{}: {error}", text::path(path))))?;
    read_canaries(&list).map_err(|why| Failure::Data(format!("{}: {}", text::path(path), text::visible(why.as_bytes()))))
}

/// The exit status that an error amounts to.
pub fn told(error: &PublishError) -> Failure {
    use verdict_tables::Error;
    let text = text::visible(error.to_string().as_bytes());
    match error {
        PublishError::Snapshot { error: Error::Io(_), .. } => Failure::Input(text),
        PublishError::Snapshot { .. } | PublishError::Key { .. } | PublishError::Existing { .. } | PublishError::ExistingSeal { .. } => {
            Failure::Data(text)
        }
        PublishError::Io { error, path }
            if error.kind() == std::io::ErrorKind::NotFound || path.extension().is_some_and(|e| e == "key") =>
        {
            Failure::Input(text)
        }
        PublishError::Io { .. } => Failure::Output(text),
        PublishError::Busy { .. } => Failure::Temporary(text),
        PublishError::NoKey | PublishError::Epoch { .. } | PublishError::Sequence { .. } | PublishError::NoSuchManifest { .. } => {
            Failure::Usage(text)
        }
        PublishError::NothingPublished { .. } => Failure::Input(text),
        // Refused for what it answers, or because the disk did not keep what was written.
        PublishError::Refused { refusal } if refusal.is_of_the_snapshot() => Failure::Refused(text),
        _ => Failure::Output(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_bound() {
        assert_eq!([parse_time("90m"), parse_time("36h"), parse_time("7d")], [Ok(5_400), Ok(129_600), Ok(604_800)]);
        for wrong in ["7", "d", "0d", "401d", "-1d", "99999999999999999999d", "7é"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
