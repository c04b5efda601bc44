//! `verdictctl explain KEY --snapshot FILE`: how is a key read, what is asked for it, which rules match, and which of them wins? Offline.
//!
//! It takes the way of the daemon: the same canonicaliser, the same batch, the same probes. Without a snapshot it stops at the
//! canonical form and its expressions.

use crate::answer::write_json;
use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::exit::{Failure, Outcome};
use crate::question::{KindChoice, Question, kind_name};
use crate::{snapshot, text};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use verdict_keys::{Batch, CanonicalUrl, Canonicalizer, Expressions, Host, Kind, Profile, Unparseable};
use verdict_simd::Selected;
use verdict_tables::{Class, Match, On, Scratch, Snapshot, flag};

/// Explain offline how a key is read and which rules of a snapshot match it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: verdictctl explain --snapshot verdicts.snap 'HTTP://user@EXAMPLE.test:80/a/../b%20c?x=1'

Exit status: as `lookup`: 0 nothing malicious or suspicious matches, 1 something does, 65 the key is no key or the snapshot is corrupt.")]
pub struct Arguments {
    /// URL, host, IPv4 or IPv6 address, SHA-256, SHA-1 or MD5
    key: OsString,
    /// The snapshot; without one only the canonical form and its expressions are shown
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Take the key as this kind instead of by its look
    #[arg(long, value_enum, default_value_t = KindChoice::Auto)]
    kind: KindChoice,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How a key is read.
#[derive(Debug, Default, Serialize)]
struct Reading {
    question: String,
    kind: &'static str,
    /// Null for a key that is unparseable.
    canonical: Option<String>,
    unparseable: Option<String>,
    /// The exact host, then its suffixes, longest first.
    hosts: Vec<String>,
    /// With query, without, then prefixes, longest first.
    paths: Vec<String>,
    /// Null without a snapshot.
    generation: Option<String>,
    /// The winner first.
    matches: Vec<MatchJson>,
}

#[derive(Debug, Serialize)]
struct MatchJson {
    wins: bool,
    /// What of the question it is about: an expression, a network, the key.
    on: String,
    rule: &'static str,
    class: &'static str,
    score: u8,
    confidence: u8,
    categories: Vec<&'static str>,
    flags: Vec<&'static str>,
    verdict_id: u32,
    sources: Vec<String>,
    #[serde(skip)]
    found_class: Option<Class>,
}

/// Reads, looks up and prints.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let question = Question::new(arguments.key.as_bytes(), arguments.kind)?;
    let snapshot = arguments.snapshot.as_deref().map(snapshot::load).transpose()?;
    let profile = snapshot.as_ref().map_or(Profile::FULL_MAX, |snapshot| snapshot.profile().clone());
    let mut reading = read(&question, &profile);
    if let Some(snapshot) = &snapshot {
        let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
        reading.generation = Some(format!("{:016x}", snapshot.generation()));
        reading.matches = matches(backend, snapshot, &question, &reading);
    }
    if arguments.json {
        write_json(out, &reading)?
    } else {
        write(out, &reading)?
    }
    let outcome = match (&reading.unparseable, reading.matches.first().and_then(|winner| winner.found_class)) {
        (Some(_), _) => Outcome::Unparseable,
        (None, Some(Class::Malicious | Class::Suspicious)) => Outcome::Found,
        (None, _) => Outcome::Done,
    };
    Ok(outcome)
}

fn read(question: &Question, profile: &Profile) -> Reading {
    let mut reading = Reading {
        question: std::str::from_utf8(&question.typed).map_or_else(|_| question.visible(), str::to_owned),
        kind: kind_name(question.kind),
        ..Reading::default()
    };
    let mut canonicalizer = Canonicalizer::new();
    let done: Result<(), Unparseable> = match question.kind {
        Kind::Url => canonicalizer.url(&question.key).map(|url| {
            reading.canonical = Some(url.to_string());
            let Expressions { hosts, paths, .. } = Expressions::new(&url, profile);
            reading.hosts = hosts.iter().map(|&host| host.to_owned()).collect();
            reading.paths = paths.iter().map(|&path| path.to_owned()).collect();
        }),
        Kind::Host => canonicalizer.host(&question.key).map(|(host, host_text)| {
            reading.canonical = Some(host_text.to_owned());
            let url = CanonicalUrl { host, host_text, path_query: "/", path_bytes: 1 };
            reading.hosts = Expressions::new(&url, profile).hosts.iter().map(|&host| host.to_owned()).collect();
            debug_assert!(matches!(host, Host::Name(_)) || reading.hosts.len() == 1, "an address has no parents");
        }),
        Kind::Ipv4 | Kind::Ipv6 => {
            reading.canonical = address_text(&question.key);
            Ok(())
        }
        Kind::Sha256 | Kind::Sha1 | Kind::Md5 => {
            reading.canonical = Some(question.key.iter().map(|byte| format!("{byte:02x}")).collect());
            Ok(())
        }
    };
    reading.unparseable = done.err().map(|reason| reason.to_string());
    reading
}

