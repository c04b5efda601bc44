//! A program on the way that an operator's is: a signed model, a daemon that reads it, and `lookup --file`. The registry is sealed as `models publish` does
//! once it has admitted every model; measuring one takes seconds in a build like this, and registry.rs sees to that.

use crate::fake::{Ran, file, verdictctl};
use crate::files::{nt_32, nt_64, pe, program};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use verdict_intel::publish::{Sealer, SecretKey};
use verdict_models::card::Card;
use verdict_models::features::Spec;
use verdict_models::native::Scorer;
use verdict_models::registry::score_of;
use verdict_models::trees::TREES_MAX;
use verdict_tables::manifest::{Purpose, Seal};
use verdictd::Daemon;
use verdictd::config::Config;

/// A directory that goes away.
struct Stage(PathBuf);

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

fn models(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(below)
}

fn good(ran: &Ran) {
    assert_eq!(ran.status, 0, "{}{}", ran.stdout, ran.stderr);
}

/// The PE model, signed; it suspects from this logit on.
fn publish(stage: &Stage, suspicious: f32) {
    let directory = stage.0.join("models");
    std::fs::create_dir(&directory).unwrap();
    for name in ["artefacts/pe.onnx", "artefacts/pe.toml", "artefacts/pe.trees.json", "golden/pe.ndjson"] {
        std::fs::copy(models(name), directory.join(Path::new(name).file_name().unwrap())).unwrap();
    }
    let card = Card::read(&std::fs::read_to_string(models("artefacts/pe.toml")).unwrap()).unwrap();
    let text = format!(
        "# verdictd-models 1\nsequence = 1\n[[model]]\nname = \"pe\"\nversion = {}\nfile = \"pe.onnx\"\nsha256 = \"{}\"\nkind = \"file\"\n\
         mode = \"enforce\"\ncpu_percent = 100.0\nexpires = 2099-01-01\nprovenance = {{ data = [] }}\n\
         features = {{ name = \"pe-1\", trees = \"pe.trees.json\", trees_sha256 = \"{}\" }}\n\
         [[model.head]]\nname = \"malware\"\ncategories = [\"malware\"]\nsuspicious = {suspicious:?}\n",
        card.version,
        card.sha256,
        card.trees_sha256.unwrap()
    );
    std::fs::write(directory.join("models.toml"), &text).unwrap();
    good(&verdictctl(&["keygen", "--to", &stage.path("a")]));
    let keys = [SecretKey::read(&stage.0.join("a.key")).unwrap()];
    let seal = Seal::of(Purpose::Models, 1, text.as_bytes());
    Sealer::open(&directory, &keys).unwrap().seal(&directory.join("models.toml.sig"), &seal).unwrap();
}

fn serve(stage: &Stage) -> Daemon {
    let mut config = Config::serving(stage.0.join("served.snap"));
    config.shards.count = 1;
    config.listen.tcp = vec![([127, 0, 0, 1], 0).into()];
    config.listen.admin = ([127, 0, 0, 1], 0).into();
    config.listen.control = stage.0.join("control.sock");
    config.overlay.directory = stage.0.join("overlay");
    config.models.directory = stage.0.join("models");
    config.models.keys = vec![stage.0.join("a.pub")];
    // A busy machine must not decide.
    (config.models.budget_us, config.models.budget_us_max) = (1_000_000, 1_000_000);
    Daemon::start(&config, false).expect("the daemon starts")
}

/// The logit of a program, with nothing of the daemon.
fn logit(fields: &pe::Fields) -> f32 {
    let bytes = std::fs::read(models("artefacts/pe.onnx")).unwrap();
    let evaluator = verdict_models::native::Evaluator::new(&verdict_models::onnx::Model::read(&bytes).unwrap()).unwrap();
    let trees = verdict_models::Trees::read(&std::fs::read(models("artefacts/pe.trees.json")).unwrap()).unwrap();
    let values: Vec<i64> = trees.fields().iter().map(|wanted| fields.iter().find(|(name, _)| name == wanted).unwrap().1).collect();
    let (mut rows, mut sums) = ([0; TREES_MAX], [0]);
    let mut scorer = Scorer::new(evaluator.into(), Spec::NONE).unwrap();
    scorer.score_rows(verdict_simd::Portable::new(), std::iter::once(trees.rows(&values, &mut rows)), &mut sums);
    scorer.evaluator().logit(0, sums[0])
}

#[test]
fn a_made_program_is_scored_by_a_signed_model_and_a_listed_one_by_its_list() {
    let stage = Stage(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("programs-{}", std::process::id())));
    let _ = std::fs::remove_dir_all(&stage.0);
    std::fs::create_dir_all(&stage.0).unwrap();
    let (first, second) = (program(&nt_64()), program(&nt_32()));
    let listed = [second.clone(), b"listed".to_vec()].concat();
    let digest: String = crate::files::digest(&listed).iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(stage.0.join("hashes.txt"), format!("{digest}\n")).unwrap();
    good(&verdictctl(&["compile", &stage.path("hashes.txt"), "-o", &stage.path("served.snap"), "--format", "hash-list", "--no-store"]));

    let logits = [&first, &second].map(|bytes| logit(&crate::files::fields(bytes)));
    // From between the two on, so that one is suspected and the other is not.
    publish(&stage, (logits[0] + logits[1]) / 2.0);
    let daemon = serve(&stage);
    let paths = [
        file("programs-64.exe", &first),
        file("programs-32.exe", &second),
        file("programs-listed.exe", &listed),
        file("programs.txt", b"text"),
    ];
    let ask = |more: &[&str]| {
        let connect = daemon.tcp[0].to_string();
        let paths = paths.each_ref().map(String::as_str);
        verdictctl(&[&["lookup", "--connect", &connect], more, &["--file"], &paths[..]].concat())
    };
    let ran = ask(&["--json"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (1, ""));
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, logit) in lines.iter().zip(logits) {
        let class = if logit == logits[0].max(logits[1]) { "suspicious" } else { "unknown" };
        assert_eq!((&line["class"], &line["score"]), (&json!(class), &json!(score_of(logit))), "{logit}: {line}");
        assert_eq!((&line["flags"], &line["record"]["rule"]), (&json!(["from-model"]), &json!("model")));
        assert_eq!(line["record"]["sources"][1], "malware");
    }
    assert_eq!((&lines[2]["class"], &lines[2]["record"]["rule"], &lines[2]["flags"]), (&json!("malicious"), &json!("file"), &json!([])));
    assert_eq!((&lines[3]["class"], &lines[3]["flags"], &lines[3]["file"]["features"]), (&json!("unknown"), &json!([]), &json!("none")));
    let table = ask(&["--wide"]).stdout;
    assert!(table.contains("model pe@") && table.contains("hash rule of hashes"), "{table}");
    daemon.drain();
    daemon.join().expect("the daemon ends");
}
