"""How nodes hold weights: from output channels first to their own form, and back."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from compress.export.weight_encoding import forms

TENSORS = {
    "Conv": ([(6, 4, 3, 3)], {"group": 2}),
    "Gemm as it is": ([(4, 6)], {}),
    "Gemm turned": ([(6, 4)], {"transB": 1}),
    "MatMul": ([(4, 6)], {}),
    "ConvTranspose": ([(4, 6, 3, 2)], {}),
    "ConvTranspose of one axis": ([(4, 6, 3)], {}),
    "ConvTranspose in groups": ([(6, 2, 3, 3, 2)], {"group": 3}),
    "ConvTranspose, several of each": ([(6, 2, 3, 3)], {"group": 6}),
    "ConvTranspose, one of each": ([(6, 1, 3, 3)], {"group": 6}),
    "LSTM both ways": ([(2, 20, 7), (2, 20, 5)], {"hidden_size": 5}),
    "GRU": ([(1, 15, 4), (1, 15, 5)], {"hidden_size": 5}),
    "Gather": ([(9, 4)], {}),
}


def held(kind):
    """A node of that kind, and the tensors in which it holds its weight."""
    shapes, attributes = TENSORS[kind]
    op = kind.split(",")[0].split()[0]
    random = np.random.default_rng(0)
    tensors = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    names = [f"w{number}" for number in range(len(tensors))]
    inputs = [*names, "x"] if op == "Gather" else ["x", *names]
    node = helper.make_node(op, inputs, ["y"], **attributes)
    constants = {n: numpy_helper.from_array(t, n) for n, t in zip(names, tensors, strict=True)}
    return node, constants, tensors


def run(kind, inputs, *, last=(), **attributes):
    """Compute one node of those that arrange a weight."""
    names = [f"i{number}" for number in range(len(inputs))]
    given = dict(zip(names, inputs, strict=True))
    if last:
        given["last"] = np.asarray(last, np.int64)
    made = [f"o{number}" for number in range(len(last))] if kind == "Split" else ["o"]
    node = helper.make_node(kind, list(given), made, **attributes)
    return ReferenceEvaluator(node, opsets={"": 21}).run(None, given)


@pytest.mark.parametrize("kind", TENSORS)
def test_what_is_read_of_a_node_is_arranged_as_the_node_had_it(kind):
    node, constants, tensors = held(kind)
    form = forms.form_of(node, constants)
    assert form is not None
    weight = form.weight(tensors)
    decoded = weight.T if form.is_transposed else weight
    for ours, own in zip(form.arranged(decoded, run), tensors, strict=True):
        np.testing.assert_array_equal(ours, own)


def test_output_channels_come_first():
    for kind in ("ConvTranspose", "Gemm as it is", "MatMul"):
        node, constants, tensors = held(kind)
        form = forms.form_of(node, constants)
        assert form is not None
        assert form.weight(tensors).shape[:2] == (6, 4)
        np.testing.assert_array_equal(form.weight(tensors)[2, 1], tensors[0][1, 2])


def test_a_gate_has_a_row_for_every_direction_and_unit():
    node, constants, (weight, recurrent) = held("LSTM both ways")
    form = forms.form_of(node, constants)
    assert form is not None
    rows = form.weight([weight, recurrent])
    assert rows.shape == (40, 12)
    np.testing.assert_array_equal(rows[27], [*weight[1, 7], *recurrent[1, 7]])


def test_only_rows_of_a_matrix_of_floats_are_an_embedding():
    node, constants, _ = held("Gather")
    whole = {"w0": numpy_helper.from_array(np.zeros((9, 4), np.int64), "w0")}
    assert forms.form_of(node, whole) is None
    across = helper.make_node("Gather", ["w0", "x"], ["y"], axis=1)
    assert forms.form_of(across, constants) is None


def test_the_first_tensor_that_a_node_makes_may_be_its_second_output():
    assert forms.made_by(helper.make_node("GRU", ["x", "w", "r"], ["", "last"])) == "last"


def test_a_weight_that_is_computed_and_other_operators_have_no_form():
    node, _, _ = held("ConvTranspose")
    assert forms.form_of(node, {}) is None
    assert forms.form_of(helper.make_node("Relu", ["x"], ["y"]), {}) is None
