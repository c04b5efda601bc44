//! The fuzz corpus replayed through the body of the fuzz target: what fuzzing found once stays found, without a nightly compiler.
//! And the canary still fails: lies do reach the lookup.

#[path = "../../fuzz/src/drive.rs"]
mod drive;

use arbitrary::{Arbitrary, Unstructured};
use drive::{Lie, Number, lies};

#[test]
fn the_corpus_of_lies_passes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/lies");
    let mut told = 0;
    for file in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let data = std::fs::read(file.unwrap().path()).unwrap();
        let of_file = Vec::<Lie>::arbitrary_take_rest(Unstructured::new(&data)).expect("bytes are always lies");
        lies(&of_file);
        told += of_file.len();
    }
    assert!(told >= 50, "only {told} lies in the corpus");
}

#[test]
fn the_canary_fails() {
    let truth = lies(&[]).expect("the truth is accepted");
    // Another tag for an entry: nothing can know that it is wrong, but a rule is not found any more.
    let believed = (0..=255).filter_map(|element| lies(&[Lie::Element { kind: 0, element, offset: 0, value: Number::Byte(1) }]));
    assert!(believed.filter(|answers| *answers != truth).count() > 0);
}

#[test]
fn lies_about_lengths_and_places_are_refused() {
    for value in [Number::Max32, Number::Max64, Number::Any(1 << 63), Number::Small(12345)] {
        for kind in 0..verdict_tables::layout::Section::ALL.len() as u8 {
            for field in 0..5 {
                assert!(lies(&[Lie::Section { kind, field, value }]).is_none());
            }
        }
    }
    for pages in 0..=255 {
        for vouched in [false, true] {
            let answers = lies(&[Lie::Length { pages, vouched }]);
            assert!(answers.is_none() || answers == lies(&[]));
        }
    }
}
