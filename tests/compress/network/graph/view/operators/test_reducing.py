"""Sums, extremes and products."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import (
    IN_CASE,
    INSIDE,
    MAP,
    POSITIVE,
    ROWS,
    assert_computes,
    case,
    floats,
    ints,
)

REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)


CASES = [
    *(case(op, [INSIDE, ints(2, 3)], name="of a map", keepdims=0) for op in REDUCTIONS),
    *(case(op, [INSIDE], name="of all") for op in REDUCTIONS),
    case("ReduceLogSum", [POSITIVE, ints(1)]),
    case("ReduceSum", [MAP, ints()], name="of none", noop_with_empty_axes=1),
    case("LpNormalization", [MAP], axis=1, p=1),
    case("ArgMax", [MAP], axis=1, keepdims=0),
    case("ArgMin", [MAP], axis=-1),
    case("CumSum", [MAP, np.asarray(2, np.int64)]),
    case("Einsum", [ROWS, floats(2, 6, 3)], varies=2, equation="bij,bjk->bik"),
    case("MatMul", [ROWS, floats(2, 6, 3)], name="of activations", varies=2),
    case("MatMul", [ROWS, floats(6, 3)]),
    case("MatMul", [floats(4, 5), ROWS], name="from the left", varies=2),
    case("Gemm", [floats(3, 6), floats(4, 6), floats(4)], transB=1),
    case("Gemm", [floats(3, 6), floats(6, 4)], name="without bias"),
    case(
        "Gemm",
        [floats(6, 3), floats(6, 4), floats(3, 4)],
        name="scaled",
        alpha=0.5,
        beta=2.0,
        transA=1,
    ),
    case("GlobalAveragePool", [MAP]),
    case("GlobalMaxPool", [MAP]),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
