//! Feeds in, one snapshot out: all of them, or none.
//!
//! ```text
//! feeds, by name ──► open ──► detect ──► scan ──► Builder::add ──┐ one refused feed refuses the whole,
//!                                                                └─► build ──► bytes   after all feeds were read and told
//! ```
//! A feed that cannot be read, or that gives no rule, stops the compilation: a snapshot without it would look healthy and be blind.
//! The output file is touched last, in one step, and not at all on failure.
//! The order of feeds and rows cannot show in the bytes: the builder sorts by content.

use crate::aggregate::{Addition, Aggregated, Collector};
use crate::config::{Action, Config, Feed};
use crate::detect::detect;
use crate::format::{Format, default_score};
use crate::judge::Terms;
use crate::open::{Meter, Opened, open};
use crate::read::Said;
use crate::reason::Reason;
use crate::report::{FeedReport, Report, Sink, Telling};
use crate::scan::{Counts, Plan, Visitor, scan};
use crate::store::{FeedOrigin, Origins};
use crate::suffixes::Suffixes;
use std::path::Path;
use std::time::Instant;
use verdict_simd::Backend;
use verdict_tables::{Builder, Built, Class, Error, Prepared, Rule, Source, Vote};

/// A snapshot and how it came about.
pub struct Outcome {
    /// The file's bytes and their generation.
    pub built: Built,
    /// What became of each feed.
    pub report: Report,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub struct Refused {
    /// At least one, in the order of the feeds' names.
    pub errors: Vec<String>,
    /// What became of each feed.
    pub report: Report,
}

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.errors.join("\n"))
    }
}

/// Compiles all feeds of `config` in memory. `sink` hears of every rejected row and of the progress.
pub fn compile<B: Backend>(backend: B, config: &Config, sink: &mut dyn Sink) -> Result<Outcome, Box<Refused>> {
    let (built, mut report) = finish(config, sink, None, |builder, _| builder.build(backend))?;
    report.generation = format!("{:016x}", built.generation);
    report.snapshot_bytes = built.bytes.len() as u64;
    Ok(Outcome { built, report })
}

/// Compiles all feeds of `config` into a file: afterwards `path` is the old file or the new one, complete, and the old one whenever this fails.
/// With `store` the explain store of the new snapshot is written there, as atomically.
pub fn compile_to<B: Backend>(
    backend: B,
    config: &Config,
    path: &Path,
    store: Option<&Path>,
    sink: &mut dyn Sink,
) -> Result<Report, Box<Refused>> {
    let write = |builder: Builder, origins: Option<Origins>| -> Result<Written, Error> {
        let prepared = builder.prepare(backend)?;
        let begun = Instant::now();
        // The store is complete on disk before the snapshot is replaced, and gets its name after it.
        let pending = match (store, &origins) {
            (Some(store), Some(origins)) => Some(origins.write_beside(store, &prepared)?),
            _ => None,
        };
        let store_seconds = begun.elapsed().as_secs_f64();
        prepared.write_file(path)?;
        let store_bytes = pending.map_or(Ok(0), |pending| pending.commit())?;
        Ok(Written { prepared, snapshot_bytes: std::fs::metadata(path)?.len(), store_bytes, store_seconds })
    };
    let (written, mut report) = finish(config, sink, store.map(|_| Origins::default()), write)?;
    report.generation = format!("{:016x}", written.prepared.generation());
    report.snapshot_bytes = written.snapshot_bytes;
    report.store_bytes = written.store_bytes;
    report.store_seconds = written.store_seconds;
    Ok(report)
}

struct Written {
    prepared: Prepared,
    snapshot_bytes: u64,
    store_bytes: u64,
    store_seconds: f64,
}

