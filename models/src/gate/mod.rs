//! Whether a model may serve: read, recognised, held against its golden vectors and its float twin, and measured on *this* machine.
//!
//! ```text
//! FILE ─► form, sizes ─► manifest: digest, features ─► golden: rows, sums, logits ─► ONNX Runtime, if here: equal logits ─► time at batch 1, 8, 32, 128
//!                                                                                    float twin, if given: how far apart, who is faster,
//!                                                                                    who finds more of labelled rows, if given
//! ```
//! All of it happens in a process with limits ([`confine`]). What is refused is told with its place; what was not looked at is told as well.

pub mod confine;
mod oracle;
mod rows;
mod time;

pub use oracle::Apart;
pub use rows::Detection;
pub use time::Times;

use crate::card::Card;
use crate::error::{Fault, Refusal};
use crate::features::Spec;
use crate::golden::{self, Vector};
use crate::native::{Evaluator, Scorer};
use crate::onnx::Model;
use crate::runtime::Runtime;
use crate::trees::Trees;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verdict_simd::Backend;

/// Bytes of a model that serves, at most.
pub const MODEL_BYTES_MAX: usize = 2 << 20;
/// Operator sets that are run.
pub const OPSETS: std::ops::RangeInclusive<i64> = 13..=22;
/// Versions of the file format.
pub const FORMATS: std::ops::RangeInclusive<i64> = 7..=11;
/// Int8 takes at most this share of float's time at batch 32; from `RATIO_WARNED` on it is told.
pub const RATIO_MAX: f64 = 1.0;
/// What is asked of every model that we ship.
pub const RATIO_WARNED: f64 = 0.8;
/// Rate of false positives at which labelled rows are judged, unless another is asked for.
pub const FPR: f64 = 0.001;
/// Decisions at the trainer's thresholds that may differ between int8 and float, in thousandths of the golden vectors.
pub const FLIPPED_MAX: u64 = 5;

/// What is to be checked.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The model.
    pub file: PathBuf,
    /// Its manifest; `FILE` with the ending `.toml` if there is one.
    pub manifest: Option<PathBuf>,
    /// Golden vectors; those of the manifest if they are there.
    pub golden: Option<PathBuf>,
    /// The model before quantization.
    pub against: Option<PathBuf>,
    /// The library of ONNX Runtime.
    pub runtime: Option<PathBuf>,
    /// Labelled rows: what int8 finds of them, and float.
    pub rows: Option<PathBuf>,
    /// At this rate of false positives; [`FPR`] where there is none.
    pub fpr: Option<f64>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model's file.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of it.
    pub sha256: String,
    /// Of the operators.
    pub opset: i64,
    /// How many.
    pub nodes: u64,
    /// Rows, numbers of a row, hidden units, logits.
    pub sizes: [u64; 4],
    /// All weights.
    pub parameters: u64,
    /// The name of its features.
    pub features: String,
    /// Names of the logits, by the manifest.
    #[serde(default)]
    pub heads: Vec<String>,
    /// Bits, and lengths of grams of host and rest as bit sets: by the manifest, for features of text.
    #[serde(default)]
    pub grams: Option<[u32; 3]>,
    /// SHA-256 of the trees, for features of files.
    #[serde(default)]
    pub trees_sha256: String,
    /// Golden vectors that hold, and how many of them from a text or from fields.
    pub golden: [u64; 2],
    /// Bags for which ONNX Runtime gave the same logits, to the bit.
    pub equal_to_runtime: u64,
    /// Int8 beside float.
    pub apart: Option<Apart>,
    /// Microseconds a row.
    pub times: Vec<Times>,
    /// What is found of labelled rows.
    #[serde(default)]
    pub detection: Vec<Detection>,
    /// What is admitted, and not as good as it should be.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// What was not looked at, and why.
    pub left_out: Vec<String>,
    /// Why it is refused.
    pub refused: Option<Refused>,
}

/// Why a model is refused, as a parent process is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Sorted by fault: `malformed`, `unsupported`, `too large`, `wrong`, `worse`, or `unreadable` for a file that cannot be opened.
    pub fault: String,
    /// Where and why.
    pub why: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { fault: refusal.fault.name().to_owned(), why: refusal.to_string() }
    }
}

/// Looks at everything, until something is refused.
pub fn check<B: Backend>(backend: B, request: &Request) -> Report {
    let mut report = Report { file: request.file.display().to_string(), ..Report::default() };
    if let Err(refused) = look(backend, request, &mut report) {
        report.refused = Some(refused);
    }
    report
}

