//! The native evaluator: the quantized graph of our models, in integers, a batch at a time.
//!
//! ```text
//! rows of a text ─► Σ rows[id] i8 ─► + b0 ─► ×m0, to u8 ─► w1 ─► + b1 ─► ×m1, to u8 ─► w2 ─► + b2 = z2, i32 ─► ×m2 ─► logits
//!                   D sums, i16, put into i32 every 255 rows    D×H              H×heads
//! ```
//! Everything up to `z2` is exact: sums and products of integers, and one f32 product per value, which IEEE 754 rounds the same everywhere. So bits are
//! equal on every machine, and equal to ONNX Runtime's for the same file. Nothing is allocated after construction; a batch has at most
//! [`BATCH_MAX`] texts. A model of another form is refused by name of the node that differs: see `form.rs`.

mod form;
mod kernel;
mod scorer;
mod table;

pub use scorer::{BATCH_MAX, Scorer};

use table::{Table, stride};

use crate::error::Refusal;
use crate::onnx::Model;

/// Columns of a layer at most.
pub const WIDTH_MAX: usize = 128;
/// Logits of a text at most.
pub const HEADS_MAX: usize = 8;
/// Rows of the table at most.
pub const ROWS_MAX: usize = 1 << 18;
/// Integers below this are exact as f32.
const EXACT: i64 = 1 << 24;

/// A dense layer: `inputs` bytes in, `outputs` integers out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dense {
    inputs: usize,
    outputs: usize,
    /// Output after output, each as many weights as inputs; widened, so that two products go into one instruction.
    weights: Vec<i16>,
    bias: Vec<i32>,
    scale: Vec<f32>,
}

/// A model, ready to be asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluator {
    table: Table,
    /// As many as a row of the table takes, zeros behind those of the model; so is the input of the hidden layer.
    bias: Vec<i32>,
    scale: Vec<f32>,
    hidden: Dense,
    heads: Dense,
}

impl Evaluator {
    /// From a file that was read.
    pub fn new(model: &Model<'_>) -> Result<Self, Refusal> {
        form::recognise(model)?.checked().map(Self::padded)
    }

    /// How many rows its table has.
    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.table.width()
    }

    /// Units of the hidden layer.
    pub fn hidden(&self) -> usize {
        self.hidden.outputs
    }

    /// How many logits a text gets.
    pub fn heads(&self) -> usize {
        self.heads.outputs
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        let (width, hidden, heads) = (self.width(), self.hidden(), self.heads());
        self.rows() * width + width + width * hidden + hidden + hidden * heads + heads
    }

    /// The logit of a head's sum: one product.
    #[inline]
    pub fn logit(&self, head: usize, sum: i32) -> f32 {
        sum as f32 * self.heads.scale[head]
    }

    /// Zeros to where rows of the table end: a sum of them is zero, and so is its product with any weight.
    fn padded(mut self) -> Self {
        let (width, stride) = (self.width(), stride(self.width()));
        self.bias.resize(stride, 0);
        self.scale.resize(stride, 1.0);
        let weights = self.hidden.weights.chunks_exact(width);
        self.hidden.weights = weights.flat_map(|weights| weights.iter().copied().chain(std::iter::repeat_n(0, stride - width))).collect();
        self.hidden.inputs = stride;
        self
    }

    /// Sizes agree, and no sum can leave what f32 holds exactly.
    fn checked(self) -> Result<Self, Refusal> {
        let within = |what: &str, got: usize, most: usize| {
            if (1..=most).contains(&got) { Ok(()) } else { Err(Refusal::unsupported(what, format!("{got}, of 1 to {most}"))) }
        };
        within("numbers of a row", self.width(), WIDTH_MAX)?;
        within("rows", self.rows(), ROWS_MAX)?;
        within("hidden units", self.hidden(), WIDTH_MAX)?;
        within("logits", self.heads(), HEADS_MAX)?;
        let all_rows = 128 * crate::features::ROWS_MAX as i64;
        for &bias in &self.bias {
            exact("bias of the rows", all_rows + i64::from(bias).abs())?;
        }
        for (layer, name) in [(&self.hidden, "hidden layer"), (&self.heads, "logits")] {
            for (weights, &bias) in layer.weights.chunks_exact(layer.inputs).zip(&layer.bias) {
                let most: i64 = weights.iter().map(|&weight| 255 * i64::from(weight).abs()).sum();
                exact(name, most + i64::from(bias).abs())?;
            }
        }
        for (scale, name) in [
            (&self.scale, "scale of the rows"),
            (&self.hidden.scale, "scale of the hidden layer"),
            (&self.heads.scale, "scale of the logits"),
        ] {
            if scale.iter().any(|scale| !(scale.is_finite() && *scale > 0.0)) {
                return Err(Refusal::unsupported(name, "a scale is a positive number"));
            }
        }
        Ok(self)
    }
}

fn exact(place: &str, most: i64) -> Result<(), Refusal> {
    if most < EXACT { Ok(()) } else { Err(Refusal::unsupported(place, format!("a sum may reach {most}, beyond what f32 holds exactly"))) }
}
