//! What no table knows is scored: small quantized models, read and refused by a gate, evaluated with integers.
//!
//! ```text
//! canonical text ──features─┐
//! a file's fields ──trees───┴► rows ──native──► sums, logits ──registry──► what it says of the key
//!                              the same bits as ONNX Runtime ▲                ▲ node: signed models.toml and all that it names, or nothing
//! model.onnx ──onnx: read in place, bounded──► form: the one graph that runs ──gate: golden, latency, in a process with limits──► admitted
//! ```
//! No byte of a model file can cause a panic, or cost more than a named limit. Nothing is allocated while scoring. README.md says how the pieces are
//! used and why ONNX Runtime is loaded while running, if at all.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod card;
mod error;
pub mod features;
pub mod gate;
pub mod golden;
pub mod native;
pub mod node;
pub mod onnx;
pub mod registry;
pub mod runtime;
pub mod trees;

pub use error::{Fault, Refusal};
pub use node::{Loaded, Node, NodeError, NodeFault};
pub use trees::Trees;