fn look<B: Backend>(backend: B, request: &Request, report: &mut Report) -> Result<(), Refused> {
    let file = read(&request.file, MODEL_BYTES_MAX)?;
    report.bytes = file.len() as u64;
    report.sha256 = hex(&Sha256::digest(&file));
    let evaluator = statically(&file, report)?;
    let card = card(request)?;
    let spec = match &card {
        Some((card, _)) => described(card, &evaluator, report)?,
        None => None,
    };
    let trees = trees(card.as_ref(), &evaluator, report)?;
    let vectors = vectors(request, card.as_ref(), report)?;
    let mut scorer = Scorer::new(evaluator, spec.unwrap_or(Spec::NONE))
        .ok_or_else(|| Refusal::unsupported("features", "they have more rows than the model"))?;
    if let Some(vectors) = &vectors {
        let texts = golden::check(backend, vectors, spec, &mut scorer)?;
        let files = trees.as_ref().map_or(Ok(0), |trees| golden::check_trees(vectors, trees))?;
        report.golden = [vectors.len() as u64, (texts + files) as u64];
    }
    let bags = vectors.unwrap_or_else(|| made_up(scorer.evaluator()));
    let runtime = runtime(request, report)?;
    let mut sessions = oracle::Sessions::default();
    if let Some(runtime) = &runtime {
        sessions.int8 = Some(runtime.session(&file).map_err(unsupported)?);
        if let Some(path) = &request.against {
            let float = read(path, crate::onnx::FILE_BYTES_MAX)?;
            Model::read(&float).map_err(|refusal| refusal.within(path.display()))?;
            sessions.float = Some(runtime.session(&float).map_err(unsupported)?);
        }
        report.equal_to_runtime = oracle::equal(backend, &mut scorer, &mut sessions, &bags)?;
    }
    let card = card.map(|(card, _)| card);
    let thresholds = card.as_ref().map(|card| card.thresholds.as_slice()).unwrap_or_default();
    report.apart = oracle::apart(backend, &mut scorer, &mut sessions, &bags, thresholds)?;
    labelled(backend, request, card.as_ref(), trees.as_ref(), &mut scorer, &mut sessions, report)?;
    report.times = time::times(backend, &mut scorer, spec.is_some(), &mut sessions, &bags)?;
    verdict(request, report, !cfg!(debug_assertions))
}

/// What is found of the rows that the operator has labelled.
fn labelled<B: Backend>(
    backend: B,
    request: &Request,
    card: Option<&Card>,
    trees: Option<&Trees>,
    scorer: &mut Scorer,
    sessions: &mut oracle::Sessions,
    report: &mut Report,
) -> Result<(), Refused> {
    let Some(path) = &request.rows else {
        report.left_out.push("what it finds, and whether float finds more: no labelled rows are named (--rows)".to_owned());
        return Ok(());
    };
    let Some((card, subject)) = card.and_then(|card| Some((card, card.kind?))) else {
        return Err(unsupported("labelled rows are read as the manifest says: it names the model's kind and heads".to_owned()));
    };
    let bytes = read(path, rows::FILE_BYTES_MAX)?;
    let reading = rows::Reading { subject, trees, heads: &card.heads };
    let fpr = request.fpr.unwrap_or(FPR);
    report.detection = rows::detections(backend, &bytes, &reading, scorer, sessions, fpr, &mut report.left_out)?;
    Ok(())
}

fn unsupported(why: String) -> Refused {
    Refused { fault: Fault::Unsupported.name().to_owned(), why }
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>, Refused> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    opened.map_err(|error| Refused { fault: "unreadable".into(), why: format!("{}: {error}", path.display()) })?;
    if bytes.len() > most {
        return Err(Refusal::new(Fault::TooLarge, path.display().to_string(), format!("more than {most} bytes")).into());
    }
    Ok(bytes)
}

/// A file of a form and version that is run here, without running anything: what whoever loads models asks for, too.
pub fn recognised(file: &[u8]) -> Result<(Model<'_>, Evaluator), Refusal> {
    if file.len() > MODEL_BYTES_MAX {
        return Err(Refusal::large(MODEL_BYTES_MAX, format!("more than {MODEL_BYTES_MAX} bytes")));
    }
    let model = Model::read(file)?;
    let within = |what: &str, got: i64, range: std::ops::RangeInclusive<i64>| {
        let why = || format!("{got}, where {} to {} are run", range.start(), range.end());
        if range.contains(&got) { Ok(()) } else { Err(Refusal::unsupported(what, why())) }
    };
    within("operator set", model.opset, OPSETS)?;
    within("version of the format", model.ir_version, FORMATS)?;
    let evaluator = Evaluator::new(&model)?;
    Ok((model, evaluator))
}

