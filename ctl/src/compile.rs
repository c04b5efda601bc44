//! `verdictctl compile feeds.toml FEED… -o SNAPSHOT`: feeds in, one snapshot out, and an account of every row.
//!
//! All or nothing: a feed that cannot be read, or that gives no rule, refuses the whole, and the output file stays as it was. What was written is
//! read back and verified before it is called done. The account goes to standard output; progress and the reasons of a refusal to standard error.

mod judged;

use crate::answer::write_json;
use crate::columns::{ALARM, Cell, FINE, NOTICE, Table};
use crate::exit::{Failure, Outcome};
use crate::progress::Progress;
use crate::snapshot::{self, Facts};
use crate::text;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use verdict_intel::{Against, Config, Feed, FeedReport, Format, Refused, Rejected, Report, Sink, Suffixes, Target};
use verdict_keys::Scheme;
use verdict_simd::Backend;
use verdict_tables::Class;

/// Examples kept of each feed and reason.
const EXAMPLES_MAX: usize = 3;

/// Compile threat intelligence feeds into a snapshot
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl compile feeds.toml -o verdicts.snap
  verdictctl compile urlhaus.csv.gz drop.netset hashes.txt -o verdicts.snap --rejects rejects.jsonl
  verdictctl compile feeds.toml -o new.snap --against verdicts.snap --replay questions.txt --dry-run

A file named *.toml says which feeds there are and what is thought of each (docs/feeds.md); files named beside it are added. The format of
a feed is told from its content, and stated.

What is compiled is held against gates before it gets its name (docs/gates.md), by default also against the file that it would replace.

Exit status: 0 written, 3 refused (by a gate, or a feed gave no rule; --output is untouched), 65 a feed or feeds.toml is wrong, 66 a file cannot be
opened, 73 the output cannot be written.")]
pub struct Arguments {
    /// feeds.toml, feed files, or both
    #[arg(required = true, value_name = "FEEDS.TOML | FEED")]
    inputs: Vec<PathBuf>,
    /// The snapshot to write; an existing one is replaced in one step, or not at all
    #[arg(short, long, value_name = "SNAPSHOT")]
    output: PathBuf,
    /// Format of the feed files named here, instead of told from their content
    #[arg(long, value_parser = parse_format)]
    format: Option<Format>,
    /// Class of the feed files named here
    #[arg(long, value_enum)]
    class: Option<ClassChoice>,
    /// Write every rejected row to this file, one line of JSON each
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Write no explain store (SNAPSHOT.explain: which line said what, for `explain`)
    #[arg(long)]
    no_store: bool,
    /// The moment the data describes: 2026-06-01, 2026-06-01T12:00:00Z (UTC), or `now`
    #[arg(long, value_name = "DATE", value_parser = parse_moment)]
    as_of: Option<u64>,
    /// Which expressions questions are asked by [default: of feeds.toml, else full]
    #[arg(long, value_enum)]
    profile: Option<ProfileChoice>,
    /// The public suffix list, as publicsuffix.org writes it: no rule may cover all names below a suffix, and gsb-v5 asks by it [default: of
    /// feeds.toml; else the one compiled in, but for gsb-v5 /usr/share/publicsuffix/public_suffix_list.dat of the Debian package publicsuffix]
    #[arg(long, value_name = "FILE")]
    public_suffix_list: Option<PathBuf>,
    /// The snapshot that is served now: tell what would change, and refuse too much of it [default: --output, if it exists]
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "not_against")]
    against: Option<PathBuf>,
    /// Hold it against no snapshot, for this reason: shrink and growth are not asked, and the account says so
    #[arg(long, value_name = "REASON")]
    not_against: Option<String>,
    /// Recorded questions, one key a line: which of them would be answered otherwise? Needs a snapshot to hold it against
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Judge and tell; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Hold what this [profile.NAME] of feeds.toml allows [default: of its [deployment]]
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// A class that a feed may have.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ClassChoice {
    /// Bad.
    Malicious,
    /// Worth a second look.
    Suspicious,
}

/// A scheme of expressions.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProfileChoice {
    /// Every host suffix and path prefix, as far as the rules reach.
    Full,
    /// The expressions of Safe Browsing v4.
    GsbV4,
    /// The expressions of Safe Browsing v5: by the public suffix list.
    GsbV5,
    /// The exact host with the exact path, with and without its query; no names or paths below.
    Exact,
}

fn parse_format(text: &str) -> Result<Format, String> {
    Format::by_name(text).ok_or_else(|| format!("known are {}", Format::ALL.map(Format::name).join(", ")))
}

