"""Scales and biases are stored together, in half the bytes where that is exact."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from compress.evaluation import runtime
from compress.export.weight_encoding import encoder
from compress.values.errors import NumericalError
from tests.compress.export.weight_encoding.encoded_files import bytes_of, file_of


def test_scales_and_biases_share_one_tensor_and_halve_where_that_is_exact():
    rng = np.random.default_rng(0)
    exact = {f"s{i}": rng.random(32).astype(np.float16).astype(np.float32) for i in range(8)}
    rough = {f"b{i}": rng.random(32).astype(np.float32) for i in range(8)}
    exact["same"] = exact["s0"]
    decoding = encoder.encode({}, form={}, vectors=exact | rough)
    assert bytes_of(decoding) < 8 * 32 * (2 + 4) + 250
    copies = [
        helper.make_node("Identity", [decoding.names[n]], [f"{n}.out"]) for n in exact | rough
    ]
    outputs = [(f"{n}.out", TensorProto.FLOAT, [32]) for n in exact | rough]
    model = file_of([*decoding.nodes, *copies], decoding.tensors.values(), outputs)
    answers = runtime.session(model.SerializeToString()).run(None, {})
    np.testing.assert_array_equal(answers, list((exact | rough).values()))


def test_integer_biases_take_two_bytes_where_that_is_enough():
    rng = np.random.default_rng(0)
    biases = {f"b{i}": rng.integers(-(2**15), 2**15, 32).astype(np.int32) for i in range(8)}
    decoding = encoder.encode({}, form={}, vectors=biases)
    assert bytes_of(decoding) < 8 * 32 * 2 + 150
    biases["wide"] = np.int32([2**15, -(2**28)])
    decoding = encoder.encode({}, form={}, vectors=biases)
    outputs = [(decoding.names[n], TensorProto.INT32, [len(biases[n])]) for n in biases]
    model = file_of(decoding.nodes, decoding.tensors.values(), outputs)
    answers = runtime.session(model.SerializeToString()).run(None, {})
    for answer, bias in zip(answers, biases.values(), strict=True):
        np.testing.assert_array_equal(answer, bias)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (np.ones((2, 2), np.float32), ValueError),
        (np.ones(2), ValueError),
        (np.float32([1, np.nan]), NumericalError),
    ],
)
def test_a_vector_that_cannot_be_stored_exactly_is_refused(vector, error):
    with pytest.raises(error):
        encoder.encode({}, form={}, vectors={"b": vector})
