//! ONNX Runtime, found while running: the oracle of the native evaluator, and what runs a model that the evaluator cannot.
//!
//! ```text
//! ORT_DYLIB_PATH, or --runtime FILE ──dlopen──► one environment ──► a session per model: 1 thread, sequential, no spinning, no arena growth
//! ```
//! Nothing of it is linked or needed to build: the library is the one inside the `onnxruntime` wheel of PyPI (x86-64 and ARM). A machine without it has
//! the native evaluator. Only files that [`crate::gate`] has read come here, and by `verdictctl models check` only inside a process with limits: the library
//! is a large C++ program that parses what strangers send.

use crate::onnx::Element;
use ort::environment::Environment;
use ort::session::{RunOptions, Session as Inner, SessionInputValue};
use ort::value::TensorRef;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The variable that says where the library is.
pub const VARIABLE: &str = "ORT_DYLIB_PATH";

/// A loaded library. One a process: the first one stays, whatever is named later.
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
}

/// Values of an input, row after row.
#[derive(Clone, Copy, Debug)]
pub enum Values<'v> {
    /// Floats.
    F32(&'v [f32]),
    /// Bytes.
    U8(&'v [u8]),
    /// Signed bytes.
    I8(&'v [i8]),
    /// 32-bit integers.
    I32(&'v [i32]),
    /// 64-bit integers.
    I64(&'v [i64]),
}

/// An input of a run.
#[derive(Clone, Copy, Debug)]
pub struct Input<'v> {
    /// Its name.
    pub name: &'v str,
    /// Rows and columns.
    pub shape: [usize; 2],
    /// As many.
    pub values: Values<'v>,
}

impl Runtime {
    /// Loads the library that the environment names, if it names one.
    pub fn from_environment() -> Option<Result<Self, String>> {
        Some(Self::load(Path::new(&std::env::var_os(VARIABLE)?)))
    }

    /// Loads the library.
    pub fn load(path: &Path) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("ONNX Runtime, {}: {error}", path.display());
        static ENVIRONMENT: OnceLock<(Environment, PathBuf)> = OnceLock::new();
        if let Some((environment, path)) = ENVIRONMENT.get() {
            return Ok(Self { environment: environment.clone(), path: path.clone() });
        }
        let environment = ort::init_from(path).map_err(|error| told(&error))?.with_name("verdictd").with_telemetry(false);
        let environment = environment.build().map_err(|error| told(&error))?;
        // Whoever came first, if two did at once.
        let (environment, path) = ENVIRONMENT.get_or_init(|| (environment, path.to_owned()));
        Ok(Self { environment: environment.clone(), path: path.clone() })
    }

    /// Where it came from, and what it says it is.
    pub fn about(&self) -> String {
        format!("{}: {}", self.path.display(), ort::info())
    }

    /// A session of one model.
    pub fn session(&self, model: &[u8]) -> Result<Session, String> {
        let built = || -> ort::Result<Inner> {
            let builder = Inner::builder(&self.environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
            let mut builder = builder.with_intra_op_spinning(false)?;
            builder.commit_from_memory(model)
        };
        let inner = built().map_err(|error| format!("ONNX Runtime refuses it: {error}"))?;
        Ok(Session { inner, options: RunOptions::new().map_err(|error| error.to_string())? })
    }
}

/// A model, ready to run.
pub struct Session {
    inner: Inner,
    options: RunOptions,
}

impl Session {
    /// Runs it and appends its first output, as floats, to `scores`.
    pub fn run(&mut self, inputs: &[Input<'_>], scores: &mut Vec<f32>) -> Result<(), String> {
        let mut run = || -> ort::Result<()> {
            let mut values: Vec<(std::borrow::Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
            for input in inputs {
                values.push((input.name.into(), input.value()?));
            }
            let outputs = self.inner.run_with_options(values, &self.options)?;
            let output = &outputs[0];
            if let Ok((_, floats)) = output.try_extract_tensor::<f32>() {
                scores.extend_from_slice(floats);
            } else if let Ok((_, numbers)) = output.try_extract_tensor::<i32>() {
                scores.extend(numbers.iter().map(|&number| number as f32));
            } else if let Ok((_, numbers)) = output.try_extract_tensor::<u8>() {
                scores.extend(numbers.iter().map(|&number| f32::from(number)));
            } else {
                scores.extend(output.try_extract_tensor::<i8>()?.1.iter().map(|&number| f32::from(number)));
            }
            Ok(())
        };
        run().map_err(|error| format!("ONNX Runtime: {error}"))
    }
}

impl<'v> Input<'v> {
    /// What its values are.
    pub fn element(&self) -> Element {
        match self.values {
            Values::F32(_) => Element::F32,
            Values::U8(_) => Element::U8,
            Values::I8(_) => Element::I8,
            Values::I32(_) => Element::I32,
            Values::I64(_) => Element::I64,
        }
    }

    fn value(&self) -> ort::Result<SessionInputValue<'v>> {
        Ok(match self.values {
            Values::F32(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::U8(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::I8(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::I32(values) => TensorRef::from_array_view((self.shape, values))?.into(),
            Values::I64(values) => TensorRef::from_array_view((self.shape, values))?.into(),
        })
    }
}
