//! What a node runs: the registry of its directory and every model of it, signed, read and recognised, or nothing at all.
//!
//! ```text
//! DIR/models.toml + .sig ─► signature ─► sequence ─► TOML, line by line ─► each file: size, SHA-256, form, features, heads ─► Node
//!     by a key of ours     says the same as the file                     one mistake refuses the whole                   immutable, shared by shards
//! ```
//! Whoever calls keeps the last good one. Signatures are verified by the caller's function: keys are the tables' business, and nothing that serves can
//! sign. Models of one digest are read once, however many entries name them. Nothing is allocated after loading.

use crate::error::Refusal;
use crate::features::Spec;
use crate::gate;
use crate::native::Evaluator;
use crate::registry::{self, Entry, Features, MistakeAt, Popular, Registry, Router, Source};
use crate::trees::Trees;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The registry's name in its directory.
pub const FILE: &str = "models.toml";
/// Its signature's.
pub const SEAL: &str = "models.toml.sig";
/// Bytes of a signature's file at most.
pub const SEAL_BYTES_MAX: usize = 4096;
/// Bytes of all models of a node at most.
pub const BYTES_MAX: usize = 1 << 30;

/// Holds the registry's bytes against the bytes beside it; the sequence that was signed.
///
/// # Errors
/// Why it is not believed.
pub type Verify<'v> = dyn Fn(&[u8], &[u8]) -> Result<u64, String> + 'v;

/// What kind of mistake it is: for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFault {
    /// The disk or its permissions.
    Unreadable,
    /// Not signed by a key that is believed, or changed since.
    Signature,
    /// A registry or list that is none.
    Malformed,
    /// Another file than the registry speaks of.
    Another,
    /// A model that is not run here.
    Model,
    /// More bytes than allowed.
    TooLarge,
}

impl NodeFault {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Unreadable, Self::Signature, Self::Malformed, Self::Another, Self::Model, Self::TooLarge];

    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Signature => "signature",
            Self::Malformed => "malformed",
            Self::Another => "another",
            Self::Model => "model",
            Self::TooLarge => "too_large",
        }
    }
}

/// Why a directory is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// Its kind.
    pub fault: NodeFault,
    /// The file that is wrong.
    pub path: PathBuf,
    /// Of it, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for NodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        write!(formatter, ": {}", self.what)
    }
}

impl std::error::Error for NodeError {}

impl NodeError {
    fn of(fault: NodeFault, path: &Path, what: impl Into<String>) -> Self {
        Self { fault, path: path.to_owned(), line: None, what: what.into() }
    }

    fn at(path: &Path, mistake: MistakeAt) -> Self {
        Self { line: Some(mistake.line), ..Self::of(NodeFault::Malformed, path, mistake.what) }
    }
}

/// A model of a node.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The model.
    pub evaluator: Arc<Evaluator>,
    /// What it looks at, where that is text.
    pub spec: Spec,
    /// Where a file's fields lead, where it is asked about files.
    pub trees: Option<Arc<Trees>>,
}

/// A registry with everything that it names.
#[derive(Clone, Debug)]
pub struct Node {
    registry: Registry,
    router: Router,
    models: Vec<Option<Loaded>>,
    popular: Popular,
    sha256: [u8; 32],
    notes: Vec<String>,
}

impl Node {
    /// Reads a directory. `categories` are the names of the category bits, lowest first; what has expired at `now_s` is not loaded.
    ///
    /// # Errors
    /// The first mistake, with its file and line.
    pub fn load(directory: &Path, categories: &[&str], verify: &Verify<'_>, now_s: u64) -> Result<Self, NodeError> {
        let path = directory.join(FILE);
        let text = read(&path, registry::FILE_BYTES_MAX)?;
        let seal_path = directory.join(SEAL);
        let seal = read(&seal_path, SEAL_BYTES_MAX)?;
        let unsigned = |why: String| NodeError::of(NodeFault::Signature, &seal_path, why);
        let sequence = verify(&text, &seal).map_err(unsigned)?;
        let registry = parse(&path, &text, categories)?;
        if registry.sequence != sequence {
            return Err(unsigned(format!("it seals sequence {sequence}, the registry has {}", registry.sequence)));
        }
        Self::assemble(directory, registry, Sha256::digest(&text).into(), now_s)
    }