fn parse_moment(text: &str) -> Result<u64, String> {
    if text == "now" {
        return Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
    }
    verdict_intel::date::unix_seconds(text).ok_or_else(|| "write 2026-06-01, 2026-06-01T12:00:00Z or now".to_owned())
}

/// Compiles and tells.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let config = config(arguments)?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    let mut account = Account::new(arguments.rejects.as_deref())?;
    let compiled = compile(backend, arguments, &config, &mut account);
    let Account { progress, rejects, examples } = account;
    progress.finish();
    rejects.map_or(Ok(()), Rejects::finish)?;
    let report = match &compiled {
        Ok(report) => report,
        Err(refused) => &refused.report,
    };
    if !arguments.json {
        write_feeds(out, report, &examples)?;
        judged::write(out, report, arguments.not_against.as_deref())?;
    }
    let facts = match &compiled {
        Ok(report) if report.written => Some(Facts::new(&arguments.output, &snapshot::load(&arguments.output)?)),
        _ => None,
    };
    if arguments.json {
        write_json(out, &Document { written: facts.is_some(), report, examples: &examples, snapshot: facts.as_ref() })?;
    }
    if let Err(refused) = &compiled {
        out.flush()?;
        return Err(refusal(&config, &refused.errors, report, &arguments.output));
    }
    if arguments.dry_run && !arguments.json {
        writeln!(out, "dry run: nothing was written")?;
    }
    if let Some(facts) = facts.filter(|_| !arguments.json) {
        write_written(out, &facts, report, &arguments.output)?;
    }
    Ok(Outcome::Done)
}

fn compile<B: Backend>(backend: B, arguments: &Arguments, config: &Config, account: &mut Account) -> Result<Report, Box<Refused>> {
    let store = (!arguments.no_store).then(|| verdict_intel::store::beside(&arguments.output));
    let against = match (&arguments.against, &arguments.not_against) {
        (Some(path), _) => Against::File(path),
        (None, Some(_)) => Against::Nothing,
        (None, None) => Against::Replaced,
    };
    let target = Target {
        path: &arguments.output,
        store: store.as_deref(),
        against,
        replay: arguments.replay.as_deref(),
        dry_run: arguments.dry_run,
    };
    verdict_intel::compile_into(backend, config, target, account)
}

/// What was written, and how long it took.
fn write_written(out: &mut dyn Write, facts: &Facts, report: &Report, output: &Path) -> Result<(), Failure> {
    writeln!(out)?;
    facts.write_head(out)?;
    let added = report.ipv6_aggregated;
    if added != Default::default() {
        let [networks, allowed, refused] = [added.networks, added.beside_allowed, added.refused].map(text::grouped);
        writeln!(
            out,
            "aggregated  {networks} IPv6 networks listed for their addresses; not {allowed} beside allowed ones, not {refused} that none may list"
        )?;
    }
    let time = |seconds: f64| text::duration(Duration::from_secs_f64(seconds));
    let [whole, building, gates] = [report.seconds, report.build_seconds, report.gate_seconds].map(time);
    writeln!(out, "took        {whole}, of which building {building}, of that the gates {gates}")?;
    if report.store_bytes > 0 {
        let store = verdict_intel::store::beside(output);
        writeln!(out, "store       {}, {}, {}", text::path(&store), text::bytes(report.store_bytes), time(report.store_seconds))?;
    }
    Ok(())
}

/// What feeds.toml and the command line ask for.
fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let is_toml = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let (tomls, files): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.inputs.iter().partition(is_toml);
    if tomls.len() > 1 {
        return Err(Failure::Usage("more than one feeds.toml: name one, and further feeds as files".to_owned()));
    }
    if files.is_empty() && (arguments.format.is_some() || arguments.class.is_some()) {
        return Err(Failure::Usage("--format and --class are about feed files named here: say it in feeds.toml".to_owned()));
    }
    let mut config = match tomls.first() {
        Some(toml) => load(toml)?,
        None => Config::default(),
    };
    if !files.is_empty() {
        let files: Vec<PathBuf> = files.into_iter().cloned().collect();
        let named = Config::from_files(&files).map_err(|mistakes| Failure::Usage(visible_lines(&mistakes.to_string())))?;
        for feed in named.feeds {
            if config.feeds.iter().any(|other| other.name == feed.name) {
                return Err(Failure::Usage(format!("{}: feeds.toml has a feed of that name already", text::path(&feed.path))));
            }
            let class = arguments.class.map(|class| match class {
                ClassChoice::Malicious => Class::Malicious,
                ClassChoice::Suspicious => Class::Suspicious,
            });
            config.feeds.push(Feed { format: arguments.format, class, ..feed });
        }
    }
    if let Some(profile) = arguments.profile {
        config.snapshot.scheme = match profile {
            ProfileChoice::Full => Scheme::Full,
            ProfileChoice::GsbV4 => Scheme::GsbV4,
            ProfileChoice::GsbV5 => Scheme::GsbV5,
            ProfileChoice::Exact => Scheme::Exact,
        };
    }
    if let Some(path) = &arguments.public_suffix_list {
        config.snapshot.suffixes = Suffixes::read(path).map_err(|why| Failure::Input(text::visible(why.as_bytes())))?;
    }
    if let Some(name) = &arguments.deployment {
        config.deployment = Some(name.clone());
        if config.profile().is_none() {
            return Err(Failure::Usage(format!("no [profile.{name}] is declared in feeds.toml")));
        }
    }
    config.snapshot.complete().map_err(|why| Failure::Input(text::visible(why.as_bytes())))?;
    config.snapshot.as_of_s = arguments.as_of.unwrap_or(config.snapshot.as_of_s);
    Ok(config)
}

