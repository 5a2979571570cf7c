"""Nodes with weights."""

import numpy as np
import pytest

from tests.compress.network.graph.view.operators.cases import (
    IN_CASE,
    MAP,
    ROWS,
    assert_computes,
    case,
    floats,
)

CASES = [
    case("Dropout", [MAP]),
    case("Conv", [MAP, floats(4, 6, 3, 3), floats(4)], pads=(1, 1, 1, 1), strides=(2, 1)),
    case("Conv", [MAP, floats(6, 1, 3, 3)], name="depthwise", group=6, dilations=(2, 1)),
    case("Conv", [MAP, floats(4, 6, 3, 3)], name="uneven", pads=(0, 1, 1, 2)),
    case(
        "Conv", [MAP, floats(4, 6, 3, 3)], name="automatic", auto_pad="SAME_LOWER", strides=(2, 2)
    ),
    case("Conv", [ROWS, floats(4, 5, 3), floats(4)], name="of rows", pads=(1, 1)),
    case("Conv", [floats(2, 3, 4, 5, 6), floats(4, 3, 2, 2, 2)], name="of volumes"),
    case("ConvTranspose", [MAP, floats(6, 4, 2, 2), floats(4)], strides=(2, 2)),
    case(
        "ConvTranspose",
        [MAP, floats(6, 2, 3, 3)],
        name="grouped",
        group=2,
        pads=(1, 1, 1, 1),
        strides=(2, 2),
        output_padding=(1, 1),
    ),
    case(
        "ConvTranspose", [MAP, floats(6, 4, 3, 3)], name="uneven", pads=(0, 1, 1, 0), strides=(2, 2)
    ),
    case(
        "BatchNormalization",
        [MAP, floats(6), floats(6), floats(6), np.abs(floats(6))],
        epsilon=1e-3,
    ),
    case("InstanceNormalization", [MAP, floats(6), floats(6)]),
    case("GroupNormalization", [MAP, floats(6), floats(6)], num_groups=3),
    case("LayerNormalization", [ROWS, floats(6), floats(6)]),
    case("LayerNormalization", [ROWS, floats(5, 6)], name="of two axes", axis=1),
    case("PRelu", [MAP, floats(6, 1, 1)]),
    case("PRelu", [MAP, floats(1)], name="one slope"),
    case("PRelu", [MAP, floats(8, 10)], name="by place"),
]


@pytest.mark.parametrize(IN_CASE, CASES)
def test_an_operator_computes_what_onnx_runtime_computes(op, inputs, outputs, varies, attributes):
    assert_computes(op, inputs, outputs, varies, attributes)
