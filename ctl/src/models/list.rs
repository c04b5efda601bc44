//! `verdictctl models list DIR`: what a registry says, and whether a daemon would take it.

use super::publish::verify;
use super::{node_failure, now_s};
use crate::answer::write_json;
use crate::columns::{Cell, NOTICE, Table};
use crate::date;
use crate::exit::{Failure, Outcome};
use crate::text;
use crate::verify::read_keys;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use verdict_models::Node;
use verdict_models::registry::{Entry, Head, Mode, Registry, Source};
use verdict_tables::category;
use verdict_tables::manifest::hex;

/// What a registry says: its models, for which keys, how far each is believed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl models list /etc/verdictd/models --keys publisher.pub
  verdictctl models list DIR --json | jq '.models[] | select(.mode == \"enforce\") | .name'

Every file that it names is read and held against its SHA-256 and against what the registry says of it, as a daemon does. Thresholds are logits: from
the first number on a head says suspicious, from the second on malicious.

Exit status: 0 a daemon would take it (with --keys), or would if it were signed; 65 it would not, with file and line; 66 a file cannot be opened.")]
pub struct Arguments {
    /// The directory with models.toml
    directory: PathBuf,
    /// Public keys, any one of which suffices; without them the signature is not looked at
    #[arg(long, value_name = "FILE", num_args = 1..)]
    keys: Vec<PathBuf>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Document {
    sequence: u64,
    sha256: String,
    signature: &'static str,
    popular: Option<Popular>,
    models: Vec<Model>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Popular {
    file: String,
    names: usize,
    margin: f32,
}

#[derive(Serialize)]
struct Model {
    name: String,
    version: u32,
    kind: &'static str,
    mode: Mode,
    is_asked: bool,
    file: String,
    sha256: String,
    features: String,
    bytes_of_weights: Option<usize>,
    cpu_percent: f64,
    expires: String,
    gate: Gate,
    heads: Vec<HeadDocument>,
}

#[derive(Serialize)]
struct Gate {
    tlds: Vec<String>,
    after: Option<String>,
    head: Option<String>,
    band: Option<[String; 2]>,
}

#[derive(Serialize)]
struct HeadDocument {
    name: String,
    categories: Vec<&'static str>,
    suspicious: Option<f32>,
    malicious: Option<f32>,
}

/// Reads and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let node = if arguments.keys.is_empty() {
        Node::load_unsigned(&arguments.directory, &category::NAMES, now_s())
    } else {
        let keys = read_keys(&arguments.keys)?;
        Node::load(&arguments.directory, &category::NAMES, &verify(&keys), now_s())
    };
    let node = node.map_err(|error| node_failure(&error))?;
    let signature = if arguments.keys.is_empty() { "not looked at" } else { "good" };
    let document = document(&node, signature);
    if arguments.json {
        write_json(out, &document)?
    } else {
        print(&document, out)?
    }
    Ok(Outcome::Done)
}

fn document(node: &Node, signature: &'static str) -> Document {
    let registry = node.registry();
    let popular = registry.popular.as_ref();
    Document {
        sequence: registry.sequence,
        sha256: hex(node.sha256()),
        signature,
        popular: popular.map(|list| Popular { file: list.file.clone(), names: node.popular_count(), margin: list.margin }),
        models: registry.models.iter().enumerate().map(|(place, entry)| model(node, registry, place, entry)).collect(),
        notes: node.notes().to_vec(),
    }
}

fn model(node: &Node, registry: &Registry, place: usize, entry: &Entry) -> Model {
    // A registry has at most `MODELS_MAX`, so a place fits.
    let loaded = node.model(place as u16);
    let after = entry.gate.after.as_ref();
    let before = after.map(|after| &registry.models[after.place]);
    Model {
        name: entry.name.clone(),
        version: entry.version,
        kind: entry.subject.name(),
        mode: entry.mode,
        is_asked: loaded.is_some(),
        file: entry.file.clone(),
        sha256: hex(&entry.sha256),
        features: match &entry.features.source {
            Source::Text(_) => entry.features.name.clone(),
            Source::Trees { file, .. } => format!("{}, {file}", entry.features.name),
        },
        bytes_of_weights: loaded.map(|loaded| loaded.evaluator.parameters()),
        cpu_percent: f64::from(entry.cpu_share) / 1000.0,
        expires: date::from_seconds(entry.expires_s),
        gate: Gate {
            tlds: entry.gate.tlds.clone(),
            after: before.map(|before| before.name.clone()),
            head: after.and_then(|after| after.head).zip(before).map(|(head, before)| before.heads[head].name.clone()),
            band: after.map(|after| after.band.map(|end| end.to_string())),
        },
        heads: entry.heads.iter().map(head).collect(),
    }
}

fn head(head: &Head) -> HeadDocument {
    let categories = category::NAMES.iter().enumerate().filter(|(bit, _)| head.categories & 1 << bit != 0);
    HeadDocument {
        name: head.name.clone(),
        categories: categories.map(|(_, name)| *name).collect(),
        suspicious: head.suspicious,
        malicious: head.malicious,
    }
}

fn print(document: &Document, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(
        out,
        "registry  sequence {}, {}, signature {}",
        document.sequence,
        text::counted(document.models.len(), "model"),
        document.signature
    )?;
    if let Some(Popular { file, names, margin }) = &document.popular {
        writeln!(
            out,
            "popular   {}, {} names, {margin} more for each threshold",
            text::visible(file.as_bytes()),
            text::grouped(*names as u64)
        )?;
    }
    let mut table = Table::new(&["MODEL", "KIND", "MODE", ">CPU %", "EXPIRES", "ASKED ABOUT", "HEADS"]);
    for model in &document.models {
        let mode = Cell::from(model.mode.name());
        table.row([
            format!("{} v{}", model.name, model.version).into(),
            model.kind.into(),
            if model.is_asked { mode } else { mode.coloured(NOTICE) },
            model.cpu_percent.to_string().into(),
            model.expires.split_once('T').map_or(model.expires.as_str(), |(day, _)| day).into(),
            asked_about(&model.gate).into(),
            model.heads.iter().map(threshold).collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    writeln!(out)?;
    table.write_rows(out)?;
    for note in &document.notes {
        writeln!(out, "note      {}", text::visible(note.as_bytes()))?;
    }
    Ok(())
}

fn asked_about(gate: &Gate) -> String {
    let mut told = Vec::new();
    match gate.tlds.as_slice() {
        [] => {}
        tlds @ ([_] | [_, _] | [_, _, _]) => told.push(format!(".{}", tlds.join(" ."))),
        [first, rest @ ..] => told.push(format!(".{first} and {} more", rest.len())),
    }
    if let (Some(after), Some([low, high])) = (&gate.after, &gate.band) {
        let head = gate.head.as_ref().map_or_else(String::new, |head| format!(".{head}"));
        told.push(format!("after {after}{head} from {low} to {high}"));
    }
    if told.is_empty() { "all".to_owned() } else { told.join(", ") }
}

fn threshold(head: &HeadDocument) -> String {
    let said = match (head.suspicious, head.malicious) {
        (None, _) => "says nothing".to_owned(),
        (Some(suspicious), None) => suspicious.to_string(),
        (Some(suspicious), Some(malicious)) => format!("{suspicious} / {malicious}"),
    };
    format!("{} {said}", head.name)
}