/// Reads all feeds, then builds; a refused feed refuses the whole, but only after all feeds were read and told.
fn finish<T>(
    config: &Config,
    sink: &mut dyn Sink,
    mut origins: Option<Origins>,
    build: impl FnOnce(Builder, Option<Origins>) -> Result<T, Error>,
) -> Result<(T, Report), Box<Refused>> {
    let started = Instant::now();
    let mut builder = Builder::new(config.snapshot.scheme, &config.snapshot.secret, config.snapshot.as_of_s);
    if let Some(list) = config.snapshot.suffixes.list() {
        builder.public_suffixes(list.clone());
    }
    if origins.is_some() {
        builder.trace();
    }
    let (mut report, mut errors) = (Report::default(), Vec::new());
    let mut feeds: Vec<&Feed> = config.feeds.iter().collect();
    feeds.sort_by(|one, other| one.name.cmp(&other.name));
    let mut collector = config.snapshot.ipv6_aggregate.map(Collector::new);
    let suffixes = &config.snapshot.suffixes;
    for (number, feed) in feeds.into_iter().enumerate() {
        let into = Into {
            builder: &mut builder,
            origins: origins.as_mut(),
            suffixes,
            collector: collector.as_mut(),
            number,
            as_of_s: config.snapshot.as_of_s,
        };
        let told = read_feed(feed, into, sink);
        report.counts.add(&told.counts);
        errors.extend(told.error.as_ref().map(|error| format!("{}: {error}", told.file)));
        sink.end(&told);
        report.feeds.push(told);
    }
    match aggregate(collector, &mut builder, origins.as_mut()) {
        Ok(aggregated) => report.ipv6_aggregated = aggregated,
        Err(error) => errors.push(format!("ipv6_aggregate: {error}")),
    }
    report.seconds = started.elapsed().as_secs_f64();
    if !errors.is_empty() {
        return Err(Box::new(Refused { errors, report }));
    }
    if let Some(progress) = sink.building() {
        builder.on_progress(progress);
    }
    let build_started = Instant::now();
    let built = build(builder, origins);
    report.build_seconds = build_started.elapsed().as_secs_f64();
    report.seconds = started.elapsed().as_secs_f64();
    match built {
        Ok(built) => Ok((built, report)),
        Err(error) => Err(Box::new(Refused { errors: vec![error.to_string()], report })),
    }
}

/// Adds the rules that the policy makes of what the feeds listed, in the names of those feeds.
fn aggregate(collector: Option<Collector>, builder: &mut Builder, mut origins: Option<&mut Origins>) -> Result<Aggregated, Error> {
    let Some((additions, told)) = collector.map(Collector::additions) else { return Ok(Aggregated::default()) };
    for Addition { network, bits, vote, feed, line } in additions {
        builder.add(Rule::Net { network: network.into(), bits }, vote)?;
        if let Some(origins) = &mut origins {
            origins.push_of(feed, line, &vote);
        }
    }
    Ok(told)
}

/// Reads one feed into the builder and tells what became of it.
fn read_feed(feed: &Feed, into: Into<'_>, sink: &mut dyn Sink) -> FeedReport {
    let started = Instant::now();
    let file = feed.path.display().to_string();
    let mut report = FeedReport {
        name: feed.name.clone(),
        file,
        format: None,
        because: String::new(),
        gzip: false,
        file_bytes: 0,
        counts: Counts::default(),
        error: None,
        gives_no_rule: false,
        seconds: 0.0,
    };
    report.error = match open(&feed.path) {
        Ok(opened) => read_opened(feed, opened, into, &mut report, sink).err(),
        Err(error) => Some(error.to_string()),
    };
    report.seconds = started.elapsed().as_secs_f64();
    report
}

/// Where the rules of a feed go, and where each came from; and which names no rule may cover.
struct Into<'a> {
    builder: &'a mut Builder,
    origins: Option<&'a mut Origins>,
    suffixes: &'a Suffixes,
    collector: Option<&'a mut Collector>,
    /// Place of the feed in the order of reading.
    number: usize,
    /// The moment that the data describes, 0 if that is not said.
    as_of_s: u64,
}

fn read_opened(feed: &Feed, opened: Opened, into: Into<'_>, report: &mut FeedReport, sink: &mut dyn Sink) -> Result<(), String> {
    let Into { builder, mut origins, suffixes, collector, number, as_of_s } = into;
    (report.gzip, report.file_bytes) = (opened.gzip, opened.total_bytes);
    sink.begin(&feed.name, &report.file, opened.total_bytes);
    let (format, because) = match feed.format {
        Some(format) => (format, "it was named".to_owned()),
        None => {
            let detected = detect(&report.file, &opened.head, opened.whole).map_err(|undecided| undecided.to_string())?;
            (detected.format, detected.because)
        }
    };
    sink.format(&feed.name, format, &because);
    (report.format, report.because) = (Some(format), because);
    let source = builder.source(Source { name: &feed.name, licence: &feed.licence });
    let telling = Telling { feed: &feed.name, file: &report.file };
    let (meter, sum, file_bytes) = (opened.meter.clone(), opened.sum.clone(), opened.total_bytes);
    if let Some(origins) = &mut origins {
        origins.begin_feed();
    }
    let read = meter.clone();
    let mut adding = Adding {
        feed,
        format,
        source,
        builder,
        origins: origins.as_deref_mut(),
        collector,
        number,
        as_of_s,
        sink,
        telling,
        meter,
        file_bytes,
        full: None,
    };
    let (counts, outcome) = scan(Plan { suffixes, ..plan(feed, format) }, opened.into_reader(), &mut adding);
    let full = adding.full;
    report.counts = counts;
    outcome.map_err(|error| error.to_string())?;
    if let Some(error) = full {
        return Err(error.to_string());
    }
    if let Some(origins) = origins {
        let (name, file) = (feed.name.clone(), report.file.clone());
        origins.end_feed(FeedOrigin { name, file, file_bytes: read.bytes(), sha256: sum.sha256(), rows: report.counts.rows });
    }
    if report.counts.rules.total() == 0 && !feed.may_be_empty {
        report.gives_no_rule = true;
        return Err(format!(
            "gives no rule ({} rows, {} rejected); if that is to be expected, set may_be_empty = true",
            report.counts.rows,
            report.counts.rejected_rows()
        ));
    }
    Ok(())
}