/// What the file says of itself.
fn statically(file: &[u8], report: &mut Report) -> Result<Arc<Evaluator>, Refusal> {
    let (model, evaluator) = recognised(file)?;
    report.opset = model.opset;
    report.nodes = model.graph.nodes.len() as u64;
    report.features = model.metadata.get("features").copied().unwrap_or_default().to_owned();
    report.sizes = [evaluator.rows(), evaluator.width(), evaluator.hidden(), evaluator.heads()].map(|size| size as u64);
    report.parameters = evaluator.parameters() as u64;
    Ok(Arc::new(evaluator))
}

/// The manifest, and the directory that its names are of.
fn card(request: &Request) -> Result<Option<(Card, PathBuf)>, Refused> {
    let beside = request.file.with_extension("toml");
    let path = match &request.manifest {
        Some(path) => path.clone(),
        None if beside.exists() => beside,
        None => return Ok(None),
    };
    let bytes = read(&path, crate::card::FILE_BYTES_MAX)?;
    let text =
        str::from_utf8(&bytes).map_err(|error| Refusal::malformed(error.valid_up_to(), "a manifest is UTF-8").within(path.display()))?;
    Ok(Some((Card::read(text)?, path.parent().map(Path::to_owned).unwrap_or_default())))
}

/// The manifest speaks of this very file.
fn described(card: &Card, evaluator: &Evaluator, report: &mut Report) -> Result<Option<Spec>, Refusal> {
    let differ = |what: &str, says: String, has: String| {
        if says == has { Ok(()) } else { Err(Refusal::new(Fault::Wrong, "manifest", format!("{what} {says}, where the file has {has}"))) }
    };
    differ("sha256", card.sha256.clone(), report.sha256.clone())?;
    differ("rows", card.rows.to_string(), evaluator.rows().to_string())?;
    differ("logits", card.heads.len().to_string(), evaluator.heads().to_string())?;
    report.heads.clone_from(&card.heads);
    if !report.features.is_empty() {
        differ("features", card.features.clone(), report.features.clone())?;
    }
    let spec = card.spec()?;
    report.grams = spec.map(|spec| [spec.bits, spec.host.into(), spec.rest.into()]);
    Ok(spec)
}

/// The trees that the manifest names are those very ones, and lead to rows that the model has.
fn trees(card: Option<&(Card, PathBuf)>, evaluator: &Evaluator, report: &mut Report) -> Result<Option<Trees>, Refused> {
    let Some((Card { trees: Some(name), trees_sha256: Some(sha256), .. }, directory)) = card else { return Ok(None) };
    let bytes = read(&directory.join(name), crate::trees::FILE_BYTES_MAX)?;
    report.trees_sha256 = hex(&Sha256::digest(&bytes));
    if report.trees_sha256 != *sha256 {
        return Err(
            Refusal::new(Fault::Wrong, "manifest", format!("trees_sha256 {sha256}, where the file has {}", report.trees_sha256)).into()
        );
    }
    let trees = Trees::read(&bytes)?;
    if trees.row_max() as usize >= evaluator.rows() {
        let why = format!("they lead to row {}, the model has {}", trees.row_max(), evaluator.rows());
        return Err(Refusal::unsupported("trees", why).into());
    }
    Ok(Some(trees))
}

fn vectors(request: &Request, card: Option<&(Card, PathBuf)>, report: &mut Report) -> Result<Option<Vec<Vector>>, Refused> {
    let named = card.and_then(|(card, directory)| Some(directory.join(card.golden.as_ref()?)));
    // Where the manifest says, or beside it: who copies a model into a directory of a node copies them there.
    let beside = named.as_ref().zip(card).and_then(|(path, (_, directory))| Some(directory.join(path.file_name()?)));
    let found = named.iter().chain(&beside).find(|path| path.exists());
    let Some(path) = request.golden.as_ref().or(found) else {
        let why = named.map_or_else(|| "none are named".to_owned(), |path| format!("{} is not there", path.display()));
        report.left_out.push(format!("golden vectors: {why}, so nothing says that this model answers as it was trained to"));
        return Ok(None);
    };
    let path = path.clone();
    Ok(Some(golden::read(&read(&path, golden::FILE_BYTES_MAX)?)?))
}

