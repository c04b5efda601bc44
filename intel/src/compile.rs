//! Feeds in, one snapshot out: all of them, or none.
//!
//! ```text
//! feeds, by name ──► open ──► detect ──► scan ──► Builder::add ──┐ one refused feed refuses the whole,
//!                                                                └─► build ──► bytes   after all feeds were read and told
//! ```
//! A feed that cannot be read, or that gives no rule, stops the compilation: a snapshot without it would look healthy and be blind.
//! The bytes are complete on disk before the gates see them (`gates`), and get their name last, in one step, and not at all on failure.
//! The order of feeds and rows cannot show in the bytes: the builder sorts by content.

mod adding;
mod target;

pub use target::{Against, Target};

use adding::Adding;

use crate::aggregate::{Addition, Aggregated, Collector};
use crate::config::{Action, Config, Feed};
use crate::detect::detect;
use crate::format::Format;
use crate::gates::{self, Candidate, Current};
use crate::judge::Terms;
use crate::limits::LEFT_OUT_TOLD_MAX;
use crate::lines::Counted;
use crate::model;
use crate::open::Meter;
use crate::package::{self, Member, Package};
use crate::read::{Said, Tlp};
use crate::reason::Reason;
use crate::report::{FeedReport, LeftOut, Report, Sink, Telling};
use crate::scan::{Plan, Visitor, scan};
use crate::store::{self, FeedOrigin, Origins};
use crate::suffixes::Suffixes;
use std::io::Read;
use std::path::Path;
use std::time::Instant;
use verdict_simd::Backend;
use verdict_tables::{Builder, Built, Error, Rule, Source};

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

/// Compiles all feeds of `config` in memory, without gates: for tests, benches, and whoever asks them himself. `sink` hears of every rejected row
/// and of the progress.
pub fn compile<B: Backend>(backend: B, config: &Config, sink: &mut dyn Sink) -> Result<Outcome, Box<Refused>> {
    let (built, mut report) = finish(config, sink, None, |builder, _, _| Ok(builder.build(backend)?))?;
    report.generation = format!("{:016x}", built.generation);
    report.snapshot_bytes = built.bytes.len() as u64;
    Ok(Outcome { built, report })
}

/// Compiles all feeds of `config` into a file, through all gates, held against the file that it replaces.
pub fn compile_to<B: Backend>(
    backend: B,
    config: &Config,
    path: &Path,
    store: Option<&Path>,
    sink: &mut dyn Sink,
) -> Result<Report, Box<Refused>> {
    compile_into(backend, config, Target { path, store, against: Against::Replaced, replay: None, dry_run: false }, sink)
}

/// Compiles all feeds of `config` into files: complete on disk, judged as they are, and named last, the snapshot before its store.
pub fn compile_into<B: Backend>(backend: B, config: &Config, target: Target<'_>, sink: &mut dyn Sink) -> Result<Report, Box<Refused>> {
    let write = |builder: Builder, mut origins: Option<Origins>, report: &mut Report| -> Result<(), Stopped> {
        let current = current(target)?;
        let prepared = builder.prepare(backend)?;
        let begun = Instant::now();
        let store = match (target.store, &mut origins) {
            (Some(store), Some(origins)) => Some(origins.write_beside(store, &prepared)?),
            _ => None,
        };
        report.store_seconds = begun.elapsed().as_secs_f64();
        let pending = prepared.write_pending(target.path)?;
        let begun = Instant::now();
        let candidate = Candidate {
            config,
            report,
            snapshot: pending.written_at(),
            store: store.as_ref().map(store::Pending::written_at),
            current,
            replay: target.replay,
        };
        report.gates = gates::check(backend, candidate)?;
        report.gate_seconds = begun.elapsed().as_secs_f64();
        if report.gates.refused() {
            return Err(Stopped { errors: report.gates.errors() });
        }
        report.generation = format!("{:016x}", prepared.generation());
        report.snapshot_bytes = std::fs::metadata(pending.written_at())?.len();
        if target.dry_run {
            return Ok(());
        }
        pending.commit()?;
        report.store_bytes = store.map_or(Ok(0), |store| store.commit())?;
        report.written = true;
        Ok(())
    };
    let origins = target.store.map(|_| Origins::new(config.snapshot.as_of_s));
    finish(config, sink, origins, write).map(|((), report)| report)
}

/// The snapshot that is served now. One that is replaced and cannot be read is no measure, and no obstacle to a better one.
fn current(target: Target<'_>) -> Result<Option<Current>, Stopped> {
    match target.against {
        Against::Nothing => Ok(None),
        Against::Replaced if target.path.exists() => Ok(Current::load(target.path).ok()),
        Against::Replaced => Ok(None),
        Against::File(path) => match Current::load(path) {
            Ok(current) => Ok(Some(current)),
            Err(error) => Err(Stopped { errors: vec![format!("{}: {error}", path.display())] }),
        },
    }
}

