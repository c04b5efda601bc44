//! Writes ONNX files of the form that runs natively, and of any other: what the tests need of a trainer.

/// A message, field by field.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn integer(mut self, field: u32, value: i64) -> Self {
        self.varint(u64::from(field) << 3);
        self.varint(value as u64);
        self
    }

    pub fn bytes(mut self, field: u32, bytes: &[u8]) -> Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(self, field: u32, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub fn message(self, field: u32, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn all(self, field: u32, messages: Vec<Message>) -> Self {
        messages.into_iter().fold(self, |into, message| into.message(field, message))
    }
}

pub fn tensor(name: &str, element: i64, dims: &[usize], raw: &[u8]) -> Message {
    let tensor = dims.iter().fold(Message::default(), |tensor, &extent| tensor.integer(1, extent as i64));
    tensor.integer(2, element).text(8, name).bytes(9, raw)
}

pub fn end(name: &str, element: i64, dims: &[Option<usize>]) -> Message {
    let dimension = |extent: &Option<usize>| match extent {
        Some(extent) => Message::default().integer(1, *extent as i64),
        None => Message::default().text(2, "N"),
    };
    let shape = Message::default().all(1, dims.iter().map(dimension).collect());
    let kind = Message::default().integer(1, element).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, kind))
}

pub fn node(op: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]) -> Message {
    let node = inputs.iter().fold(Message::default(), |node, input| node.text(1, input)).text(2, output).text(3, output).text(4, op);
    let attribute = |(name, value): &(&str, i64)| Message::default().text(1, name).integer(3, *value).integer(20, 2);
    node.all(5, attributes.iter().map(attribute).collect())
}

