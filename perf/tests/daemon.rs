//! Small sizes of everything that needs a daemon: replay and soak checks; benches are a step of their own, in release. The large sizes are the same code by command.
//!
//! Made-up indicators under reserved names, so that these tests need no data files; `verdict-perf replay` takes real ones.

mod common;

use std::process::Command;

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
