//! What a file must be to run natively: every deviation is refused, with its place.

use crate::write::{Made, Message, end, node, tensor};
use verdict_models::Refusal;
use verdict_models::native::Evaluator;
use verdict_models::onnx::Model;

fn made() -> Made {
    Made::new(1, 520, 8, 8, 2)
}

fn read(file: &[u8]) -> Result<Evaluator, Refusal> {
    Evaluator::new(&Model::read(file)?)
}

/// A file with some of its nodes or constants changed.
fn with(change: impl FnOnce(&mut Vec<Message>, &mut Vec<Message>)) -> Vec<u8> {
    let made = made();
    let (mut nodes, mut constants) = (Made::nodes(), made.constants());
    change(&mut nodes, &mut constants);
    made.file_of(nodes, constants)
}

#[track_caller]
fn refused(file: &[u8], why: &str) {
    let told = read(file).expect_err("it is refused").to_string();
    assert!(told.contains(why), "{told}");
}

#[test]
fn the_form_is_read_with_its_sizes() {
    let evaluator = read(&made().file()).unwrap();
    assert_eq!((evaluator.rows(), evaluator.width(), evaluator.hidden(), evaluator.heads()), (520, 8, 8, 2));
    assert_eq!(evaluator.parameters(), 520 * 8 + 8 + 64 + 8 + 16 + 2);
}

