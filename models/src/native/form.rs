//! The one form of graph that runs natively, recognised node by node: a chain, every constant where it belongs, nothing beside it.
//!
//! ```text
//! ids i32[N,L] ─ Gather(rows i8[R,D]) ─ Cast ─ ReduceSum(axis 1) ─ Add(b0) ─ Cast ─ Mul(m0) ─ QuantizeLinear(1, 0)
//!   ─ MatMulInteger(w1 i8[D,H]) ─ Add(b1) ─ Cast ─ Mul(m1) ─ QuantizeLinear(1, 0)
//!   ─ MatMulInteger(w2 i8[H,heads]) ─ Add(b2) ─ Cast ─ Mul(m2) ─ logits f32[N,heads]
//!
//! ids ─ Shape ─ Slice(1, 2) ─ Concat([1, 1], ·) ─ Expand(1) ─ MatMulInteger(·, gathered) ─ Squeeze(1)     instead of Cast and ReduceSum:
//!                                                                 a product with ones, which runtimes do faster
//! ```
//! Sizes that do not fit each other are refused here; whether sums stay exact is `Evaluator::checked`'s to say.

use super::table::Table;
use super::{Dense, Evaluator};
use crate::error::{Fault, Refusal};
use crate::onnx::{Attribute, Element, Model, Node, Tensor};

/// Follows one value through the nodes that use it.
struct Chain<'m, 'f> {
    model: &'m Model<'f>,
    /// What the last node made.
    value: &'f str,
    used: usize,
}

/// Reads the model as the form above.
pub fn recognise(model: &Model<'_>) -> Result<Evaluator, Refusal> {
    let graph = &model.graph;
    let [input] = graph.inputs.as_slice() else {
        return Err(Refusal::unsupported("graph", format!("{} inputs, where one is expected: the ids of rows", graph.inputs.len())));
    };
    if input.element != Some(Element::I32) || input.shape.len() != 2 || input.shape[0].is_some() {
        return Err(Refusal::unsupported(format!("input `{}`", input.name), "not int32 of a batch of any size and a number of ids"));
    }
    let [output] = graph.outputs.as_slice() else {
        return Err(Refusal::unsupported("graph", format!("{} outputs, where one is expected: the logits", graph.outputs.len())));
    };
    let mut chain = Chain { model, value: input.name, used: 0 };
    let (rows, width) = chain.rows()?;
    let (bias, scale) = chain.affine(width)?;
    chain.quantize()?;
    let hidden = chain.dense(width)?;
    chain.quantize()?;
    let heads = chain.dense(hidden.outputs)?;
    if chain.value != output.name || output.element != Some(Element::F32) {
        return Err(Refusal::unsupported(format!("output `{}`", output.name), format!("the chain ends with `{}`, as float", chain.value)));
    }
    if output.shape.len() != 2 || output.shape[1].is_some_and(|extent| extent != heads.outputs) {
        return Err(Refusal::unsupported(format!("output `{}`", output.name), format!("not a batch of {} logits", heads.outputs)));
    }
    if chain.used != graph.nodes.len() {
        return Err(Refusal::unsupported("graph", format!("{} nodes, of which {} belong to the chain", graph.nodes.len(), chain.used)));
    }
    Ok(Evaluator { table: Table::new(&rows, width), bias, scale, hidden, heads })
}

impl<'m, 'f> Chain<'m, 'f> {
    /// The node that uses the value, which must be the only one, and do this.
    fn next(&mut self, op: &str) -> Result<(&'m Node<'f>, String), Refusal> {
        // What only asks for a shape takes no part; that it belongs here is seen when nodes are counted.
        let uses = |node: &Node<'_>| node.inputs.contains(&self.value) && node.op != "Shape";
        let mut users = self.model.graph.nodes.iter().enumerate().filter(|(_, node)| uses(node));
        let Some((index, node)) = users.next() else {
            return Err(Refusal::unsupported(format!("value `{}`", self.value), format!("nothing uses it, where {op} is expected")));
        };
        let place = node.place(index);
        if node.op != op {
            return Err(Refusal::unsupported(place, format!("{op} is expected here")));
        }
        if users.next().is_some() {
            return Err(Refusal::unsupported(format!("value `{}`", self.value), "two nodes use it"));
        }
        let [made] = node.outputs.as_slice() else { return Err(Refusal::unsupported(place, "one output is expected")) };
        if self.model.graph.nodes.iter().filter(|other| other.outputs.contains(made)).count() != 1
            || self.model.graph.constants.contains_key(made)
            || made.is_empty()
        {
            return Err(Refusal::new(Fault::Malformed, place, format!("`{made}` is made twice")));
        }
        self.value = made;
        self.used += 1;
        if self.used > self.model.graph.nodes.len() {
            return Err(Refusal::new(Fault::Malformed, place, "a circle"));
        }
        Ok((node, place))
    }

