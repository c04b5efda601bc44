//! `verdictctl models publish DIR --key FILE`: the registry of a node is signed, once every model of it was admitted on this machine.
//!
//! ```text
//! lock ─► models.toml, all that it names ─► sequence above the signed one ─► check of each model, in a child ─► models.toml.sig ─► read as a daemon does
//!         line by line                                                     one refused, nothing is signed
//! ```

use super::{check, node_failure, now_s};
use crate::answer::write_json;
use crate::columns::Table;
use crate::exit::{Failure, Outcome};
use crate::publish::told;
use crate::text;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use verdict_intel::publish::{Sealer, SecretKey};
use verdict_models::gate::Report;
use verdict_models::node::{FILE, SEAL};
use verdict_models::registry::{Entry, Mode, Source};
use verdict_models::{Node, NodeError};
use verdict_tables::category;
use verdict_tables::manifest::{KeySet, Purpose, Seal, hex};

/// Check every model of a registry on this machine, and sign it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl models publish /etc/verdictd/models --key publisher.key
  verdictctl models publish DIR --key old.key --key new.key

DIR has models.toml and the files that it names; docs/models.md tells how to write it. Each model that is not off is checked as by `models check`, in a
process of its own, with what lies beside url.onnx: its manifest (url.toml), golden vectors, url.float.onnx and url.rows.ndjson; one that is refused refuses the whole, and nothing is signed. Raise
`sequence` in models.toml with every change: what was signed before is never signed again with other content.

Exit status: 0 signed; 3 a model is refused: it answers wrongly, or is not worth it; 2 the sequence does not rise; 65 the registry, a model, a key or the
signature that is there is wrong, with file and line; 66 a file cannot be opened; 73 the signature cannot be written; 75 another publisher is at work.")]
pub struct Arguments {
    /// The directory with models.toml
    directory: PathBuf,
    /// A secret key (verdictctl keygen); two while one replaces the other
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// The library of ONNX Runtime
    #[arg(long, value_name = "FILE", env = verdict_models::runtime::VARIABLE)]
    runtime: Option<PathBuf>,
    /// Begin anew, though the signature that is there is damaged or of an unknown key
    #[arg(long)]
    anew: bool,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    directory: String,
    sequence: u64,
    sha256: String,
    keys: Vec<String>,
    models: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    name: String,
    mode: Mode,
    report: Report,
}

/// Checks, signs and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let directory = arguments.directory.as_path();
    let keys = arguments.keys.iter().map(|path| SecretKey::read(path).map_err(|error| told(&error))).collect::<Result<Vec<_>, _>>()?;
    // A directory that is not there is told by its registry.
    let node = load(directory).map_err(|error| node_failure(&error))?;
    let sealer = Sealer::open(directory, &keys).map_err(|error| told(&error))?;
    let seal = Seal { purpose: Purpose::Models, sequence: node.registry().sequence, sha256: *node.sha256() };
    let path = directory.join(SEAL);
    sealer.may_follow(&path, &seal, arguments.anew).map_err(|error| told(&error))?;
    let models = checked(directory, &node, arguments)?;
    sealer.seal(&path, &seal).map_err(|error| told(&error))?;
    // As a daemon reads it: what was changed while it was checked is found here, and not there.
    Node::load(directory, &category::NAMES, &verify(sealer.known()), now_s()).map_err(|error| node_failure(&error))?;
    let document = Document {
        directory: text::path(directory),
        sequence: seal.sequence,
        sha256: hex(&seal.sha256),
        keys: keys.iter().map(|key| key.public().id().to_string()).collect(),
        models,
    };
    if arguments.json {
        write_json(out, &document)?
    } else {
        print(&document, out)?
    }
    Ok(Outcome::Done)
}

/// What is about to be signed, with all models that are not off: those that have expired, too.
fn load(directory: &Path) -> Result<Node, NodeError> {
    Node::load_unsigned(directory, &category::NAMES, 0)
}

/// Signatures as daemons verify them.
pub fn verify(keys: &KeySet) -> impl Fn(&[u8], &[u8]) -> Result<u64, String> {
    |file, seal| match Seal::verify_file(Purpose::Models, file, seal, keys) {
        Ok((seal, _)) => Ok(seal.sequence),
        Err(refusal) => Err(refusal.to_string()),
    }
}

/// Every model that is not off is admitted; each file is checked once.
fn checked(directory: &Path, node: &Node, arguments: &Arguments) -> Result<Vec<Checked>, Failure> {
    let (mut models, mut reports) = (Vec::new(), BTreeMap::new());
    for entry in node.registry().models.iter().filter(|entry| entry.mode != Mode::Off) {
        let report = match reports.get(&entry.file) {
            Some(report) => Report::clone(report),
            None => {
                let request = check::Arguments::of(directory.join(&entry.file), arguments.runtime.clone());
                check::report(&request)?
            }
        };
        let shown = format!("{}:{}: model `{}`", text::path(&directory.join(FILE)), entry.line, entry.name);
        if let Some(refused) = &report.refused {
            return Err(check::failure(&shown, refused));
        }
        agree(entry, &report).map_err(|why| Failure::Data(format!("{shown}: {}", text::visible(why.as_bytes()))))?;
        reports.insert(entry.file.clone(), report.clone());
        models.push(Checked { name: entry.name.clone(), mode: entry.mode, report });
    }
    Ok(models)
}

/// The registry says of a model what its manifest does: golden vectors were held against the manifest's features and heads.
fn agree(entry: &Entry, report: &Report) -> Result<(), String> {
    if report.sha256 != hex(&entry.sha256) {
        return Err("its file has changed while it was checked".to_owned());
    }
    let heads: Vec<&str> = entry.heads.iter().map(|head| head.name.as_str()).collect();
    if !report.heads.is_empty() && report.heads != heads {
        return Err(format!("its heads are {}, by its manifest {}", heads.join(", "), report.heads.join(", ")));
    }
    match (&entry.features.source, report.grams) {
        (Source::Text(spec), Some(grams)) if grams != [spec.bits, spec.host.into(), spec.rest.into()] => {
            Err("its features differ from those of its manifest: bits, host_grams, rest_grams".to_owned())
        }
        (Source::Trees { sha256, .. }, _) if !report.trees_sha256.is_empty() && report.trees_sha256 != hex(sha256) => {
            Err("its trees are not those of its manifest".to_owned())
        }
        _ => Ok(()),
    }
}

fn print(document: &Document, out: &mut dyn Write) -> Result<(), Failure> {
    let mut table = Table::new(&["MODEL", "MODE", ">GOLDEN", ">US AT 1", ">US AT 32"]);
    for Checked { name, mode, report } in &document.models {
        let at = |batch| {
            report.times.iter().find(|times| times.batch == batch).map_or_else(|| "-".into(), |times| format!("{:.2}", times.native))
        };
        table.row([name.clone(), mode.name().to_owned(), text::grouped(report.golden[0]), at(1), at(32)].map(Into::into));
    }
    if !document.models.is_empty() {
        table.write_rows(out)?;
        writeln!(out)?;
    }
    for Checked { name, report, .. } in &document.models {
        for warning in &report.warnings {
            writeln!(out, "warning   {name}: {}", text::visible(warning.as_bytes()))?;
        }
        for left_out in &report.left_out {
            writeln!(out, "left out  {name}: {}", text::visible(left_out.as_bytes()))?;
        }
    }
    writeln!(out, "signed    {}, sequence {}, {}", document.directory, document.sequence, text::counted(document.models.len(), "model"))?;
    writeln!(out, "by        {}", document.keys.join(", "))?;
    Ok(())
}