    /// The same of a registry that nobody vouches for: for whoever is about to sign it, never to serve.
    ///
    /// # Errors
    /// The first mistake, with its file and line.
    pub fn load_unsigned(directory: &Path, categories: &[&str], now_s: u64) -> Result<Self, NodeError> {
        let path = directory.join(FILE);
        let text = read(&path, registry::FILE_BYTES_MAX)?;
        Self::assemble(directory, parse(&path, &text, categories)?, Sha256::digest(&text).into(), now_s)
    }

    fn assemble(directory: &Path, registry: Registry, sha256: [u8; 32], now_s: u64) -> Result<Self, NodeError> {
        let mut reader = Reader { directory, models: BTreeMap::new(), trees: BTreeMap::new(), bytes: 0 };
        let popular = reader.popular(&registry)?;
        let (mut models, mut notes) = (Vec::with_capacity(registry.models.len()), Vec::new());
        for entry in &registry.models {
            if entry.mode != registry::Mode::Off && !entry.is_on(now_s) {
                notes.push(format!("model `{}` has expired and is not asked", entry.name));
            }
            models.push(if entry.is_on(now_s) { Some(reader.model(entry)?) } else { None });
        }
        let router = Router::of(&registry, |place| models.get(place).is_some_and(Option::is_some));
        // A part of what was found not to be crowded when it was read.
        let router = router.map_err(|crowd| NodeError::of(NodeFault::Malformed, &directory.join(FILE), crowd.to_string()))?;
        Ok(Self { registry, router, models, popular, sha256, notes })
    }

    /// Its file, as it was read.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Who is asked about what; of those that are loaded.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The model at a place of the registry; none where it was off, or had expired when this was loaded.
    pub fn model(&self, place: u16) -> Option<&Loaded> {
        self.models.get(usize::from(place))?.as_ref()
    }

    /// Whether a canonical host or a name above it is popular; an address never is.
    pub fn is_popular(&self, host: &[u8]) -> bool {
        self.popular.covers(host)
    }

    /// How many names are.
    pub fn popular_count(&self) -> usize {
        self.popular.len()
    }

