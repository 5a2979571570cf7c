"""Operators that move values about."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import (
    IN_CASE,
    MAP,
    ROWS,
    assert_computes,
    case,
    floats,
    ints,
)

CASES = [
    case("Reshape", [MAP, ints(0, 3, 2, -1)]),
    case("Reshape", [MAP, ints(-1, 480)], name="to rows"),
    case("Reshape", [ROWS[:, 0, 0], ints(-1, 1)], name="a column"),
    case("Flatten", [MAP]),
    case("Flatten", [MAP], name="late", axis=-1),
    case("Flatten", [MAP], name="wholly", axis=0),
    case("Transpose", [MAP], name="by a permutation", perm=(0, 2, 3, 1)),
    case("Squeeze", [MAP[:, :1], ints(1)]),
    case("Squeeze", [MAP[:, :1]], name="all"),
    case("Unsqueeze", [ROWS, ints(0, -1)]),
    case("Concat", [MAP, MAP[:, :2], floats(2, 3, 8, 10)], varies=2, axis=1),
    case("Split", [MAP, ints(2, 4)], outputs=2, axis=1),
    case("Split", [MAP], name="evenly", outputs=3, axis=-1, num_outputs=3),
    case("Slice", [MAP, ints(1, 2), ints(5, 99), ints(1, 3), ints(1, 3)]),
    case("Slice", [MAP, ints(-1), ints(-(2**63) + 1), ints(3), ints(-1)], name="backwards"),
    case("Slice", [MAP, ints(-2, 0), ints(99, -1), ints(2, 3)], name="from the end"),
    case("Slice", [MAP, ints(6), ints(1), ints(3), ints(-2)], name="backwards in twos"),
    case("Slice", [MAP, ints(0), ints(2), ints(1)], name="first channels"),
    case("Slice", [MAP, ints(4), ints(99), ints(1)], name="last channels"),
    case("Slice", [MAP, ints(0), ints(6), ints(2)], name="to a computed end", varies=(0, 2)),
    case("Slice", [floats(1, 9, 4), ints(1), ints(6), ints(1)], name="of a table", varies=(1, 2)),
    case("Range", [np.asarray(1), np.asarray(9), np.asarray(2)], varies=(1,)),
    case("Gather", [MAP, ints(3, 0, -1)], name="channels", axis=1),
    case("Gather", [ROWS, np.asarray(-1, np.int64)], name="one", axis=1),
    case("Gather", [ROWS, np.asarray([[0, 2], [1, 1]])], name="a table of places", axis=2),
    case("Gather", [MAP, ints(1, 0)], name="computed", varies=2),
    case("Gather", [floats(4, 6), ints(1, 0, 2)], name="rows", varies=(1,)),
    case("GatherElements", [MAP, np.arange(360).reshape(2, 6, 3, 10) % 8], varies=2, axis=2),
    case("Expand", [MAP[:, :, :1, :1], ints(1, 1, 4, 3)]),
    case("Tile", [ROWS, ints(1, 2, 3)]),
    case("Pad", [MAP, ints(0, 0, 1, 2, 0, 0, 0, 3), np.float32(1.5)]),
    case("Pad", [MAP, ints(0, 1, 0, 0, 0, 2, 0, 0)], name="channels"),
    case("Pad", [MAP, ints(1, 2, 0, 3), None, ints(2, 3)], name="by axes"),
    case("Pad", [MAP, ints(0, 0, 1, 2, 0, 0, 1, 0)], name="mirrored", mode="reflect"),
    case("Pad", [MAP, ints(0, 0, 1, 2, 0, 0, 1, 0)], name="repeated", mode="edge"),
    case("DepthToSpace", [floats(2, 8, 3, 4)], blocksize=2),
    case("DepthToSpace", [floats(2, 8, 3, 4)], name="by columns", blocksize=2, mode="CRD"),
    case("SpaceToDepth", [MAP], blocksize=2),
    case("Shape", [MAP], start=1, end=3),
    case("ConstantOfShape", [ints(2, 3)], value=np.asarray([2.5], np.float32)),
    case("Trilu", [ROWS], upper=0),
    case("Transpose", [MAP]),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
