//! Canonicalise and hash all expressions, per URL: `cargo bench -p verdict-keys`.
//!
//! Two sets: synthetic URLs of the usual shapes (half of them bare hosts or short paths, as in phishing feeds), and 100,000 real ones where the
//! shared data is (`VERDICT_DATA`). Figures are for the whole set; the throughput line divides them by the count.

#[path = "../tests/common/mod.rs"]
mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use verdict_keys::{Batch, Canonicalizer, Kind, Profile};
use verdict_simd::{Backend, WithBackend, available};

/// Shapes of real URLs, reserved names.
fn synthetic() -> Vec<Vec<u8>> {
    let hosts = [
        "www.example.com",
        "login-secure.account.example.net",
        "cdn7.eu-west.static.example.org",
        "example.test",
        "a1b2c3d4e5.pages.example",
    ];
    let paths = [
        "",
        "/",
        "/index.html",
        "/wp-content/uploads/2024/05/invoice.zip",
        "/v1/track?id=8f14e45fceea167a&src=mail&t=1719392000",
        "/a/b/c/d/e/f.js",
        "/@user/Status/1234567890",
    ];
    let schemes = ["https://", "http://", "https://", "https://"];
    (0..4096)
        .map(|index| {
            format!("{}{}{}", schemes[index % schemes.len()], hosts[index / 7 % hosts.len()], paths[index % paths.len()]).into_bytes()
        })
        .collect()
}

fn real() -> Option<Vec<Vec<u8>>> {
    let column = |line: Vec<u8>| line.split(|&byte| byte == b'\t').nth(3).map(<[u8]>::to_vec);
    let openphish =
        common::gzip_lines(&common::data("url/openphish_history_20241012_20260531.tsv.gz")?).skip(1).filter_map(column).take(50_000);
    let benign = common::gzip_lines(&common::data("benign_url/kasztp_48k.txt.gz")?).skip(1);
    Some(openphish.chain(benign).collect())
}

/// The way of the daemon: a batch of 64 questions, reused.
struct PushAll<'a>(&'a [Vec<u8>], &'a mut Batch, &'a verdict_simd::HashSchedule);

impl WithBackend for PushAll<'_> {
    type Output = usize;
    fn run<B: Backend>(self, backend: B) -> usize {
        let Self(urls, batch, schedule) = self;
        let mut keys = 0;
        for urls in urls.chunks(64) {
            batch.clear();
            batch.push_all(backend, schedule, &Profile::GSB_V4, urls.iter().map(|url| (Some(Kind::Url), &url[..])));
            keys += batch.keys().len() + batch.paths().len();
        }
        keys
    }
}

fn bench(criterion: &mut Criterion) {
    let schedule = common::schedule();
    for (name, urls) in [("synthetic", Some(synthetic())), ("real", real())] {
        let Some(urls) = urls else { continue };
        let bytes: usize = urls.iter().map(Vec::len).sum();
        println!("{name}: {} URLs, {:.1} bytes each", urls.len(), bytes as f64 / urls.len() as f64);
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(urls.len() as u64)).sample_size(20);
        let mut canonicalizer = Canonicalizer::new();
        group.bench_function("canonicalise", |bencher| {
            bencher.iter(|| urls.iter().filter(|url| canonicalizer.url(black_box(url)).is_ok()).count());
        });
        let mut batch = Batch::with_capacity(64);
        for backend in available() {
            group.bench_function(format!("keys/{}", backend.name()), |bencher| {
                bencher.iter(|| backend.run(PushAll(black_box(&urls), &mut batch, &schedule)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
