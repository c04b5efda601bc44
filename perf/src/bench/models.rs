//! Suite `models`: what a model costs alone, and what it costs the daemon when nothing is known.
//!
//! ```text
//! evaluator    batch 1 and 32, features included: url_model_us_b1, url_model_us_b32
//! runtime      int8 ÷ float at batch 32, where ONNX Runtime and the float models are at hand: int8_vs_float_b32_NAME
//! daemon       every key unknown, batch 100: keys/CPU-s with the model ÷ without; how many were scored
//!              known keys beside them: p99.9 with ÷ without
//! ```

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;
use verdict_keys::{Batch, Canonicalizer, Kind, Scheme};
use verdict_models::card::Card;
use verdict_models::gate;
use verdict_models::native::{Evaluator, HEADS_MAX, Scorer};
use verdict_models::onnx::Model;
use verdict_simd::Selected;
use verdict_tables::{Scratch, Snapshot, Verdict};

use super::cost::{self, Demand, Discarded, Side, Times};
use super::servers::part_cpus;
use super::{Definition, Findings, Results, Setting, definition, material};
use crate::data::{Corpus, Indicator, Meant, vote};
use crate::fleet::{self, Binary, Pace, Plan, Pool};
use crate::frame;
use crate::registry::{Registry, artefact};
use crate::report::{Figure, How};
use crate::rules::RuleSet;
use crate::spawn::{AUTO, Daemon, Served, Wanted};
use crate::workload::UrlStrings;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    times: Times,
    strings: usize,
    rows: usize,
    known_per_second: f64,
}

/// Models beside none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Behind the names of its figures; empty for the one that has a target.
    name: String,
    models: Vec<String>,
    cpu_percent: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    batch: usize,
}

