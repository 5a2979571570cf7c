"""Large tables of words are decoded by rows, to the bit, and never lie whole in memory."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from compress.export.weight_encoding import rows
from compress.network.stored_weight import HalfFloat, SparseFloat, StoredWeight

_ROWS = 60
RANDOM = np.random.default_rng(0)
IDS = np.array([[0, 1, 59, 17], [-1, 5, 5, -60]])


def answers(weight, *, opset=13, ids=IDS):
    table = rows.lookup(weight, ids="ids", output="y", prefix="rows.")
    graph = helper.make_graph(
        table.nodes,
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [None, None])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None, None])],
        list(table.tensors.values()),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7 if opset == 13 else 10
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return model, session.run(None, {"ids": ids})[0]


def integers(levels, *, columns):
    low = -(levels // 2)
    return RANDOM.integers(low, low + levels, (columns, _ROWS)).astype(np.int8)


def scales(kind, columns):
    shape = {"one": (), "column": (columns,), "group": (columns, 5)}[kind]
    return RANDOM.uniform(0.01, 0.1, shape).astype(np.float32)


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 7, 15, 16, 31, 63, 127, 255])
@pytest.mark.parametrize("kind", ["one", "column", "group"])
@pytest.mark.parametrize("opset", [13, 21])
def test_rows_of_any_number_of_levels_are_decoded_to_the_bit(levels, kind, opset):
    weight = StoredWeight(integers_OI=integers(levels, columns=13), scale=scales(kind, 13))
    _, found = answers(weight, opset=opset)
    assert found.tobytes() == weight.values().T[IDS].tobytes()


@pytest.mark.parametrize(("base", "count"), [(3, 5), (5, 6), (6, 8), (8, 5)])
def test_no_word_of_digits_is_decoded_to_others(base, count):
    codes = np.arange(base**count)[-(2**17) :]
    digits = np.stack([codes // base**place % base for place in range(count)]).astype(np.int8)
    weight = StoredWeight(integers_OI=digits, scale=np.float32(1).reshape(()))
    _, found = answers(weight, ids=np.arange(len(codes))[None])
    assert np.array_equal(found[0], digits.T)


@pytest.mark.parametrize(
    ("levels", "bits"), [(2, 1), (3, 1.6), (4, 2), (7, 3), (15, 4), (31, 5.34), (63, 6), (255, 8)]
)
def test_a_number_takes_the_bits_of_its_levels(levels, bits):
    weight = StoredWeight(integers_OI=integers(levels, columns=120), scale=scales("one", 120))
    model, _ = answers(weight)
    (table,) = rows.packed(model)
    assert 8 * len(table.codes.raw_data) / weight.integers_OI.size <= bits


def test_few_integers_far_apart_are_places_in_a_codebook():
    far = RANDOM.choice(np.array([-127, -3, 40, 127], np.int8), (64, _ROWS))
    weight = StoredWeight(integers_OI=far, scale=scales("column", 64))
    model, found = answers(weight)
    (table,) = rows.packed(model)
    assert found.tobytes() == weight.values().T[IDS].tobytes()
    assert table.codes.dims == [_ROWS, 16]


def test_columns_on_grids_of_their_own_take_no_more_bits():
    lowest_E1 = np.arange(-100, 28, 2)[:, None]
    apart = (integers(4, columns=64) + 2 + lowest_E1).astype(np.int8)
    weight = StoredWeight(integers_OI=apart, scale=scales("column", 64))
    model, found = answers(weight)
    (table,) = rows.packed(model)
    assert found.tobytes() == weight.values().T[IDS].tobytes()
    assert table.codes.dims == [_ROWS, 16]


def test_a_table_of_float16_stays_one():
    halves = RANDOM.normal(size=(8, _ROWS)).astype(np.float16).astype(np.float32)
    model, found = answers(HalfFloat(values_OI=halves))
    assert found.tobytes() == halves.T[IDS].tobytes()
    assert model.graph.initializer[0].data_type == TensorProto.FLOAT16


def test_only_large_tables_with_a_form_stay_packed():
    large = np.ones((64, rows.LEAST_NUMBERS // 64), np.int8)
    assert rows.stays_packed(StoredWeight(integers_OI=large, scale=np.float32(1).reshape(())))
    assert not rows.stays_packed(
        StoredWeight(integers_OI=large[:, 1:].copy(), scale=np.float32(1).reshape(()))
    )
    assert rows.stays_packed(HalfFloat(values_OI=large.astype(np.float32)))
    assert not rows.stays_packed(SparseFloat(values_OI=large * np.float32(0.1)))