/// Why a snapshot that was built is not written.
struct Stopped {
    errors: Vec<String>,
}

impl<E: std::fmt::Display> From<E> for Stopped {
    fn from(error: E) -> Self {
        Stopped { errors: vec![error.to_string()] }
    }
}

/// Reads all feeds, then builds; a refused feed refuses the whole, but only after all feeds were read and told.
fn finish<T>(
    config: &Config,
    sink: &mut dyn Sink,
    mut origins: Option<Origins>,
    build: impl FnOnce(Builder, Option<Origins>, &mut Report) -> Result<T, Stopped>,
) -> Result<(T, Report), Box<Refused>> {
    let started = Instant::now();
    let mut builder = Builder::new(config.snapshot.scheme, &config.snapshot.secret, config.snapshot.as_of_s);
    if config.snapshot.steady_hash_key {
        builder.steady_hash_key();
    }
    if let Some(list) = config.snapshot.suffixes.list() {
        builder.public_suffixes(list.clone());
    }
    if origins.is_some() {
        builder.trace();
    }
    let (mut report, errors) = read_feeds(config, &mut builder, origins.as_mut(), sink);
    report.seconds = started.elapsed().as_secs_f64();
    if !errors.is_empty() {
        return Err(Box::new(Refused { errors, report }));
    }
    if let Some(progress) = sink.building() {
        builder.on_progress(progress);
    }
    let build_started = Instant::now();
    let built = build(builder, origins, &mut report);
    report.build_seconds = build_started.elapsed().as_secs_f64();
    report.seconds = started.elapsed().as_secs_f64();
    match built {
        Ok(built) => Ok((built, report)),
        Err(Stopped { errors }) => Err(Box::new(Refused { errors, report })),
    }
}

