"""A real dataset and a small network trained on it, made once per test session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.network.network import Network
from compress.network.preprocessing import Normalisation
from compress.tasks.images import ImageData, Images
from compress.techniques.compressed import CompressedModel
from featherweight.samples import scanned_digits

NORMALISATION = Normalisation(scale=1 / 16, mean=(0.3053,), std=(0.3760,))


class ResidualBlock(nn.Module):
    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(width)
        self.shortcut = (
            nn.Identity()
            if fan_in == width and stride == 1
            else nn.Sequential(
                nn.Conv2d(fan_in, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class SmallResidual(nn.Module):
    def __init__(self, widths: tuple[int, ...], channels: int = 1, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        fans = (widths[0], *widths)
        self.blocks = nn.Sequential(
            *(ResidualBlock(fans[i], w, 1 if i == 0 else 2) for i, w in enumerate(widths))
        )
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(functional.relu(self.stem_norm(self.stem(x))))
        return self.classifier(functional.adaptive_avg_pool2d(features, 1).flatten(1))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """On networks this small, threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    """The 1,797 scanned digits of 8 x 8 pixels with values 0 to 16, shuffled."""
    images, labels = scanned_digits()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    x = torch.from_numpy(images).unsqueeze(1)[order]
    y = torch.from_numpy(labels)[order]
    return ImageData(
        train=Images(x_NCHW=x[:1200], y_N=y[:1200]),
        validation=Images(x_NCHW=x[1200:1500], y_N=y[1200:1500]),
        test=Images(x_NCHW=x[1500:], y_N=y[1500:]),
        num_classes=10,
    )


def train(module: nn.Module, data: ImageData, *, epochs: int) -> Network:
    """Plain SGD: what is tested is compression, not training."""
    mean, std = NORMALISATION.mean[0], NORMALISATION.std[0]
    x = (data.train.x_NCHW.float() * NORMALISATION.scale - mean) / std
    generator = torch.Generator().manual_seed(1)
    optimiser = torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = epochs * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(x), generator=generator).split(64)[: len(x) // 64]:
            loss = functional.cross_entropy(module(x[chosen]), data.train.y_N[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return Network(
        module=module.eval(), normalisation=NORMALISATION, input_shape=(1, 8, 8), num_classes=10
    )


@pytest.fixture(scope="session")
def trained(digits: ImageData) -> Network:
    """Widths 16/32/64 with one block each, about 98 % on validation."""
    torch.manual_seed(0)
    return train(SmallResidual((16, 32, 64)), digits, epochs=6)


@pytest.fixture(scope="session")
def five(digits: ImageData) -> ImageData:
    """Digits of five classes, which the networks of the contract tell apart."""
    from tests.compress import contract  # It imports this file.

    return contract.five_classes(digits)


@pytest.fixture(scope="session")
def networks(five: ImageData) -> dict[str, Network]:
    """The networks of the contract by name, trained."""
    from tests.compress import contract

    return {name: contract.trained(name, five) for name in contract.NETWORKS}


@pytest.fixture
def compressed(trained: Network) -> CompressedModel:
    """The trained network with nothing done to it."""
    return CompressedModel(network=trained)
