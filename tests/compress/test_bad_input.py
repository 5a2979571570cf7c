"""What cannot be compressed as asked: a clear error or a note, never a file that lies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from compress import pipeline
from compress.evaluation import runtime
from compress.network import layers
from compress.network.families.network import build
from compress.network.families.residual.config import Residual
from compress.network.network import Network
from compress.tasks.images import Images
from compress.techniques.candidate import Candidate
from compress.techniques.filter_pruning.config import FilterPruning
from compress.techniques.low_rank.config import LowRank
from compress.techniques.quantization.config import Quantization
from compress.techniques.registry import TechniqueConfig
from compress.techniques.sparsity.config import Sparsity
from compress.techniques.weight_sharing.config import WeightSharing
from compress.training import constraints
from compress.values.errors import CompressError, ExportParityError, InvalidCandidate, InvalidData
from tests.compress import contract
from tests.compress.contract import CASES, Made
from tests.compress.networks import Transposed, seeded

CONFIGS = {case.technique: case.config for case in reversed(CASES)}
# What a recovery learns, and how a file asks: neither looks at layers or training images.
AT_A_DISTANCE = {"adjusted_loss", "distillation", "mirroring"}
TOUCHING = sorted(set(CONFIGS) - AT_A_DISTANCE - {"family_member"})
CALIBRATED = {
    "filter_pruning": FilterPruning(scope="uniform", ratio=0.5, importance="taylor"),
    "low_rank": LowRank(energy=0.6, weighting="activation"),
    "sparsity": Sparsity(sparsity=0.5, criterion="wanda"),
    "weight_sharing": WeightSharing(index_bits=3, weighting="activation"),
    "quantization": Quantization(weight_bits=4),
}


@pytest.fixture(scope="module")
def five(digits):
    return contract.five_classes(digits)


@pytest.fixture(scope="module")
def network(five):
    return contract.trained("residual with conv shortcuts", five)


def made(network, config, data, folder):
    return Made(network, Candidate(steps=(config,)), data, folder)


class BothWays(nn.Module):
    """Takes another way for bright images than for dark ones; a trace sees only one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.out = nn.Linear(8, 5)

    def forward(self, x):
        is_dark = float(x.mean()) < -0.5
        x = self.second(torch.relu(self.first(x)))
        if is_dark:
            x = -x
        return self.out(torch.relu(x).mean((2, 3)))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("technique", sorted(CONFIGS))
def test_control_flow_that_depends_on_data_never_becomes_a_file(technique, five, tmp_path):
    network = replace(seeded(BothWays), normalisation=contract.NORMALISATION)
    with pytest.raises((InvalidCandidate, ExportParityError)):
        assert made(network, CONFIGS[technique], five, tmp_path).file
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("technique", TOUCHING)
def test_a_network_without_layers_to_touch_is_an_invalid_candidate(technique, network, five):
    module = nn.Sequential(nn.Flatten(), nn.Softmax(1))
    bare = replace(network, module=module, num_classes=64)
    with pytest.raises(InvalidCandidate, match=f"{technique}|its layers|lose channels"):
        pipeline.start(
            bare,
            Candidate(steps=(CONFIGS[technique],)),
            contract.Made(bare, Candidate(), five, None).context,
        )


@pytest.mark.parametrize("technique", [name for name in TOUCHING if name != "filter_pruning"])
def test_a_layer_that_no_technique_touches_stays_as_it_is(technique, five, tmp_path):
    network = replace(seeded(Transposed), normalisation=contract.NORMALISATION)
    before = network.module.get_parameter("up.weight").clone()
    done = made(network, CONFIGS[technique], five, tmp_path)
    after = done.start.network.module.get_submodule("up")
    assert constraints.on(after) == ()
    assert torch.equal(after.weight, before)
    answers_NK = runtime.answers(runtime.session(done.file.path), five.validation.x_NCHW)
    assert answers_NK.shape == (300, 5)


@pytest.mark.parametrize("shortcut", ["conv", "pad"])
def test_the_last_channel_of_a_layer_is_never_removed(shortcut, five, tmp_path):
    shape = Residual(widths=(4, 8), depths=(1, 1), shortcut=shortcut)
    module = build(shape, in_channels=1, num_classes=5, seed=0)
    network = Network(
        module=module, normalisation=contract.NORMALISATION, input_shape=(1, 8, 8), num_classes=5
    )
    most = FilterPruning(scope="uniform", ratio=0.95, round_to=1)
    thin = made(network, most, five, tmp_path)
    found = layers.weighted(thin.start.network)
    assert min(len(layer.module.weight) for layer in found) == 1
    assert thin.file.parameters < 65


