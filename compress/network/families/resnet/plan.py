"""Residual networks for ImageNet, as plans.

He et al., arXiv:1512.03385, table 1 and figure 5. As in all published weights since, a bottleneck
block has its stride in the 3x3 convolution, not in the first 1x1. Names are torchvision's, which
are also timm's.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.plans.config import scaled
from compress.network.families.plans.plan import (
    Activation,
    Chain,
    Conv,
    Linear,
    Plan,
    Pool,
    Resize,
    Sum,
)
from compress.network.families.resnet.config import ResNet

_WIDER = {"basic": 1, "bottleneck": 4}


def draw(config: ResNet, in_channels: int, num_classes: int) -> Plan:
    """A strided stem, the stages, average pooling and a linear layer."""
    return Plan(
        stem=tuple(_stem(config, in_channels)),
        stages=tuple(_stages(config)),
        head=(
            Pool(kind="global"),
            Linear(name="fc", inputs=config.widths[-1] * _WIDER[config.block], outputs=num_classes),
        ),
    )


def _stem(config: ResNet, in_channels: int) -> Iterator[Resize | Conv | Pool]:
    if config.resolution is not None:
        yield Resize(side=config.resolution)
    yield Conv(
        name="conv1",
        norm="bn1",
        inputs=in_channels,
        outputs=config.widths[0],
        kernel=(config.stem_kernel, config.stem_kernel),
        stride=config.stem_stride,
        activation="relu",
    )
    if config.stem_pool:
        yield Pool(kind="max", kernel=3, stride=2)


def _stages(config: ResNet) -> Iterator[tuple[Chain, ...]]:
    inputs = config.widths[0]
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        blocks = []
        for block in range(depth):
            blocks.append(_block(config, (stage, block), inputs, width))
            inputs = width * _WIDER[config.block]
        yield tuple(blocks)


def _block(config: ResNet, place: tuple[int, int], inputs: int, width: int) -> Chain:
    stage, block = place
    prefix, stride = f"layer{stage + 1}.{block}", 2 if stage > 0 and block == 0 else 1
    inner, outputs = scaled(width, config.inner), width * _WIDER[config.block]
    sizes = (inputs, inner, outputs)
    body = _basic(prefix, sizes, stride)
    if config.block == "bottleneck":
        body = _bottleneck(prefix, sizes, stride)
    skip: Chain = ()
    if stride != 1 or inputs != outputs:
        names = (f"{prefix}.downsample.0", f"{prefix}.downsample.1")
        skip = (_conv(names, inputs, outputs, kernel=1, stride=stride, activation="none"),)
    return (Sum(branches=(body, skip), activation="relu"),)


def _basic(prefix: str, sizes: tuple[int, int, int], stride: int) -> Chain:
    inputs, inner, outputs = sizes
    return (
        _conv(_names(prefix, 1), inputs, inner, kernel=3, stride=stride),
        _conv(_names(prefix, 2), inner, outputs, kernel=3, activation="none"),
    )


def _bottleneck(prefix: str, sizes: tuple[int, int, int], stride: int) -> Chain:
    inputs, inner, outputs = sizes
    return (
        _conv(_names(prefix, 1), inputs, inner, kernel=1),
        _conv(_names(prefix, 2), inner, inner, kernel=3, stride=stride),
        _conv(_names(prefix, 3), inner, outputs, kernel=1, activation="none"),
    )


def _names(prefix: str, index: int) -> tuple[str, str]:
    return f"{prefix}.conv{index}", f"{prefix}.bn{index}"


def _conv(
    names: tuple[str, str],
    inputs: int,
    outputs: int,
    *,
    kernel: int,
    stride: int = 1,
    activation: Activation = "relu",
) -> Conv:
    return Conv(
        name=names[0],
        norm=names[1],
        inputs=inputs,
        outputs=outputs,
        kernel=(kernel, kernel),
        stride=stride,
        activation=activation,
    )
