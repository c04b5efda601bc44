//! Trees of the trainer and of nobody: the fuzz target's corpus, and mutations of the shipped file.

use crate::write::Random;
use std::path::Path;
use verdict_models::trees::{DEPTH_MAX, Trees};

#[path = "../../fuzz/src/trees_any.rs"]
mod trees_any;

const SMALL: &str = r#"{"fields":["a","b"],"root":[0,-5,2],"field":[0,1,1],"cut":[10,-1,4096],"left":[1,-4,-6],"right":[-2,-3,-7]}"#;

fn shipped() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("artefacts/pe.trees.json")).unwrap()
}

#[test]
fn the_shipped_trees_walk_as_their_file_says() {
    let bytes = shipped();
    trees_any::trees_any(&bytes).unwrap();
    let trees = Trees::read(&bytes).unwrap();
    println!("{} trees, {} nodes, {} rows, at most {} comparisons", trees.trees(), trees.nodes(), trees.row_max(), trees.depth());
    assert!(trees.depth() < DEPTH_MAX);
}

/// What the corpus is made of. `VERDICT_BLESS=1` writes it.
fn seeds() -> Vec<(&'static str, String)> {
    let with = |from: &str, to: &str| SMALL.replacen(from, to, 1);
    vec![
        ("good", SMALL.to_owned()),
        ("good-leaf-alone", r#"{"fields":["a"],"root":[-2],"field":[],"cut":[],"left":[],"right":[]}"#.to_owned()),
        ("good-limits", with("[10,-1,4096]", "[9223372036854775807,-9223372036854775808,0]")),
        ("child-before", with("\"left\":[1", "\"left\":[0")),
        ("child-past-end", with("\"left\":[1", "\"left\":[3")),
        ("columns-differ", with("[10,-1,4096]", "[10,-1]")),
        ("cut", SMALL[..70].to_owned()),
        ("field-past-end", with("[0,1,1]", "[0,2,1]")),
        ("fraction", with("4096", "4096.5")),
        ("no-json", "fields = [\"a\"]".to_owned()),
        ("padding-row", with("-5", "-1")),
        ("twice", with("\"b\"", "\"a\"")),
        ("unknown-key", with("{", "{\"version\":1,")),
    ]
}

#[test]
fn the_corpus_of_trees_holds() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/trees");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        std::fs::create_dir_all(&directory).unwrap();
        seeds().iter().for_each(|(name, text)| std::fs::write(directory.join(name), text).unwrap());
    }
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= seeds().len());
    for path in files {
        let taken = trees_any::trees_any(&std::fs::read(&path).unwrap()).is_ok();
        assert_eq!(taken, path.file_name().unwrap().to_string_lossy().starts_with("good"), "{}", path.display());
    }
}

#[test]
fn mutated_trees_are_refused_or_walked() {
    let large = shipped();
    let mut random = Random(0x7EEE);
    let (mut walked, mut refused) = (0, std::collections::BTreeSet::new());
    for round in 0..3000 {
        let mut bytes = if round % 200 == 0 { large.clone() } else { SMALL.as_bytes().to_vec() };
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] = b"0123456789,-.[]{}\""[random.below(18)],
                2 => drop(bytes.splice(at..at, [b'9'; 3])),
                _ => drop(bytes.remove(at)),
            }
        }
        match trees_any::trees_any(&bytes) {
            Ok(()) => walked += 1,
            Err(refusal) => drop(refused.insert(refusal.why)),
        }
    }
    assert!(walked > 100, "mutations of which none is read test little: {walked}");
    assert!(refused.len() > 40, "few kinds of refusals: {}", refused.len());
}