    /// A constant input.
    fn constant(&self, node: &Node<'f>, input: usize, place: &str) -> Result<&'m Tensor<'f>, Refusal> {
        let name = node.inputs.get(input).copied().unwrap_or_default();
        let found = self.model.graph.constants.get(name);
        found.ok_or_else(|| Refusal::unsupported(place, format!("input {input}, `{name}`, is no constant")))
    }

    fn cast(&mut self, to: i64) -> Result<(), Refusal> {
        let (node, place) = self.next("Cast")?;
        if node.inputs.len() != 1 || node.integer("to", 0)? != to {
            return Err(Refusal::unsupported(place, format!("to element type {to} is expected")));
        }
        Ok(())
    }

    /// `Gather ─ Cast ─ ReduceSum`: the table and its width.
    fn rows(&mut self) -> Result<(Vec<i8>, usize), Refusal> {
        let ids = self.value;
        let (node, place) = self.next("Gather")?;
        let table = self.constant(node, 0, &place)?;
        if node.inputs.len() != 2 || node.inputs[1] != ids || node.integer("axis", 0)? != 0 {
            return Err(Refusal::unsupported(place, "rows of a table by ids are expected"));
        }
        let (&[_, width], Element::I8) = (table.shape.as_slice(), table.element) else {
            return Err(Refusal::unsupported(format!("tensor `{}`", table.name), "a table of int8, rows and columns, is expected"));
        };
        let rows: Vec<i8> = table.bytes.iter().map(|&byte| byte as i8).collect();
        if width == 0 || rows.iter().take(width).any(|&number| number != 0) {
            return Err(Refusal::unsupported(format!("tensor `{}`", table.name), "row 0 is padding, all zero"));
        }
        let gathered = self.value;
        if self.model.graph.nodes.iter().any(|node| node.op == "MatMulInteger" && node.inputs.contains(&gathered)) {
            self.by_ones(ids)?;
        } else {
            self.reduced()?;
        }
        Ok((rows, width))
    }

    /// `Cast ─ ReduceSum`.
    fn reduced(&mut self) -> Result<(), Refusal> {
        self.cast(6)?;
        let (node, place) = self.next("ReduceSum")?;
        let axes = match node.attributes.get("axes") {
            Some(Attribute::Integers(axes)) => Some(axes.clone()),
            Some(_) => None,
            None => self.constant(node, 1, &place)?.integers(),
        };
        if axes.as_deref() != Some(&[1]) || node.integer("keepdims", 1)? != 0 || node.inputs.len() > 2 {
            return Err(Refusal::unsupported(place, "a sum over axis 1, which goes away, is expected"));
        }
        Ok(())
    }

    /// `MatMulInteger` of as many ones as ids, `Squeeze`.
    fn by_ones(&mut self, ids: &str) -> Result<(), Refusal> {
        let gathered = self.value;
        let (node, place) = self.next("MatMulInteger")?;
        let &[ones, rows] = node.inputs.as_slice() else {
            return Err(Refusal::unsupported(place, "ones times rows are expected, without zero points"));
        };
        if rows != gathered {
            return Err(Refusal::unsupported(place, "ones times rows are expected, in this order"));
        }
        let (expand, place) = self.maker(ones, "Expand", 2)?;
        let unit = self.constant(expand, 0, &place)?;
        if !matches!(unit.element, Element::U8 | Element::I8) || unit.bytes.as_ref() != [1] {
            return Err(Refusal::unsupported(place, "a single 1 is to be spread"));
        }
        let (concat, place) = self.maker(expand.inputs[1], "Concat", 2)?;
        self.numbers(concat, 0, &[1, 1], &place)?;
        let (slice, place) = self.maker(concat.inputs[1], "Slice", 3)?;
        self.numbers(slice, 1, &[1], &place)?;
        self.numbers(slice, 2, &[2], &place)?;
        let (shape, place) = self.maker(slice.inputs[0], "Shape", 1)?;
        if shape.inputs[0] != ids || !shape.attributes.is_empty() || concat.integer("axis", 1)? != 0 {
            return Err(Refusal::unsupported(place, "the number of ids of a row is expected"));
        }
        let (squeeze, place) = self.next("Squeeze")?;
        self.numbers(squeeze, 1, &[1], &place)
    }

