"""EfficientNets as plans.

Tan, Le, arXiv:1905.11946; the blocks are those of MobileNetV2 (arXiv:1801.04381) with squeeze and
excitation (arXiv:1709.01507) after the depthwise convolution. Names follow torchvision, other names
timm. The squeeze has a quarter of the channels that the block reads, not of those inside it.

Every block of a stage but its first adds its input. The published code also does so in a first
block of stride 1 where rounding makes it as wide as the stage before it; no published width does,
and a member of such a width would be no slice.

A block without squeeze and excitation is numbered as if it had it, so that it is a slice of one.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.efficientnet.config import STAGES, EfficientNet, Stage
from compress.network.families.plans.config import divisible
from compress.network.families.plans.inverted_residual import InvertedResidual, Squeeze
from compress.network.families.plans.plan import (
    Activation,
    Chain,
    Conv,
    Linear,
    Plan,
    Pool,
    Resize,
    Size,
)

_SQUEEZE = 4
_POINT: Size = (1, 1)


def draw(config: EfficientNet, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, the stages, a 1x1 convolution, the mean and a linear layer."""
    activation, last = _activation(config), config.head_channels
    resize = (Resize(side=config.resolution),) if config.resolution else ()
    stem = Conv(
        name="features.0.0",
        norm="features.0.1",
        alias=("conv_stem", "bn1"),
        inputs=in_channels,
        outputs=config.stem_channels,
        kernel=(3, 3),
        stride=config.stem_stride,
        activation=activation,
    )
    head = Conv(
        name=f"features.{len(STAGES) + 1}.0",
        norm=f"features.{len(STAGES) + 1}.1",
        alias=("conv_head", "bn2"),
        inputs=config.channels[-1],
        outputs=last,
        kernel=_POINT,
        activation=activation,
    )
    classifier = Linear(name="classifier.1", alias="classifier", inputs=last, outputs=num_classes)
    return Plan(
        stem=(*resize, stem),
        stages=tuple(_stages(config)),
        head=(head, Pool(kind="global"), classifier),
        norm_epsilon=config.epsilon,
    )


def _stages(config: EfficientNet) -> Iterator[tuple[Chain, ...]]:
    inputs = config.stem_channels
    shapes = zip(STAGES, config.channels, config.blocks, strict=True)
    for number, (stage, outputs, depth) in enumerate(shapes):
        sizes = [(inputs, outputs), *[(outputs, outputs)] * (depth - 1)]
        yield tuple(
            _block(config, (number, block), stage, size).chain() for block, size in enumerate(sizes)
        )
        inputs = outputs


def _block(config: EfficientNet, place: Size, stage: Stage, channels: Size) -> InvertedResidual:
    (number, block), (inputs, outputs) = place, channels
    activation, last = _activation(config), 3 if stage.is_expanded else 2
    squeeze = Squeeze(channels=max(1, inputs // _SQUEEZE), activation=activation, gate="sigmoid")
    return InvertedResidual(
        prefix=f"features.{number + 1}.{block}.block",
        other=f"blocks.{number}.{block}",
        inputs=inputs,
        inner=divisible(inputs * config.expansion) if stage.is_expanded else inputs,
        outputs=outputs,
        kernel=min(stage.kernel, config.kernel),
        stride=config.strides[number] if block == 0 else 1,
        activation=activation,
        is_expanded=stage.is_expanded,
        is_added=block > 0,
        last=(f"{last}.0", f"{last}.1"),
        squeeze=squeeze if config.has_excitation else None,
    )


def _activation(config: EfficientNet) -> Activation:
    return config.activation or ("relu6" if config.is_lite else "silu")
