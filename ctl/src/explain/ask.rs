//! Asking: a daemon over the wire, a snapshot file in this process, or nobody. All three fill the same form.

use super::about::About;
use super::reading::{Expression, Found, Reading, RuleMatch};
use crate::daemon::{Connection, Daemon, wire_kind};
use crate::exit::Failure;
use crate::question::{Question, kind_name};
use crate::{snapshot, text};
use std::path::Path;
use verdict_keys::{Batch, CanonicalUrl, Canonicalizer, Digest, Expressions, Kind, Profile, Unparseable, fold_ipv6};
use verdict_tables::{Asked, Class, Description, Match, On, Part, RuleKind, Scratch, Snapshot, Verdict, category, flag};
use verdict_wire as wire;
use verdict_wire::{Client, ClientError, Described, Explained, ExplanationFlags, MatchFlags, MatchOn, Status};

/// How the key is read under the widest profile; nothing is asked.
pub fn nobody(question: &Question) -> Reading {
    read(question, &Profile::FULL_MAX)
}

/// What a snapshot file says.
pub fn snapshot(question: &Question, path: &Path) -> Result<Reading, Failure> {
    let snapshot = snapshot::load(path)?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    let mut reading = read(question, snapshot.profile());
    reading.asked = Some(format!("snapshot {}", text::path(path)));
    reading.number = snapshot.generation();
    reading.generation = Some(format!("{:016x}", snapshot.generation()));
    reading.sha256 = Some(*snapshot.sha256());
    if reading.unparseable.is_some() {
        return Ok(reading);
    }
    let (mut batch, mut scratch) = (Batch::with_capacity(1), Scratch::default());
    batch.keep_texts(snapshot.reads_texts());
    batch.push(backend, snapshot.schedule(), snapshot.profile(), question.kind, &question.key);
    let asked = verdict_tables::asked(backend, &snapshot, &batch, 0, &mut scratch);
    reading.expressions = expressions(&reading, &asked);
    let found = verdict_tables::matches(backend, &snapshot, &batch, 0, &mut scratch);
    reading.matches = found.iter().map(|found| of_snapshot(&snapshot, question, &reading, found)).collect();
    Ok(reading)
}

/// What a daemon says.
pub fn daemon(question: &Question, connection: &Connection) -> Result<Reading, Failure> {
    let mut daemon = Daemon::connect(connection)?;
    let key = if question.key.len() > verdict_wire::KEY_BYTES_MAX { &[] } else { question.key.as_slice() };
    let explained = daemon.call(|client| client.explain(wire_kind(question.kind), key))?;
    let ids: Vec<u32> = explained.matches.iter().map(|found| found.found.answer.id()).filter(|id| *id != 0).collect();
    let described = daemon.call(|client| describe(client, explained.generation, &ids))?;
    let mut reading = Reading {
        asked: Some(format!("daemon {}", daemon.endpoint())),
        number: explained.generation,
        generation: Some(format!("{:016x}", explained.generation)),
        ..blank(question)
    };
    match explained.status {
        Status::Ok => {}
        Status::Unparseable => {
            let reason = if explained.reason.is_empty() { "not a key".to_owned() } else { text::visible(explained.reason.as_bytes()) };
            reading.unparseable = Some(reason);
            return Ok(reading);
        }
        Status::Unsupported | Status::Overloaded | Status::Error => {
            return Err(Failure::Temporary(format!("{}: {}", explained.status, text::visible(explained.reason.as_bytes()))));
        }
    }
    reading.canonical = Some(explained.canonical.clone());
    reading.hosts = explained.hosts.iter().map(|(host, _)| host.clone()).collect();
    reading.paths = explained.paths.clone();
    let asked = |(_, asked): &(String, verdict_wire::HostAsked)| Asked { listed: asked.listed != 0, paths: asked.paths_asked.into() };
    reading.expressions = expressions(&reading, &explained.hosts.iter().map(asked).collect::<Vec<_>>());
    let lines = explained.reason.lines().map(|line| text::visible(line.as_bytes()));
    let from_model = |line: &String| line.starts_with("model ") || line.starts_with("  ");
    let acts: Vec<String>;
    (reading.models, acts) = lines.partition(from_model);
    reading.overlay = (!acts.is_empty()).then(|| acts.join(" "));
    reading.matches_cut = explained.flags.contains(ExplanationFlags::MATCHES_CUT);
    reading.matches = (0..explained.matches.len())
        .map(|place| {
            let id = explained.matches[place].found.answer.id();
            of_daemon(question, &explained, place, described.iter().find(|known| known.description.id == id))
        })
        .collect();
    Ok(reading)
}

