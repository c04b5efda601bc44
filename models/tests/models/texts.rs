//! Files that people and strangers write, and what becomes of them when a byte is wrong: the fuzz targets' corpora, and mutations of a whole node's
//! directory. `VERDICT_MUTATIONS=10000` runs the full number of each.

use crate::mutate::count;
use crate::write::{Made, Random};
use std::collections::BTreeSet;
use std::path::Path;
use verdict_models::Node;
use verdict_models::features::{Rows, Spec, extract_text};
use verdict_models::native::{Evaluator, Scorer};
use verdict_models::node::FILE;
use verdict_models::onnx::Model;

#[path = "../../fuzz/src/texts_any.rs"]
mod texts_any;

const CATEGORIES: [&str; 3] = ["malware", "phishing", "c2"];
const POPULAR: &str = "# names\nexample.test\nsub.other.example\n";

/// Three small trees on the fields that clients send: the names of the shipped ones.
fn trees() -> Vec<u8> {
    let shipped = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("artefacts/pe.trees.json")).unwrap();
    let mut trees: serde_json::Value = serde_json::from_slice(&shipped).unwrap();
    for (column, numbers) in
        [("root", [0, -5, 2]), ("field", [0, 1, 1]), ("cut", [10, -1, 4096]), ("left", [1, -4, -6]), ("right", [-2, -3, -7])]
    {
        trees[column] = serde_json::json!(numbers);
    }
    serde_json::to_vec(&trees).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A registry with one of everything; the digests are those of these files.
fn registry(url: &[u8], pe: &[u8], trees: &[u8], popular: &[u8]) -> String {
    let [url, pe, trees, popular] = [url, pe, trees, popular].map(sha256);
    let rest = "cpu_percent = 2.5\nexpires = 2099-01-01T12:00:00Z\nprovenance = { data = [\"made up\"], remark = \"é\" }";
    let text = "name = \"url-1\", bits = 8, host_grams = [2, 3], rest_grams = []";
    format!(
        "# verdictd-models 1\nsequence = 7\n[popular]\nfile = \"popular.txt\"\nsha256 = \"{popular}\"\nmargin = 3.0\n\
         [[model]]\nname = \"first\"\nversion = 1\nfile = \"url.onnx\"\nsha256 = \"{url}\"\nkind = \"url\"\nmode = \"enforce\"\n{rest}\n\
         features = {{ {text} }}\n[[model.head]]\nname = \"bad\"\ncategories = [\"phishing\", \"c2\"]\nsuspicious = 5.82\nmalicious = 12\n\
         [[model]]\nname = \"second\"\nversion = 2\nfile = \"url.onnx\"\nsha256 = \"{url}\"\nkind = \"url\"\nmode = \"shadow\"\n{rest}\n\
         features = {{ {text} }}\ngate = {{ after = \"first\", head = \"bad\", band = [-1.0, 5.0], tlds = [\"top\", \"xyz\"] }}\n\
         [[model.head]]\nname = \"bad\"\ncategories = []\n\
         [[model]]\nname = \"pe\"\nversion = 1\nfile = \"pe.onnx\"\nsha256 = \"{pe}\"\nkind = \"file\"\nmode = \"shadow\"\n{rest}\n\
         features = {{ name = \"pe-1\", trees = \"pe.trees.json\", trees_sha256 = \"{trees}\" }}\n\
         [[model.head]]\nname = \"bad\"\ncategories = [\"malware\"]\nsuspicious = 1.0\n"
    )
}

fn card() -> String {
    "[model]\nname = \"url\"\nversion = 1\nkind = \"url\"\nfeatures = \"url-1\"\nheads = [\"bad\"]\nsha256 = \"00\"\ngolden = \"url.ndjson\"\nbits = 8\n\
     host_grams = [3]\nrest_grams = [3]\nrows = 768\n[[thresholds]]\nhead = \"bad\"\nfpr_0.01 = 1.9\nfpr_0.001 = 5.8\n"
        .to_owned()
}

