"""A list that counts the words that stay takes one bit a word."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.evaluation import runtime
from compress.export import onnx_graph
from compress.export.weight_encoding import counted_places
from compress.export.weight_encoding.float_spelling import FLOATS
from compress.export.weight_encoding.integer_spelling import INTEGERS

WORDS = 1999


def model(rows_V):
    node = helper.make_node("Gather", ["rows", "ids"], ["row"])
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("row", TensorProto.INT32, ["n"])],
        [numpy_helper.from_array(rows_V, "rows")],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def counted(seed):
    stays_V = np.random.default_rng(seed).random(WORDS) < 0.1
    return np.where(stays_V, stays_V.cumsum(), 0).astype(np.int32)


@pytest.mark.parametrize("spelling", [INTEGERS, FLOATS], ids=["integers", "floats"])
def test_a_list_is_counted_again_as_the_file_is_loaded(spelling):
    rows_V = counted(0)
    made = model(rows_V)
    counted_places.pack(made, spelling)
    onnx_graph.compact(made)
    assert made.ByteSize() < WORDS / 8 + 900
    onnx.checker.check_model(made, full_check=True)
    session = runtime.session(made.SerializeToString())
    (found,) = session.run(None, {"ids": np.arange(WORDS)})
    np.testing.assert_array_equal(found, rows_V)


def test_other_lists_stay_as_they_are():
    rows_V = counted(0)[::-1].copy()
    made = model(rows_V)
    before = made.SerializeToString()
    counted_places.pack(made)
    assert made.SerializeToString() == before
