//! The registry that an operator copies: what `artefacts/models.toml` says of the shipped models is what their manifests say. `VERDICT_BLESS=1` writes it
//! anew from them, which is to be done whenever a model was trained again.

use std::path::{Path, PathBuf};
use verdict_models::Node;
use verdict_models::card::Card;
use verdict_models::registry::{Mode, Subject};

/// Names of the category bits, lowest first: the tables have them (a test of ctl holds the example against those).
const CATEGORIES: [&str; 8] = ["malware", "phishing", "c2", "exploit", "spam", "scanner", "unwanted", "dga"];
/// The rate of false positives at which the example suspects.
const RATE: &str = "0.001";

const HEAD: &str = "\
# verdictd-models 1
# An example: the shipped models in shadow, where they are asked and counted and answer nobody. Copy this file with the models, their manifests and
# golden vectors into a directory of your own, then: verdictctl models publish DIR --key FILE. docs/models.md says what each key means.
# Thresholds are logits at which one benign row in a thousand of the trainer's validation rows is suspected. Yours may differ: watch the shadow first.
# `url-first` is asked about every URL that no table knows, and says nothing itself; `url` is asked where it was not sure that all is well.

sequence = 1
";

fn artefacts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("artefacts")
}

fn cards() -> Vec<Card> {
    let read = |name| Card::read(&std::fs::read_to_string(artefacts().join(name)).unwrap()).unwrap();
    ["url-first.toml", "url.toml", "dga.toml", "pe.toml"].into_iter().map(read).collect()
}

fn expected() -> String {
    let cards = cards();
    let first = |card: &Card| cards.iter().any(|later| later.after.as_ref() == Some(&card.name));
    cards.iter().fold(HEAD.to_owned(), |text, card| text + &table(card, first(card)))
}

/// Of a `first` stage only gates ask: its heads say nothing.
fn table(card: &Card, first: bool) -> String {
    let Card { name, version, sha256, features, .. } = card;
    let kind = card.kind.unwrap();
    let grams = match card.bits {
        Some(bits) => format!("bits = {bits}, host_grams = {:?}, rest_grams = {:?}", card.host_grams, card.rest_grams),
        None => format!("trees = \"{}\", trees_sha256 = \"{}\"", card.trees.as_ref().unwrap(), card.trees_sha256.as_ref().unwrap()),
    };
    let mut text = format!(
        "\n[[model]]\nname = \"{name}\"\nversion = {version}\nfile = \"{name}.onnx\"\nsha256 = \"{sha256}\"\nkind = \"{}\"\nmode = \"shadow\"\n\
         cpu_percent = 10.0\nexpires = 2027-11-01\nfeatures = {{ name = \"{features}\", {grams} }}\n\
         provenance = {{ data = [\"see {name}.toml\"], trainer = \"models/train\" }}\n",
        kind.name()
    );
    if let (Some(after), Some(low)) = (&card.after, card.band_low) {
        text += &format!("gate = {{ after = \"{after}\", band = [{low:?}, inf] }}\n");
    }
    for head in &card.heads {
        text += &format!("[[model.head]]\nname = \"{head}\"\ncategories = [\"{head}\"]\n");
        let threshold = card.threshold(head, RATE).expect("each head has this rate");
        text += &if first { String::new() } else { format!("suspicious = {threshold:?}\n") };
    }
    text
}

#[test]
fn the_example_says_what_the_manifests_say_and_is_loaded() {
    let path = artefacts().join("models.toml");
    if std::env::var_os("VERDICT_BLESS").is_some() {
        std::fs::write(&path, expected()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    for (number, (line, right)) in found.lines().zip(expected().lines()).enumerate() {
        assert_eq!(line, right, "artefacts/models.toml:{}: a model was trained again? VERDICT_BLESS=1 writes it anew", number + 1);
    }
    assert_eq!(found.lines().count(), expected().lines().count());
    let node = Node::load_unsigned(&artefacts(), &CATEGORIES, 0).unwrap_or_else(|error| panic!("{error}"));
    let models = &node.registry().models;
    assert_eq!(models.iter().map(|model| model.subject).collect::<Vec<_>>(), [Subject::Url, Subject::Url, Subject::Host, Subject::File]);
    assert!(models[0].heads.iter().all(|head| head.suspicious.is_none()), "the first stage is silent");
    assert!(models.iter().all(|model| model.mode == Mode::Shadow && model.heads.iter().all(|head| head.malicious.is_none())));
    assert!((0..4).all(|place| node.model(place).is_some()));
}