    /// The one node that makes a value: of this kind, with this many inputs.
    fn maker(&mut self, value: &str, op: &str, inputs: usize) -> Result<(&'m Node<'f>, String), Refusal> {
        let found = self.model.graph.nodes.iter().enumerate().find(|(_, node)| node.outputs.as_slice() == [value]);
        let Some((index, node)) = found else {
            return Err(Refusal::unsupported(format!("value `{value}`"), format!("{op} is to make it")));
        };
        if node.op != op || node.inputs.len() != inputs {
            return Err(Refusal::unsupported(node.place(index), format!("{op} of {inputs} is expected here")));
        }
        self.used += 1;
        Ok((node, node.place(index)))
    }

    /// A constant input of these very integers.
    fn numbers(&self, node: &Node<'f>, input: usize, expected: &[i64], place: &str) -> Result<(), Refusal> {
        let found = self.constant(node, input, place)?.integers();
        if found.as_deref() == Some(expected) {
            Ok(())
        } else {
            Err(Refusal::unsupported(place, format!("input {input} is to be {expected:?}")))
        }
    }

    /// `Add ─ Cast ─ Mul`: bias and scale of each column.
    fn affine(&mut self, columns: usize) -> Result<(Vec<i32>, Vec<f32>), Refusal> {
        let (node, place) = self.next("Add")?;
        let bias = self.column(node, &place, Element::I32, columns)?;
        let bias = bias.integers().unwrap_or_default().into_iter().map(|value| value as i32).collect();
        self.cast(1)?;
        let (node, place) = self.next("Mul")?;
        let scale = self.column(node, &place, Element::F32, columns)?;
        let scale = scale.floats().map(Iterator::collect).unwrap_or_default();
        Ok((bias, scale))
    }

    /// The constant of a node of two inputs, either of which it may be: a number a column.
    fn column(&self, node: &Node<'f>, place: &str, element: Element, columns: usize) -> Result<&'m Tensor<'f>, Refusal> {
        let constants = node.inputs.iter().filter_map(|name| self.model.graph.constants.get(name)).collect::<Vec<_>>();
        let ([constant], 2) = (constants.as_slice(), node.inputs.len()) else {
            return Err(Refusal::unsupported(place, "the chain's value and one constant are expected"));
        };
        let flat = matches!(constant.shape.as_slice(), [extent] | [1, extent] if *extent == columns);
        if constant.element != element || !flat {
            let wanted = format!("{columns} of {} are expected, it is {:?} of {}", element.name(), constant.shape, constant.element.name());
            return Err(Refusal::unsupported(format!("tensor `{}`", constant.name), wanted));
        }
        Ok(constant)
    }

    /// `QuantizeLinear` by 1, to bytes from 0.
    fn quantize(&mut self) -> Result<(), Refusal> {
        let (node, place) = self.next("QuantizeLinear")?;
        let one = self.constant(node, 1, &place)?.floats().is_some_and(|floats| floats.eq([1.0]));
        let zero = self.constant(node, 2, &place)?;
        if !one || zero.element != Element::U8 || zero.bytes.as_ref() != [0] || node.inputs.len() != 3 {
            return Err(Refusal::unsupported(place, "scale 1 and zero point 0, uint8, are expected"));
        }
        Ok(())
    }

    /// `MatMulInteger ─ Add ─ Cast ─ Mul`.
    fn dense(&mut self, inputs: usize) -> Result<Dense, Refusal> {
        let bytes = self.value;
        let (node, place) = self.next("MatMulInteger")?;
        let weights = self.constant(node, 1, &place)?;
        if node.inputs[0] != bytes || node.inputs.iter().skip(2).any(|zero| !zero.is_empty()) {
            return Err(Refusal::unsupported(place, "the chain's value times a constant, without zero points, is expected"));
        }
        let (&[rows, outputs], Element::I8) = (weights.shape.as_slice(), weights.element) else {
            return Err(Refusal::unsupported(format!("tensor `{}`", weights.name), "weights of int8, inputs and outputs, are expected"));
        };
        if rows != inputs || outputs == 0 {
            return Err(Refusal::unsupported(format!("tensor `{}`", weights.name), format!("{rows} inputs, where {inputs} come in")));
        }
        let turned = (0..outputs).flat_map(|output| (0..inputs).map(move |input| (input, output)));
        let turned = turned.map(|(input, output)| i16::from(weights.bytes[input * outputs + output] as i8)).collect();
        let (bias, scale) = self.affine(outputs)?;
        Ok(Dense { inputs, outputs, weights: turned, bias, scale })
    }
}
