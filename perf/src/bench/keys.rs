//! Suite `keys`: from raw URLs to all their keys, beside the parse alone by `url` and, where it was built, ada-url.

use std::hint::black_box;
use std::io;

use serde::Deserialize;
use verdict_keys::{Batch, Form, Kind, Profile};
use verdict_simd::{Backend, HashKey, HashSchedule, Selected, WithBackend};

use super::{Definition, Results, Setting, definition, hash, instructions, patterns, timed, unexpected};
use crate::data::{Corpus, Meant};
use crate::report::{Figure, How};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Size {
    runs: usize,
    urls: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    parseable_min: f64,
}

const BATCH: usize = 100;

/// All figures of the suite.
pub fn run(setting: &Setting) -> io::Result<Results> {
    let definition: Definition<Size, Expected> = definition(include_str!("../../definitions/keys.toml"))?;
    let size = if setting.small { &definition.small } else { &definition.full };
    let corpus = Corpus::real_or_generated(if setting.small { 20_000 } else { 0 }, &setting.rng)?;
    let urls = urls(&corpus, size.urls)?;
    let backend = verdict_simd::detect().map_err(|error| io::Error::other(format!("{error:?}")))?;
    let (mut ours, mut url, mut ada) = (Vec::new(), Vec::new(), Vec::new());
    let (mut keys, mut fast) = (0, 0);
    let runs = setting.runs.unwrap_or(size.runs);
    for _ in 0..runs {
        let (counts, elapsed) = timed(|| all_keys(backend, &urls));
        let parseable = counts.parseable as f64 / urls.len() as f64;
        if parseable < definition.expected.parseable_min {
            return Err(unexpected("the parseable share", parseable));
        }
        (keys, fast) = (counts.keys, counts.fast);
        let per_url = |elapsed: std::time::Duration| elapsed.as_nanos() as f64 / urls.len() as f64;
        ours.push(per_url(elapsed));
        url.push(per_url(timed(|| urls.iter().filter(|url| black_box(url::Url::parse(url)).is_ok()).count()).1));
        ada.extend(ada_parse(&urls).map(per_url));
    }
    let ours = Figure::new("keys_ns", "ns/url", How::Measured, "", ours);
    let url = Figure::new("url_crate_ns", "ns/url", How::Measured, "url 2", url);
    let bytes = urls.iter().map(|url| url.len()).sum::<usize>() as f64 / urls.len() as f64;
    let mut figures = vec![
        Figure::new("url_bytes", "bytes/url", How::Counted, "", vec![bytes]),
        Figure::new("keys_per_url", "keys", How::Counted, "", vec![keys as f64 / urls.len() as f64]),
        Figure::new("fast_path_share", "share", How::Counted, "", vec![fast as f64 / urls.len() as f64]),
        Figure::ratio("keys_vs_url", "url 2", &ours, &url),
    ];
    let mut notes = Vec::new();
    figures.extend(hash::figures(backend, &urls, runs));
    match instructions::figures(&urls) {
        Ok(counted) => figures.extend(counted),
        Err(reason) => notes.push(format!("neon_vs_portable_instructions is left out: {reason}")),
    }
    if ada.is_empty() {
        notes.push("ada-url is not part of this build (feature `ada`, needs a C++ compiler)".to_owned());
    } else {
        let ada = Figure::new("ada_url_ns", "ns/url", How::Measured, "ada-url 4", ada);
        figures.push(Figure::ratio("keys_vs_ada", "ada-url 4", &ours, &ada));
        figures.push(ada);
    }
    figures.extend([ours, url]);
    let (of_patterns, about_them) = patterns::figures(setting, &corpus, &urls, setting.runs.unwrap_or(size.runs))?;
    figures.extend(of_patterns);
    notes.extend(about_them);
    Ok(Results { name: definition.name, bias: definition.bias, figures, notes })
}

fn urls(corpus: &Corpus, count: usize) -> io::Result<Vec<Box<str>>> {
    let listed = corpus.indicators.iter().filter(|row| row.meant == Meant::Url && row.text.contains("://")).map(|row| &row.text);
    let benign = corpus.benign.iter().filter(|text| text.contains("://"));
    let urls: Vec<Box<str>> =
        listed.zip(benign.cycle()).flat_map(|(listed, benign)| [listed.clone(), benign.clone()]).take(count).collect();
    if urls.is_empty() { Err(io::Error::other("there are no URLs to be had")) } else { Ok(urls) }
}

struct Counts {
    parseable: usize,
    keys: usize,
    fast: usize,
}

fn all_keys(backend: Selected, urls: &[Box<str>]) -> Counts {
    struct Work<'a>(&'a [Box<str>]);
    impl WithBackend for Work<'_> {
        type Output = Counts;
        #[inline(always)]
        fn run<B: Backend>(self, backend: B) -> Counts {
            let schedule = HashSchedule::new(&HashKey { h: *b"a multiplier of ", k: *b"another of those" });
            let profile = Profile::full(5, 5);
            let mut batch = Batch::with_capacity(BATCH);
            let mut counts = Counts { parseable: 0, keys: 0, fast: 0 };
            for some in self.0.chunks(BATCH) {
                batch.clear();
                batch.push_all(backend, &schedule, &profile, some.iter().map(|url| (Some(Kind::Url), url.as_bytes())));
                black_box(&batch.keys());
                counts.parseable += batch.items().iter().filter(|item| item.form == Form::Web).count();
                counts.fast += batch.fast_count();
                counts.keys += batch.keys().len() + batch.paths().len();
            }
            counts
        }
    }
    backend.run(Work(urls))
}

#[cfg(feature = "ada")]
fn ada_parse(urls: &[Box<str>]) -> Option<std::time::Duration> {
    Some(timed(|| urls.iter().filter(|url| black_box(ada_url::Url::parse(url, None)).is_ok()).count()).1)
}

#[cfg(not(feature = "ada"))]
fn ada_parse(_urls: &[Box<str>]) -> Option<std::time::Duration> {
    None
}
