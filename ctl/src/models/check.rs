//! `verdictctl models check FILE`: would a model be admitted on this machine?
//!
//! ```text
//! this process ──starts itself, --inside──► child: limits on itself, reads, runs, measures ──one JSON report──► this process prints and judges
//! ```
//! A child that dies, hangs or says too much has a model that is refused.

use crate::answer::write_json;
use crate::columns::Table;
use crate::exit::{Failure, Outcome};
use crate::text;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use verdict_models::gate::{self, Refused, Report, Request, confine};

/// Read a model, hold it against its golden vectors, and measure it on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  verdictctl models check models/artefacts/url.onnx
  verdictctl models check url.onnx --golden url.ndjson --against url.float.onnx --runtime libonnxruntime.so --rows mine.ndjson

The manifest FILE.toml is taken from beside the file, golden vectors from where it names them. Everything happens in a process of its own: 1 GiB of
memory, 60 s of CPU, a MiB of a written file. What is not looked at, for want of a library or a file, is said. With --against int8 is refused where it
takes longer than float at batch 32 (above 0.8 of its time is a warning), and where it finds 0.2 points less of at least 500 malicious --rows.

Exit status: 0 admitted; 3 refused: it answers wrongly, is too large, or is not worth it; 65 it is no model, or of a form that is not run; 66 a file cannot
be opened.")]
pub struct Arguments {
    /// The model, an ONNX file
    file: PathBuf,
    /// Its manifest [default: FILE with the ending .toml, if there is one]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    /// Golden vectors, lines of JSON [default: those that the manifest names, if they are there]
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// The model before quantization: int8 must be faster, and decide alike; needs ONNX Runtime
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The library of ONNX Runtime
    #[arg(long, value_name = "FILE", env = verdict_models::runtime::VARIABLE)]
    runtime: Option<PathBuf>,
    /// Labelled rows, lines of JSON: {"text": URL or host, "label": a head of the model, or benign}; of files "fields" in place of "text"
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// The rate of false positives at which they are judged
    #[arg(long, value_name = "RATE", requires = "rows", value_parser = parse_rate)]
    fpr: Option<f64>,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Check in this very process, under limits, and print the report
    #[arg(long, hide = true)]
    inside: bool,
}

fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 0.5).ok_or_else(|| "a rate above 0, at most 0.5: 0.001".to_owned())
}

/// Does what was asked.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    if arguments.inside { inside(arguments, out) } else { outside(arguments, out) }
}

impl Arguments {
    /// Of a file with what lies beside it: `url.float.onnx` and `url.rows.ndjson` beside `url.onnx`.
    pub fn of(file: PathBuf, runtime: Option<PathBuf>) -> Self {
        let beside = |ending: &str| Some(file.with_extension(ending)).filter(|path| path.exists());
        let (against, rows) = (beside("float.onnx"), beside("rows.ndjson"));
        Self { file, manifest: None, golden: None, against, runtime, rows, fpr: None, json: false, inside: false }
    }

    fn files(&self) -> [(&'static str, Option<&PathBuf>); 5] {
        [
            ("--manifest", self.manifest.as_ref()),
            ("--golden", self.golden.as_ref()),
            ("--against", self.against.as_ref()),
            ("--runtime", self.runtime.as_ref()),
            ("--rows", self.rows.as_ref()),
        ]
    }
}

/// The child's half.
fn inside(check: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    confine::confine().map_err(Failure::Refused)?;
    let backend = verdict_simd::detect().map_err(|error| Failure::Usage(error.to_string()))?;
    let request = Request {
        file: check.file.clone(),
        manifest: check.manifest.clone(),
        golden: check.golden.clone(),
        against: check.against.clone(),
        runtime: check.runtime.clone(),
        rows: check.rows.clone(),
        fpr: check.fpr,
    };
    let report = gate::check(backend, &request);
    writeln!(out, "{}", serde_json::to_string(&report).map_err(|error| Failure::Output(error.to_string()))?)?;
    Ok(Outcome::Done)
}

/// The parent's half.
fn outside(check: &Arguments, out: &mut dyn Write) -> Result<Outcome, Failure> {
    let report = report(check)?;
    if check.json {
        write_json(out, &report)?;
    } else {
        print(&report, out)?;
    }
    match &report.refused {
        None => Ok(Outcome::Done),
        Some(refusal) => Err(failure(&text::path(&check.file), refusal)),
    }
}

/// What a child finds.
pub fn report(check: &Arguments) -> Result<Report, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::Unavailable(format!("this program's own file: {error}")))?;
    let mut command = Command::new(own);
    command.args(["models", "check", "--inside"]);
    for (name, path) in check.files() {
        if let Some(path) = path {
            command.arg(name).arg(path);
        }
    }
    if let Some(fpr) = check.fpr {
        command.arg("--fpr").arg(fpr.to_string());
    }
    // After all options, so that no file's name is taken for one.
    command.arg("--").arg(&check.file);
    let refused = |why: String| Failure::Refused(format!("{}: {}", text::path(&check.file), text::visible(why.as_bytes())));
    let said = confine::run(&mut command, confine::WALL).map_err(|died| refused(died.to_string()))?;
    serde_json::from_slice(&said).map_err(|error| refused(format!("the checking process said something else: {error}")))
}