fn runtime(request: &Request, report: &mut Report) -> Result<Option<Runtime>, Refused> {
    let found = match &request.runtime {
        Some(path) => Some(Runtime::load(path)),
        None => Runtime::from_environment(),
    };
    match found {
        Some(loaded) => loaded.map(Some).map_err(|why| Refused { fault: "unreadable".into(), why }),
        None => {
            let what =
                if request.against.is_some() { "the float model, and equality with ONNX Runtime" } else { "equality with ONNX Runtime" };
            report.left_out.push(format!("{what}: its library is named neither by --runtime nor by {}", crate::runtime::VARIABLE));
            Ok(None)
        }
    }
}

/// Bags of as many rows as URLs have, for a model without golden vectors.
fn made_up(evaluator: &Evaluator) -> Vec<Vector> {
    let mut state = 0x5EED_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) as u32 % bound as u32
    };
    let bag = |below: &mut dyn FnMut(usize) -> u32| {
        let size = 50 + below(200);
        Vector { ids: (0..size).map(|_| below(evaluator.rows())).collect(), ..Vector::default() }
    };
    (0..512).map(|_| bag(&mut below)).collect()
}

/// Whether what was measured is good enough. Times of a program that was built without optimisation tell nothing.
fn verdict(request: &Request, report: &mut Report, are_times_true: bool) -> Result<(), Refused> {
    let at_32 = report.times.iter().find(|times| times.batch == 32).and_then(|times| Some((times.native, times.float?)));
    match at_32 {
        Some(_) if !are_times_true => {
            report
                .left_out
                .push("whether int8 is faster than float: this program was built without optimisation (cargo build --release)".to_owned());
        }
        // With a float model and no library to run it, `runtime` has said so.
        None if request.against.is_none() => {
            report.left_out.push("whether int8 is faster than float: none is named (--against)".to_owned())
        }
        None => {}
        Some((native, float)) if native > RATIO_MAX * float => {
            let why = format!("int8 takes {native:.2} us a row, float {float:.2}: serve the float model");
            return Err(Refusal::new(Fault::Worse, "batch 32", why).into());
        }
        Some((native, float)) if native > RATIO_WARNED * float => {
            report.warnings.push(format!("batch 32: int8 takes {:.2} of float's time, where {RATIO_WARNED} is asked for", native / float));
        }
        Some(_) => {}
    }
    if let Some(worse) = report.detection.iter().find_map(Detection::worse) {
        return Err(worse.into());
    }
    if let Some(apart) = &report.apart
        && apart.flipped * 1000 > FLIPPED_MAX * apart.decisions
    {
        let why = format!("{} of {} decisions at the trainer's thresholds differ from the float model's", apart.flipped, apart.decisions);
        return Err(Refusal::new(Fault::Worse, "int8", why).into());
    }
    Ok(())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(native: f64, float: Option<f64>) -> (Result<(), Refused>, Report) {
        let times = Times { batch: 32, native, int8: None, float };
        let mut report = Report { times: vec![times], ..Report::default() };
        (verdict(&Request::default(), &mut report, true), report)
    }

    #[test]
    fn int8_is_refused_where_it_is_slower_and_warned_of_where_it_gains_little() {
        let (admitted, report) = judged(7.9, Some(10.0));
        assert_eq!((admitted, report.warnings.len(), report.left_out.len()), (Ok(()), 0, 0));
        let (admitted, report) = judged(9.0, Some(10.0));
        assert_eq!(
            (admitted, &report.warnings[..]),
            (Ok(()), &["batch 32: int8 takes 0.90 of float's time, where 0.8 is asked for".to_owned()][..])
        );
        let refused = judged(10.1, Some(10.0)).0.unwrap_err();
        assert_eq!(refused.why, "worse, batch 32: int8 takes 10.10 us a row, float 10.00: serve the float model");
        let mut slow = Report { times: report.times, ..Report::default() };
        slow.times[0].native = 50.0;
        assert_eq!(verdict(&Request::default(), &mut slow, false), Ok(()));
        assert!(slow.left_out[0].contains("without optimisation"));
        let (admitted, report) = judged(9.0, None);
        assert_eq!(
            (admitted, &report.left_out[..]),
            (Ok(()), &["whether int8 is faster than float: none is named (--against)".to_owned()][..])
        );
    }

    #[test]
    fn int8_is_refused_where_it_finds_less() {
        let found = Detection { head: "bad".into(), benign: 1000, malicious: 1000, fpr: FPR, int8: 0.897, float: Some(0.9) };
        let mut report = Report { detection: vec![found], ..Report::default() };
        let refused = verdict(&Request::default(), &mut report, false).unwrap_err();
        assert_eq!(refused.why, "worse, detection of bad: int8 finds 89.70 % at a rate of 0.001, float 90.00 %: more than 0.2 points less");
    }
}
