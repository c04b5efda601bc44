//! What signatures cost: the way from URL to answer under 10,000 of them, less the same way without any, on URLs that hold none.
//!
//! ```text
//! without   │ 100 URLs ─► keys ─► lookup │                  the same host rules in both
//! with      │ 100 URLs ─► keys, texts kept ─► lookup ─► sieve │ (automaton, for those that it admits)
//! automaton │ the same texts, each searched whole │           aho-corasick as its own builder makes it
//! ```
//! Runs alternate. Patterns are real marks of bad URLs, of mixed length; those that one of the URLs holds are left out, others come in their place.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use verdict_keys::{Batch, Kind, Scheme};
use verdict_simd::{Backend, Selected, WithBackend};
use verdict_tables::{Builder, Class, Part, Rule, Scratch, Snapshot, Source, Verdict, lookup};

use super::Setting;
use crate::data::{Corpus, vote};
use crate::report::{Figure, How};
use crate::seed::Rng;

const PATTERNS: usize = 10_000;
const BATCH: usize = 100;
/// Host rules in both snapshots, so that their tables are alike.
const HOSTS: usize = 50_000;

/// The figures, over `runs` runs.
pub fn figures(setting: &Setting, corpus: &Corpus, urls: &[Box<str>], runs: usize) -> io::Result<(Vec<Figure>, Vec<String>)> {
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let mut rng = setting.rng.fork("patterns");
    let plain = snapshot(backend, &[])?;
    let canonical = texts(backend, &plain, urls);
    let patterns = patterns(corpus, &canonical, &mut rng)?;
    let loading = Instant::now();
    let signed = snapshot(backend, &patterns)?;
    let loaded = loading.elapsed();
    let automaton =
        AhoCorasick::builder().ascii_case_insensitive(true).build(patterns.iter().map(|text| text.as_bytes())).map_err(io::Error::other)?;
    let admitted = admitted(backend, &signed, urls);
    let [mut without, mut with, mut kept, mut unfiltered, mut cost] = <[Vec<f64>; 5]>::default();
    for run in 0..runs {
        let per_url = |elapsed: Duration| elapsed.as_nanos() as f64 / urls.len() as f64;
        // Who goes first has the colder caches.
        let mut sides = [(&plain, false, &mut without), (&signed, true, &mut with), (&plain, true, &mut kept)];
        if run % 2 == 1 {
            sides.reverse();
        }
        for (snapshot, texts, side) in sides {
            let (known, elapsed) = answer_all(backend, snapshot, urls, texts);
            side.push(per_url(elapsed));
            if known != 0 {
                return Err(io::Error::other(format!("{known} URLs match, and none may")));
            }
        }
        cost.push(with[run] - without[run]);
        let started = Instant::now();
        let found = canonical.iter().filter(|text| black_box(automaton.is_match(text.as_slice()))).count();
        unfiltered.push(per_url(started.elapsed()));
        if found != 0 {
            return Err(io::Error::other(format!("the automaton finds {found}")));
        }
    }
    let bytes = patterns.iter().map(|pattern| pattern.len()).sum::<usize>() as f64 / patterns.len() as f64;
    let counted = |name: &str, unit: &str, value: f64| Figure::new(name, unit, How::Counted, "", vec![value]);
    let measured = |name: &str, peer: &str, samples| Figure::new(name, "ns/url", How::Measured, peer, samples);
    let notes = vec![
        format!("patterns: {} of {bytes:.1} bytes on average; snapshot with them built, verified and loaded in {loaded:?}", patterns.len()),
        format!("unfiltered automaton: {:?}, {} bytes of memory", automaton.kind(), automaton.memory_usage()),
    ];
    let figures = vec![
        measured("patterns_ns", "the same lookup without signatures", cost),
        measured("lookup_without_patterns_ns", "", without),
        measured("lookup_with_patterns_ns", "", with),
        measured("lookup_with_texts_kept_ns", "no signatures, texts kept for nothing", kept),
        measured("unfiltered_automaton_ns", "aho-corasick 1.1", unfiltered),
        counted("patterns", "patterns", patterns.len() as f64),
        counted("patterns_admitted_share", "share", admitted as f64 / urls.len() as f64),
        counted("patterns_memory", "bytes", signed.stats().signature_memory_bytes as f64),
    ];
    Ok((figures, notes))
}