/// A model of random weights, and the same numbers for an oracle.
pub struct Made {
    pub table: Vec<i8>,
    pub rows: usize,
    pub width: usize,
    pub hidden: usize,
    pub heads: usize,
    pub bias: [Vec<i32>; 3],
    pub scale: [Vec<f32>; 3],
    pub weights: [Vec<i8>; 2],
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl Made {
    pub fn new(seed: u64, rows: usize, width: usize, hidden: usize, heads: usize) -> Self {
        let mut random = Random(seed);
        let mut small = |count: usize| (0..count).map(|_| random.next() as i8).collect::<Vec<_>>();
        let mut table = small(rows * width);
        table[..width].fill(0);
        let weights = [small(width * hidden), small(hidden * heads)];
        let mut bias = |count: usize| (0..count).map(|_| random.below(4000) as i32 - 2000).collect::<Vec<_>>();
        let bias = [bias(width), bias(hidden), bias(heads)];
        let mut random = Random(seed ^ 1);
        // Sums of a hundred rows spread over about ±740: a third of the bytes are cut at either end.
        let mut scale =
            |count: usize, about: f32| (0..count).map(|_| about * (0.5 + random.below(1000) as f32 / 1000.0)).collect::<Vec<_>>();
        let scale = [scale(width, 0.15), scale(hidden, 0.003), scale(heads, 0.0004)];
        Self { table, rows, width, hidden, heads, bias, scale, weights }
    }

    /// The oracle: wide integers, the rounding of the standard library.
    pub fn sums(&self, ids: &[u32]) -> Vec<i32> {
        let row = |id: u32, column: usize| i64::from(self.table[id as usize * self.width + column]);
        let first: Vec<i64> = (0..self.width).map(|column| ids.iter().map(|&id| row(id, column)).sum()).collect();
        let bytes = self.bytes(&first, 0);
        let second = self.dense(&bytes, 0, self.hidden);
        let bytes = self.bytes(&second, 1);
        let last = self.dense(&bytes, 1, self.heads);
        last.iter().zip(&self.bias[2]).map(|(&sum, &bias)| (sum + i64::from(bias)) as i32).collect()
    }

    fn bytes(&self, sums: &[i64], layer: usize) -> Vec<u8> {
        let byte = |(at, &sum): (usize, &i64)| {
            let value = (sum + i64::from(self.bias[layer][at])) as f32 * self.scale[layer][at];
            value.round_ties_even().clamp(0.0, 255.0) as u8
        };
        sums.iter().enumerate().map(byte).collect()
    }

    fn dense(&self, bytes: &[u8], layer: usize, outputs: usize) -> Vec<i64> {
        let weight = |input: usize, output: usize| i64::from(self.weights[layer][input * outputs + output]);
        (0..outputs).map(|output| bytes.iter().enumerate().map(|(input, &byte)| i64::from(byte) * weight(input, output)).sum()).collect()
    }

    pub fn constants(&self) -> Vec<Message> {
        let signed = |values: &[i8]| values.iter().map(|&value| value as u8).collect::<Vec<_>>();
        let ints = |values: &[i32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        let extents = [self.width, self.hidden, self.heads];
        let mut constants = vec![
            tensor("rows", 3, &[self.rows, self.width], &signed(&self.table)),
            tensor("w1", 3, &[self.width, self.hidden], &signed(&self.weights[0])),
            tensor("w2", 3, &[self.hidden, self.heads], &signed(&self.weights[1])),
            tensor("axes", 7, &[1], &1i64.to_le_bytes()),
            tensor("one", 1, &[], &1f32.to_le_bytes()),
            tensor("zero", 2, &[], &[0]),
        ];
        for (layer, &extent) in extents.iter().enumerate() {
            constants.push(tensor(&format!("b{layer}"), 6, &[extent], &ints(&self.bias[layer])));
            constants.push(tensor(&format!("m{layer}"), 1, &[extent], &floats(&self.scale[layer])));
        }
        constants
    }

    pub fn nodes() -> Vec<Message> {
        let mut nodes = vec![
            node("Gather", &["rows", "ids"], "gathered", &[("axis", 0)]),
            node("Cast", &["gathered"], "wide", &[("to", 6)]),
            node("ReduceSum", &["wide", "axes"], "s0", &[("keepdims", 0)]),
        ];
        for layer in 0..3 {
            let name = |what: &str| format!("{what}{layer}");
            nodes.push(node("Add", &[&name("s"), &name("b")], &name("z"), &[]));
            nodes.push(node("Cast", &[&name("z")], &name("f"), &[("to", 1)]));
            let scaled = if layer == 2 { "logits".to_owned() } else { name("x") };
            nodes.push(node("Mul", &[&name("f"), &name("m")], &scaled, &[]));
            if layer < 2 {
                nodes.push(node("QuantizeLinear", &[&scaled, "one", "zero"], &name("a"), &[]));
                nodes.push(node("MatMulInteger", &[&name("a"), &format!("w{}", layer + 1)], &format!("s{}", layer + 1), &[]));
            }
        }
        nodes
    }

    /// The other way to sum rows: a product with ones.
    pub fn file_by_ones(&self) -> Vec<u8> {
        let mut nodes = vec![
            node("Gather", &["rows", "ids"], "gathered", &[("axis", 0)]),
            node("Shape", &["ids"], "shape", &[]),
            node("Slice", &["shape", "axes", "two"], "length", &[]),
            node("Concat", &["lead", "length"], "outer", &[("axis", 0)]),
            node("Expand", &["unit", "outer"], "ones", &[]),
            node("MatMulInteger", &["ones", "gathered"], "summed", &[]),
            node("Squeeze", &["summed", "axes"], "s0", &[]),
        ];
        nodes.extend(Self::nodes().split_off(3));
        let mut constants = self.constants();
        let long = |values: &[i64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        constants.push(tensor("two", 7, &[1], &long(&[2])));
        constants.push(tensor("lead", 7, &[2], &long(&[1, 1])));
        constants.push(tensor("unit", 2, &[1, 1, 1], &[1]));
        self.file_of(nodes, constants)
    }

    pub fn file(&self) -> Vec<u8> {
        self.file_of(Self::nodes(), self.constants())
    }

    pub fn file_of(&self, nodes: Vec<Message>, constants: Vec<Message>) -> Vec<u8> {
        let graph = Message::default().all(1, nodes).text(2, "made").all(5, constants);
        let graph = graph.message(11, end("ids", 6, &[None, None])).message(12, end("logits", 1, &[None, Some(self.heads)]));
        let opset = Message::default().text(1, "").integer(2, 13);
        Message::default().integer(1, 8).text(2, "tests").message(7, graph).message(8, opset).0
    }
}
