//! `verdictctl models check`: what is admitted, what is refused, and with which status. The files are those of the models' fuzz corpus.

use crate::fake::verdictctl;
use serde_json::Value;
use std::path::{Path, PathBuf};

fn corpus(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fuzz/corpus/model").join(name);
    path.to_str().expect("the tree's path is text").to_owned()
}

fn written(name: &str, content: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("cargo gives tests a directory");
    path
}

#[test]
fn a_model_is_admitted_and_what_was_not_looked_at_is_said() {
    let ran = verdictctl(&["models", "check", &corpus("good")]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("516 rows x 4, 4 hidden, 1 logits") && ran.stdout.ends_with("admitted\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("left out  golden vectors: none are named"), "{}", ran.stdout);
}

#[test]
fn the_report_is_one_json_object() {
    let ran = verdictctl(&["models", "check", "--json", &corpus("good")]);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((report["sizes"].as_array().map(Vec::len), &report["refused"]), (Some(4), &Value::Null));
    let batches: Vec<u64> = report["times"].as_array().expect("times").iter().filter_map(|times| times["batch"].as_u64()).collect();
    assert_eq!(batches, [1, 8, 32, 128]);
}

#[test]
fn what_is_refused_says_where_and_why() {
    let large = written("large.onnx", &vec![0; (2 << 20) + 1]);
    let golden = written("golden.ndjson", b"{\"ids\": [1, 2], \"int8\": [0.5], \"z2\": [12345678]}\n");
    let (large, golden) = (large.to_string_lossy(), golden.to_string_lossy());
    let good = corpus("good");
    let cases: [(&[&str], i32, &str); 7] = [
        (&[&corpus("cut")], 65, "malformed at byte "),
        (&[&corpus("functions")], 65, ": functions"),
        (&[&corpus("no-constants")], 65, "node 0 (Gather `gathered`): input 0, `rows`, is no constant"),
        (&["/nowhere/model.onnx"], 66, "/nowhere/model.onnx: No such file"),
        (&[&large], 3, "more than 2097152 bytes"),
        (&[&good, "--golden", &golden], 3, "golden vector 1: the sums are ["),
        (&[&good, "--runtime", "/nowhere/lib.so"], 66, "ONNX Runtime, /nowhere/lib.so"),
    ];
    for (arguments, status, why) in cases {
        let ran = verdictctl(&[&["models", "check"], arguments].concat());
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why) && !ran.stdout.contains("admitted"), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_check_has_limits_of_its_own() {
    // 1 GiB of memory is not enough for an endless file, nor is it needed: it is not read to its end.
    let ran = verdictctl(&["models", "check", "/dev/zero"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    let ran = verdictctl(&["models", "check", &corpus("good"), "--golden", "/dev/zero"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
}