/// Patterns of the corpus that no text holds, in random order, at most `PATTERNS`.
fn patterns(corpus: &Corpus, texts: &[Vec<u8>], rng: &mut Rng) -> io::Result<Vec<Box<str>>> {
    let mut candidates: Vec<&str> = corpus.patterns.iter().map(|text| &**text).collect();
    for at in (1..candidates.len()).rev() {
        candidates.swap(at, rng.below(at + 1));
    }
    candidates.truncate(2 * PATTERNS);
    let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(&candidates).map_err(io::Error::other)?;
    let mut held = vec![false; candidates.len()];
    for text in texts {
        automaton.find_overlapping_iter(text).for_each(|found| held[found.pattern().as_usize()] = true);
    }
    let free = candidates.iter().zip(&held).filter(|(_, held)| !**held).map(|(text, _)| Box::from(*text));
    Ok(free.take(PATTERNS).collect())
}

fn snapshot(backend: Selected, patterns: &[Box<str>]) -> io::Result<Snapshot> {
    let mut builder = Builder::new(Scheme::Full, b"verdict-perf", 0);
    let source = builder.source(Source { name: "patterns", licence: "none" });
    for number in 0..HOSTS {
        let host = format!("h{number}.listed.example");
        builder.add(Rule::Host { host: &host, subdomains: true }, vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    for (number, text) in patterns.iter().enumerate() {
        let (part, token) = (Part::Url, number % 4 == 0);
        builder.add(Rule::Signature { text, part, token }, vote(source, Class::Malicious, 90, 1)).map_err(io::Error::other)?;
    }
    let built = builder.build(backend).map_err(io::Error::other)?;
    Snapshot::from_bytes(&built.bytes).map_err(io::Error::other)
}

/// Batches of all URLs, each handed to `take` once its keys are there.
fn batches(backend: impl Backend, snapshot: &Snapshot, urls: &[Box<str>], texts: bool, mut take: impl FnMut(&Batch)) {
    let mut batch = Batch::with_capacity(BATCH);
    for some in urls.chunks(BATCH) {
        batch.keep_texts(texts);
        for url in some {
            batch.push(backend, snapshot.schedule(), snapshot.profile(), Kind::Url, url.as_bytes());
        }
        take(&batch);
    }
}

fn texts(backend: Selected, snapshot: &Snapshot, urls: &[Box<str>]) -> Vec<Vec<u8>> {
    let mut all = Vec::with_capacity(urls.len());
    batches(backend, snapshot, urls, true, |batch| all.extend(batch.texts().iter().map(|text| text.bytes().to_vec())));
    all
}

fn admitted(backend: Selected, snapshot: &Snapshot, urls: &[Box<str>]) -> usize {
    let mut count = 0;
    batches(backend, snapshot, urls, true, |batch| count += batch.texts().iter().filter(|text| snapshot.sieve_admits(text)).count());
    count
}

/// How many URLs are known, and how long it took from raw bytes to answers.
fn answer_all(backend: Selected, snapshot: &Snapshot, urls: &[Box<str>], texts: bool) -> (usize, Duration) {
    struct Work<'a>(&'a Snapshot, &'a [Box<str>], bool);
    impl WithBackend for Work<'_> {
        type Output = (usize, Duration);
        fn run<B: Backend>(self, backend: B) -> (usize, Duration) {
            let Work(snapshot, urls, texts) = self;
            let (mut scratch, mut verdicts, mut known) = (Scratch::default(), [Verdict::default(); BATCH], 0);
            let started = Instant::now();
            batches(backend, snapshot, urls, texts, |batch| {
                let verdicts = &mut verdicts[..batch.items().len()];
                lookup(backend, snapshot, batch, &mut scratch, verdicts);
                known += verdicts.iter().filter(|verdict| verdict.outcome >> 4 != 0).count();
            });
            (known, started.elapsed())
        }
    }
    backend.run(Work(snapshot, urls, texts))
}
