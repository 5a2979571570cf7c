"""What is predicted of a pruned network is what its file counts, in families and in uploads."""

from __future__ import annotations

import random

import pytest
import torch

from compress.export import counting, writer
from compress.network import folding
from compress.network.families import outlining
from compress.network.sources import onnx
from compress.network.structure import channels
from compress.network.structure.narrowing import Narrowing
from compress.tasks.images import ImageData, Images
from compress.techniques.compressed import CompressedModel
from compress.techniques.filter_pruning import apply as pruning
from compress.techniques.filter_pruning import prediction
from compress.techniques.filter_pruning.config import FilterPruning
from compress.values.errors import InvalidCandidate
from tests.compress import uploads
from tests.compress.applying import context_of
from tests.compress.network.families import tiny
from tests.compress.network.families.samples import SAMPLES

DRAWS = 3
UPLOADS = ("cnn", "residual", "depthwise")
COVER = ("residual", "residual, padded", "depthwise")
NAMES = [*UPLOADS, *(name for name in SAMPLES if name not in UPLOADS)]
ROWS = [pytest.param(name, marks=() if name in COVER else pytest.mark.proof) for name in NAMES]


def network_and_outline(name):
    if name in UPLOADS:
        network = uploads.network_of(uploads.uploaded(name))
        return network, onnx.outline(network)
    network = tiny.network(SAMPLES[name])
    outline = outlining.outline(
        SAMPLES[name], input_shape=network.input_shape, num_classes=network.num_classes
    )
    return network, outline


def narrowing_of(outline):
    assert outline.coupled is not None
    return Narrowing(outline, outline.coupled)


def drawn(chance, num_stages):
    scope = chance.choice(sorted(prediction.SCOPES))
    ratios = tuple(chance.choice([0, 0.2, 0.5, 0.7]) for _ in range(num_stages))
    return FilterPruning(
        scope=scope,
        target=chance.choice(sorted(prediction.TARGETS)),
        ratios=ratios if scope == "stage" else (),
        ratio=chance.choice([0.1, 0.2, 0.3]),
        round_to=chance.choice([1, 2, 4]),
        steps=chance.choice([1, 1, 3]),
        importance=chance.choice(["l2", "random", "lamp"]),
    )


def images_for(network):
    x_NCHW = torch.randn(8, *network.input_shape, generator=torch.Generator().manual_seed(0))
    images = Images(x_NCHW=x_NCHW, y_N=torch.zeros(8, dtype=torch.int64))
    return ImageData(train=images, validation=images, test=None, num_classes=network.num_classes)


@pytest.mark.parametrize("name", ROWS)
def test_a_file_counts_what_was_predicted(name):
    network, outline = network_and_outline(name)
    narrowing, chance = narrowing_of(outline), random.Random(name)
    assert narrowing.is_exact
    context, num_stages = context_of(images_for(network)), channels.find(network).num_stages
    for config in (drawn(chance, num_stages) for _ in range(DRAWS)):
        kept = prediction.predicted(config, narrowing)
        assert kept is not None
        try:
            pruned = pruning.apply(CompressedModel(network=network), config, context)
        except InvalidCandidate:
            # The target is out of reach.
            continue
        folded, _ = folding.fold(pruned.network, {})
        found, expected = counting.count(writer.float_graph(folded)), narrowing.without(kept)
        assert (found.parameters, found.macs) == (expected.parameters, expected.macs)


def test_a_global_ranking_and_bytes_cannot_be_known_before():
    narrowing = narrowing_of(network_and_outline("residual")[1])
    for config in (
        FilterPruning(scope="global", ratio=0.5),
        FilterPruning(scope="uniform", target="bytes", ratio=0.5),
    ):
        assert prediction.predicted(config, narrowing) is None


def test_excluded_layers_keep_the_channels_of_their_groups():
    narrowing = narrowing_of(network_and_outline("residual")[1])
    config = FilterPruning(scope="uniform", ratio=0.5, exclude="one.0")
    assert prediction.predicted(config, narrowing) == {"two.0": 6}


def test_a_step_without_effect_keeps_everything():
    narrowing = narrowing_of(network_and_outline("residual")[1])
    assert prediction.predicted(FilterPruning(scope="uniform", ratio=0.0), narrowing) == {}
