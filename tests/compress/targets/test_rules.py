"""A rule that a file breaks is an error that names the node and the rule."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.targets import registry, rules
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.values.errors import TargetRuleBroken, UnknownTarget


def model_of(nodes, opset=13, ir_version=7, functions=(), **tensors):
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 2]) for n in "xy"]
    held = [
        value if isinstance(value, TensorProto) else numpy_helper.from_array(value, name)
        for name, value in tensors.items()
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], held)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
        functions=list(functions),
    )


def integers(bias):
    """A layer of integers whose bias is ``bias``, and what decodes its operands."""
    return [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        helper.make_node("DequantizeLinear", ["w", "s"], ["v"]),
        helper.make_node("DequantizeLinear", ["i", "s"], ["b"]),
        helper.make_node("Gemm", ["a", "v", bias], ["y"]),
    ]


CONSTANTS = {
    "s": np.float32(0.5),
    "z": np.uint8(0),
    "w": np.ones((2, 2), np.int8),
    "i": np.ones(2, np.int32),
    "f": np.ones(2, np.float32),
    "u": np.full(2, 3, np.uint8),
    "l": np.ones(2, np.int64),
    "n": np.int32(0),
}
RELU = [helper.make_node("Relu", ["x"], ["y"])]
TWICE = helper.make_function(
    "w", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], []
)
BROKEN = {
    "opset": (PLAIN, model_of(RELU, opset=14), "opset 14, at most 13"),
    "newest opset": (ONNXRUNTIME, model_of(RELU, opset=22), "opset 22, at most 21"),
    "format": (PLAIN, model_of(RELU, ir_version=8), "IR version 8, at most 7"),
    "function": (PLAIN, model_of(RELU, functions=[TWICE]), "function, 'Twice'"),
    "foreign operator": (
        PLAIN,
        model_of([helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
        r"Gelu \(node 'y'\) is no operator of ONNX",
    ),
    "type": (
        PLAIN,
        model_of(RELU, w=helper.make_tensor("w", TensorProto.INT4, [2], [1, 2])),
        "tensor 'w' is of type int4; allowed are float32",
    ),
    "constants": (
        PLAIN,
        model_of(
            [
                helper.make_node("Add", ["f", "f"], ["g"]),
                helper.make_node("Add", ["x", "g"], ["y"]),
            ],
            **CONSTANTS,
        ),
        r"Add \(node 'g'\) reads nothing but constants; only DequantizeLinear may",
    ),
    "what DequantizeLinear makes": (
        PLAIN,
        model_of(
            [
                helper.make_node("DequantizeLinear", ["w", "s"], ["v"]),
                helper.make_node("Transpose", ["v"], ["t"]),
                helper.make_node("MatMul", ["x", "t"], ["y"]),
            ],
            **CONSTANTS,
        ),
        r"Transpose \(node 't'\) reads nothing but constants",
    ),
    "sums of integers": (
        PORTABLE,
        model_of([helper.make_node("CumSum", ["i", "n"], ["c"]), *RELU], **CONSTANTS),
        r"CumSum \(node 'c'\) computes with constants in int32; only float32 is allowed",
    ),
    "quotients of integers": (
        PORTABLE,
        model_of([helper.make_node("Div", ["i", "i"], ["c"]), *RELU], **CONSTANTS),
        r"Div \(node 'c'\) computes with constants in int32",
    ),
    "remainders": (
        PORTABLE,
        model_of([helper.make_node("Mod", ["i", "i"], ["c"]), *RELU], **CONSTANTS),
        r"Mod \(node 'c'\) reads nothing but constants; only DequantizeLinear, Cast",
    ),
    "64 bits": (
        PORTABLE,
        model_of([helper.make_node("Add", ["l", "l"], ["c"]), *RELU], **CONSTANTS),
        r"Add \(node 'c'\) reads constants of 64 bits, 'l'; use int32 or float32",
    ),
    "split": (
        PORTABLE,
        model_of([helper.make_node("Split", ["w"], ["c", "d"]), *RELU], **CONSTANTS),
        r"Split \(node 'c'\) does not say which axis of several it splits",
    ),
    "64 bits reshaped": (
        PORTABLE,
        model_of([helper.make_node("Reshape", ["l", "l"], ["c"]), *RELU], **CONSTANTS),
        r"Reshape \(node 'c'\) reads constants of 64 bits",
    ),
    "bytes": (
        ONNXRUNTIME,
        model_of([helper.make_node("Div", ["u", "u"], ["d"]), *RELU], opset=14, **CONSTANTS),
        r"Div \(node 'd'\) divides uint8; divide int32",
    ),
    "bias": (
        ONNXRUNTIME,
        model_of(integers("f"), **CONSTANTS),
        r"Gemm \(node 'y'\) adds a float bias to integers",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_names_the_node_and_the_rule(name):
    target, model, words = BROKEN[name]
    with pytest.raises(TargetRuleBroken, match=words):
        rules.check(model, target)


@pytest.mark.parametrize("target", registry.PROVEN, ids=lambda target: target.name)
def test_a_file_of_integers_that_keeps_all_rules_passes(target):
    model = model_of(integers("b"), **CONSTANTS)
    onnx.checker.check_model(model, full_check=True)
    assert [*rules.integer_layers(model)] == [model.graph.node[-1]]
    rules.check(model, target)


def test_a_target_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(UnknownTarget, match="'ncnn'; expected one of onnxruntime, portable, plain"):
        registry.find("ncnn")
    assert registry.find("plain") is PLAIN
