//! The messages of an ONNX file, one function each. Names of fields stand in the match arms.

use super::tensor::Parts;
use super::wire::{Message, Value};
use super::*;

pub(super) fn model(bytes: &[u8]) -> Result<Model<'_>, Refusal> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::large(FILE_BYTES_MAX, format!("a file of {} bytes, {FILE_BYTES_MAX} at most", bytes.len())));
    }
    let mut model = Model::default();
    let mut graphs = 0;
    for field in Message::new(bytes).fields() {
        let (number, value, at) = field?;
        match number {
            1 => model.ir_version = value.integer(at)?,
            // Who made it and what of it is said to people.
            2..=4 | 6 => drop(value.text(at)?),
            5 => drop(value.integer(at)?),
            7 => {
                graphs += 1;
                model.graph = graph(value.message(at)?)?;
            }
            8 => {
                let (domain, version) = opset(value.message(at)?)?;
                match domain {
                    "" | "ai.onnx" => model.opset = version,
                    other => return Err(refuse(at, format!("operators of the domain `{other}`: only ONNX's own are run"))),
                }
            }
            14 => {
                let (key, text) = pair(value.message(at)?)?;
                if model.metadata.len() == METADATA_MAX || model.metadata.insert(key, text).is_some() {
                    return Err(
                        Refusal::large(at, format!("metadata twice, or more than {METADATA_MAX}")).within(format_args!("metadata `{key}`"))
                    );
                }
            }
            20 => return Err(refuse(at, "training information")),
            25 => return Err(refuse(at, "functions")),
            _ => return Err(refuse(at, format!("field {number} of a model"))),
        }
    }
    match graphs {
        1 => Ok(model),
        0 => Err(Refusal::malformed(bytes.len(), "no graph: this is no ONNX model")),
        _ => Err(refuse(0, "more than one graph")),
    }
}

fn refuse(at: usize, why: impl Into<String>) -> Refusal {
    Refusal { at: Some(at), ..Refusal::unsupported("", why) }
}

/// Adds to a list that has an end.
fn push<T>(list: &mut Vec<T>, item: T, most: usize, at: usize, what: &str) -> Result<(), Refusal> {
    if list.len() == most {
        return Err(Refusal::large(at, format!("more than {most} {what}")));
    }
    list.push(item);
    Ok(())
}

fn name<'m>(value: Value<'m>, at: usize) -> Result<&'m str, Refusal> {
    let text = value.text(at)?;
    if text.len() > NAME_BYTES_MAX {
        return Err(Refusal::large(at, format!("a name of {} bytes, {NAME_BYTES_MAX} at most", text.len())));
    }
    Ok(text)
}

fn opset(message: Message<'_>) -> Result<(&str, i64), Refusal> {
    let (mut domain, mut version) = ("", 0);
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => domain = name(value, at)?,
            2 => version = value.integer(at)?,
            _ => return Err(refuse(at, format!("field {number} of an operator set"))),
        }
    }
    Ok((domain, version))
}

fn pair(message: Message<'_>) -> Result<(&str, &str), Refusal> {
    let (mut key, mut text) = ("", "");
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => key = name(value, at)?,
            2 => text = value.text(at)?,
            _ => return Err(refuse(at, format!("field {number} of a pair"))),
        }
    }
    Ok((key, text))
}

fn graph(message: Message<'_>) -> Result<Graph<'_>, Refusal> {
    let mut graph = Graph::default();
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => {
                let index = graph.nodes.len();
                let node = node(value.message(at)?).map_err(|refusal| refusal.within(format_args!("node {index}")))?;
                push(&mut graph.nodes, node, NODES_MAX, at, "nodes")?;
            }
            2 | 10 => drop(value.text(at)?),
            5 => {
                let tensor = tensor(value.message(at)?)?;
                if graph.constants.len() == TENSORS_MAX {
                    return Err(Refusal::large(at, format!("more than {TENSORS_MAX} tensors")));
                }
                let name = tensor.name;
                if graph.constants.insert(name, tensor).is_some() {
                    return Err(Refusal::malformed(at, "a second tensor of this name").within(format_args!("tensor `{name}`")));
                }
            }
            11 => push(&mut graph.inputs, end(value.message(at)?)?, TENSORS_MAX + ENDS_MAX, at, "inputs")?,
            12 => push(&mut graph.outputs, end(value.message(at)?)?, ENDS_MAX, at, "outputs")?,
            // Shapes of what is between: worked out anew, so theirs are not believed.
            13 => drop(end(value.message(at)?)?),
            14 => return Err(refuse(at, "quantization annotations")),
            15 => return Err(refuse(at, "sparse tensors")),
            16 => drop(pair(value.message(at)?)?),
            _ => return Err(refuse(at, format!("field {number} of a graph"))),
        }
    }
    // Older files list their constants among the inputs.
    graph.inputs.retain(|input| !graph.constants.contains_key(input.name));
    Ok(graph)
}

