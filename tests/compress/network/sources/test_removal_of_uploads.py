"""Channels that do not leave as they should stay: in the inspection, and for who loads the file."""

import numpy as np
import pytest
import torch
from onnx import helper

from compress.export import counting, writer
from compress.network import folding
from compress.network.sources import onnx, onnx_inspection
from compress.network.sources.onnx_info import InspectedNetwork
from compress.network.structure import channels
from compress.network.structure.narrowing import Narrowing
from compress.tasks.images import ImageData, Images
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import apply as pruning
from compress.techniques.filter_pruning import prediction
from compress.techniques.filter_pruning.config import FilterPruning
from compress.training import reinsertion
from tests import onnx_files
from tests.compress.applying import context_of
from tests.devices import DEVICE

SHAPE, CLASSES, WIDTH = (1, 8, 8), 2, 48
WHY = "the network answers otherwise, or not, when they leave"


def on_rounding() -> bytes:
    """A network whose answer hangs on the order in which a convolution adds up its inputs."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((WIDTH, 1, 3, 3)) * 0.3,
        "wb": random.standard_normal(WIDTH),
        "v": random.standard_normal((8, WIDTH, 3, 3)) * 0.2,
        "vb": random.standard_normal(8),
        "scale": np.array(1e8),
        "m": random.standard_normal((CLASSES, 8)),
        "mb": np.zeros(CLASSES),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w", "wb"], ["a"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "v", "vb"], ["c"], name="second"),
        helper.make_node("Mul", ["c", "scale"], ["d"], name="loud"),
        helper.make_node("Sin", ["d"], ["e"], name="turned"),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], name="pool"),
        helper.make_node("Flatten", ["f"], ["g"], name="flat"),
        helper.make_node("Gemm", ["g", "m", "mb"], ["y"], name="last", transB=1),
    ]
    made = onnx_files.made(
        nodes, inputs={"x": ("N", *SHAPE)}, outputs={"y": ("N", CLASSES)}, weights=weights
    )
    return made.SerializeToString()


@pytest.fixture(scope="module")
def content() -> bytes:
    return on_rounding()


def images_of() -> ImageData:
    x_NCHW = torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0))
    part = Images(x_NCHW=x_NCHW, y_N=torch.arange(8) % CLASSES)
    return ImageData(train=part, validation=part, test=None, num_classes=CLASSES)


def test_an_inspection_says_which_channels_stay_and_why(content: bytes) -> None:
    found = onnx_inspection.verdict(content).found
    assert isinstance(found, InspectedNetwork), found
    coupled = found.outline.channels
    assert coupled is not None
    assert ([group.root for group in coupled.groups], coupled.fixed) == (["second"], {"first": WHY})
    assert f"filter_pruning leaves the channels of first: {WHY}" in found.info.notes
    assert [layer.loses_channels for layer in found.info.layers] == [False, True, True]


def test_who_loads_the_file_keeps_the_same_channels(content: bytes) -> None:
    network = onnx.load(content, input_shape=SHAPE, num_classes=CLASSES)
    outline = onnx.outline(network)
    found = channels.find(network)
    assert outline.channels is not None
    assert outline.channels == onnx_inspection.inspect(content).outline.channels
    assert ([group.root for group in found.groups], found.fixed) == (["second"], {"first": WHY})
    config = FilterPruning(scope="uniform", ratio=0.5, steps=2)
    start = CompressedModel(network=network)
    pruned = pruning.apply(start, config, context_of(images_of()))
    assert any("'first' stay" in note and WHY in note for note in pruned.notes)
    narrowing = Narrowing(outline, outline.channels)
    kept = prediction.predicted(config, narrowing)
    assert kept == {"second": 4}
    folded, _ = folding.fold(pruned.network, {})
    counted, expected = counting.count(writer.float_graph(folded)), narrowing.without(kept)
    assert (counted.parameters, counted.macs) == (expected.parameters, expected.macs)


def test_norms_that_come_back_change_nothing_of_it(content: bytes) -> None:
    network = onnx.load(content, input_shape=SHAPE, num_classes=CLASSES)
    whole = reinsertion.reinserted(network, images_of().train, device=DEVICE)
    assert whole is not network
    assert [group.root for group in channels.find(whole).groups] == ["second"]


def test_a_network_that_is_what_it_seems_loses_all_of_its_channels() -> None:
    found = onnx_inspection.inspect(onnx_files.network())
    assert found.outline.channels is not None
    assert [group.root for group in found.outline.channels.groups] == ["first"]
    assert len(found.info.notes) == 1
