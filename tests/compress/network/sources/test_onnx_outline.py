"""An imported network is described alike by its inspection and where it runs."""

from __future__ import annotations

import pytest

from compress.network import layers
from compress.network.sources import onnx, onnx_inspection
from tests import onnx_files

SHAPES = {"first": ((1, 8, 8), False), "last": ((8, 8, 1), True)}


@pytest.mark.parametrize("name", SHAPES)
def test_an_inspection_and_a_worker_see_the_same_network(name):
    image, nhwc = SHAPES[name]
    content = onnx_files.network(image=image, nhwc=nhwc)
    inspected = onnx_inspection.inspect(content)
    network = onnx.load(content, input_shape=(1, 8, 8), num_classes=2)
    assert onnx.outline(network) == inspected.outline
    found = {layer.name for layer in layers.weighted(network)}
    assert {layer.name for layer in inspected.outline.layers} == found
    assert inspected.outline.blocks == (1, 1)
    assert inspected.outline.signature == network.signature