/// Of the suite's saturated servers.
const DEMAND: Demand = Demand { connections: 4, in_flight: 8 };

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Findings> {
    let definition: Definition<Size, Asked, Case> = definition(include_str!("../../definitions/models.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let mut notes = Vec::new();
    let mut figures = twins(&mut notes)?;
    let cpu = part_cpus(&mut notes)?;
    let texts = Texts::new(setting, size.strings)?;
    for name in ["url", "url-first"] {
        figures.extend(evaluator(name, &texts, size, setting.runs.unwrap_or(size.runs))?);
    }
    let bench = Bench { setting, size, batch: definition.expected.batch, cpu, texts: &texts };
    let mut discarded = Discarded::default();
    for case in &definition.case[..if setting.small { 1 } else { definition.case.len() }] {
        let (found, more) = bench.beside(case)?;
        figures.extend(found);
        discarded = discarded.and(more);
        notes.push(format!("figures `…{}`: {}, {} % of the CPU each", case.name, case.models.join(" then "), case.cpu_percent));
    }
    let results = Results { name: definition.name, bias: definition.bias, figures, notes };
    Ok(Findings { results, curves: Vec::new(), discarded })
}

/// int8 beside float, by the gate that admits models.
fn twins(notes: &mut Vec<String>) -> io::Result<Vec<Figure>> {
    let (Some(floats), Some(runtime)) = (std::env::var_os("VERDICT_FLOAT_MODELS"), std::env::var_os(verdict_models::runtime::VARIABLE))
    else {
        notes.push(
            "int8_vs_float_b32 is left out: it takes ORT_DYLIB_PATH and VERDICT_FLOAT_MODELS, the trainer's directory `float`".to_owned(),
        );
        return Ok(Vec::new());
    };
    let mut figures = Vec::new();
    for name in ["url", "url-first", "dga", "pe"] {
        let request = gate::Request {
            file: artefact(&format!("{name}.onnx")),
            against: Some(Path::new(&floats).join(format!("{name}.onnx"))),
            runtime: Some(runtime.clone().into()),
            ..gate::Request::default()
        };
        let report = gate::check(material::backend()?, &request);
        if let Some(refused) = report.refused {
            return Err(io::Error::other(format!("{name}: {}", refused.why)));
        }
        let ratio = report.times.iter().find(|times| times.batch == 32).and_then(|times| Some(times.int8? / times.float?));
        let ratio = ratio.ok_or_else(|| io::Error::other(format!("{name}: the gate has no times of batch 32")))?;
        figures.push(Figure::new(format!("int8_vs_float_b32_{name}"), "ratio", How::Measured, "ONNX Runtime", vec![ratio]));
    }
    Ok(figures)
}

/// Microseconds a URL, features included.
fn evaluator(name: &str, texts: &Texts, size: &Size, runs: usize) -> io::Result<Vec<Figure>> {
    let (bytes, card) = (std::fs::read(artefact(&format!("{name}.onnx")))?, std::fs::read_to_string(artefact(&format!("{name}.toml")))?);
    let model = Model::read(&bytes).map_err(io::Error::other)?;
    let evaluator = Evaluator::new(&model).map_err(io::Error::other)?;
    let spec = Card::read(&card).and_then(|card| card.spec()).map_err(io::Error::other)?;
    let spec = spec.ok_or_else(|| io::Error::other(format!("{name} has no features of text")))?;
    let mut scorer = Scorer::new(evaluator.into(), spec).ok_or_else(|| io::Error::other(format!("{name} has too few rows")))?;
    let (backend, mut us) = (material::backend()?, [Vec::new(), Vec::new()]);
    let rows: Vec<(&[u8], &[u8])> =
        texts.canonical.iter().cycle().take(size.rows).map(|(host, rest)| (host.as_bytes(), rest.as_bytes())).collect();
    for _ in 0..runs {
        for (batch, us) in [1, 32].into_iter().zip(&mut us) {
            us.push(time(backend, &mut scorer, &rows, batch));
        }
    }
    let name = name.replace('-', "_");
    let [alone, together] = us;
    Ok(vec![
        Figure::new(format!("{name}_model_us_b1"), "us/URL", How::Measured, "", alone),
        Figure::new(format!("{name}_model_us_b32"), "us/URL", How::Measured, "", together),
    ])
}

fn time(backend: Selected, scorer: &mut Scorer, rows: &[(&[u8], &[u8])], batch: usize) -> f64 {
    let (mut sums, mut scored, started) = (vec![0; batch * HEADS_MAX], 0, Instant::now());
    for some in rows.chunks(batch) {
        scored += scorer.score(backend, some.iter().copied(), &mut sums);
        std::hint::black_box(&sums);
    }
    started.elapsed().as_secs_f64() * 1e6 / scored.max(1) as f64
}

/// Real URLs where there are data files, and a table that knows half of them.
struct Texts {
    snapshot: Vec<u8>,
    known: Vec<String>,
    known_answers: Vec<u8>,
    unknown: Vec<String>,
    /// Host, and what follows its slash, of the unknown ones.
    canonical: Vec<(String, String)>,
}

impl Texts {
    fn new(setting: &Setting, count: usize) -> io::Result<Self> {
        let corpus = Corpus::real_or_generated(if setting.small { 20_000 } else { 0 }, &setting.rng)?;
        let strings = UrlStrings::of(&corpus);
        let mut table = Corpus { sources: vec![("listed".into(), "unknown".into())], ..Corpus::default() };
        let bad = vote(0, verdict_tables::Class::Malicious, 90, 1);
        table.indicators.extend(strings.listed.iter().map(|text| Indicator { text: text.clone(), meant: Meant::Url, vote: bad }));
        let built = RuleSet::from_corpus(&table).compile(material::backend()?, Scheme::Full).map_err(io::Error::other)?;
        let snapshot = Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)?;
        let some = |side: &[Box<str>]| -> Vec<String> {
            let every = (side.len() / count).max(1);
            side.iter().step_by(every).take(count).map(|url| url.to_string()).collect()
        };
        let (known, mut unknown) = (some(&strings.listed), some(&strings.unlisted));
        let answers = outcomes(&snapshot, &unknown)?;
        let mut answers = answers.iter();
        unknown.retain(|_| answers.next() == Some(&0));
        let mut canonicalizer = Canonicalizer::new();
        let canonical = unknown.iter().filter_map(|url| {
            let url = canonicalizer.url(url.as_bytes()).ok()?;
            Some((url.host_text.to_owned(), url.path_query.get(1..)?.to_owned()))
        });
        let canonical = canonical.collect();
        Ok(Self { known_answers: outcomes(&snapshot, &known)?, snapshot: built.bytes, known, unknown, canonical })
    }

    fn frames(urls: &[String], answers: impl Fn(usize) -> u8, batch: usize) -> Pool {
        let mut pool = Pool::default();
        for (number, some) in urls.chunks_exact(batch).enumerate() {
            let expected: Vec<u8> = (0..batch).map(|at| answers(number * batch + at)).collect();
            pool.push_expecting(&expected, |out| frame::lookup(out, 0, some.iter().map(|url| (Kind::Url as u8, url.as_bytes()))));
        }
        pool
    }
}

/// First bytes of the answers.
fn outcomes(snapshot: &Snapshot, urls: &[String]) -> io::Result<Vec<u8>> {
    let (backend, mut batch, mut scratch) = (material::backend()?, Batch::default(), Scratch::default());
    batch.keep_texts(snapshot.reads_texts());
    let questions = urls.iter().map(|url| (Some(Kind::Url), url.as_bytes()));
    batch.push_all(backend, snapshot.schedule(), snapshot.profile(), questions);
    let mut verdicts = vec![Verdict::default(); urls.len()];
    verdict_tables::lookup(backend, snapshot, &batch, &mut scratch, &mut verdicts);
    Ok(verdicts.iter().map(|verdict| verdict.outcome).collect())
}

struct Bench<'a> {
    setting: &'a Setting,
    size: &'a Size,
    batch: usize,
    cpu: Option<usize>,
    texts: &'a Texts,
}

