"""Recurrent layers: gates in the right order, states and both directions."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import IN_CASE, assert_computes, case, floats

LENGTHS = np.asarray([3, 7, 1], np.int32)
GATED = (floats(7, 3, 6), floats(2, 15, 6), floats(2, 15, 5))
CASES = [
    case(
        "LSTM",
        [floats(7, 2, 6), floats(1, 20, 6), floats(1, 20, 5), floats(1, 40)],
        outputs=3,
        hidden_size=5,
    ),
    case(
        "LSTM",
        [floats(7, 2, 6), floats(2, 20, 6), floats(2, 20, 5), None, None, floats(2, 2, 5)],
        name="both ways from a state",
        outputs=3,
        varies=(0, 5),
        direction="bidirectional",
        hidden_size=5,
    ),
    case(
        "GRU",
        [floats(7, 2, 6), floats(2, 15, 6), floats(2, 15, 5), floats(2, 30)],
        outputs=2,
        direction="bidirectional",
        hidden_size=5,
        linear_before_reset=1,
    ),
    case(
        "GRU",
        [*GATED, None, LENGTHS, floats(2, 3, 5)],
        name="of examples of different lengths",
        outputs=2,
        varies=(0, 4, 5),
        direction="bidirectional",
        hidden_size=5,
        linear_before_reset=1,
    ),
    case(
        "LSTM",
        [floats(7, 3, 6), floats(2, 20, 6), floats(2, 20, 5), floats(2, 40), LENGTHS],
        name="of examples of different lengths",
        outputs=3,
        varies=(0, 4),
        direction="bidirectional",
        hidden_size=5,
    ),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