    /// SHA-256 of the registry's file: by it a change is seen.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// What an operator should know, though nothing is wrong.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn parse(path: &Path, text: &[u8], categories: &[&str]) -> Result<Registry, NodeError> {
    let text = str::from_utf8(text).map_err(|error| {
        let line = 1 + text[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        NodeError::at(path, MistakeAt { line, what: "not UTF-8".into() })
    })?;
    registry::parse(text, categories).map_err(|mistake| NodeError::at(path, mistake))
}

/// All of a file of no more than so many bytes. A pipe would keep its reader waiting: only files are read.
fn read(path: &Path, most: usize) -> Result<Vec<u8>, NodeError> {
    let unreadable = |error: std::io::Error| NodeError::of(NodeFault::Unreadable, path, error.to_string());
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(NodeError::of(NodeFault::Unreadable, path, "not a file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() > most { Err(NodeError::of(NodeFault::TooLarge, path, format!("more than {most} bytes"))) } else { Ok(bytes) }
}

/// Reads what a registry names, each digest once.
struct Reader<'d> {
    directory: &'d Path,
    models: BTreeMap<[u8; 32], (Arc<Evaluator>, String)>,
    trees: BTreeMap<[u8; 32], Arc<Trees>>,
    bytes: usize,
}

impl Reader<'_> {
    /// A file with this digest, or an error at the line that names it.
    fn file(&mut self, name: &str, sha256: &[u8; 32], most: usize, line: usize) -> Result<Vec<u8>, NodeError> {
        let told = |mut error: NodeError| {
            error.what = format!("{name}: {}", error.what);
            NodeError { path: self.directory.join(FILE), line: Some(line), ..error }
        };
        let bytes = read(&self.directory.join(name), most).map_err(told)?;
        let got: [u8; 32] = Sha256::digest(&bytes).into();
        if got != *sha256 {
            let what = format!("its SHA-256 is {}, not {}", gate::hex(&got), gate::hex(sha256));
            return Err(told(NodeError::of(NodeFault::Another, self.directory, what)));
        }
        self.bytes += bytes.len();
        if self.bytes > BYTES_MAX {
            return Err(told(NodeError::of(
                NodeFault::TooLarge,
                self.directory,
                format!("all files together have more than {BYTES_MAX} bytes"),
            )));
        }
        Ok(bytes)
    }

    fn popular(&mut self, registry: &Registry) -> Result<Popular, NodeError> {
        let Some(list) = &registry.popular else { return Ok(Popular::default()) };
        let bytes = self.file(&list.file, &list.sha256, registry::LIST_BYTES_MAX, list.line)?;
        Popular::read(&bytes).map_err(|mistake| NodeError::at(&self.directory.join(&list.file), mistake))
    }

    fn model(&mut self, entry: &Entry) -> Result<Loaded, NodeError> {
        let (evaluator, features) = match self.models.get(&entry.sha256) {
            Some(known) => known.clone(),
            None => {
                let bytes = self.file(&entry.file, &entry.sha256, gate::MODEL_BYTES_MAX, entry.line)?;
                let (model, evaluator) = gate::recognised(&bytes).map_err(|refusal| self.refused(entry, &entry.file, &refusal))?;
                let features = model.metadata.get("features").copied().unwrap_or_default().to_owned();
                self.models.entry(entry.sha256).or_insert((Arc::new(evaluator), features)).clone()
            }
        };
        agree(entry, &features, &evaluator).map_err(|refusal| self.refused(entry, &entry.file, &refusal))?;
        let Features { source, .. } = &entry.features;
        let (spec, trees) = match source {
            Source::Text(spec) => (*spec, None),
            Source::Trees { file, sha256 } => (Spec::NONE, Some(self.trees(entry, file, sha256, &evaluator)?)),
        };
        Ok(Loaded { evaluator, spec, trees })
    }

    fn trees(&mut self, entry: &Entry, file: &str, sha256: &[u8; 32], evaluator: &Evaluator) -> Result<Arc<Trees>, NodeError> {
        let trees = match self.trees.get(sha256) {
            Some(known) => known.clone(),
            None => {
                let bytes = self.file(file, sha256, crate::trees::FILE_BYTES_MAX, entry.line)?;
                let trees = Trees::read(&bytes).map_err(|refusal| self.refused(entry, file, &refusal))?;
                self.trees.entry(*sha256).or_insert(Arc::new(trees)).clone()
            }
        };
        trees.are_of(&entry.features.name).map_err(|refusal| self.refused(entry, file, &refusal))?;
        if (trees.row_max() as usize) < evaluator.rows() {
            return Ok(trees);
        }
        let why = format!("its trees lead to row {}, the model has {}", trees.row_max(), evaluator.rows());
        Err(self.refused(entry, file, &Refusal::unsupported("features", why)))
    }

    fn refused(&self, entry: &Entry, file: &str, refusal: &Refusal) -> NodeError {
        let what = format!("model `{}`, {file}: {refusal}", entry.name);
        NodeError { line: Some(entry.line), ..NodeError::of(NodeFault::Model, &self.directory.join(FILE), what) }
    }
}

/// What the registry says of a model is what its file has.
fn agree(entry: &Entry, features: &str, evaluator: &Evaluator) -> Result<(), Refusal> {
    let Features { name, source } = &entry.features;
    if !features.is_empty() && features != name {
        return Err(Refusal::unsupported("features", format!("the registry says {name}, the file {features}")));
    }
    if entry.heads.len() != evaluator.heads() {
        let why = format!("the registry has {}, the file {}: one [[model.head]] a logit", entry.heads.len(), evaluator.heads());
        return Err(Refusal::unsupported("heads", why));
    }
    match source {
        Source::Text(spec) if spec.rows() != evaluator.rows() => {
            let why = format!("{} bits have {} rows, the file has {}", spec.bits, spec.rows(), evaluator.rows());
            Err(Refusal::unsupported("features", why))
        }
        _ => Ok(()),
    }
}