/// The exit status that a refusal amounts to.
pub fn failure(file: &str, refusal: &Refused) -> Failure {
    let told = format!("{file}: {}", text::visible(refusal.why.as_bytes()));
    match refusal.fault.as_str() {
        "malformed" | "unsupported" => Failure::Data(told),
        "unreadable" => Failure::Input(text::visible(refusal.why.as_bytes())),
        _ => Failure::Refused(told),
    }
}

fn print(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    let [rows, width, hidden, heads] = report.sizes;
    if rows > 0 {
        writeln!(
            out,
            "file      {}, {} bytes, sha256 {}",
            text::visible(report.file.as_bytes()),
            text::grouped(report.bytes),
            report.sha256
        )?;
        let features = text::visible(report.features.as_bytes());
        writeln!(
            out,
            "model     {} rows x {width}, {hidden} hidden, {heads} logits; {} weights; features {features}",
            text::grouped(rows),
            text::grouped(report.parameters)
        )?;
    }
    let [vectors, texts] = report.golden;
    if vectors > 0 {
        writeln!(out, "golden    {vectors} vectors hold, to the bit; {texts} of them from their text or fields")?;
    }
    if report.equal_to_runtime > 0 {
        writeln!(out, "runtime   {} bags give the same logits in ONNX Runtime, to the bit", report.equal_to_runtime)?;
    }
    if let Some(apart) = &report.apart {
        let flipped = format!("{} of {} decisions at the trainer's thresholds differ", apart.flipped, apart.decisions);
        writeln!(out, "float     {:.4} apart in the mean, {:.4} at most; {flipped}", apart.mean, apart.most)?;
    }
    if !report.times.is_empty() {
        let mut table = Table::new(&[">BATCH", ">NATIVE", ">ORT INT8", ">ORT FLOAT", ">INT8/FLOAT", ">NATIVE/FLOAT"]);
        for times in &report.times {
            let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
            let share = |part: Option<f64>| figure(part.zip(times.float).map(|(part, whole)| part / whole));
            let cells = [
                times.batch.to_string(),
                figure(Some(times.native)),
                figure(times.int8),
                figure(times.float),
                share(times.int8),
                share(Some(times.native)),
            ];
            table.row(cells.map(Into::into));
        }
        writeln!(out, "\nus a row, the least of some rounds:")?;
        table.write_rows(out)?;
    }
    print_detection(report, out)?;
    for warning in &report.warnings {
        writeln!(out, "warning   {}", text::visible(warning.as_bytes()))?;
    }
    for left_out in &report.left_out {
        writeln!(out, "left out  {}", text::visible(left_out.as_bytes()))?;
    }
    if report.refused.is_none() {
        writeln!(out, "admitted")?;
    }
    Ok(())
}

fn print_detection(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(first) = report.detection.first() else { return Ok(()) };
    let mut table = Table::new(&["HEAD", ">BENIGN", ">MALICIOUS", ">INT8 %", ">FLOAT %"]);
    for found in &report.detection {
        let percent = |share: f64| format!("{:.2}", 100.0 * share);
        let counts = [found.benign, found.malicious].map(text::grouped);
        let [benign, malicious] = counts;
        let float = found.float.map_or_else(|| "-".to_owned(), percent);
        table.row([text::visible(found.head.as_bytes()), benign, malicious, percent(found.int8), float].map(Into::into));
    }
    writeln!(out, "\nfound of the labelled rows, at a rate of {} false positives:", first.fpr)?;
    table.write_rows(out)?;
    Ok(())
}
