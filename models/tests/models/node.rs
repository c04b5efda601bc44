//! A node's directory, as an operator fills it: loaded whole, or refused with file and line. Signatures are of tests' own making here; those of keys
//! are tried where they are made (ctl/tests).

use crate::write::Made;
use std::path::{Path, PathBuf};
use verdict_models::node::{FILE, SEAL};
use verdict_models::registry::{MAGIC, Says};
use verdict_models::{Node, NodeError, NodeFault};

const CATEGORIES: [&str; 2] = ["malware", "phishing"];
const NOW_S: u64 = 1_790_000_000;

/// A directory that goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("verdict-node-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).unwrap();
    }

    /// A registry of these tables, and its seal.
    fn registry(&self, tables: &str) {
        self.write(FILE, format!("{MAGIC}\nsequence = 7\n{tables}").as_bytes());
        self.write(SEAL, b"sealed 7");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn verify(_: &[u8], seal: &[u8]) -> Result<u64, String> {
    let number = seal.strip_prefix(b"sealed ").ok_or("nobody's")?;
    str::from_utf8(number).unwrap().parse().map_err(|_| "no number".to_owned())
}

fn load(directory: &Path) -> Result<Node, NodeError> {
    Node::load(directory, &CATEGORIES, &verify, NOW_S)
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A model of 768 rows, which 8 bits of features have.
fn small(seed: u64) -> Vec<u8> {
    Made::new(seed, 768, 8, 8, 1).file()
}

fn table(name: &str, bytes: &[u8], gate: &str) -> String {
    format!(
        "[[model]]\nname = \"{name}\"\nversion = 1\nfile = \"{name}.onnx\"\nsha256 = \"{}\"\nkind = \"url\"\nmode = \"enforce\"\n\
         cpu_percent = 1.0\nexpires = 2027-05-01\nprovenance = {{ data = [\"made up\"] }}\n\
         features = {{ name = \"url-1\", bits = 8, host_grams = [3], rest_grams = [3] }}\ngate = {gate}\n\
         [[model.head]]\nname = \"phishing\"\ncategories = [\"phishing\"]\nsuspicious = 5.0\n",
        sha256(bytes)
    )
}

fn one() -> (Scratch, String) {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let scratch = Scratch::new(&format!("one-{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let file = small(1);
    scratch.write("url.onnx", &file);
    (scratch, table("url", &file, "{}"))
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * rustix::param::page_size() as u64
}

#[test]
fn three_hundred_models_are_loaded_at_once_and_routed() {
    let scratch = Scratch::new("many");
    let mut tables = String::new();
    for number in 0..300 {
        let (name, file) = (format!("m{number}"), small(number));
        scratch.write(&format!("{name}.onnx"), &file);
        tables += &table(&name, &file, &if number == 0 { "{}".to_owned() } else { format!("{{ tlds = [\"zone{number}\"] }}") });
    }
    scratch.registry(&tables);
    let (begun, before) = (std::time::Instant::now(), resident());
    let node = load(&scratch.0).unwrap();
    println!("300 models: {:.0} ms, {} KiB more resident", begun.elapsed().as_secs_f64() * 1e3, (resident().saturating_sub(before)) >> 10);
    let backend = verdict_simd::detect().unwrap();
    for number in 0..300u16 {
        let host = format!("a.zone{number}");
        let first = node.router().first(verdict_models::registry::Subject::Url, verdict_models::registry::tld(host.as_bytes()));
        assert_eq!(first, &[0, number][..if number == 0 { 1 } else { 2 }], "{host}");
        let loaded = node.model(number).unwrap();
        let mut scorer = verdict_models::native::Scorer::new(loaded.evaluator.clone(), loaded.spec).unwrap();
        let (mut sums, bag) = ([0], [1, 2, 3, 700]);
        scorer.score_rows(backend, [&bag[..]].into_iter(), &mut sums);
        assert_eq!(sums.to_vec(), Made::new(number.into(), 768, 8, 8, 1).sums(&bag), "each answers with its own weights");
        let logit = loaded.evaluator.logit(0, sums[0]);
        assert_eq!(node.registry().models[usize::from(number)].word(&[logit], 0.0).says == Says::Suspicious, logit >= 5.0);
    }
    assert!(node.model(300).is_none() && node.notes().is_empty());
}

#[test]
fn what_is_not_signed_or_has_changed_is_not_looked_at() {
    let (scratch, table) = one();
    scratch.registry("this is no TOML");
    scratch.write(SEAL, b"somebody's");
    let told = load(&scratch.0).unwrap_err();
    assert_eq!((told.fault, told.what.as_str()), (NodeFault::Signature, "nobody's"));
    assert!(told.path.ends_with(SEAL));
    scratch.registry(&table);
    scratch.write(SEAL, b"sealed 8");
    assert_eq!(load(&scratch.0).unwrap_err().what, "it seals sequence 8, the registry has 7");
    std::fs::remove_file(scratch.0.join(SEAL)).unwrap();
    assert_eq!(load(&scratch.0).unwrap_err().fault, NodeFault::Unreadable);
    assert_eq!(Node::load_unsigned(&scratch.0, &CATEGORIES, NOW_S).unwrap().registry().sequence, 7, "for whoever is about to sign");
}

#[test]
fn one_mistake_refuses_the_whole_with_file_and_line() {
    let (scratch, table) = one();
    let refused = |changed: String, fault: NodeFault, line: usize, why: &str| {
        scratch.registry(&changed);
        let told = load(&scratch.0).unwrap_err();
        assert_eq!((told.fault, told.line), (fault, Some(line)), "{told}");
        assert!(told.what.contains(why) && told.to_string().contains(&format!("{FILE}:{line}: ")), "{told}");
    };
    scratch.registry(&table);
    assert!(load(&scratch.0).is_ok());
    refused(table.replace("mode = \"enforce\"", "mode = \"on\""), NodeFault::Malformed, 9, "unknown variant");
    refused(format!("{table}\u{e9}"), NodeFault::Malformed, 19, "");
    refused(table.replace("url.onnx", "none.onnx"), NodeFault::Unreadable, 3, "none.onnx: No such file");
    refused(table.replace("url.onnx", "models.toml"), NodeFault::Another, 3, "its SHA-256 is");
    refused(table.replace("bits = 8", "bits = 9"), NodeFault::Model, 3, "9 bits have 1024 rows, the file has 768");
    let head = "[[model.head]]\nname = \"b\"\ncategories = []\n";
    refused(format!("{table}{head}"), NodeFault::Model, 3, "the registry has 2, the file 1: one [[model.head]] a logit");
    let cut = &small(1)[..900];
    scratch.write("cut.onnx", cut);
    let of_cut = table.replace("url.onnx", "cut.onnx").replace(&sha256(&small(1)), &sha256(cut));
    refused(of_cut.clone(), NodeFault::Model, 3, "model `url`, cut.onnx: malformed at byte");
    refused(format!("{table}{}", of_cut.replace("\"url\"\nversion", "\"b\"\nversion")), NodeFault::Model, 19, "model `b`, cut.onnx");
    scratch.write("big.onnx", &vec![0; (2 << 20) + 1]);
    refused(table.replace("url.onnx", "big.onnx"), NodeFault::TooLarge, 3, "big.onnx: more than 2097152 bytes");
    std::fs::create_dir(scratch.0.join("directory")).unwrap();
    refused(table.replace("url.onnx", "directory"), NodeFault::Unreadable, 3, "directory: not a file");
}

#[test]
fn what_is_off_is_not_read_and_what_has_expired_is_told() {
    let (scratch, table) = one();
    let later = table.replace("\"url\"\nversion", "\"old\"\nversion").replace("2027-05-01", "2020-01-01");
    let off = table.replace("\"url\"\nversion", "\"off\"\nversion").replace("\"enforce\"", "\"off\"").replace("url.onnx", "none.onnx");
    scratch.registry(&format!("{table}{later}{off}"));
    let node = load(&scratch.0).unwrap();
    assert_eq!([node.model(0).is_some(), node.model(1).is_some(), node.model(2).is_some()], [true, false, false]);
    assert_eq!(node.router().first(verdict_models::registry::Subject::Url, b"test"), [0]);
    assert_eq!(node.notes(), ["model `old` has expired and is not asked"]);
}

#[test]
fn models_of_one_file_share_it() {
    let (scratch, table) = one();
    scratch.registry(&format!("{table}{}", table.replace("\"url\"\nversion", "\"twin\"\nversion")));
    let node = load(&scratch.0).unwrap();
    assert!(std::sync::Arc::ptr_eq(&node.model(0).unwrap().evaluator, &node.model(1).unwrap().evaluator));
}

#[test]
fn popular_names_are_held_against_their_digest_too() {
    let (scratch, table) = one();
    let list = b"# names\nexample.test\n";
    let popular = |list: &[u8]| format!("[popular]\nfile = \"popular.txt\"\nsha256 = \"{}\"\nmargin = 3.0\n{table}", sha256(list));
    scratch.write("popular.txt", list);
    scratch.registry(&popular(list));
    let node = load(&scratch.0).unwrap();
    assert_eq!((node.popular_count(), node.registry().popular.as_ref().unwrap().margin), (1, 3.0));
    assert!(node.is_popular(b"www.example.test") && !node.is_popular(b"other.test") && !node.is_popular(b"192.0.2.1"));
    scratch.registry(&popular(b"another"));
    assert_eq!(load(&scratch.0).unwrap_err().fault, NodeFault::Another);
    scratch.write("popular.txt", b"a.test\nNOT A NAME\n");
    scratch.registry(&popular(b"a.test\nNOT A NAME\n"));
    let told = load(&scratch.0).unwrap_err().to_string();
    assert!(told.contains("popular.txt:2: "), "{told}");
}
