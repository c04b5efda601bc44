//! Microseconds a row of every trained model, in one run: native, ONNX Runtime on the same file, ONNX Runtime on the float twin.
//!
//! `cargo bench -p verdict-models -- [DIR]`: `DIR/artefacts/*.onnx` with their manifests and golden vectors, and `DIR/float/*.onnx` where the trainer
//! has just been; this directory by default. ONNX Runtime takes part where `ORT_DYLIB_PATH` names it. No statistics:
//! the least of some rounds, as `verdictctl models check` has them.

use std::path::{Path, PathBuf};
use verdict_models::gate::{Request, check};
use verdict_simd::Backend;

fn main() {
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let directory = named.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let backend = match verdict_simd::detect() {
        Ok(backend) => backend,
        Err(error) => return eprintln!("{error}"),
    };
    println!("backend {}", backend.name());
    let mut models: Vec<PathBuf> =
        std::fs::read_dir(directory.join("artefacts")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    models.retain(|path| path.extension().is_some_and(|ending| ending == "onnx"));
    models.sort();
    if models.is_empty() {
        println!("{}: no trained model is here", directory.join("artefacts").display());
    }
    for file in models {
        measure(backend, &directory, file);
    }
}

fn measure<B: Backend>(backend: B, directory: &Path, file: PathBuf) {
    let float = directory.join("float").join(file.file_name().unwrap_or_default());
    let golden = directory.join("golden").join(file.with_extension("ndjson").file_name().unwrap_or_default());
    let request = Request {
        against: Some(float).filter(|path| path.exists()),
        golden: Some(golden).filter(|path| path.exists()),
        runtime: std::env::var_os(verdict_models::runtime::VARIABLE).map(PathBuf::from),
        file,
        ..Request::default()
    };
    let report = check(backend, &request);
    println!("\n{}: {:?} rows, width, hidden, logits; golden vectors, of texts {:?}", report.file, report.sizes, report.golden);
    println!("equal to ONNX Runtime: {} bags; {:?}", report.equal_to_runtime, report.apart);
    println!("{:>6} {:>9} {:>9} {:>9}", "batch", "native", "ort int8", "ort float");
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    for times in &report.times {
        println!("{:>6} {:>9.3} {:>9} {:>9}", times.batch, times.native, figure(times.int8), figure(times.float));
    }
    if let Some(refused) = &report.refused {
        println!("refused: {}", refused.why);
    }
}
