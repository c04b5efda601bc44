//! Small sizes of everything that needs a daemon: replay, soak checks, benches. The large sizes are the same code by command.
//!
//! Made-up indicators under reserved names, so that these tests need no data files; `verdict-perf replay` takes real ones.

mod common;

use std::process::Command;

use verdict_perf::report::Figure;
use verdict_perf::seed::Rng;
use verdict_perf::soak::{deaf, hostile, swap};
use verdict_perf::spawn::AUTO;

fn verdict_perf(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_verdict-perf")).args(arguments).output().expect("verdict-perf runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn forty_thousand_answers_are_the_oracle_s_under_every_scheme() {
    let binary = common::verdictd();
    for scheme in ["full", "gsb-v4", "gsb-v5", "exact"] {
        let binary = binary.to_str().expect("a path in UTF-8");
        let (ok, text) = verdict_perf(&[
            "replay",
            "--generated",
            "--indicators",
            "20000",
            "--questions",
            "40000",
            "--scheme",
            scheme,
            "--spawn",
            binary,
        ]);
        assert!(ok && text.contains("44000 answers") && text.contains("\n0 differences"), "{text}");
    }
}

#[test]
fn twenty_swaps_under_load_lose_nothing_and_mix_nothing() {
    let backend = verdict_simd::detect().expect("a backend");
    let size = swap::Size { swaps: 20, rules: 2_000, per_second: 400.0, connections: 4 };
    for driver in ["epoll", "ring", "streams"] {
        let report = swap::run(backend, &common::verdictd(), driver, size, &Rng::new(1)).expect("the check holds");
        assert_eq!((report.swaps, report.by_generation.len()), (20, 2), "{driver}");
    }
}

#[test]
fn hostile_and_deaf_peers_are_survived() {
    let backend = verdict_simd::detect().expect("a backend");
    let size = hostile::Size { frames: 400, connections: 120 };
    let report = hostile::run(backend, &common::verdictd(), AUTO, size, &Rng::new(1)).expect("the check holds");
    assert_eq!((report.trickled, report.crawled_cut, report.stalled_cut), (40, 20, 20));
    assert!(report.replied > 100 && report.control.0 > 10, "{report:?}");
    deaf::run(backend, &common::verdictd(), AUTO, 2, &Rng::new(1)).expect("the check holds");
}

#[test]
fn small_benches_work_and_write_their_figures() {
    let binary = common::verdictd();
    let directory = std::env::temp_dir().join(format!("verdict-perf-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).expect("a directory");
    let json = directory.join("figures.json");
    let paths = [json.to_str(), directory.to_str(), binary.to_str()].map(|path| path.expect("a path in UTF-8"));
    let (ok, text) = verdict_perf(&["bench", "all", "--small", "--json", paths[0], "--record", paths[1], "--verdictd", paths[2]]);
    assert!(ok, "{text}");
    let figures: Vec<Figure> = serde_json::from_slice(&std::fs::read(&json).expect("figures")).expect("an array of figures");
    let mut names = vec![
        "p999_vs_echo",
        "swap_p99_ratio",
        "echo_cpu_ratio_b16",
        "echo_cpu_ratio_b100",
        "echo_cpu_ratio_b1000_epoll",
        "echo_cpu_ratio_hashed_b100_blocking",
        "probe_vs_hashbrown",
        "bytes_per_entry",
        "keys_vs_url",
        "hash_vs_best",
        "fast_path_share",
    ];
    if verdict_perf::bench::servers::memcached_version().is_some() {
        names.extend(["url_b100_vs_memcached", "hash_b256_vs_memcached", "hash_b1_c64_vs_memcached"]);
    } else {
        println!("SKIPPED: figures beside memcached, which is not installed");
    }
    if verdict_perf::bench::servers::redis_version().is_some() {
        names.extend(["url_b100_vs_redis", "hash_b256_vs_redis", "hash_b1_c64_vs_redis"]);
    } else {
        println!("SKIPPED: figures beside Redis, which is not installed");
    }
    for name in names {
        assert!(figures.iter().any(|figure| figure.name == name && figure.median > 0.0), "{name}: {text}");
    }
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(directory.join("peers.json")).expect("a record")).expect("JSON");
    for key in ["cpu", "kernel", "toolchain", "backend", "bias", "command"] {
        assert!(record[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {record}");
    }
    for picture in ["echo-ratios.svg", "echo-cost_by_batch-urls.svg", "latency-percentiles-half-of-saturation.svg"] {
        let svg = std::fs::read_to_string(directory.join(picture)).unwrap_or_default();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{picture}: {svg}");
    }
    std::fs::remove_dir_all(directory).expect("the directory goes");
}
