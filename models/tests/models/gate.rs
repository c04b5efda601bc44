//! The admission check on a small model: labelled rows, and the float model beside it where ONNX Runtime is here.

use crate::write::{Made, Random};
use std::path::PathBuf;
use verdict_models::gate::{Report, Request, check};

struct Case(PathBuf);

impl Case {
    /// A model of one head with its manifest, and labelled rows.
    fn new(name: &str, rows: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-gate-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let case = Self(path);
        let file = Made::new(6, 768, 8, 8, 1).file();
        use sha2::{Digest as _, Sha256};
        let sha256: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
        case.write("url.onnx", &file);
        case.write("rows.ndjson", rows.as_bytes());
        let card = format!(
            "[model]\nname = \"url\"\nversion = 1\nkind = \"url\"\nfeatures = \"url-1\"\nheads = [\"bad\"]\nsha256 = \"{sha256}\"\nbits = 8\n\
             host_grams = [3]\nrest_grams = [3]\nrows = 768\n"
        );
        case.write("url.toml", card.as_bytes());
        case
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.0.join(name), bytes).unwrap();
        self.0.join(name)
    }

    fn check(&self, against: Option<PathBuf>) -> Report {
        let request = Request {
            file: self.0.join("url.onnx"),
            rows: Some(self.0.join("rows.ndjson")),
            fpr: Some(0.01),
            against,
            ..Request::default()
        };
        check(verdict_simd::detect().unwrap(), &request)
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// As people have them, with schemes, ports and capitals.
fn rows(benign: usize, bad: usize) -> String {
    let mut random = Random(1);
    let mut row = |label: &str| {
        format!("{{\"text\": \"HTTP://N{}.example:80/p{}\", \"label\": \"{label}\"}}\n", random.below(9999), random.below(9999))
    };
    (0..benign + bad).map(|at| row(if at < benign { "benign" } else { "bad" })).collect()
}

#[test]
fn what_int8_finds_of_labelled_rows_is_told() {
    let report = Case::new("found", &rows(1000, 600)).check(None);
    assert_eq!(report.refused, None);
    let [found] = &report.detection[..] else { panic!("one head: {:?}", report.detection) };
    assert_eq!((found.head.as_str(), found.benign, found.malicious, found.float), ("bad", 1000, 600, None));
    assert!(found.int8 < 0.1, "random rows are found as often as benign ones are: {}", found.int8);
    assert!(report.left_out.iter().any(|left_out| left_out.contains("finds as much bad as float: the float model did not run")));
}

#[test]
fn a_mistake_in_labelled_rows_is_told_with_its_line() {
    let refused = |line: &str, why: &str| {
        let report = Case::new("mistake", &format!("{}{line}\n", rows(200, 0))).check(None);
        let told = report.refused.expect(why).why;
        assert!(told.contains("labelled rows, line 201: ") && told.contains(why), "{told}");
    };
    refused("{\"text\": \"example.test\", \"label\": \"good\"}", "the label `good` is neither benign nor one of bad");
    refused("{\"text\": \"http://[/\", \"label\": \"benign\"}", "cannot read");
    refused("{\"fields\": {\"a\": 1}, \"label\": \"benign\"}", "has a `text`");
    refused("{\"text\": 1}", "invalid type");
}

#[test]
fn a_float_model_is_held_beside_it() {
    let Some(_) = crate::runtime("a_float_model_is_held_beside_it") else { return };
    let case = Case::new("float", &rows(1000, 600));
    let report = case.check(Some(case.0.join("url.onnx")));
    assert_eq!(report.refused, None, "its twin is itself");
    assert_eq!(report.detection[0].float, Some(report.detection[0].int8));
    assert!(report.times.iter().all(|times| times.float.is_some()));
    let mut made = Made::new(6, 768, 8, 8, 1);
    let refused = |made: &Made| case.check(Some(case.write("float.onnx", &made.file()))).refused.expect("no numbers").why;
    made.scale[2] = vec![f32::NAN];
    assert!(refused(&made).contains("tensor `m2`: not a number, or infinite"));
    made.scale[2] = vec![f32::MAX];
    assert!(refused(&made).contains("vector 1 of the float model: its logit is no number"), "any sum but 1 and 0 is infinite");
}
