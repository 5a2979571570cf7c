"""A file says the oldest opset and format in which it means what it says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.export.weight_encoding import encoder, integer_spelling
from compress.network.graph import oldest

AXES = numpy_helper.from_array(np.array([1]), "axes")
NODES = {
    "Relu": (13, 7, [helper.make_node("Relu", ["x"], ["y"])]),
    "HardSwish": (14, 7, [helper.make_node("HardSwish", ["x"], ["y"])]),
    "ReduceMean": (18, 8, [helper.make_node("ReduceMean", ["x", "axes"], ["y"])]),
    "Gelu": (20, 9, [helper.make_node("Gelu", ["x"], ["y"])]),
    "Reshape": (13, 7, [helper.make_node("Reshape", ["x", "axes"], ["y"])]),
    "Reshape to 0": (21, 10, [helper.make_node("Reshape", ["x", "axes"], ["y"], allowzero=1)]),
    "two": (
        20,
        9,
        [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Gelu", ["r"], ["y"])],
    ),
}


def model_of(nodes, *tensors):
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("name", NODES)
def test_the_newest_operator_decides(name):
    version, ir_version, nodes = NODES[name]
    model = model_of(nodes, AXES)
    oldest.lower(model)
    assert [entry.version for entry in model.opset_import] == [version]
    assert model.ir_version == ir_version
    onnx.checker.check_model(model)


def test_integers_of_four_bits_keep_the_newest_form():
    four = helper.make_tensor("w", TensorProto.INT4, [2], [1, 2])
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], four)
    oldest.lower(model)
    assert (model.opset_import[0].version, model.ir_version) == (21, 10)


def test_a_function_is_of_the_opset_of_its_model():
    model = model_of([helper.make_node("Relu", ["x"], ["y"])])
    encoder.Decoding(
        names={},
        nodes=[],
        tensors={},
        functions=[integer_spelling.level_function()],
        temporary_bytes=0,
    ).declare(model)
    oldest.lower(model)
    assert [entry.version for entry in model.functions[0].opset_import] == [13]
    assert model.ir_version == 8
