"""Pools and resizing."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import (
    IN_CASE,
    MAP,
    ROWS,
    assert_computes,
    case,
    ints,
)

CASES = [
    case("MaxPool", [MAP], kernel_shape=(3, 2), strides=(2, 2), pads=(1, 0, 1, 0)),
    case("MaxPool", [MAP], name="rounded up", kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1),
    case("MaxPool", [MAP], name="uneven", kernel_shape=(3, 3), strides=(2, 2), pads=(0, 0, 1, 1)),
    case(
        "MaxPool",
        [MAP],
        name="automatic",
        kernel_shape=(2, 2),
        strides=(2, 2),
        auto_pad="SAME_UPPER",
    ),
    case("AveragePool", [MAP], kernel_shape=(3, 3), pads=(1, 1, 1, 1), strides=(2, 1)),
    case(
        "AveragePool",
        [MAP],
        name="with pads",
        kernel_shape=(3, 3),
        pads=(1, 1, 1, 1),
        count_include_pad=1,
    ),
    case("AveragePool", [MAP], name="uneven", kernel_shape=(3, 3), pads=(0, 0, 1, 2)),
    case(
        "AveragePool",
        [MAP],
        name="uneven with pads",
        kernel_shape=(3, 3),
        pads=(0, 0, 1, 2),
        count_include_pad=1,
    ),
    case("AveragePool", [ROWS], name="of rows", kernel_shape=(2,)),
    case(
        "Resize",
        [MAP, None, np.asarray([1, 1, 2, 2], np.float32)],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    case(
        "Resize",
        [MAP, None, np.asarray([1, 1, 2, 3], np.float32)],
        name="half pixels",
        mode="nearest",
    ),
    case("Resize", [MAP, None, None, ints(2, 6, 12, 7)], name="linear", mode="linear"),
    case(
        "Resize",
        [MAP, None, None, ints(2, 6, 12, 7)],
        name="corners",
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    case("Resize", [MAP, None, np.asarray([1, 1, 1.5, 2], np.float32)], name="cubic", mode="cubic"),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
