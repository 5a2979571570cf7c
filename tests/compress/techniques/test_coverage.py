"""What a technique does not reach is named, and ordinary networks have no such note."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.network.running import coverage
from compress.network.running.coverage import Reach
from compress.tasks.images import ImageData, Images
from compress.techniques.compressed import CompressedModel
from compress.values.errors import InvalidCandidate
from tests.compress.applying import applied
from tests.compress.awkward import ZOO
from tests.compress.networks import DepthwiseFirst, imported, wrapped

SHAPE = (3, 8, 8)
CONFIGS = {
    "quantization": {"weight_bits": 4, "activations": "float"},
    "sparsity": {"sparsity": 0.5},
    "weight_sharing": {"index_bits": 3},
    "low_rank": {"energy": 0.5},
}
LEFT = {
    "lstm": "rows (LSTM, 2,304)",
    "gru": "rows (GRU, 1,728)",
    "rnn": "rows (RNN, 576)",
    "embedding": "table (Embedding, 2,048)",
    "embedding bag": "table (EmbeddingBag, 2,048)",
    "transposed": "up (ConvTranspose2d, 192)",
    "functional": "kernel (parameter, 576)",
    "attention": "attention (MultiheadAttention, 192)",
    "transformer": "positions (parameter, 520)",
}


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (32, *SHAPE), generator=generator, dtype=torch.uint8)
    images = Images(x_NCHW=x, y_N=torch.arange(32) % 5)
    return ImageData(train=images, validation=images, test=None, num_classes=5)


def made(name):
    torch.manual_seed(0)
    return CompressedModel(network=wrapped(ZOO[name](), input_shape=SHAPE))


@pytest.mark.parametrize("technique", CONFIGS)
@pytest.mark.parametrize("name", LEFT)
def test_what_a_technique_leaves_alone_is_named(name, technique, data):
    compressed = applied(made(name), data, technique=technique, **CONFIGS[technique])
    (note,) = (note for note in compressed.notes if "not covered" in note)
    assert note.startswith(f"{technique}: ")
    assert LEFT[name] in note


def test_pruning_names_the_layers_that_keep_their_channels(data):
    compressed = CompressedModel(network=imported(wrapped(DepthwiseFirst(), input_shape=SHAPE)))
    pruned = applied(compressed, data, technique="filter_pruning", scope="uniform", ratio=0.5)
    (note,) = (note for note in pruned.notes if "not covered" in note)
    assert "first (Conv2d, 27)" in note
    assert "second" not in note


@pytest.mark.parametrize("technique", CONFIGS)
def test_a_network_of_ordinary_layers_has_no_note(technique, data):
    module = nn.Sequential(
        nn.Conv2d(3, 32, 3),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    compressed = CompressedModel(network=wrapped(module, input_shape=SHAPE))
    notes = applied(compressed, data, technique=technique, **CONFIGS[technique]).notes
    assert not [note for note in notes if "not covered" in note]


def test_the_share_is_that_of_all_parameters_and_excluded_layers_are_the_users_wish(data):
    compressed = made("lstm")
    total = sum(tensor.numel() for tensor in compressed.network.module.parameters())
    kept = applied(compressed, data, **CONFIGS["sparsity"], technique="sparsity", exclude="conv")
    (note,) = kept.notes
    rest = total - 216 - 40 - 2304
    assert note == (
        f"sparsity: zeros cover {40 / total:.1%} of the parameters, {216 / total:.1%} are "
        f"excluded; not covered: rows (LSTM, 2,304), biases and norms ({rest})"
    )


def test_a_second_technique_counts_the_weights_behind_the_first(data):
    first = applied(made("lstm"), data, technique="sparsity", sparsity=0.5)
    second = applied(first, data, technique="weight_sharing", index_bits=3)
    shares = [note.partition("% of")[0].rpartition(" ")[2] for note in second.notes]
    assert len(shares) == 2
    assert shares[0] == shares[1]


def test_frozen_layers_are_named_and_a_shortcut_of_zeros_and_ones_is_not():
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1))
    for part in module[1:]:
        part.weight.requires_grad_(False)
    module[2].weight.copy_(torch.eye(8)[:, :, None, None])
    (note,) = coverage.notes(module, Reach(what="zeros", reached={"0"}))
    assert "not covered: 1 (Conv2d, 64), biases and norms (24)" in note


def test_many_biases_are_said_and_few_are_not():
    thin, thick = nn.Sequential(nn.Linear(2, 8)), nn.Sequential(nn.Linear(64, 8))
    (note,) = coverage.notes(thin, Reach(what="zeros", reached={"0"}))
    assert note == "zeros cover 66.7% of the parameters; not covered: biases and norms (8)"
    assert coverage.notes(thick, Reach(what="zeros", reached={"0"})) == []


def test_a_technique_that_reaches_nothing_is_an_error(data):
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192), nn.AdaptiveAvgPool1d(5))
    compressed = CompressedModel(network=wrapped(module, input_shape=SHAPE))
    with pytest.raises(InvalidCandidate, match="no layer with a weight"):
        applied(compressed, data, technique="sparsity", sparsity=0.5)