fn node(message: Message<'_>) -> Result<Node<'_>, Refusal> {
    let mut node = Node::default();
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => push(&mut node.inputs, name(value, at)?, ENDS_MAX, at, "inputs of a node")?,
            2 => push(&mut node.outputs, name(value, at)?, ENDS_MAX, at, "outputs of a node")?,
            3 => node.name = name(value, at)?,
            4 => node.op = name(value, at)?,
            5 => {
                let (key, attribute) = attribute(value.message(at)?)?;
                if node.attributes.len() == ATTRIBUTES_MAX || node.attributes.insert(key, attribute).is_some() {
                    return Err(Refusal::large(at, format!("attribute `{key}` twice, or more than {ATTRIBUTES_MAX}")));
                }
            }
            6 => drop(value.text(at)?),
            7 => match value.text(at)? {
                "" | "ai.onnx" => {}
                other => return Err(refuse(at, format!("an operator of the domain `{other}`: only ONNX's own are run"))),
            },
            9 => drop(pair(value.message(at)?)?),
            _ => return Err(refuse(at, format!("field {number} of a node"))),
        }
    }
    Ok(node)
}

fn attribute(message: Message<'_>) -> Result<(&str, Attribute<'_>), Refusal> {
    let (mut key, mut found, mut integers) = ("", None, Vec::new());
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => key = name(value, at)?,
            2 => found = Some(Attribute::Float(value.float(at)?)),
            3 => found = Some(Attribute::Integer(value.integer(at)?)),
            4 => found = Some(Attribute::Text(name(value, at)?)),
            5 => found = Some(Attribute::Tensor(tensor(value.message(at)?)?)),
            8 => match value {
                Value::Varint(one) => push(&mut integers, one as i64, ENDS_MAX, at, "integers of an attribute")?,
                list => integers.extend(list.message(at)?.varints(ENDS_MAX)?.into_iter().map(|value| value as i64)),
            },
            13 => drop(value.text(at)?),
            20 => drop(value.integer(at)?),
            6 | 11 => return Err(refuse(at, "a graph within a node")),
            _ => return Err(refuse(at, format!("field {number} of an attribute"))),
        }
    }
    let value = match found {
        Some(value) if integers.is_empty() => value,
        None => Attribute::Integers(integers),
        Some(_) => return Err(Refusal::malformed(message.at(), format!("attribute `{key}` has two values"))),
    };
    Ok((key, value))
}

fn tensor(message: Message<'_>) -> Result<Tensor<'_>, Refusal> {
    let mut parts = Parts { at: message.at(), ..Parts::default() };
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => match value {
                Value::Varint(one) => push(&mut parts.dims, one as i64, DIMENSIONS_MAX, at, "dimensions")?,
                list => parts.dims.extend(list.message(at)?.varints(DIMENSIONS_MAX)?.into_iter().map(|value| value as i64)),
            },
            2 => parts.element = value.integer(at)?,
            4 => match value {
                Value::Four(one) => parts.floats.extend_from_slice(&one),
                list => parts.floats.extend_from_slice(list.message(at)?.bytes()),
            },
            5 | 7 => match value {
                Value::Varint(one) => push(&mut parts.integers, one as i64, FILE_BYTES_MAX, at, "elements")?,
                list => parts.packed(list.message(at)?, FILE_BYTES_MAX)?,
            },
            8 => parts.name = name(value, at)?,
            9 => parts.raw = Some(value.message(at)?.bytes()),
            12 => drop(value.text(at)?),
            13 => return Err(refuse(at, "elements in another file")),
            // 0: in this file.
            14 if value.integer(at)? == 0 => {}
            _ => return Err(refuse(at, format!("field {number} of a tensor"))),
        }
    }
    parts.tensor()
}

fn end(message: Message<'_>) -> Result<End<'_>, Refusal> {
    let mut end = End::default();
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => end.name = name(value, at)?,
            2 => (end.element, end.shape) = of_type(value.message(at)?)?,
            3 => drop(value.text(at)?),
            4 => drop(pair(value.message(at)?)?),
            _ => return Err(refuse(at, format!("field {number} of an input or output"))),
        }
    }
    Ok(end)
}

/// Element and extents of a type.
type Typed = (Option<Element>, Vec<Option<usize>>);

fn of_type(message: Message<'_>) -> Result<Typed, Refusal> {
    let mut typed = (None, Vec::new());
    for field in message.fields() {
        let (number, value, at) = field?;
        match number {
            1 => {
                for field in value.message(at)?.fields() {
                    let (number, value, at) = field?;
                    match number {
                        1 => typed.0 = Element::from_number(value.integer(at)?),
                        2 => typed.1 = shape(value.message(at)?)?,
                        _ => return Err(refuse(at, format!("field {number} of a tensor's type"))),
                    }
                }
            }
            6 => drop(value.text(at)?),
            _ => return Err(refuse(at, "a type that is no tensor")),
        }
    }
    Ok(typed)
}

fn shape(message: Message<'_>) -> Result<Vec<Option<usize>>, Refusal> {
    let mut shape = Vec::new();
    for field in message.fields() {
        let (number, value, at) = field?;
        if number != 1 {
            return Err(refuse(at, format!("field {number} of a shape")));
        }
        let mut extent = None;
        for field in value.message(at)?.fields() {
            let (number, value, at) = field?;
            match number {
                1 => extent = Some(usize::try_from(value.integer(at)?).map_err(|_| Refusal::malformed(at, "a negative extent"))?),
                2 | 3 => drop(value.text(at)?),
                _ => return Err(refuse(at, format!("field {number} of a dimension"))),
            }
        }
        push(&mut shape, extent, DIMENSIONS_MAX, at, "dimensions")?;
    }
    Ok(shape)
}