/// A generation that was replaced meanwhile has no records to give: matches are told without them.
fn describe(client: &mut Client, generation: u64, ids: &[u32]) -> Result<Vec<Described>, ClientError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    match client.describe(generation, ids) {
        Err(ClientError::Refused { code: verdict_wire::ErrorCode::StaleGeneration, .. }) => Ok(Vec::new()),
        described => described,
    }
}

fn blank(question: &Question) -> Reading {
    Reading {
        question: std::str::from_utf8(&question.typed).map_or_else(|_| question.visible(), str::to_owned),
        kind: kind_name(question.kind),
        ..Reading::default()
    }
}

fn read(question: &Question, profile: &Profile) -> Reading {
    let mut reading = blank(question);
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
    if reading.unparseable.is_none() {
        reading.expressions = expressions(&reading, &[]);
    }
    reading
}

fn address_text(key: &[u8]) -> Option<String> {
    match *key {
        [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
        _ => Some(fold_ipv6(<[u8; 16]>::try_from(key).ok()?.into()).to_string()),
    }
}

/// Every host alone and with every path. Hosts are always asked for, where anybody was asked.
fn expressions(reading: &Reading, asked: &[Asked]) -> Vec<Expression> {
    let mut expressions = Vec::new();
    for (place, host) in reading.hosts.iter().enumerate() {
        let known = asked.get(place);
        let here = known.copied().unwrap_or_default();
        expressions.push(Expression { host: host.clone(), path: None, asked: known.is_some(), listed: here.listed });
        for (place, path) in reading.paths.iter().enumerate() {
            expressions.push(Expression { host: host.clone(), path: Some(path.clone()), asked: place < here.paths, listed: false });
        }
    }
    expressions
}

fn of_snapshot(snapshot: &Snapshot, question: &Question, reading: &Reading, found: &Match) -> RuleMatch {
    let host = |place: u8| reading.hosts.get(usize::from(place)).cloned().unwrap_or_default();
    let path = |place: u8| reading.paths.get(usize::from(place)).cloned().unwrap_or_default();
    let described = snapshot.describe(found.verdict.verdict_id());
    let about = match found.on {
        On::Host { host: at, own } => About::Host { host: host(at), own },
        On::Url { host: at, path: path_at, prefix, own } => About::Url { host: host(at), path: path(path_at), own, prefix },
        On::Network { first, last } => About::Interval { first, last },
        On::Key => file(question),
        On::Signature { index, .. } => {
            let kind = described.as_ref().map(|record| record.rule_kind);
            let (part, token) = match kind {
                Some(RuleKind::HostSubstring) => (Some(Part::Host), false),
                Some(RuleKind::HostToken) => (Some(Part::Host), true),
                Some(RuleKind::UrlSubstring) => (Some(Part::Url), false),
                Some(RuleKind::UrlToken) => (Some(Part::Url), true),
                _ => (None, false),
            };
            About::Signature { text: snapshot.signature(index).unwrap_or("?").to_owned(), part, token }
        }
    };
    let sources = described.iter().flat_map(Description::sources).map(|source| source.name.to_owned()).collect();
    let (rule, confidence) = described.as_ref().map_or(("unknown", 0), |record| (record.rule_kind.name(), record.confidence));
    RuleMatch { off: found.off, ..rule_match(about, &found.verdict, rule, confidence, sources) }
}

fn of_daemon(question: &Question, explained: &Explained, place: usize, described: Option<&Described>) -> RuleMatch {
    let found = &explained.matches[place];
    let (on, flags) = (&found.found, found.found.flags());
    let host = || explained.hosts.get(usize::from(on.host)).map(|(host, _)| host.clone()).unwrap_or_default();
    let path = || explained.paths.get(usize::from(on.path)).cloned().unwrap_or_default();
    let own = flags.contains(MatchFlags::OWN);
    let about = match on.on() {
        MatchOn::Host => About::Host { host: host(), own },
        MatchOn::Url => About::Url { host: host(), path: path(), own, prefix: flags.contains(MatchFlags::PREFIX) },
        MatchOn::Network => {
            let (first, last) = on.network();
            About::Interval { first, last }
        }
        MatchOn::Signature => {
            let (part, token) = match described.map(|known| known.description.rule_kind()) {
                Some(wire::RuleKind::HostSubstring) => (Some(Part::Host), false),
                Some(wire::RuleKind::HostToken) => (Some(Part::Host), true),
                Some(wire::RuleKind::UrlSubstring) => (Some(Part::Url), false),
                Some(wire::RuleKind::UrlToken) => (Some(Part::Url), true),
                _ => (None, false),
            };
            // The question may have it in capitals, the rule has not.
            About::Signature { text: found.signature.to_ascii_lowercase(), part, token }
        }
        MatchOn::Key => file(question),
        MatchOn::Other => About::Other,
    };
    let answer = on.answer;
    let verdict = Verdict {
        outcome: answer.outcome,
        score: answer.score,
        categories: u16::from_le_bytes(answer.categories),
        flags: answer.flags,
        id: answer.id,
    };
    let known = described.map(|known| &known.description);
    let rule = known.map_or("unknown", |description| rule_name(description.rule_kind(), question.kind, &about));
    let sources = described.map(|known| known.sources.clone()).unwrap_or_default();
    let confidence = known.map_or(0, |description| description.confidence);
    RuleMatch { off: flags.contains(MatchFlags::OFF), ..rule_match(about, &verdict, rule, confidence, sources) }
}

/// The name that the tables have for it: the wire leaves to the question what the question says.
fn rule_name(kind: wire::RuleKind, question: Kind, about: &About) -> &'static str {
    let v6 = matches!(about, About::Interval { first, .. } if first.is_ipv6());
    let kind = match kind {
        wire::RuleKind::Host => RuleKind::Host,
        wire::RuleKind::HostBelow => RuleKind::HostSubdomains,
        wire::RuleKind::Url => RuleKind::Url,
        wire::RuleKind::UrlBelow => RuleKind::UrlSubdomains,
        wire::RuleKind::UrlPrefix => RuleKind::UrlPrefix,
        wire::RuleKind::UrlPrefixBelow => RuleKind::UrlPrefixSubdomains,
        wire::RuleKind::Network if v6 => RuleKind::Ipv6,
        wire::RuleKind::Network => RuleKind::Ipv4,
        wire::RuleKind::File => return kind_name(question),
        wire::RuleKind::HostSubstring => RuleKind::HostSubstring,
        wire::RuleKind::UrlSubstring => RuleKind::UrlSubstring,
        wire::RuleKind::HostToken => RuleKind::HostToken,
        wire::RuleKind::UrlToken => RuleKind::UrlToken,
        wire::RuleKind::Model | wire::RuleKind::Other => return kind.name(),
    };
    kind.name()
}