/// What the corpus' small model says of a text.
fn golden(text: &str) -> String {
    let spec = Spec::new(8, &[3], &[3]).unwrap();
    let mut rows = Box::<Rows>::default();
    extract_text(spec, text.as_bytes(), &mut rows);
    let mut ids = rows.as_slice().to_vec();
    ids.sort_unstable();
    let file = Made::new(6, 768, 4, 4, 1).file();
    let mut scorer = Scorer::new(Evaluator::new(&Model::read(&file).unwrap()).unwrap().into(), spec).unwrap();
    let mut sums = [0];
    scorer.score_rows(verdict_simd::detect().unwrap(), std::iter::once(&ids[..]), &mut sums);
    let logit = scorer.evaluator().logit(0, sums[0]);
    format!("{{\"text\": \"{text}\", \"ids\": {ids:?}, \"float\": [0.5], \"int8\": [{logit:?}], \"z2\": [{}]}}\n", sums[0])
}

type Any = fn(&[u8]) -> Result<(), String>;
type Seeds = Vec<(&'static str, String)>;

/// What the corpora are made of. `VERDICT_BLESS=1` writes them.
fn seeds() -> [(&'static str, Any, Seeds); 4] {
    let whole = registry(b"1", b"2", b"3", b"4");
    let with = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let of = |from, to| with(&whole, from, to);
    let golden = golden("example.test/a?b");
    let registries = vec![
        ("good", whole.clone()),
        ("good-empty", "# verdictd-models 1\nsequence = 1\n".to_owned()),
        ("good-infinite", of("[-1.0, 5.0]", "[-inf, inf]")),
        ("no-magic", of("# verdictd-models 1", "# verdictd-models 2")),
        ("no-toml", of("sequence = 7", "sequence = ")),
        ("after-itself", of("after = \"first\"", "after = \"second\"")),
        ("after-off", of("\"enforce\"", "\"off\"")),
        ("malicious-below", of("malicious = 12", "malicious = 2")),
        ("not-a-number", of("suspicious = 5.82", "suspicious = nan")),
        ("parent-directory", of("\"popular.txt\"", "\"../popular.txt\"")),
        ("long-name", of("\"pe-1\"", &format!("\"{}\"", "x".repeat(3000)))),
        ("long-key", of("version = 2", &format!("{} = 2", "x".repeat(3000)))),
        (
            "crowd",
            (0..9).fold("# verdictd-models 1\nsequence = 1\n".to_owned(), |text, number| {
                let begin = whole.find("[[model]]").unwrap();
                let end = begin + whole[begin + 1..].find("[[model]]").unwrap();
                text + &whole[begin..=end].replacen("\"first\"", &format!("\"m{number}\""), 1)
            }),
        ),
    ];
    let lists = vec![
        ("good", POPULAR.to_owned()),
        ("good-crlf", POPULAR.replace('\n', "\r\n")),
        ("good-empty", String::new()),
        ("good-long", format!("{}.{}.{}.test\n", "a".repeat(63), "b".repeat(63), "c".repeat(63))),
        ("address", "192.0.2.1\n".to_owned()),
        ("ranked", "1,example.test\n".to_owned()),
        ("top-level", "example.test\ntest\n".to_owned()),
        ("two-dots", "example..test\n".to_owned()),
    ];
    let cards = vec![
        ("good", card()),
        ("good-rates", with(&card(), "fpr_0.001 = 5.8", "fpr_0.001 = nan\nother = { a = 1 }")),
        ("good-of-files", with(&card(), "bits = 8", "trees = \"pe.trees.json\"")),
        ("bits-differ", with(&card(), "bits = 8", "bits = 9")),
        ("bits-many", with(&card(), "bits = 8", "bits = 4000000000")),
        ("no-heads", with(&card(), "heads = [\"bad\"]\n", "")),
        ("long-value", with(&card(), "bits = 8", &format!("bits = \"{}\"", "x".repeat(3000)))),
        ("no-toml", "{}".to_owned()),
    ];
    let vectors = vec![
        ("good", golden.clone()),
        ("good-lines", format!("\n{golden}\n\n{golden}")),
        ("other-sum", with(&golden, "\"z2\": [", "\"z2\": [1")),
        ("other-rows", with(&golden, "\"ids\": [", "\"ids\": [4000000000, ")),
        ("two-logits", with(&golden, "\"int8\": [", "\"int8\": [0.5, ")),
        ("long-value", format!("{{\"ids\": \"{}\"}}", "x".repeat(3000))),
        ("huge-logit", with(&golden, "[0.5]", "[1e39]")),
        ("empty", "\n".to_owned()),
    ];
    [
        ("registry", texts_any::registry_any, registries),
        ("popular", texts_any::popular_any, lists),
        ("card", texts_any::card_any, cards),
        ("golden", texts_any::golden_any, vectors),
    ]
}

#[test]
fn the_corpora_of_texts_hold() {
    for (target, any, seeds) in seeds() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        if std::env::var_os("VERDICT_BLESS").is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            seeds.iter().for_each(|(name, text)| std::fs::write(directory.join(name), text).unwrap());
        }
        let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= seeds.len());
        for path in files {
            let taken = any(&std::fs::read(&path).unwrap());
            assert_eq!(taken.is_ok(), path.file_name().unwrap().to_string_lossy().starts_with("good"), "{}: {taken:?}", path.display());
        }
    }
}

