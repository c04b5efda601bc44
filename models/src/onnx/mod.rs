//! An ONNX file, as far as we run such files: read in place, every count bounded, everything else refused by name.
//!
//! ```text
//! ModelProto ── opset_import 8 · metadata 14 ── graph 7 ── node 1 (input 1, output 2, op 4, attribute 5)
//!                                                        ├─ initializer 5: dims 1, type 2, raw 9
//!                                                        └─ input 11, output 12: name 1, type 2 ─ tensor 1 ─ element 1, shape 2
//! ```
//! What could make a file mean more than it says is refused, not skipped: functions, subgraphs, external data, sparse tensors, training.
//! Numbers of the fields are those of the published `onnx.proto` (IR 3 to 13).

mod read;
mod tensor;
pub mod wire;

pub use tensor::{Element, Tensor};

use crate::error::Refusal;
use std::collections::BTreeMap;

/// Bytes of a file at most: float twins are read as well. What serves has a limit of its own, in the gate.
pub const FILE_BYTES_MAX: usize = 16 << 20;
/// Nodes of a graph at most.
pub const NODES_MAX: usize = 64;
/// Constant tensors at most.
pub const TENSORS_MAX: usize = 128;
/// Inputs and outputs of a node or of the graph at most.
pub const ENDS_MAX: usize = 16;
/// Attributes of a node at most.
pub const ATTRIBUTES_MAX: usize = 16;
/// Dimensions of a tensor at most.
pub const DIMENSIONS_MAX: usize = 4;
/// Bytes of a name at most.
pub const NAME_BYTES_MAX: usize = 256;
/// Key and value pairs beside the graph at most.
pub const METADATA_MAX: usize = 64;

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct Model<'m> {
    /// Version of the format.
    pub ir_version: i64,
    /// Of the operators of the default domain.
    pub opset: i64,
    /// Key and value pairs.
    pub metadata: BTreeMap<&'m str, &'m str>,
    /// What is computed.
    pub graph: Graph<'m>,
}

/// What is computed.
#[derive(Clone, Debug, Default)]
pub struct Graph<'m> {
    /// In the order of the file, which is one of computation.
    pub nodes: Vec<Node<'m>>,
    /// Constants by name.
    pub constants: BTreeMap<&'m str, Tensor<'m>>,
    /// What comes in; constants that are also listed as inputs are left out.
    pub inputs: Vec<End<'m>>,
    /// What goes out.
    pub outputs: Vec<End<'m>>,
}

/// One operation.
#[derive(Clone, Debug, Default)]
pub struct Node<'m> {
    /// Its name, which may be empty.
    pub name: &'m str,
    /// What it does.
    pub op: &'m str,
    /// Values that it reads; an empty name is an absent one.
    pub inputs: Vec<&'m str>,
    /// Values that it makes.
    pub outputs: Vec<&'m str>,
    /// How it does it.
    pub attributes: BTreeMap<&'m str, Attribute<'m>>,
}

/// How an operation does its work.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute<'m> {
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f32),
    /// Some integers.
    Integers(Vec<i64>),
    /// Text.
    Text(&'m str),
    /// A constant.
    Tensor(Tensor<'m>),
}

/// An input or an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End<'m> {
    /// Its name.
    pub name: &'m str,
    /// Of what.
    pub element: Option<Element>,
    /// Its extents; none where it is not fixed, as the batch.
    pub shape: Vec<Option<usize>>,
}

impl<'m> Model<'m> {
    /// Reads a file.
    pub fn read(bytes: &'m [u8]) -> Result<Self, Refusal> {
        read::model(bytes)
    }
}

impl Node<'_> {
    /// How errors call it: ``node 3 (MatMul `dense`)``.
    pub fn place(&self, index: usize) -> String {
        if self.name.is_empty() { format!("node {index} ({})", self.op) } else { format!("node {index} ({} `{}`)", self.op, self.name) }
    }

    /// An integer attribute, or what it is by default.
    pub fn integer(&self, name: &str, default: i64) -> Result<i64, Refusal> {
        match self.attributes.get(name) {
            None => Ok(default),
            Some(Attribute::Integer(value)) => Ok(*value),
            Some(_) => Err(Refusal::unsupported("", format!("attribute `{name}` is no integer"))),
        }
    }
}