#[test]
fn rows_may_be_summed_by_a_product_with_ones() {
    let file = made().file_by_ones();
    assert_eq!(read(&file).unwrap(), read(&made().file()).unwrap());
    // Each of the four nodes that make the ones, and what they are made of.
    for (from, to) in [("Shape", "Sgape"), ("Slice", "Slide"), ("Concat", "Coccat"), ("Expand", "Expend"), ("Squeeze", "Squeeye")] {
        let at = file.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut other = file.clone();
        other[at..at + from.len()].copy_from_slice(to.as_bytes());
        assert!(read(&other).is_err(), "{from}");
    }
    let ones = file.len() - 60;
    let mut refused = 0;
    for at in ones..file.len() {
        let mut other = file.clone();
        other[at] ^= 1;
        refused += usize::from(read(&other).is_err());
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn every_node_that_differs_is_named() {
    let all = Made::nodes().len();
    for at in 0..all {
        let file = with(|nodes, _| nodes[at] = node("Identity", &["ids"], "other", &[]));
        assert!(read(&file).is_err(), "node {at}");
    }
    refused(
        &with(|nodes, _| nodes[1] = node("Cast", &["gathered"], "wide", &[("to", 7)])),
        "unsupported, node 1 (Cast `wide`): to element type 6",
    );
    refused(&with(|nodes, _| nodes[2] = node("ReduceSum", &["wide", "axes"], "s0", &[])), "a sum over axis 1, which goes away");
    refused(&with(|nodes, _| nodes[0] = node("Gather", &["rows", "ids"], "gathered", &[("axis", 1)])), "rows of a table by ids");
    refused(&with(|nodes, _| nodes[4] = node("Identity", &["z0"], "f0", &[])), "Cast is expected here");
    refused(&with(|nodes, _| nodes.push(node("Identity", &["logits"], "more", &[]))), "17 nodes, of which 16 belong to the chain");
    refused(&with(|nodes, _| nodes.push(node("Identity", &["s0"], "more", &[]))), "two nodes use it");
    refused(&with(|nodes, _| nodes.truncate(13)), "nothing uses it");
    refused(&with(|nodes, _| nodes[3] = node("Add", &["s0", "s0"], "z0", &[])), "one constant are expected");
}

#[test]
fn every_constant_that_differs_is_named() {
    let floats = |value: f32, count| std::iter::repeat_n(value.to_le_bytes(), count).flatten().collect::<Vec<_>>();
    refused(&with(|_, constants| constants[5] = tensor("zero", 2, &[], &[1])), "zero point 0");
    refused(&with(|_, constants| constants[4] = tensor("one", 1, &[], &2f32.to_le_bytes())), "scale 1");
    refused(&with(|_, constants| constants[7] = tensor("m0", 1, &[8], &floats(-1.0, 8))), "a scale is a positive number");
    refused(&with(|_, constants| constants[7] = tensor("m0", 1, &[8], &floats(f32::NAN, 8))), "tensor `m0`: not a number");
    refused(&with(|_, constants| constants[7] = tensor("m0", 1, &[7], &floats(1.0, 7))), "8 of float are expected");
    refused(&with(|_, constants| constants[7] = tensor("m0", 1, &[8], &floats(1.0, 7))), "28 bytes, where its shape [8] of float has 32");
    refused(&with(|_, constants| constants[7] = tensor("m0", 10, &[8], &[0; 16])), "elements of type 10");
    refused(&with(|_, constants| constants[0] = tensor("rows", 3, &[1, 8], &[1; 8])), "row 0 is padding");
    refused(&with(|_, constants| constants[0] = tensor("rows", 2, &[1, 8], &[0; 8])), "a table of int8");
    refused(&with(|_, constants| constants[1] = tensor("w1", 3, &[4, 16], &[0; 64])), "4 inputs, where 8 come in");
    refused(&with(|_, constants| constants[6] = tensor("b0", 6, &[8], &i32::MAX.to_le_bytes().repeat(8))), "beyond what f32 holds");
    refused(&with(|_, constants| constants.push(tensor("zero", 2, &[], &[0]))), "a second tensor of this name");
    refused(&with(|_, constants| drop(constants.remove(4))), "input 1, `one`, is no constant");
    refused(&with(|_, constants| constants[3] = tensor("axes", 7, &[], &0i64.to_le_bytes())), "a sum over axis 1");
    refused(&with(|_, constants| constants[1] = tensor("w1", 3, &[1 << 40, 1 << 40], &[0; 64])), "more elements than can be counted");
}

#[test]
fn what_could_mean_more_than_it_says_is_refused() {
    let whole = |change: fn(Message) -> Message| change(Message(made().file())).0;
    refused(&whole(|model| model.message(25, Message::default())), "functions");
    refused(&whole(|model| model.message(20, Message::default())), "training information");
    refused(&whole(|model| model.message(8, Message::default().text(1, "com.other").integer(2, 1))), "operators of the domain `com.other`");
    refused(&whole(|model| model.message(7, Message::default())), "more than one graph");
    refused(&whole(|model| model.integer(99, 1)), "field 99 of a model");
    refused(b"", "no graph: this is no ONNX model");
    refused(b"\x0a\x05hello", "something else where an integer belongs");
    let external = |constants: &mut Vec<Message>| constants[5] = tensor("zero", 2, &[], &[0]).integer(14, 1);
    refused(&with(|_, constants| external(constants)), "field 14 of a tensor");
    let branch = Message::default().text(4, "If").message(5, Message::default().text(1, "then_branch").message(6, Message::default()));
    refused(&with(|nodes, _| nodes[0] = branch), "a graph within a node");
    refused(&with(|nodes, _| nodes.extend(std::iter::repeat_n(Message::default(), 100))), "more than 64 nodes");
    refused(&with(|_, constants| constants[5] = tensor("zero", 2, &[1, 1, 1, 1, 1], &[0])), "more than 4 dimensions");
}

#[test]
fn inputs_and_outputs_are_held_against_the_chain() {
    let ends = |input: Message, output: Message| {
        let made = made();
        let graph = Message::default().all(1, Made::nodes()).all(5, made.constants()).message(11, input).message(12, output);
        Message::default().integer(1, 8).message(7, graph).message(8, Message::default().integer(2, 13)).0
    };
    let (ids, logits) = (end("ids", 6, &[None, None]), end("logits", 1, &[None, Some(2)]));
    assert!(read(&ends(ids.clone(), logits.clone())).is_ok());
    refused(&ends(end("ids", 7, &[None, None]), logits.clone()), "not int32");
    refused(&ends(end("ids", 6, &[Some(1), None]), logits), "not int32 of a batch of any size");
    refused(&ends(ids.clone(), end("logits", 1, &[None, Some(3)])), "not a batch of 2 logits");
    refused(&ends(ids, end("a0", 2, &[None, None])), "the chain ends with `logits`");
}
