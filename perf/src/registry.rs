//! A registry of shipped models as `verdictctl models publish` leaves it, signed with a key that everybody knows, for as long as a check lasts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest as _, Sha256};
use verdict_models::card::Card;
use verdict_tables::manifest::{PublicKey, Purpose, Seal, Signature, hex};

/// A file of models/artefacts.
pub fn artefact(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/artefacts").join(name)
}

/// The model never speaks: answers are those of the tables, and what is counted is work.
pub struct Registry {
    /// As `models.directory` has it.
    pub directory: PathBuf,
    /// As `models.keys` has it.
    pub key: PathBuf,
}

impl Registry {
    /// Each of these models may use so many percent of a CPU; one that is the later stage of another of them is asked after it, as it was trained to be.
    pub fn of(percent: f64, models: &[&str]) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("verdict-perf-models-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let key_file = directory.join("keys.pub");
        let mut text = format!("{}\nsequence = 1\n", verdict_models::registry::MAGIC);
        for name in models {
            text += &table(name, percent, models, &directory)?;
        }
        // A key that everybody knows: this directory lives as long as the bench.
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = PublicKey::from_bytes(key.verifying_key().as_bytes()).ok_or_else(|| io::Error::other("no public key"))?;
        let seal = Seal::of(Purpose::Models, 1, text.as_bytes());
        let signature = Signature { key: public.id(), bytes: key.sign(seal.line().as_bytes()).to_bytes() };
        std::fs::write(&key_file, public.line(""))?;
        std::fs::write(directory.join(verdict_models::node::FILE), &text)?;
        std::fs::write(directory.join(verdict_models::node::SEAL), seal.encode(&[signature]))?;
        Ok(Self { directory, key: key_file })
    }

    /// Lines of a configuration: a section, and nothing that was said is remembered.
    pub fn config(&self) -> String {
        format!("[models]\ndirectory = {:?}\nkeys = [{:?}]\ncache_bytes = 0\n", self.directory, self.key)
    }
}

/// What a registry says of a model, whose files are copied beside it.
fn table(name: &str, percent: f64, models: &[&str], directory: &Path) -> io::Result<String> {
    let copy = |file: &str| -> io::Result<String> {
        let bytes = std::fs::read(artefact(file))?;
        std::fs::write(directory.join(file), &bytes)?;
        Ok(hex(&Sha256::digest(&bytes)))
    };
    let file = format!("{name}.onnx");
    let sha256 = copy(&file)?;
    let card = Card::read(&std::fs::read_to_string(artefact(&format!("{name}.toml")))?).map_err(io::Error::other)?;
    let (kind, features) = match (card.bits, &card.trees) {
        (Some(bits), _) => ("url", format!("bits = {bits}, host_grams = {:?}, rest_grams = {:?}", card.host_grams, card.rest_grams)),
        (None, Some(trees)) => ("file", format!("trees = \"{trees}\", trees_sha256 = \"{}\"", copy(trees)?)),
        (None, None) => return Err(io::Error::other(format!("{name}: neither of text nor of files"))),
    };
    let heads =
        card.heads.iter().map(|head| format!("[[model.head]]\nname = \"{head}\"\ncategories = [\"{head}\"]\nsuspicious = 1000.0\n"));
    let gate = match (&card.after, card.band_low) {
        (Some(after), Some(low)) if models.contains(&&**after) => format!("{{ after = \"{after}\", band = [{low:?}, inf] }}"),
        _ => "{}".to_owned(),
    };
    Ok(format!(
        "[[model]]\nname = \"{name}\"\nversion = 1\nfile = \"{file}\"\nsha256 = \"{sha256}\"\nkind = \"{kind}\"\nmode = \"enforce\"\n\
         cpu_percent = {percent:.1}\nexpires = 2099-01-01\nprovenance = {{ data = [] }}\ngate = {gate}\n\
         features = {{ name = \"{}\", {features} }}\n{}",
        card.features,
        heads.collect::<String>()
    ))
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
