"""Residual networks for small images.

He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385, section 4.2, with the
parameter-free shortcuts of option A (``pad``) or the projections of option B (``conv``).

Legend: B images, C channels, H height, W width, O output channels, I input channels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from compress.families.residual.config import Residual

_STAGE_NAME = re.compile(r"layer(\d+)\.")


class PadShortcut(nn.Conv2d):
    """Option A as an exact convolution: every second pixel, channels padded evenly with zeros.

    Slicing and padding cannot lose a channel, a 1x1 convolution of zeros and ones can: channel
    ``i`` of the input is channel ``i + (O - I) // 2`` of the output. Its weight is never trained.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, stride=stride, bias=False)
        self.weight.requires_grad_(False)
        self.weight.copy_(pad_weight(in_channels, out_channels))


def pad_weight(in_channels: int, out_channels: int) -> Tensor:
    """The 0/1 weight ``(O, I, 1, 1)`` of a pad shortcut."""
    offset = (out_channels - in_channels) // 2
    out_O1 = torch.arange(out_channels)[:, None]
    in_1I = torch.arange(in_channels)[None, :]
    return (out_O1 == in_1I + offset).float()[:, :, None, None]


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride=stride, kind=shortcut)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Features of the same or half the height and width."""
        y_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        y_BCHW = self.bn2(self.conv2(y_BCHW))
        return functional.relu(y_BCHW + self.shortcut(x_BCHW))


class ResidualNetwork(nn.Module):
    """A stem, stages ``layer1`` .. ``layerS``, average pooling and a linear layer.

    ``architecture`` is what it was built as; techniques change the modules, not this record.
    """

    def __init__(self, architecture: Residual, *, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.architecture = architecture
        stem = architecture.widths[0]
        self.conv1 = nn.Conv2d(in_channels, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        for name, stage in _stages(architecture):
            self.add_module(name, stage)
        self.linear = nn.Linear(architecture.widths[-1], num_classes)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.architecture.num_stages

    def stage(self, index: int) -> nn.Sequential:
        """The blocks of stage ``index``, counted from zero."""
        stage = self.get_submodule(f"layer{index + 1}")
        assert isinstance(stage, nn.Sequential)
        return stage

    @staticmethod
    def stage_of(module_name: str) -> int | None:
        """The stage that a module belongs to, None for the stem and the linear layer."""
        match = _STAGE_NAME.match(module_name)
        return int(match[1]) - 1 if match else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of normalised images."""
        x_BCHW = functional.relu(self.bn1(self.conv1(x_BCHW)))
        for index in range(self.num_stages):
            x_BCHW = self.stage(index)(x_BCHW)
        x_BC = functional.adaptive_avg_pool2d(x_BCHW, 1).flatten(1)
        return self.linear(x_BC)


def build(
    architecture: Residual, *, in_channels: int, num_classes: int, seed: int
) -> ResidualNetwork:
    """A network with fresh weights (He et al., arXiv:1502.01852), the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResidualNetwork(architecture, in_channels=in_channels, num_classes=num_classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.weight.requires_grad:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network.eval()


def _shortcut(in_channels: int, out_channels: int, *, stride: int, kind: str) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "pad":
        return PadShortcut(in_channels, out_channels, stride=stride)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def _stages(architecture: Residual) -> Iterator[tuple[str, nn.Sequential]]:
    before = architecture.widths[0]
    for index, (width, depth) in enumerate(
        zip(architecture.widths, architecture.depths, strict=True)
    ):
        blocks: list[nn.Module] = []
        for block in range(depth):
            stride = 2 if index > 0 and block == 0 else 1
            blocks.append(Block(before, width, stride=stride, shortcut=architecture.shortcut))
            before = width
        yield f"layer{index + 1}", nn.Sequential(*blocks)
