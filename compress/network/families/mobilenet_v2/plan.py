"""MobileNetV2 as plans.

Sandler et al., arXiv:1801.04381, section 3.3. Names follow torchvision, other names timm.
torchvision numbers blocks through all stages: they keep the number they have in the published
network where stages have fewer blocks, so that they are slices of it.

Every block of a stage but its first adds its input. The published code also does so in a first
block of stride 1 where rounding makes it as wide as the stage before it; no published width does.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.mobilenet_v2.config import DEPTHS, MobileNetV2
from compress.network.families.plans.config import divisible
from compress.network.families.plans.inverted_residual import InvertedResidual
from compress.network.families.plans.plan import Chain, Conv, Linear, Plan, Pool, Resize, Size

_POINT: Size = (1, 1)
_HEAD = f"features.{1 + sum(DEPTHS)}"


def draw(config: MobileNetV2, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, the stages, a 1x1 convolution, the mean and a linear layer."""
    resize = (Resize(side=config.resolution),) if config.resolution else ()
    stem = Conv(
        name="features.0.0",
        norm="features.0.1",
        alias=("conv_stem", "bn1"),
        inputs=in_channels,
        outputs=config.stem_channels,
        kernel=(3, 3),
        stride=config.stem_stride,
        activation="relu6",
    )
    return Plan(
        stem=(*resize, stem), stages=tuple(_stages(config)), head=_head(config, num_classes)
    )


def _head(config: MobileNetV2, num_classes: int) -> Chain:
    last = Conv(
        name=f"{_HEAD}.0",
        norm=f"{_HEAD}.1",
        alias=("conv_head", "bn2"),
        inputs=config.channels[-1],
        outputs=config.last_channels,
        kernel=_POINT,
        activation="relu6",
    )
    classifier = Linear(
        name="classifier.1", alias="classifier", inputs=last.outputs, outputs=num_classes
    )
    return (last, Pool(kind="global"), classifier)


def _stages(config: MobileNetV2) -> Iterator[tuple[Chain, ...]]:
    inputs = config.stem_channels
    for stage, (outputs, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        sizes = [(inputs, outputs), *[(outputs, outputs)] * (depth - 1)]
        yield tuple(
            _block(config, (stage, block), size).chain() for block, size in enumerate(sizes)
        )
        inputs = outputs


def _block(config: MobileNetV2, place: Size, channels: Size) -> InvertedResidual:
    (stage, block), (inputs, outputs) = place, channels
    first = 1 if stage > 0 else 0
    return InvertedResidual(
        prefix=f"features.{1 + sum(DEPTHS[:stage]) + block}.conv",
        other=f"blocks.{stage}.{block}",
        inputs=inputs,
        inner=divisible(inputs * config.expansion) if first else inputs,
        outputs=outputs,
        kernel=config.kernel,
        stride=config.strides[stage] if block == 0 else 1,
        activation=config.activation,
        is_expanded=bool(first),
        is_added=block > 0,
        last=(f"{first + 1}", f"{first + 2}"),
    )