impl Bench<'_> {
    fn daemon(&self, models: Option<&Registry>) -> io::Result<Daemon> {
        let limits = models.map(Registry::config).unwrap_or_default();
        let snapshot = Served::Bytes(&self.texts.snapshot);
        Daemon::start(&Wanted { binary: &self.setting.verdictd, driver: AUTO, snapshot, cpu: self.cpu, limits: &limits })
    }

    /// A daemon with the model beside one without.
    fn beside(&self, case: &Case) -> io::Result<(Vec<Figure>, Discarded)> {
        let name = &case.name;
        let registry = Registry::of(case.cpu_percent, &case.models.iter().map(String::as_str).collect::<Vec<_>>())?;
        let (with, without) = (self.daemon(Some(&registry))?, self.daemon(None)?);
        if with.counter("verdictd_models_sequence")? != 1.0 {
            return Err(io::Error::other(format!("the model is not asked:\n{}", with.log())));
        }
        let pool = Texts::frames(&self.texts.unknown, |_| 0, self.batch);
        let side = |name, daemon: &Daemon| Side::new(name, daemon.address, daemon.pid(), pool.clone(), Binary);
        let sides = [side("with", &with), side("without", &without)];
        let runs = self.setting.runs.unwrap_or(self.size.runs);
        let (costs, discarded) = cost::rounds(&sides, DEMAND, self.size.times, runs)?;
        let keys = |at: usize, what: &str| {
            Figure::new(format!("model_{what}_keys_per_s{name}"), "keys/CPU-s", How::Measured, "", costs[at].keys_per_cpu_s.clone())
        };
        let (on, off) = (keys(0, "on"), keys(1, "off"));
        let mut figures = vec![Figure::ratio(format!("model_on_throughput_ratio{name}"), "without models", &on, &off), on, off];
        let count = |outcome: &str| with.counter_of("verdictd_model_keys_total", &format!("outcome=\"{outcome}\""));
        let (scored, degraded) = (count("scored")?, count("degraded")?);
        let share = scored / (scored + degraded).max(1.0);
        figures.push(Figure::new(format!("model_share_scored{name}"), "of unknown keys", How::Measured, "", vec![share]));
        figures.extend(self.known_beside_unknown(&with, &without, &pool, runs, name)?);
        with.stop()?;
        without.stop()?;
        Ok((figures, discarded))
    }

    /// p99.9 of known keys, while unknown ones are asked as fast as they are answered.
    fn known_beside_unknown(&self, with: &Daemon, without: &Daemon, unknown: &Pool, runs: usize, name: &str) -> io::Result<Vec<Figure>> {
        let known = Texts::frames(&self.texts.known, |at| self.texts.known_answers[at], 16);
        let mut us = [Vec::new(), Vec::new()];
        for round in 0..runs {
            for turn in 0..2 {
                let at = (round + turn) % 2;
                let daemon = if at == 0 { with } else { without };
                let seconds = Duration::from_secs_f64(self.size.times.seconds);
                let warm_up = Duration::from_secs_f64(self.size.times.warm_up);
                let load = Plan { duration: seconds, warm_up, ..Plan::new(daemon.address, 4, Pace::Closed { in_flight: 1 }) };
                let pace = Pace::Open { per_second: self.size.known_per_second };
                let asked = Plan { duration: seconds, warm_up, ..Plan::new(daemon.address, 2, pace) };
                let outcome = std::thread::scope(|scope| {
                    let load = scope.spawn(|| fleet::run(&load, unknown, &Binary));
                    let outcome = fleet::run(&asked, &known, &Binary);
                    load.join().map_err(|_| io::Error::other("the load panicked"))??;
                    outcome
                })?;
                if outcome.tally.wrong > outcome.tally.overloaded || outcome.tally.odd > 0 {
                    return Err(io::Error::other(format!("known keys were answered wrongly: {:?}", outcome.tally)));
                }
                us[at].push(outcome.latency.value_at_quantile(0.999) as f64 / 1e3);
            }
        }
        let [on, off] = us.map(|us| Figure::new(format!("known_p999_us{name}"), "us", How::Measured, "", us));
        let ratio = Figure::ratio(format!("known_p999_ratio{name}"), "without models", &on, &off);
        Ok(vec![
            ratio,
            Figure { name: format!("known_p999_on_us{name}"), ..on },
            Figure { name: format!("known_p999_off_us{name}"), ..off },
        ])
    }
}
