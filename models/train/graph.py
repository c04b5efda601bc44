"""The two ONNX graphs of one model: float, and the integers of quantize.py as operators that a runtime has natively.

    ids i32 [N, L] ─Gather─► [N, L, D] ─sum over L─► + b0 ─► Cast, Mul m0, QuantizeLinear ─► MatMulInteger w1, + b1 ─► … ─► logits f32 [N, heads]
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .bag import TOP

OPSET = 17


class Graph:
    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def model(self, name, heads, about):
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("ids", TensorProto.INT32, ["rows", "length"])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", heads])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="verdictd")
        helper.set_model_props(model, about)
        onnx.checker.check_model(model, full_check=True)
        return model


def integer(q, name, about):
    g = Graph()
    rows = g.node("Gather", [g.constant("rows", q.rows), "ids"], "gathered", axis=0)
    shape = g.node("Shape", ["ids"], "shape")
    length = g.node("Slice", [shape, g.constant("one", np.array([1], np.int64)), g.constant("two", np.array([2], np.int64))], "length")
    outer = g.node("Concat", [g.constant("lead", np.array([1, 1], np.int64)), length], "ones_shape", axis=0)
    ones = g.node("Expand", [g.constant("unit", np.ones((1, 1, 1), np.uint8)), outer], "ones")
    summed = g.node("MatMulInteger", [ones, rows], "summed")  # Cast and ReduceSum would take ten times as long
    total = g.node("Squeeze", [summed, g.constant("over", np.array([1], np.int64))], "total")
    g.constant("unit_scale", np.float32(1))
    g.constant("zero", np.uint8(0))
    hidden = _bytes(g, g.node("Add", [total, g.constant("b0", q.b0)], "z0"), q.m0, 0)
    z1 = g.node("Add", [g.node("MatMulInteger", [hidden, g.constant("w1", q.w1)], "p1"), g.constant("b1", q.b1)], "z1")
    hidden = _bytes(g, z1, q.m1, 1)
    z2 = g.node("Add", [g.node("MatMulInteger", [hidden, g.constant("w2", q.w2)], "p2"), g.constant("b2", q.b2)], "z2")
    g.node("Mul", [g.node("Cast", [z2], "f2", to=TensorProto.FLOAT), g.constant("m2", q.m2)], "logits")
    return g.model(name, len(q.b2), about)


def _bytes(g, z, multiplier, layer):
    """Eight bits of an accumulator: saturation at nought is the ReLU, at 255 the clip."""
    real = g.node("Mul", [g.node("Cast", [z], f"f{layer}", to=TensorProto.FLOAT), g.constant(f"m{layer}", multiplier)], f"y{layer}")
    return g.node("QuantizeLinear", [real, "unit_scale", "zero"], f"a{layer}")


def real(model, name, about):
    g, w = Graph(), model.weights
    rows = g.node("Gather", [g.constant("rows", w["rows"]), "ids"], "gathered", axis=0)
    total = g.node("ReduceSum", [rows, g.constant("over", np.array([1], np.int64))], "total", keepdims=0)
    g.constant("low", np.float32(0))
    g.constant("top", np.float32(TOP))
    hidden = g.node("Clip", [g.node("Add", [total, g.constant("b0", w["b0"])], "z0"), "low", "top"], "a0")
    z1 = g.node("Add", [g.node("MatMul", [hidden, g.constant("w1", w["w1"])], "p1"), g.constant("b1", w["b1"])], "z1")
    hidden = g.node("Clip", [z1, "low", "top"], "a1")
    g.node("Add", [g.node("MatMul", [hidden, g.constant("w2", w["w2"])], "p2"), g.constant("b2", w["b2"])], "logits")
    return g.model(name, len(w["b2"]), about)


def padded(bags, multiple=32):
    """Ids as the graph wants them: rows of one length, filled up with row 0."""
    sizes = np.diff(bags.start)
    length = int(-(-sizes.max() // multiple) * multiple)
    out = np.zeros((len(bags), length), np.int32)
    column = np.arange(len(bags.ids)) - np.repeat(bags.start[:-1], sizes)
    out[np.repeat(np.arange(len(bags)), sizes), column] = bags.ids
    return out