fn load(toml: &Path) -> Result<Config, Failure> {
    if let Err(error) = File::open(toml) {
        return Err(Failure::Input(format!("{}: {error}", text::path(toml))));
    }
    Config::load(toml).map_err(|mistakes| Failure::Data(visible_lines(&mistakes.to_string())))
}

/// Several messages, a line each, each fit to print.
fn visible_lines(text: &str) -> String {
    text.lines().map(|line| text::visible(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// What the refusal amounts to, worst first: a file that is not there, then wrong data, then feeds without a rule.
fn refusal(config: &Config, errors: &[String], report: &Report, output: &Path) -> Failure {
    let told = visible_lines(&errors.join("\n"));
    let told = format!("{told}\nnothing was written: {} is as it was", text::path(output));
    let failed: Vec<&FeedReport> = report.feeds.iter().filter(|feed| feed.error.is_some()).collect();
    if report.gates.refused() {
        return Failure::Refused(told);
    }
    if failed.is_empty() && report.feeds.iter().all(|feed| feed.withheld.is_some()) {
        return Failure::Refused(told);
    }
    if failed.is_empty() {
        // Every feed was read: building or writing failed.
        return Failure::Output(told);
    }
    let missing = |feed: &&FeedReport| config.feeds.iter().any(|of| of.name == feed.name && File::open(&of.path).is_err());
    if failed.iter().any(missing) {
        Failure::Input(told)
    } else if failed.iter().all(|feed| feed.gives_no_rule) {
        Failure::Refused(told)
    } else {
        Failure::Data(told)
    }
}

/// Listens to the compilation.
struct Account {
    progress: Progress,
    rejects: Option<Rejects>,
    examples: Examples,
}

/// The first rejected rows by feed and reason.
type Examples = BTreeMap<String, BTreeMap<&'static str, Vec<Example>>>;

#[derive(Debug, Serialize)]
struct Example {
    line: u64,
    why: String,
    excerpt: String,
}

impl Account {
    fn new(rejects: Option<&Path>) -> Result<Self, Failure> {
        let rejects = rejects.map(Rejects::create).transpose()?;
        Ok(Self { progress: Progress::new(), rejects, examples: Examples::new() })
    }
}

impl Sink for Account {
    fn begin(&mut self, feed: &str, _file: &str, file_bytes: u64) {
        self.progress.begin(feed, file_bytes);
    }

    fn progress(&mut self, _feed: &str, bytes: u64, _file_bytes: u64) {
        self.progress.at(bytes);
    }

    fn rejected(&mut self, rejected: &Rejected<'_>) {
        if let Some(rejects) = &mut self.rejects {
            rejects.write(rejected);
        }
        let examples = self.examples.entry(rejected.feed.to_owned()).or_default().entry(rejected.reason).or_default();
        if examples.len() < EXAMPLES_MAX {
            let (why, excerpt) = (rejected.why.to_owned(), rejected.excerpt.to_owned());
            examples.push(Example { line: rejected.line, why, excerpt });
        }
    }

    fn end(&mut self, report: &FeedReport) {
        self.progress.end(report);
    }

    fn building(&mut self) -> Option<verdict_tables::Progress> {
        Some(self.progress.building())
    }
}

/// The file of `--rejects`.
struct Rejects {
    shown: String,
    file: BufWriter<File>,
    error: Option<std::io::Error>,
}

impl Rejects {
    fn create(path: &Path) -> Result<Self, Failure> {
        let shown = text::path(path);
        let file = File::create(path).map_err(|error| Failure::Output(format!("{shown}: {error}")))?;
        Ok(Self { shown, file: BufWriter::new(file), error: None })
    }

    fn write(&mut self, rejected: &Rejected<'_>) {
        let written = write_json(&mut self.file, rejected);
        self.error = self.error.take().or(written.err());
    }

    fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.file.flush();
        match self.error.or(flushed.err()) {
            Some(error) => Err(Failure::Output(format!("{}: {error}", self.shown))),
            None => Ok(()),
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    written: bool,
    report: &'a Report,
    examples: &'a Examples,
    snapshot: Option<&'a Facts>,
}

fn write_feeds(out: &mut dyn Write, report: &Report, examples: &Examples) -> Result<(), Failure> {
    let mut table = Table::new(&["FEED", "FORMAT", ">ROWS", ">KEPT", ">REJECTED", ">RULES", ">TIME", ""]);
    for feed in &report.feeds {
        let counts = &feed.counts;
        let rejected = Cell::from(text::grouped(counts.rejected_rows()));
        table.row([
            text::visible(feed.name.as_bytes()).into(),
            feed.format.map_or(if feed.files > 1 { "several" } else { "unknown" }, Format::name).into(),
            text::grouped(counts.rows).into(),
            text::grouped(counts.kept).into(),
            if counts.rejected_rows() == 0 { rejected } else { rejected.coloured(NOTICE) },
            text::grouped(counts.rules.total()).into(),
            text::duration(Duration::from_secs_f64(feed.seconds)).into(),
            match (&feed.error, &feed.withheld) {
                (Some(_), _) => Cell::from("REFUSED").coloured(ALARM),
                (None, Some(_)) => Cell::from("withheld").coloured(NOTICE),
                (None, None) => Cell::from("ok").coloured(FINE),
            },
        ]);
    }
    table.write_rows(out)?;
    writeln!(out)?;
    for feed in &report.feeds {
        write_feed(out, feed, examples.get(&feed.name))?;
    }
    Ok(())
}

/// Why the format, and what was rejected with the first examples.
fn write_feed(out: &mut dyn Write, feed: &FeedReport, examples: Option<&BTreeMap<&'static str, Vec<Example>>>) -> Result<(), Failure> {
    let (name, file) = (text::visible(feed.name.as_bytes()), text::visible(feed.file.as_bytes()));
    let because = text::visible(feed.because.as_bytes());
    let packed = if feed.packed.is_empty() { String::new() } else { format!(", {}", feed.packed) };
    match feed.format {
        Some(format) => writeln!(out, "{name}: {format} because {because}; {}{packed}", text::bytes(feed.file_bytes))?,
        None if feed.files > 0 => writeln!(out, "{name}: {because}; {}{packed}", text::bytes(feed.file_bytes))?,
        None => writeln!(out, "{name}: not read")?,
    }
    if let Some(why) = &feed.withheld {
        writeln!(out, "  withheld: {}", text::visible(why.as_bytes()))?;
    }
    if feed.left_out_files > 0 {
        writeln!(out, "  left out {}, for example", text::counted(feed.left_out_files as usize, "file"))?;
        for left_out in feed.left_out.iter().take(EXAMPLES_MAX) {
            writeln!(out, "    {}: {}", text::visible(left_out.file.as_bytes()), text::visible(left_out.why.as_bytes()))?;
        }
    }
    if let Some(error) = &feed.error {
        writeln!(out, "  refused: {}", text::visible(error.as_bytes()))?;
    }
    for (reason, kept) in examples.into_iter().flatten() {
        let rows = feed.counts.rejected.get(reason).copied().unwrap_or(0);
        let parts = feed.counts.parts_rejected.get(reason).copied().unwrap_or(0);
        let counted = match (rows, parts) {
            (rows, 0) => text::counted(rows as usize, "row"),
            (0, parts) => text::counted(parts as usize, "part of kept rows"),
            (rows, parts) => format!("{} and {}", text::counted(rows as usize, "row"), text::counted(parts as usize, "part")),
        };
        // One reason is mostly one sentence; only what the canonicaliser refuses differs from row to row.
        let shared = kept.first().filter(|first| kept.iter().all(|example| example.why == first.why));
        let sentence = shared.map_or(String::new(), |first| format!(", {}", first.why));
        writeln!(out, "  rejected {counted}: {reason}{sentence}")?;
        for Example { line, why, excerpt } in kept {
            let why = if shared.is_some() { String::new() } else { format!("{why}: ") };
            writeln!(out, "    {file}:{line}: {why}{excerpt}")?;
        }
    }
    Ok(())
}
