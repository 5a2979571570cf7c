"""Decoders in float32 are exact where ONNX is run, and keep the rules of files for any runtime."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from compress.evaluation import runtime
from compress.export.weight_encoding import encoder, streams
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.float_spelling import FLOATS, FloatSpelling
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.network.stored_weight import StoredWeight
from compress.targets import rules
from compress.targets.portable import PORTABLE

IN_FLOATS = {
    "digits": partial(streams.radix, word=np.uint8),
    "planes": streams.planes,
    "prefix code": streams.huffman,
}


def file_of(building, stream):
    """A file of the oldest opset that answers what a stream holds."""
    whole = streams.unpacked(building, FLOATS)
    flat = whole.reshape(stream.name, [stream.size])
    kind = TensorProto.INT8 if stream.itemsize == 1 else TensorProto.FLOAT
    answer = helper.make_tensor_value_info(flat, kind, [stream.size])
    graph = helper.make_graph(whole.nodes, "g", [], [answer], list(whole.tensors.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


def assert_exact_everywhere(building, stream, expected):
    model = file_of(building, stream)
    rules.check(model, PORTABLE)
    (ours,) = runtime.session(model.SerializeToString()).run(None, {})
    (theirs,) = ReferenceEvaluator(model).run(None, {})
    for found in (ours, theirs):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found[: len(expected)], expected)
    return model


@pytest.mark.parametrize("form", sorted(IN_FLOATS))
@pytest.mark.parametrize("bits", range(1, 9))
def test_decoders_in_float_are_exact_in_every_runtime(form, bits):
    """Odd sizes, all levels that so many bits have, and one level more and fewer."""
    random = np.random.default_rng(bits)
    for size, levels in ((1, 2**bits), (17, 2**bits - 1), (1001, 2**bits), (1001, 2**bits - 1)):
        spread = np.clip(np.rint(random.normal(size=size) * levels / 6), -levels // 2, levels // 2)
        codes = np.clip(spread, -127, 127).astype(np.int8)
        building = Building(prefix="w")
        stream = IN_FLOATS[form](building, codes, FLOATS)
        if stream is not None:
            assert_exact_everywhere(building, stream, codes)


@pytest.mark.parametrize("form", sorted(IN_FLOATS))
@pytest.mark.parametrize("codes", [np.zeros(33), np.full(8, -127), np.arange(-127, 128)], ids=len)
def test_decoders_in_float_hold_one_level_and_all(form, codes):
    building = Building(prefix="w")
    stream = IN_FLOATS[form](building, codes.astype(np.int8), FLOATS)
    if stream is not None:
        assert_exact_everywhere(building, stream, codes.astype(np.int8))


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("size", [1, 8, 1003])
def test_masks_in_float_are_exact_in_every_runtime(share, size):
    random = np.random.default_rng(size)
    values = random.normal(size=size).astype(np.float32) * (random.random(size) >= share)
    building = Building(prefix="w")
    assert_exact_everywhere(building, streams.sparse(building, values, FLOATS), values)


def test_many_bits_are_looked_up_in_float():
    codes = np.clip(np.random.default_rng(0).normal(size=150_000), -1, 2).astype(np.int8)
    building = Building(prefix="w")
    stream = streams.planes(building, codes, FLOATS)
    model = assert_exact_everywhere(building, stream, codes)
    assert [256, 8] in [[*tensor.int64_data] for tensor in model.graph.initializer]


def test_codes_in_float_have_few_levels():
    """OpenVINO before 2025 takes three times as long to load a file for every level more."""
    spread = np.random.default_rng(0).normal(size=60_000) * 40
    codes = np.where(np.abs(spread) < 35, 0, np.clip(np.rint(spread), -127, 127)).astype(np.int8)
    levels = []
    for spelling in (FLOATS, INTEGERS):
        building = Building(prefix="w")
        assert streams.huffman(building, codes, spelling) is not None
        kinds = [node.op_type for node in building.nodes]
        levels.append(kinds.count("CumSum") or kinds.count("l"))
    assert levels[0] <= 8 < levels[1]


def test_symbols_that_floats_cannot_count_have_another_form():
    class Small(FloatSpelling):
        most_counted = 100

    codes = np.clip(np.random.default_rng(0).normal(size=3000) * 2, -6, 6).astype(np.int8)
    assert streams.sparse(Building(prefix="w"), codes.astype(np.float32), Small()) is None
    assert streams.huffman(Building(prefix="w"), codes, Small()) is None
    weights = {"w": StoredWeight(integers_OI=codes.reshape(3, -1), scale=np.float32(1))}
    decoding = encoder.encode(weights, form={"w": "int8"}, spelling=Small())
    assert "CumSum" not in {node.op_type for node in decoding.nodes}