fn address_text(key: &[u8]) -> Option<String> {
    match *key {
        [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
        _ => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?).to_string()),
    }
}

fn matches(backend: Selected, snapshot: &Snapshot, question: &Question, reading: &Reading) -> Vec<MatchJson> {
    let mut batch = Batch::with_capacity(1);
    batch.keep_texts(snapshot.reads_texts());
    batch.push(backend, snapshot.schedule(), snapshot.profile(), question.kind, &question.key);
    let found = verdict_tables::matches(backend, snapshot, &batch, 0, &mut Scratch::default());
    found.iter().enumerate().map(|(place, one)| match_json(snapshot, reading, place == 0, one)).collect()
}

fn match_json(snapshot: &Snapshot, reading: &Reading, wins: bool, found: &Match) -> MatchJson {
    let verdict = &found.verdict;
    let class = verdict.class();
    let flags = [(flag::ALLOWLISTED, "allowlisted"), (flag::OVERRIDDEN, "overridden")];
    let described = snapshot.describe(verdict.verdict_id());
    MatchJson {
        wins,
        on: match found.on {
            On::Signature { index, .. } => format!("…{}…", snapshot.signature(index).unwrap_or("?")),
            ref on => on_text(reading, on),
        },
        rule: described.as_ref().map_or("unknown", |record| record.rule_kind.name()),
        class: class.map_or("unknown", Class::name),
        score: verdict.score,
        confidence: described.as_ref().map_or(0, |record| record.confidence),
        categories: verdict.category_names().collect(),
        flags: flags.iter().filter(|(bit, _)| verdict.flags & bit != 0).map(|&(_, name)| name).collect(),
        verdict_id: verdict.verdict_id(),
        sources: described.iter().flat_map(|record| record.sources()).map(|source| source.name.to_owned()).collect(),
        found_class: class,
    }
}

/// The part of the question that the rule is about; `…` stands for what the rule leaves open.
fn on_text(reading: &Reading, on: &On) -> String {
    let host_text = |host: u8| reading.hosts.get(usize::from(host)).map_or("?", String::as_str);
    match *on {
        On::Host { host, .. } => host_text(host).to_owned(),
        On::Url { host, path, prefix, .. } => {
            let path = reading.paths.get(usize::from(path)).map_or("?", String::as_str);
            format!("{}{path}{}", host_text(host), if prefix { "…" } else { "" })
        }
        On::Network { first, last } if first == last => first.to_string(),
        On::Network { first, last } => format!("{first} to {last}"),
        On::Key | On::Signature { .. } => reading.canonical.clone().unwrap_or_default(),
    }
}

fn write(out: &mut dyn Write, reading: &Reading) -> Result<(), Failure> {
    writeln!(out, "question    {}", text::visible(reading.question.as_bytes()))?;
    writeln!(out, "kind        {}", reading.kind)?;
    if let Some(reason) = &reading.unparseable {
        writeln!(out, "canonical   none: {reason}")?;
        return Ok(());
    }
    writeln!(out, "canonical   {}", reading.canonical.as_deref().unwrap_or_default())?;
    write_list(out, "hosts       ", &reading.hosts)?;
    write_list(out, "paths       ", &reading.paths)?;
    let Some(generation) = &reading.generation else { return Ok(()) };
    writeln!(out, "generation  {generation}")?;
    if reading.matches.is_empty() {
        writeln!(out, "answer      unknown: no rule matches")?;
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&["", "MATCHES", "RULE", "CLASS", ">SCORE", "CATEGORIES", "FLAGS", ">ID", "SOURCES"]);
    for found in &reading.matches {
        table.row([
            if found.wins { "wins" } else { "" }.into(),
            found.on.clone().into(),
            found.rule.into(),
            Cell::from(found.class).coloured(class_style(found.found_class)),
            found.score.to_string().into(),
            or_dash(&found.categories).into(),
            or_dash(&found.flags).into(),
            found.verdict_id.to_string().into(),
            found.sources.iter().map(|name| text::visible(name.as_bytes())).collect::<Vec<_>>().join(", ").into(),
        ]);
    }
    table.write_rows(out)?;
    Ok(())
}

fn class_style(class: Option<Class>) -> anstyle::Style {
    match class {
        Some(Class::Malicious) => ALARM,
        Some(Class::Suspicious) => NOTICE,
        Some(Class::Clean) => FINE,
        Some(Class::Unknown) | None => anstyle::Style::new(),
    }
}

fn or_dash(names: &[&str]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join("|") }
}

fn write_list(out: &mut dyn Write, title: &str, items: &[String]) -> std::io::Result<()> {
    for (place, item) in items.iter().enumerate() {
        writeln!(out, "{}{item}", if place == 0 { title } else { "            " })?;
    }
    Ok(())
}
