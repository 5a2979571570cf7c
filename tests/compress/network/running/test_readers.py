"""A BatchNorm is folded only where nothing but it reads the layer, and files answer alike."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from compress import pipeline
from compress.evaluation import runtime
from compress.export import parity, writer
from compress.network import folding, layers
from compress.tasks.images import ImageData, Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.candidate import Candidate
from compress.techniques.quantization import equalisation
from compress.techniques.quantization.config import Quantization
from compress.training import constraints
from compress.values.errors import ExportParityError
from tests.compress.applying import context_of
from tests.compress.networks import wrapped


class Reads(nn.Module):
    """A convolution and a BatchNorm, put together by ``how``."""

    def __init__(self, how=None):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.other = nn.BatchNorm2d(8)
        self.next, self.out = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)
        self.how = how

    def forward(self, x):
        x = self.how(self, self.conv(x))
        return self.out(functional.relu(self.next(functional.relu(x))).mean((2, 3)))


ALONE = {
    "plain": lambda net, y: net.norm(y),
    "by name": lambda net, y: net.norm(input=y),
    "and a relu in place": lambda net, y: functional.relu(net.norm(y), inplace=True),
    "and its size": lambda net, y: net.norm(y) / y.shape[1],
}
BESIDE = {
    "a sum": lambda net, y: y + net.norm(y),
    "a mean before": lambda net, y: net.norm(y) * y.mean(),
    "a slice": lambda net, y: torch.cat([net.norm(y)[:, :6], y[:, :2]], 1),
    "a view": lambda net, y: net.norm(y) + y.flatten(2).mean(2)[..., None, None],
    "a detached alias": lambda net, y: net.norm(y) + y.detach(),
    "another norm": lambda net, y: net.norm(y) + net.other(y),
    "the norm again": lambda net, y: net.norm(net.norm(y)),
    "a relu in place before": lambda net, y: net.norm(functional.relu(y, inplace=True)),
    "a change in place after": lambda net, y: net.norm(y) + y.mul_(2),
    "its weight": lambda net, y: net.norm(y) * net.conv.weight.abs().mean(),
    "the norm's weight": lambda net, y: net.norm(y) * net.norm.weight.mean(),
}


def network(how):
    torch.manual_seed(0)
    return wrapped(Reads(how))


def five(digits):
    def part(images, many):
        return Images(x_NCHW=images.x_NCHW[:many], y_N=images.y_N[:many] % 5)

    return ImageData(
        train=part(digits.train, 128),
        validation=part(digits.validation, 64),
        test=None,
        num_classes=5,
    )


def norm_of(net):
    return layers.by_name(layers.weighted(net))["conv"].norm


@pytest.mark.parametrize("how", ALONE.values(), ids=ALONE.keys())
def test_a_norm_that_reads_a_layer_alone_is_its_norm(how):
    net = network(how)
    assert norm_of(net) is net.module.norm


@pytest.mark.parametrize("how", BESIDE.values(), ids=BESIDE.keys())
def test_a_norm_beside_another_reader_is_not(how):
    assert norm_of(network(how)) is None


def test_a_layer_that_is_the_networks_own_output_is_read_by_whoever_asked():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)

        def forward(self, x):
            y = self.conv(x)
            return self.norm(y).mean((2, 3)), {"also": y[:, :1]}

    assert norm_of(wrapped(Both())) is None


def test_a_norm_behind_two_layers_and_one_of_positions_belong_to_no_layer():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.second = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 1)
            self.norm, self.mixed, self.places = (
                nn.BatchNorm2d(8),
                nn.Linear(8, 8),
                nn.BatchNorm1d(8),
            )

        def forward(self, x):
            y = self.norm(self.second(self.norm(self.conv(x))))
            return self.places(self.mixed(y.mean(2).transpose(1, 2))).mean(1)

    assert [layer.norm for layer in layers.weighted(wrapped(Shared()))] == [None] * 3


def test_a_layer_or_a_norm_of_a_class_of_its_own_may_compute_anything():
    class Activated(nn.BatchNorm2d):
        def forward(self, input):
            return functional.relu(super().forward(input))

    module = nn.Sequential(nn.Conv2d(1, 5, 3), Activated(5), nn.AvgPool2d(6), nn.Flatten())
    assert layers.weighted(wrapped(module))[0].norm is None


def test_layers_with_one_weight_say_so_and_are_not_balanced():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 8, 1)
            self.first, self.second = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
            self.second.weight = self.first.weight
            self.out = nn.Conv2d(8, 5, 1)

        def forward(self, x):
            x = functional.relu(self.first(functional.relu(self.conv(x))))
            return self.out(functional.relu(self.second(x))).mean((2, 3))

    net = wrapped(Tied())
    found = layers.weighted(net)
    assert [layer.name for layer in found if layer.is_shared] == ["first", "second"]
    assert equalisation.pairs(net.module, found) == ()


@pytest.mark.parametrize("how", [*ALONE.values(), *BESIDE.values()], ids=[*ALONE, *BESIDE])
@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Quantization(weight_bits=8, activations="float"),),
        (Quantization(weight_bits=16, activations="float", scale_bits=16),),
    ],
    ids=["as it is", "8 bits", "16 bits"],
)
def test_the_file_answers_like_the_network_whoever_reads_the_layer(how, steps, digits, tmp_path):
    net, data = network(how), five(digits)
    made = pipeline.start(net, Candidate(steps=steps), context_of(data))
    artifact = writer.write(made, tmp_path, data=data, task=IMAGE_CLASSIFICATION)
    x = data.validation.x_NCHW
    expected = parity.torch_logits(constraints.bake(made.network)[0], x)
    found = runtime.answers(runtime.session(artifact.path), x)
    np.testing.assert_allclose(found, expected, atol=1e-2 * expected.std())


def test_integers_run_around_a_norm_that_stays(digits, tmp_path):
    data = five(digits)
    made = pipeline.start(
        network(BESIDE["a sum"]), Candidate(steps=(Quantization(),)), context_of(data)
    )
    artifact = writer.write(made, tmp_path, data=data, task=IMAGE_CLASSIFICATION)
    kinds = [node.op_type for node in onnx.load(artifact.path).graph.node]
    assert kinds.count("BatchNormalization") == 1
    assert any("BatchNormalization" in note for note in artifact.notes)
    expected = parity.torch_logits(constraints.bake(made.network)[0], data.validation.x_NCHW)
    found = runtime.answers(runtime.session(artifact.path), data.validation.x_NCHW)
    assert np.abs(found - expected).mean() < 0.05 * expected.std()


class Sometimes(Reads):
    """Reads more than a run on zeros shows: there the sum is not taken."""

    def forward(self, x):
        y = self.conv(x)
        y = self.norm(y) + (y if float(x.max()) > 0 else 0)
        return self.out(functional.relu(y).mean((2, 3)))


@pytest.mark.parametrize(
    "config", [Quantization(), Quantization(activations="float", scale_bits=16)]
)
def test_a_fold_that_changes_the_network_is_seen_whatever_follows_it(config, digits, tmp_path):
    torch.manual_seed(0)
    data = five(digits)
    made = pipeline.start(wrapped(Sometimes()), Candidate(steps=(config,)), context_of(data))
    assert norm_of(made.network) is not None
    with pytest.raises(ExportParityError, match="folded against the network as trained"):
        writer.write(made, tmp_path, data=data, task=IMAGE_CLASSIFICATION)


def test_folding_leaves_what_it_does_not_fold():
    net = network(BESIDE["a sum"])
    folded, _ = folding.fold(net, {})
    assert isinstance(folded.module.norm, nn.BatchNorm2d)
    torch.testing.assert_close(folded.module.conv.weight, net.module.conv.weight)
