"""ResNet-20 for CIFAR in plain torch, as other tools are given it; it imports nothing of ours.

He et al., arXiv:1512.03385, section 4.2, with shortcuts of option A; the names of its tensors are
those of the published checkpoint. It reads raw pixels ``(N, 3, 32, 32)``, 0 to 255.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BATCH, _MOST_RATE, _MOMENTUM, _DECAY = 128, 0.02, 0.9, 1e-4
_PADDING = 4


class Block(nn.Module):
    """Two convolutions beside a shortcut that pads what it lacks with zeros."""

    def __init__(self, read: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(read, made, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.stride, self.lacking = stride, made - read

    def forward(self, x: Tensor) -> Tensor:
        """``(N, read, H, W)`` to ``(N, made, H / stride, W / stride)``."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        if self.stride != 1:
            half = self.lacking // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return functional.relu(self.bn2(self.conv2(inner)) + x)


class ResNet20(nn.Module):
    """Three stages of three blocks."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = _stage(16, 16), _stage(16, 32), _stage(32, 64)
        self.linear = nn.Linear(64, 10)
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).reshape(shape), persistent=False)
        self.register_buffer(
            "deviation", 255 * torch.tensor(_DEVIATION).reshape(shape), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(N, 10)``."""
        x = (x - self.mean) / self.deviation
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def load(weights: Mapping[str, Tensor]) -> ResNet20:
    """The network with these tensors, in inference mode."""
    network = ResNet20()
    network.load_state_dict(dict(weights))
    return network.eval()


def train_epoch(network: nn.Module, x_NCHW: Tensor, y_N: Tensor, *, seed: int) -> None:
    """One epoch of SGD on shifted and mirrored images, its rate falling as a half cosine."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y_N), generator=generator).split(_BATCH)
    optimiser: Any = torch.optim.SGD(
        network.parameters(), _MOST_RATE, _MOMENTUM, weight_decay=_DECAY, nesterov=True
    )
    network.train()
    for step, rows in enumerate(order):
        rate = _MOST_RATE * (1 + math.cos(math.pi * step / len(order))) / 2
        optimiser.param_groups[0]["lr"] = rate
        loss = functional.cross_entropy(network(_varied(x_NCHW[rows], generator)), y_N[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


def _stage(read: int, made: int) -> nn.Sequential:
    stride = 1 if read == made else 2
    return nn.Sequential(Block(read, made, stride), Block(made, made, 1), Block(made, made, 1))


def _varied(x_NCHW: Tensor, generator: torch.Generator) -> Tensor:
    """The batch, mirrored or not, at one random shift of up to four pixels."""
    height, width = x_NCHW.shape[2:]
    down, right, mirrored = (int(torch.randint(n, (), generator=generator)) for n in (9, 9, 2))
    padded = functional.pad(x_NCHW, (_PADDING,) * 4)
    shifted = padded[:, :, down : down + height, right : right + width]
    return shifted.flip(3) if mirrored else shifted
