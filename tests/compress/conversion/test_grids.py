"""Integers and scales are found again in files that hold floats made of them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.conversion import convert, grids
from compress.export.weight_encoding import encoder
from compress.network.stored_weight import SparseFloat, StoredWeight
from compress.targets.portable import PORTABLE

RANDOM = np.random.default_rng(0)
SCALES = {
    "one": np.float32(0.37).reshape(()),
    "per channel": RANDOM.random(24, dtype=np.float32),
    "negative": -RANDOM.random(24, dtype=np.float32),
    "per group": RANDOM.random((24, 4), dtype=np.float32),
    "partly 0": np.maximum(RANDOM.random(24, dtype=np.float32) - np.float32(0.5), 0),
    "partly -0": np.minimum(RANDOM.random(24, dtype=np.float32) - np.float32(0.5), -0.0),
}


def file_of(weight, transposed=False):
    """A float file that reads the weight, stored as the product stores it."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy"]
    graph = helper.make_graph([], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    names = encoder.add_weights(
        model, {"w": weight}, form={"w": "float"}, transposed=["w"] * transposed
    )
    model.graph.node.append(helper.make_node("Add", ["x", names["w"]], ["y"]))
    return model, names["w"]


def integers(shape, top):
    """Integers of either sign, without zeros."""
    found = RANDOM.integers(1, top + 1, shape) * RANDOM.choice([-1, 1], shape)
    return found.astype(np.int8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", [(24, 64), (24, 8, 3, 3)], ids=len)
@pytest.mark.parametrize("top", [1, 7, 127])
def test_integers_and_scales_are_found(scale, shape, top):
    stored = StoredWeight(integers_OI=integers(shape, top), scale=SCALES[scale])
    model, name = file_of(stored)
    found = grids.found(model)[name]
    assert not found.transposed
    np.testing.assert_array_equal(found.stored.values(), stored.values())
    assert found.stored.scale.size <= stored.scale.size


def test_scales_of_columns_are_found_in_a_matrix_that_lies_on_its_side():
    stored = StoredWeight(integers_OI=integers((24, 64), 7), scale=SCALES["per channel"])
    model, name = file_of(stored, transposed=True)
    found = grids.found(model)[name]
    assert found.transposed
    np.testing.assert_array_equal(found.stored.values(), stored.values())


def test_values_of_a_codebook_are_multiples_of_a_step():
    few = np.array([-101, -13, 0, 55, 120], np.int8)
    layers = RANDOM.choice(few, (40, 90))
    model, name = file_of(StoredWeight(integers_OI=layers, scale=np.float32(0.013)))
    assert "Gather" in {node.op_type for node in model.graph.node}
    assert grids.found(model)[name].stored.scale.size == 1


def test_floats_are_no_grid():
    values = RANDOM.normal(size=(24, 64)).astype(np.float32)
    values[values < 0.5] = 0
    model, _ = file_of(SparseFloat(values_OI=values))
    assert grids.found(model) == {}


def test_a_constant_without_values_is_no_grid():
    model, _ = file_of(SparseFloat(values_OI=np.zeros((4, 16), np.float32)))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((0, 2), np.float32), "none"))
    for found in grids.found(model).values():
        assert not found.stored.values().any()


def test_zeros_under_negative_scales_take_few_bits_in_a_portable_file():
    values = RANDOM.integers(-7, 8, (64, 24)).astype(np.int8)
    model, name = file_of(StoredWeight(integers_OI=values, scale=-np.ones(64, np.float32)))
    model.graph.node[-1].CopyFrom(helper.make_node("MatMul", ["x", name], ["y"]))
    for port, size in ((model.graph.input[0], 64), (model.graph.output[0], 24)):
        shape = ["N", size]
        port.CopyFrom(helper.make_tensor_value_info(port.name, TensorProto.FLOAT, shape))
    assert convert.converted(model, PORTABLE).ByteSize() < values.size
