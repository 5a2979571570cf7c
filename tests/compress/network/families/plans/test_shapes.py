"""The shapes of a plan's graph are those that ONNX infers."""

import pytest

from compress.network.families.catalog import plan_of
from compress.network.families.plans.lowering import lower
from compress.network.families.plans.shapes import shapes_of
from compress.network.graph.shapes import bind
from compress.network.signature import BATCH, Signature
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES


@pytest.mark.parametrize("image", [(tiny.SIDE, tiny.SIDE), (32, 48)])
@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.cross("name", "image")
def test_shapes_are_those_that_onnx_infers(name, image):
    plan = plan_of(SAMPLES[name], in_channels=1, num_classes=5)
    graph = lower(plan, Signature.of_examples((1, *image), num_classes=5))
    assert dict(shapes_of(graph, batch=2)) == dict(bind(graph, {BATCH: 2}))
