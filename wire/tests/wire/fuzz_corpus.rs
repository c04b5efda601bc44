//! The fuzz corpus and the golden vectors, replayed through the bodies of the fuzz targets: what fuzzing found once stays found, without a
//! nightly compiler. And the canary still fails.

#[path = "../../fuzz/src/drive.rs"]
mod drive;

use crate::common;
use arbitrary::{Arbitrary, Unstructured};
use common::{Side, again, crate_path, vectors};

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = crate_path("fuzz/corpus").join(target);
    let files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.iter().map(|path| std::fs::read(path).expect("a corpus file")).collect()
}

#[test]
fn the_corpus_of_bytes_passes() {
    let corpus = corpus("bytes");
    assert!(corpus.len() >= 20, "the corpus shrank to {}", corpus.len());
    corpus.iter().for_each(|data| drive::bytes(data));
}

#[test]
fn the_corpus_of_operations_passes() {
    let corpus = corpus("ops");
    assert!(corpus.len() >= 20, "the corpus shrank to {}", corpus.len());
    let mut ops_replayed = 0;
    for data in &corpus {
        let ops = Vec::<drive::Op>::arbitrary_take_rest(Unstructured::new(data)).expect("bytes are always operations");
        drive::ops(&ops);
        ops_replayed += ops.len();
    }
    assert!(ops_replayed >= 50, "only {ops_replayed} operations in the corpus");
}

#[test]
fn every_vector_passes_as_fuzzing_input_also_when_cut_or_flipped() {
    for vector in vectors() {
        drive::bytes(&vector.bytes);
        for at in 0..vector.bytes.len().min(120) {
            drive::bytes(&vector.bytes[..at]);
            for flip in [0x01, 0x80, 0xFF] {
                let mut bytes = vector.bytes[..vector.bytes.len().min(4096)].to_vec();
                bytes[at] ^= flip;
                drive::bytes(&bytes);
            }
        }
    }
}

#[test]
fn the_canary_fails_when_it_is_found() {
    let vector = common::vector("lookup-count-1");
    assert_eq!(vector.side, Side::Request);
    assert!(std::panic::catch_unwind(|| drive::canary(&vector.bytes)).is_err());
    drive::canary(&common::vector("ping-64").bytes);
}
