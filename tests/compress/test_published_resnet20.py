"""The published CIFAR-10 ResNet-20, when the shared data lies beside the repository."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from benchmarks.data import cifar as published
from compress.evaluation import measure
from compress.export import writer
from compress.network.network import Network
from compress.tasks.images import Images
from compress.tasks.kinds.image_classification.task import IMAGE_CLASSIFICATION
from compress.techniques.compressed import CompressedModel
from tests.compress.applying import quantized

WEIGHTS = published.DATA / "checkpoints" / "cifar10_resnet20.safetensors"

pytestmark = [
    pytest.mark.proof,
    pytest.mark.skipif(not WEIGHTS.exists(), reason="the shared data is not here"),
]


class Block(nn.Module):
    def __init__(self, fan_in, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.added = stride, (width - fan_in) // 2

    def forward(self, x):
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.stride == 2:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
        return functional.relu(inner + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(2)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@pytest.fixture(scope="module")
def cifar():
    data = published.images(train_images=1000)
    first = Images(x_NCHW=data.validation.x_NCHW[:1000], y_N=data.validation.y_N[:1000])
    return replace(data, validation=first, test=None)


@pytest.fixture(scope="module")
def resnet20():
    module = ResNet20()
    module.load_state_dict(load_file(WEIGHTS))
    network = Network(
        module=module,
        normalisation=published.NORMALISATION,
        input_shape=(3, 32, 32),
        num_classes=10,
    )
    return CompressedModel(network=network)


def test_the_published_network_keeps_its_accuracy_in_a_quarter_and_a_seventh_of_the_bytes(
    resnet20, cifar, tmp_path
):
    plain = writer.write(resnet20, tmp_path, data=cifar, task=IMAGE_CLASSIFICATION)
    accuracy = measure.accuracy_of_file(plain.path, cifar.validation, task=IMAGE_CLASSIFICATION)
    assert accuracy == pytest.approx(0.917, abs=0.02)
    assert plain.macs == 40_551_040
    for bits, share, points in ((8, 0.27, 0.01), (4, 0.14, 0.025)):
        changed = quantized(resnet20, cifar, weight_bits=bits)
        artifact = writer.write(
            changed, tmp_path, data=cifar, name=f"w{bits}", task=IMAGE_CLASSIFICATION
        )
        assert artifact.size_bytes < share * plain.size_bytes
        assert artifact.parameters == plain.parameters
        assert (
            measure.accuracy_of_file(artifact.path, cifar.validation, task=IMAGE_CLASSIFICATION)
            > accuracy - points
        )