/// A few changes; texts get letters that texts have.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.below(7) {
            _ if bytes.is_empty() => bytes.push(random.next() as u8),
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] = b"0123456789-.=[]{}\"\n#, abx"[random.below(25)],
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, *b"99")),
            4 => drop(bytes.remove(at)),
            5 => {
                let end = (at + random.below(200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let end = (at + random.below(60)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

#[test]
fn mutated_texts_are_refused_or_sound() {
    let mut random = Random(0xBAD_7E87);
    for (target, any, seeds) in seeds() {
        let goods: Vec<&String> = seeds.iter().filter(|(name, _)| name.starts_with("good")).map(|(_, text)| text).collect();
        let (mut taken, mut refused, rounds) = (0, BTreeSet::new(), count(100));
        for round in 0..rounds {
            match any(&mutated(goods[round % goods.len()].as_bytes(), &mut random)) {
                Ok(()) => taken += 1,
                Err(why) => drop(refused.insert(why)),
            }
        }
        println!("{target}: {rounds} mutations, {taken} taken, {} kinds of refusals", refused.len());
        assert!(taken > 0 && refused.len() >= 2, "{target}: {taken} taken, {refused:?}");
    }
}

/// A directory whose files are changed one at a time, with digests that agree: so that every reader gets its share.
#[test]
fn a_mutated_directory_is_refused_or_loaded() {
    let directory = std::env::temp_dir().join(format!("verdict-mutated-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let files = [
        ("url.onnx", Made::new(6, 768, 4, 4, 1).file()),
        ("pe.onnx", Made::new(7, 16, 4, 4, 1).file()),
        ("pe.trees.json", trees()),
        ("popular.txt", POPULAR.as_bytes().to_vec()),
    ];
    let mut random = Random(0xD1EC);
    let (mut loaded, mut refused, rounds) = (0, BTreeSet::new(), count(200));
    for round in 0..rounds {
        let mut now = files.clone();
        let changed = round % 5;
        if let Some((_, bytes)) = now.get_mut(changed) {
            *bytes = mutated(bytes, &mut random);
        }
        let mut text = registry(&now[0].1, &now[1].1, &now[2].1, &now[3].1).into_bytes();
        if changed == 4 {
            text = mutated(&text, &mut random);
        }
        now.iter().for_each(|(name, bytes)| std::fs::write(directory.join(name), bytes).unwrap());
        std::fs::write(directory.join(FILE), text).unwrap();
        match Node::load_unsigned(&directory, &CATEGORIES, 1_790_000_000) {
            Ok(node) => {
                loaded += 1;
                assert!(node.registry().models.len() <= 3 && !node.is_popular(b"192.0.2.1"));
            }
            Err(error) => {
                assert!(error.to_string().len() < 2000 && error.path.starts_with(&directory), "{error}");
                refused.insert(error.what);
            }
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
    println!("{rounds} mutated directories, {loaded} loaded, {} kinds of refusals", refused.len());
    assert!(loaded > rounds / 20 && refused.len() > 20, "{loaded} loaded, {} kinds of refusals", refused.len());
}
