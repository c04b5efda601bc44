//! `verdictctl models publish` and `list`: what is signed, what is refused and leaves what was signed before.

use crate::fake::verdictctl;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A node's directory with one small model, and a key pair beside it.
struct Site(PathBuf);

impl Site {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("registry-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("models")).expect("cargo gives tests a directory");
        let site = Self(path);
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/fuzz/corpus/model/good-rows");
        std::fs::copy(model, site.0.join("models/url.onnx")).expect("the corpus has it");
        assert_eq!(verdictctl(&["keygen", "--to", &site.path("k")]).status, 0);
        site.registry(1, "5.5");
        site
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the tree's path is text").to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join("models").join(name), text).expect("written");
    }

    /// Of the model: asked once, for a check takes its time.
    fn sha256(&self) -> &'static str {
        static DIGEST: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        DIGEST.get_or_init(|| {
            let ran = verdictctl(&["models", "check", "--json", &self.path("models/url.onnx")]);
            let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
            report["sha256"].as_str().expect("a digest").to_owned()
        })
    }

    fn registry(&self, sequence: u64, suspicious: &str) {
        let text = format!(
            "# verdictd-models 1\nsequence = {sequence}\n[[model]]\nname = \"url\"\nversion = 3\nfile = \"url.onnx\"\nsha256 = \"{}\"\nkind = \"url\"\n\
             features = {{ name = \"url-1\", bits = 8, host_grams = [3], rest_grams = [3] }}\nmode = \"shadow\"\ncpu_percent = 2.5\n\
             expires = 2099-01-01\nprovenance = {{ data = [\"made up\"] }}\n\
             [[model.head]]\nname = \"bad\"\ncategories = [\"phishing\", \"scam\"]\nsuspicious = {suspicious}\n",
            self.sha256()
        );
        self.write("models.toml", &text);
    }

    fn publish(&self, more: &[&str]) -> crate::fake::Ran {
        verdictctl(&[&["models", "publish", &self.path("models"), "--key", &self.path("k.key")], more].concat())
    }

    fn list(&self, more: &[&str]) -> crate::fake::Ran {
        verdictctl(&[&["models", "list", &self.path("models")], more].concat())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_registry_is_signed_and_listed_as_a_daemon_reads_it() {
    let site = Site::new("signed");
    let keys = site.path("k.pub");
    assert_eq!(site.list(&["--keys", &keys]).status, 66, "it is not signed yet");
    assert!(site.list(&[]).stdout.contains("signature not looked at"));
    let ran = site.publish(&[]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("left out  url: golden vectors") && ran.stdout.contains("sequence 1, 1 model\n"), "{}", ran.stdout);
    let ran = site.list(&["--keys", &keys]);
    assert!(ran.stdout.contains("url v3") && ran.stdout.contains("bad 5.5") && ran.stdout.contains("signature good"), "{}", ran.stdout);
    let document: Value = serde_json::from_str(&site.list(&["--json"]).stdout).expect("JSON");
    let model = &document["models"][0];
    assert_eq!((&model["cpu_percent"], &model["mode"], &model["is_asked"]), (&2.5.into(), &"shadow".into(), &true.into()));
    assert_eq!(model["heads"][0]["categories"], serde_json::json!(["phishing", "scam"]));
}

#[test]
fn what_was_signed_stays_until_something_newer_is() {
    let site = Site::new("newer");
    assert_eq!(site.publish(&[]).status, 0);
    let seal = std::fs::read(site.path("models/models.toml.sig")).expect("signed");
    site.registry(1, "6.5");
    let ran = site.publish(&[]);
    assert_eq!((ran.status, ran.stderr.contains("sequence 1 does not rise above 1")), (2, true), "{}", ran.stderr);
    let ran = site.list(&["--keys", &site.path("k.pub")]);
    assert_eq!((ran.status, ran.stderr.contains("changed after it was signed")), (65, true), "{}", ran.stderr);
    assert_eq!(std::fs::read(site.path("models/models.toml.sig")).expect("there"), seal);
    site.registry(2, "6.5");
    assert_eq!(site.publish(&[]).status, 0);
    // By a key that nobody has signed with here before.
    assert_eq!(verdictctl(&["keygen", "--to", &site.path("other")]).status, 0);
    let other = ["models", "publish", &site.path("models"), "--key", &site.path("other.key")].map(str::to_owned);
    let other: Vec<&str> = other.iter().map(String::as_str).collect();
    let ran = verdictctl(&other);
    assert_eq!((ran.status, ran.stderr.contains("begin anew (--anew)")), (65, true), "{}", ran.stderr);
    assert_eq!(verdictctl(&[&other[..], &["--anew"]].concat()).status, 0);
    assert_eq!(site.list(&["--keys", &site.path("k.pub")]).status, 65, "signed by another key now");
}

#[test]
fn one_refused_model_or_line_refuses_the_whole() {
    let site = Site::new("refused");
    let refused = |status: i32, why: &str| {
        let ran = site.publish(&[]);
        assert_eq!((ran.status, ran.stderr.contains(why), ran.stderr.lines().count()), (status, true, 1), "{why}: {}", ran.stderr);
        assert!(!Path::new(&site.path("models/models.toml.sig")).exists());
    };
    site.registry(1, "nan");
    refused(65, "models.toml:17: a logit");
    site.registry(1, "5.5");
    let card = |heads: &str, golden: &str| {
        let sha256 = site.sha256();
        let text = format!(
            "[model]\nname = \"url\"\nversion = 3\nfeatures = \"url-1\"\nheads = [{heads}]\nsha256 = \"{sha256}\"\n{golden}bits = 8\nhost_grams = [3]\n\
             rest_grams = [3]\nrows = 768\n"
        );
        site.write("url.toml", &text);
    };
    card("\"good\"", "");
    refused(65, "models.toml:3: model `url`: its heads are bad, by its manifest good");
    card("\"bad\"", "golden = \"../elsewhere/url.ndjson\"\n");
    site.write("url.ndjson", "{\"ids\": [1, 2], \"int8\": [0.5], \"z2\": [12345678]}\n");
    refused(3, "models.toml:3: model `url`: wrong, golden vector 1: the sums are");
    std::fs::write(site.path("models/url.onnx"), b"no model").expect("written");
    refused(65, "models.toml:3: url.onnx: its SHA-256 is");
}