fn rule_match(about: About, verdict: &Verdict, rule: &'static str, confidence: u8, sources: Vec<String>) -> RuleMatch {
    let flags = [(flag::FROM_DELTA, "from-delta"), (flag::ALLOWLISTED, "allowlisted"), (flag::OVERRIDDEN, "overridden")];
    let class = verdict.class().unwrap_or(Class::Unknown);
    let has = |bit: u8| verdict.flags & bit != 0;
    let overlay = has(flag::FROM_DELTA);
    let (rule, sources) = if overlay { ("overlay", vec!["an operator".to_owned()]) } else { (rule, sources) };
    RuleMatch {
        wins: false,
        off: false,
        why: String::new(),
        on: about.text(),
        rule,
        class: class.name(),
        score: verdict.score,
        confidence,
        categories: category_names(verdict.categories),
        flags: flags.iter().filter(|(bit, _)| has(*bit)).map(|&(_, name)| name).collect(),
        verdict_id: (!overlay).then(|| verdict.verdict_id()),
        sources,
        votes: Vec::new(),
        votes_cut: false,
        note: None,
        found: Found { about, class, allow: has(flag::ALLOWLISTED), overrides: has(flag::OVERRIDDEN), overlay },
    }
}

/// The names of the categories that are set.
pub fn category_names(categories: u16) -> Vec<&'static str> {
    category::NAMES.into_iter().enumerate().filter(|(bit, _)| categories >> bit & 1 == 1).map(|(_, name)| name).collect()
}

fn file(question: &Question) -> About {
    Digest::from_bytes(question.kind, &question.key).map_or(About::Other, About::File)
}
