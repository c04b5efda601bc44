//! Ten thousand real inputs: the same integers on every machine, since their digest stands in golden/real.txt; every backend has every tenth batch.
//!
//! The digest is of the shipped models' bytes: who replaces one writes it anew (`VERDICT_BLESS=1 cargo test -p verdict-models real`) and the run on ARM, under
//! emulation, must find the same. Texts are of the shared corpora, and stay there.

use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use verdict_keys::Canonicalizer;
use verdict_models::card::Card;
use verdict_models::native::{BATCH_MAX, Evaluator, Scorer};
use verdict_models::onnx::Model;
use verdict_simd::{Backend, available};

/// A line is a URL.
const FILES: [&str; 4] = [
    "url/ebbu2017_phishing.txt.gz",
    "url/ebbu2017_legitimate.txt.gz",
    "benign_url/kasztp_48k.txt.gz",
    "benign_url/debian_homepages.txt.gz",
];
const WANTED: usize = 10_000;

fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let directory = std::env::var_os("VERDICT_DATA").map_or(beside, PathBuf::from);
    directory.is_dir().then_some(directory)
}

/// Hosts, and what follows their slash: as many of each file.
fn texts(directory: &Path) -> Vec<(String, String)> {
    let (mut canonicalizer, mut texts) = (Canonicalizer::new(), Vec::new());
    for name in FILES {
        let file = std::fs::File::open(directory.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let lines = BufReader::new(GzDecoder::new(file)).split(b'\n').map_while(Result::ok).step_by(3);
        let before = texts.len();
        for line in lines {
            if texts.len() - before == WANTED / FILES.len() {
                break;
            }
            if let Ok(url) = canonicalizer.url(&line) {
                texts.push((url.host_text.to_owned(), url.path_query[1..].to_owned()));
            }
        }
    }
    texts
}

#[test]
fn ten_thousand_real_inputs_have_the_same_sums_everywhere() {
    let Some(directory) = data() else { return println!("SKIPPED: VERDICT_DATA names no directory, and ../shared/data is not there") };
    let texts = texts(&directory);
    assert!(texts.len() >= WANTED / 2, "{} texts", texts.len());
    let mut lines = String::new();
    for (name, of_hosts) in [("url", false), ("dga", true)] {
        let artefact = |ending: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("artefacts/{name}.{ending}"));
        let bytes = std::fs::read(artefact("onnx")).unwrap();
        let card = Card::read(&std::fs::read_to_string(artefact("toml")).unwrap()).unwrap();
        let evaluator = Evaluator::new(&Model::read(&bytes).unwrap()).unwrap();
        let (heads, spec) = (evaluator.heads(), card.spec().unwrap().unwrap());
        let mut scorer = Scorer::new(evaluator.into(), spec).unwrap();
        let (mut hash, mut sums, mut again) = (Sha256::new(), vec![0; BATCH_MAX * heads], vec![0; BATCH_MAX * heads]);
        for (number, some) in texts.chunks(BATCH_MAX).enumerate() {
            let some = || some.iter().map(|(host, rest)| (host.as_bytes(), if of_hosts { &b""[..] } else { rest.as_bytes() }));
            let scored = scorer.score(verdict_simd::detect().unwrap(), some(), &mut sums);
            sums[..scored * heads].iter().for_each(|sum| hash.update(sum.to_le_bytes()));
            for backend in available().into_iter().filter(|_| number % 10 == 0) {
                scorer.score(backend, some(), &mut again);
                assert_eq!(again, sums, "{name}, {}", backend.name());
            }
        }
        lines += &format!("{name} {} {} {}\n", texts.len(), hex(&Sha256::digest(&bytes)), hex(&hash.finalize()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/real.txt");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), lines, "model, texts, SHA-256 of the model, SHA-256 of its sums");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