/// Reads all feeds that the deployment may hold, in the order of their names; what stops the compilation comes back beside the account.
fn read_feeds(config: &Config, builder: &mut Builder, mut origins: Option<&mut Origins>, sink: &mut dyn Sink) -> (Report, Vec<String>) {
    let (mut report, mut errors) = (Report::default(), Vec::new());
    let mut feeds: Vec<&Feed> = config.feeds.iter().collect();
    feeds.sort_by(|one, other| one.name.cmp(&other.name));
    let mut collector = config.snapshot.ipv6_aggregate.map(Collector::new);
    let suffixes = &config.snapshot.suffixes;
    report.as_of_stated = config.snapshot.as_of_s != 0;
    let profile = config.profile();
    report.profile = profile.map(|profile| profile.name.clone());
    let mut number = 0;
    for feed in feeds {
        if let Some(why) = profile.and_then(|profile| profile.refuses(feed)) {
            let told = FeedReport { withheld: Some(why), ..FeedReport::new(feed) };
            sink.end(&told);
            report.feeds.push(told);
            continue;
        }
        let into = Into {
            builder: &mut *builder,
            origins: origins.as_deref_mut(),
            suffixes,
            collector: collector.as_mut(),
            number,
            as_of_s: config.snapshot.as_of_s,
            tlp_max: config.profile().and_then(|profile| profile.tlp_max),
            lines_before: 0,
        };
        let told = read_feed(feed, into, sink);
        number += 1;
        report.counts.add(&told.counts);
        errors.extend(told.error.as_ref().map(|error| format!("{}: {error}", told.file)));
        sink.end(&told);
        report.feeds.push(told);
    }
    if report.feeds.iter().all(|feed| feed.withheld.is_some()) {
        let name = report.profile.as_deref().unwrap_or_default();
        errors.push(format!("[profile.{name}] withholds every feed: there is nothing to compile"));
    }
    match aggregate(collector, builder, origins) {
        Ok(aggregated) => report.ipv6_aggregated = aggregated,
        Err(error) => errors.push(format!("ipv6_aggregate: {error}")),
    }
    (report, errors)
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
fn read_feed(feed: &Feed, mut into: Into<'_>, sink: &mut dyn Sink) -> FeedReport {
    let started = Instant::now();
    let mut report = FeedReport::new(feed);
    if let Some(origins) = &mut into.origins {
        origins.begin_feed();
    }
    let read =
        package::each(&feed.path, &feed.members, &mut |package, member| read_member(feed, package, member, &mut into, &mut report, sink));
    report.error = read.and_then(|package| end_feed(feed, &package, into, &mut report)).err();
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
    tlp_max: Option<Tlp>,
    /// Lines of the feed's files before this one.
    lines_before: u64,
}

/// Reads one file of a feed: all of it, for a feed that is one.
fn read_member(
    feed: &Feed,
    package: &Package,
    member: Member<'_>,
    into: &mut Into<'_>,
    report: &mut FeedReport,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    let Member { name, wanted, opened } = member;
    if report.files + report.left_out_files == 0 {
        report.file_bytes = package.total_bytes;
        sink.begin(&feed.name, &report.file, package.total_bytes);
    }
    let file = name.map_or_else(|| report.file.clone(), |name| format!("{}/{name}", report.file));
    let told = match (wanted, feed.format) {
        (false, _) => None,
        (true, Some(format)) => Some((format, "it was named".to_owned())),
        (true, None) => match detect(&file, &opened.head, opened.whole) {
            Ok(detected) => Some((detected.format, detected.because)),
            // One file that is no feed, a licence for example, does not spoil an archive.
            Err(undecided) if name.is_some() => {
                report.left_out_files += 1;
                if report.left_out.len() < LEFT_OUT_TOLD_MAX {
                    report.left_out.push(LeftOut { file: name.unwrap_or_default().to_owned(), why: undecided.to_string() });
                }
                None
            }
            Err(undecided) => return Err(undecided.to_string()),
        },
    };
    let mut input = Counted::new(opened.into_reader());
    let outcome = match told {
        Some((format, because)) => {
            report.files += 1;
            *report.formats.entry(format.name()).or_default() += 1;
            if report.files == 1 || report.format != Some(format) {
                sink.format(&feed.name, format, &because);
            }
            report.format = Some(format).filter(|_| report.formats.len() == 1);
            report.because = because;
            scan_member(feed, format, &file, package, &mut input, into, report, sink)
        }
        None => std::io::copy(&mut input, &mut std::io::sink()).map(|_| ()).map_err(|error| error.to_string()),
    };
    into.lines_before += input.lines();
    outcome.map_err(|error| name.map_or_else(|| error.clone(), |name| format!("{name}: {error}")))
}

#[expect(clippy::too_many_arguments, reason = "one call, of what a scan is made of")]
fn scan_member(
    feed: &Feed,
    format: Format,
    file: &str,
    package: &Package,
    input: &mut dyn Read,
    into: &mut Into<'_>,
    report: &mut FeedReport,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    let source = into.builder.source(Source { name: &feed.name, licence: &feed.licence });
    let suffixes = into.suffixes;
    let mut adding = Adding {
        feed,
        format,
        source,
        builder: &mut *into.builder,
        origins: into.origins.as_deref_mut(),
        collector: into.collector.as_deref_mut(),
        number: into.number,
        as_of_s: into.as_of_s,
        tlp_max: into.tlp_max,
        lines_before: into.lines_before,
        sink,
        telling: Telling { feed: &feed.name, file },
        meter: package.meter.clone(),
        file_bytes: package.total_bytes,
        full: None,
    };
    let (counts, outcome) = scan(Plan { suffixes, ..plan(feed, format) }, input, &mut adding);
    let full = adding.full;
    report.counts.add(&counts);
    outcome.map_err(|error| error.to_string())?;
    full.map_or(Ok(()), |error| Err(error.to_string()))
}

/// All files of a feed are read: where it came from, and whether it gave anything.
fn end_feed(feed: &Feed, package: &Package, into: Into<'_>, report: &mut FeedReport) -> Result<(), String> {
    report.packed = package.packed.clone();
    if report.files + report.left_out_files > 1 {
        let formats: Vec<String> = report.formats.iter().map(|(format, files)| format!("{files} {format}")).collect();
        report.because = format!("of its {} files: {}", report.files + report.left_out_files, formats.join(", "));
    }
    if let Some(origins) = into.origins {
        origins.end_feed(origin(feed, report, package.meter.bytes(), package.sum.sha256()));
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

fn origin(feed: &Feed, report: &FeedReport, file_bytes: u64, sha256: [u8; 32]) -> FeedOrigin {
    let counts = &report.counts;
    let of = |reason: Reason| counts.rejected.get(reason.code()).copied().unwrap_or(0);
    FeedOrigin {
        name: feed.name.clone(),
        file: report.file.clone(),
        licence: feed.licence.clone(),
        region: feed.region.clone(),
        reference: feed.reference.clone(),
        tlp: feed.tlp,
        trust: feed.trust,
        file_bytes,
        sha256,
        rows: counts.rows,
        kept: counts.kept,
        rejected: counts.rejected_rows(),
        expired: of(Reason::Expired),
        revoked: of(Reason::Revoked),
        ..FeedOrigin::default()
    }
}

/// How a feed is scanned in a format, by the public suffix list that is compiled in.
pub fn plan(feed: &Feed, format: Format) -> Plan<'_> {
    let subdomains = feed.subdomains.unwrap_or(format.defaults().subdomains);
    let terms = Terms { subdomains, prefixes: feed.prefixes, allow: feed.action == Action::Allow };
    Plan { format, columns: feed.columns.as_ref(), terms, suffixes: Suffixes::compiled_in() }
}