/// How a feed is scanned in a format, by the public suffix list that is compiled in.
pub fn plan(feed: &Feed, format: Format) -> Plan<'_> {
    let subdomains = feed.subdomains.unwrap_or(format.defaults().subdomains);
    let terms = Terms { subdomains, prefixes: feed.prefixes, allow: feed.action == Action::Allow };
    Plan { format, columns: feed.columns.as_ref(), terms, suffixes: Suffixes::compiled_in() }
}

/// What a feed says of a rule: the operator's word, then the row's, then the format's.
pub fn vote(feed: &Feed, format: Format, source: u16, said: &Said) -> Vote {
    let defaults = format.defaults();
    let allow = feed.action == Action::Allow;
    let class = if allow { Class::Clean } else { feed.class.or(said.class).unwrap_or(defaults.class) };
    let score = feed.score.or(said.score).unwrap_or(default_score(class));
    Vote {
        source,
        class,
        allow,
        overrides: feed.action == Action::Override,
        score: if class == Class::Clean { 0 } else { score },
        confidence: feed.confidence.or(said.confidence).unwrap_or(defaults.confidence),
        categories: if allow { 0 } else { categories(feed.categories, said.categories, defaults.categories) },
        first_seen_day: said.first_seen_day,
        last_seen_day: said.last_seen_day.max(said.first_seen_day),
        ttl_s: feed.ttl_s.unwrap_or(defaults.ttl_s),
    }
}

/// The operator's and the row's add up; the format's stand only where neither says any.
fn categories(operator: Option<u16>, row: u16, format: u16) -> u16 {
    match (operator, row) {
        (Some(operator), row) => operator | row,
        (None, 0) => format,
        (None, row) => row,
    }
}

/// Adds the rules of one feed to the builder.
struct Adding<'a> {
    feed: &'a Feed,
    format: Format,
    source: u16,
    builder: &'a mut Builder,
    origins: Option<&'a mut Origins>,
    collector: Option<&'a mut Collector>,
    number: usize,
    as_of_s: u64,
    sink: &'a mut dyn Sink,
    telling: Telling<'a>,
    meter: Meter,
    file_bytes: u64,
    /// The builder takes no more: the whole compilation fails.
    full: Option<Error>,
}

impl Visitor for Adding<'_> {
    fn rule(&mut self, line: u64, rule: Rule<'_>, said: &Said) -> Result<(), Reason> {
        if said.revoked {
            return Err(Reason::Revoked);
        }
        if said.valid_until_s != 0 && said.valid_until_s <= self.as_of_s {
            return Err(Reason::Expired);
        }
        let vote = vote(self.feed, self.format, self.source, said);
        match self.builder.add(rule, vote) {
            Ok(()) => {
                if let Some(collector) = &mut self.collector {
                    collector.see(&rule, &vote, self.number, line);
                }
                if let Some(origins) = &mut self.origins {
                    origins.push(line, &vote);
                }
                Ok(())
            }
            Err(Error::Unreachable(_)) => Err(Reason::Unreachable),
            Err(Error::MalformedRule(_)) => Err(Reason::RefusedByTables),
            Err(error) => {
                self.full.get_or_insert(error);
                Err(Reason::RefusedByTables)
            }
        }
    }

    fn rejected(&mut self, line: u64, reason: Reason, part: bool, excerpt: &[u8]) {
        self.telling.tell(self.sink, line, reason, part, excerpt);
    }

    fn progress(&mut self) {
        self.sink.progress(&self.feed.name, self.meter.bytes(), self.file_bytes);
    }
}
