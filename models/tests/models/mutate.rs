//! Mutated model files: any bytes give an evaluator or a refusal that says where, never a panic, in bounded time and memory.
//! `VERDICT_MUTATIONS=10000` runs the full number.

use crate::write::{Made, Message, Random};
use verdict_models::features::Spec;
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::onnx::Model;

#[path = "../../fuzz/src/model_any.rs"]
mod model_any;

/// How many: few in every run, as many as are wanted on request.
pub fn count(few: usize) -> usize {
    std::env::var("VERDICT_MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

#[test]
fn mutated_files_are_refused_or_run() {
    let file = Made::new(3, 520, 8, 8, 2).file();
    // What the table does not hold: there a change changes the form.
    let structure: Vec<usize> = (0..file.len()).filter(|&at| file[at..].len() < 1400 || at < 700).collect();
    let mut random = Random(0x0DD5);
    let (mut ran, mut refused) = (0, std::collections::BTreeSet::new());
    let rounds = count(900);
    for _ in 0..rounds {
        let mut bytes = file.clone();
        for _ in 0..=random.below(3) {
            let at = if random.below(2) == 0 { structure[random.below(structure.len())] } else { random.below(bytes.len()) }
                .min(bytes.len() - 1);
            match random.below(6) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at.max(1)),
                3 => drop(bytes.splice(at..at, [0xff; 9])),
                4 => drop(bytes.splice(at.saturating_sub(40)..at, [])),
                _ => {
                    let piece = bytes[at.saturating_sub(60)..at].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        match model_any::model_any(&bytes) {
            Ok(()) => ran += 1,
            Err(refusal) => drop(refused.insert(refusal.why)),
        }
    }
    println!("{rounds} mutated models, {ran} run, {} kinds of refusals", refused.len());
    assert!(ran > rounds / 50, "mutations of which none is a model test little: {ran}");
    assert!(refused.len() > 25, "few kinds of refusals: {refused:?}");
}

/// What the corpus is made of: a model, and files that are almost one. `VERDICT_BLESS=1` writes them.
fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let made = Made::new(5, 516, 4, 4, 1);
    let file = made.file();
    let with = |extra: Message| [file.clone(), extra.0].concat();
    vec![
        ("good", file.clone()),
        // As many rows as 8 bits of features of text have: what a registry can name.
        ("good-rows", Made::new(6, 768, 4, 4, 1).file()),
        ("good-metadata", with(Message::default().message(14, Message::default().text(1, "features").text(2, "url-1")))),
        ("cut", file[..file.len() / 2].to_vec()),
        ("functions", with(Message::default().message(25, Message::default()))),
        ("no-constants", made.file_of(Made::nodes(), Vec::new())),
        ("no-graph", Message::default().integer(1, 8).0),
        ("no-nodes", made.file_of(Vec::new(), made.constants())),
        ("two-graphs", with(Message::default().message(7, Message::default()))),
    ]
}

#[test]
fn the_corpus_holds() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/model");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        seeds().iter().for_each(|(name, bytes)| std::fs::write(directory.join(name), bytes).unwrap());
    }
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= seeds().len());
    for path in files {
        let admitted = model_any::model_any(&std::fs::read(&path).unwrap()).is_ok();
        assert_eq!(admitted, path.file_name().unwrap().to_string_lossy().starts_with("good"), "{}", path.display());
    }
}

#[test]
fn a_file_of_empty_messages_is_refused_early() {
    // Two bytes a node, and a tensor: what costs most memory a byte.
    for field in [1u8, 5, 11] {
        let mut graph = vec![];
        (0..1_000_000).for_each(|_| graph.extend([field << 3 | 2, 0]));
        let mut file = vec![7 << 3 | 2, 0x80, 0x89, 0x7a];
        file.extend(graph);
        assert!(Model::read(&file).is_err());
    }
}

#[test]
fn the_largest_model_is_read() {
    let made = Made::new(4, 512 + (1 << 15), 32, 32, 2);
    let file = made.file();
    assert!(file.len() < 2 << 20);
    let evaluator = Evaluator::new(&Model::read(&file).unwrap()).unwrap();
    assert!(Scorer::new(evaluator.into(), Spec::new(15, &[2, 3, 4, 5], &[3, 4]).unwrap()).is_some());
}