@pytest.mark.parametrize("technique", sorted(CONFIGS))
def test_one_channel_is_enough_for_every_technique(technique, five, tmp_path):
    shape = Residual(widths=(1, 1), depths=(1, 1), shortcut="conv")
    module = build(shape, in_channels=1, num_classes=5, seed=0)
    network = Network(
        module=module, normalisation=contract.NORMALISATION, input_shape=(1, 8, 8), num_classes=5
    )
    narrow = made(network, CONFIGS[technique], five, tmp_path)
    answers_NK = runtime.answers(runtime.session(narrow.file.path), five.validation.x_NCHW)
    assert answers_NK.shape == (300, 5)
    if technique in {"filter_pruning", "family_member", "low_rank"}:
        assert any(note.startswith(technique) for note in narrow.start.notes)


@pytest.mark.parametrize("technique", sorted(CALIBRATED))
def test_calibration_without_images_is_invalid_data(technique, network, five, tmp_path):
    nothing = Images(x_NCHW=five.train.x_NCHW[:0], y_N=five.train.y_N[:0])
    with pytest.raises(InvalidData, match="at least one training image"):
        assert made(network, CALIBRATED[technique], replace(five, train=nothing), tmp_path).start


@pytest.mark.parametrize("technique", sorted(CALIBRATED))
def test_calibration_images_of_another_shape_are_invalid_data(technique, network, five, tmp_path):
    wide = Images(x_NCHW=five.train.x_NCHW.repeat(1, 3, 1, 1), y_N=five.train.y_N)
    with pytest.raises(InvalidData, match="shape"):
        assert made(network, CALIBRATED[technique], replace(five, train=wide), tmp_path).start


@pytest.mark.parametrize("technique", sorted(set(CONFIGS) - AT_A_DISTANCE))
@pytest.mark.parametrize("broken", ["empty", "another shape"])
def test_data_that_does_not_fit_never_becomes_a_file(technique, broken, network, five, tmp_path):
    images = five.train
    if broken == "empty":
        images = Images(x_NCHW=images.x_NCHW[:0], y_N=images.y_N[:0])
    else:
        images = replace(images, x_NCHW=images.x_NCHW.repeat(1, 3, 1, 1))
    with pytest.raises(CompressError):
        assert made(network, CONFIGS[technique], replace(five, train=images), tmp_path).file
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"technique": "filter_pruning", "scope": "global", "ratio": 1}, "ratio"),
        ({"technique": "filter_pruning", "ratios": [1, 0]}, "ratios"),
        ({"technique": "family_member", "width": 0}, "width"),
        ({"technique": "low_rank", "energy": 0}, "energy"),
        ({"technique": "low_rank", "size_ratio": 0}, "size_ratio"),
        ({"technique": "sparsity", "sparsity": 1}, "sparsity"),
        ({"technique": "sparsity", "pattern": "0:4"}, "pattern"),
        ({"technique": "sparsity", "pattern": "4:4"}, "pattern"),
        ({"technique": "weight_sharing", "index_bits": 9}, "index_bits"),
        ({"technique": "quantization", "weight_bits": 0}, "weight_bits"),
    ],
)
def test_a_share_that_leaves_nothing_is_refused_by_its_config(config, field):
    with pytest.raises(ValidationError, match=field):
        TypeAdapter(TechniqueConfig).validate_python(config)


def test_nearly_everything_may_go(network, five, tmp_path):
    sparse = made(network, Sparsity(sparsity=0.99), five, tmp_path)
    decoded = contract.weights_of_file(sparse.file.path, sparse.start)
    zeros = sum(int((weight == 0).sum()) for weight in decoded.values())
    assert all(np.count_nonzero(weight) > 0 for weight in decoded.values())
    # Every layer keeps a weight, so that not all of them can lose their share.
    assert zeros >= int(0.99 * sum(weight.size for weight in decoded.values())) - len(decoded)


def test_a_pattern_that_divides_no_layer_is_an_invalid_candidate(network, five, tmp_path):
    with pytest.raises(InvalidCandidate, match="3:7 divides the input channels of no layer"):
        assert made(network, Sparsity(pattern="3:7"), five, tmp_path).start


def test_a_layer_that_a_pattern_does_not_divide_is_noted_and_left_dense(network, five, tmp_path):
    sparse = made(network, Sparsity(pattern="2:4"), five, tmp_path)
    (note,) = [note for note in sparse.start.notes if "does not divide" in note]
    assert note == (
        "sparsity: the pattern 2:4 does not divide the input channels of conv1 (1), left dense"
    )
    decoded = contract.weights_of_file(sparse.file.path, sparse.start)
    assert np.count_nonzero(decoded["conv1"] == 0) == 0
    assert sorted(name for name, weight in decoded.items() if (weight == 0).any()) == sorted(
        name for name in decoded if name != "conv1"
    )
