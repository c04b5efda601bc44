//! The trainer's vectors, for every model that is here: the same rows of each text, the same sums, the same logits.

use std::path::Path;
use std::sync::Arc;
use verdict_models::card::Card;
use verdict_models::features::Spec;
use verdict_models::golden;
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::onnx::Model;
use verdict_models::trees::Trees;
use verdict_simd::available;

#[test]
fn every_model_gives_its_golden_vectors_on_every_backend() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut models = 0;
    for entry in std::fs::read_dir(root.join("golden")).into_iter().flatten().flatten() {
        if entry.path().extension().is_none_or(|ending| ending != "ndjson") {
            continue; // real.txt: digests of answers, not vectors
        }
        let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        let file = std::fs::read(root.join("artefacts").join(format!("{name}.onnx"))).unwrap();
        let vectors = golden::read(&std::fs::read(entry.path()).unwrap()).unwrap();
        let evaluator = Arc::new(Evaluator::new(&Model::read(&file).unwrap()).unwrap());
        let card = std::fs::read_to_string(root.join("artefacts").join(format!("{name}.toml"))).unwrap();
        let card = Card::read(&card).unwrap();
        assert_eq!(card.thresholds.len(), 3 * card.heads.len(), "{name}");
        let spec = card.spec().unwrap();
        for backend in available() {
            let mut scorer = Scorer::new(evaluator.clone(), spec.unwrap_or(Spec::NONE)).unwrap();
            golden::check(backend, &vectors, spec, &mut scorer).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        }
        if let Ok(trees) = std::fs::read(root.join("artefacts").join(format!("{name}.trees.json"))) {
            let trees = Trees::read(&trees).unwrap();
            assert_eq!(trees.row_max() as usize + 1, evaluator.rows(), "{name}: every row but the padding is a leaf");
            let files = golden::check_trees(&vectors, &trees).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!(files, vectors.len(), "{name}: every vector has fields");
        }
        models += 1;
    }
    if models == 0 {
        println!("skipped: no trained model is here yet");
    }
}

#[test]
fn leaves_that_differ_from_the_trainers_are_told() {
    let trees = Trees::read(br#"{"fields":["a"],"root":[0],"field":[0],"cut":[5],"left":[-2],"right":[-3]}"#).unwrap();
    let told = |fields: &str, ids: &str| {
        let line = format!("{{\"fields\": {fields}, \"ids\": {ids}, \"int8\": [0.5], \"z2\": [7]}}");
        golden::check_trees(&golden::read(line.as_bytes()).unwrap(), &trees).map_err(|refusal| refusal.to_string())
    };
    assert_eq!(told("{\"a\": 5}", "[1]"), Ok(1));
    assert_eq!(told("{\"a\": 6}", "[2]"), Ok(1));
    assert_eq!(told("{}", "[9]"), Ok(0), "a vector without fields is not about trees");
    let differs = "wrong, golden vector 1: the leaves of the trees differ: Some(2), where the trainer has Some(1), in place 0 of 1";
    assert_eq!(told("{\"a\": 6}", "[1]").unwrap_err(), differs);
    assert_eq!(told("{\"b\": 6}", "[1]").unwrap_err(), "wrong, golden vector 1: `b` is no field of the trees");
}

#[test]
fn a_golden_file_is_refused_with_its_line() {
    let refused = |text: &str| golden::read(text.as_bytes()).unwrap_err().to_string();
    let good = "{\"text\": \"a.test/\", \"ids\": [1], \"int8\": [0.5], \"z2\": [7]}\n";
    assert_eq!(golden::read(good.as_bytes()).unwrap().len(), 1);
    assert!(refused(&format!("{good}\n{{\"ids\": 1}}")).starts_with("malformed, golden vectors, line 3: "));
    assert!(refused("{\"ids\": [], \"int8\": [], \"z2\": []}").contains("line 1: as many logits as sums"));
    assert!(refused("").contains("there are none"));
}
