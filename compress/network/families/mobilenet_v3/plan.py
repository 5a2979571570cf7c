"""MobileNetV3 as plans.

Howard et al., arXiv:1905.02244, sections 5.1 to 5.3. Names follow torchvision, other names timm,
which writes the linear layer before the classifier as a 1x1 convolution. torchvision numbers blocks
through all stages and the parts of a block one by one: what stays keeps its published number where
blocks or squeeze and excitation are left out, so that it is a slice of the published network.

At other widths the channels inside a block are those that it reads times the published ratio, as in
the authors' code; torchvision rounds the product of width and published channels.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.mobilenet_v3.config import MobileNetV3
from compress.network.families.mobilenet_v3.published import STEM, PublishedStage
from compress.network.families.plans.config import divisible
from compress.network.families.plans.inverted_residual import InvertedResidual, Squeeze
from compress.network.families.plans.plan import Chain, Conv, Linear, Plan, Pool, Resize, Size

_POINT: Size = (1, 1)
_SQUEEZE = 4


def draw(config: MobileNetV3, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, the stages, a 1x1 convolution, the mean and two linear layers."""
    resize = (Resize(side=config.resolution),) if config.resolution else ()
    stem = Conv(
        name="features.0.0",
        norm="features.0.1",
        alias=("conv_stem", "bn1"),
        inputs=in_channels,
        outputs=config.stem_channels,
        kernel=(3, 3),
        stride=config.stem_stride,
        activation="hardswish",
    )
    return Plan(
        stem=(*resize, stem),
        stages=tuple(_stages(config)),
        head=_head(config, num_classes),
        norm_epsilon=config.norm_epsilon,
    )


def _head(config: MobileNetV3, num_classes: int) -> Chain:
    prefix, other = f"features.{1 + sum(config.table.depths)}", f"blocks.{config.num_stages}.0"
    last = Conv(
        name=f"{prefix}.0",
        norm=f"{prefix}.1",
        alias=(f"{other}.conv", f"{other}.bn1"),
        inputs=config.channels[-1],
        outputs=config.last_channels,
        kernel=_POINT,
        activation="hardswish",
    )
    wide = Linear(
        name="classifier.0",
        alias="conv_head",
        inputs=last.outputs,
        outputs=config.wide_channels,
        activation="hardswish",
    )
    classifier = Linear(
        name="classifier.3", alias="classifier", inputs=wide.outputs, outputs=num_classes
    )
    return (last, Pool(kind="global"), wide, classifier)


def _stages(config: MobileNetV3) -> Iterator[tuple[Chain, ...]]:
    inputs = config.stem_channels
    for stage, (outputs, depth) in enumerate(zip(config.channels, config.blocks, strict=True)):
        sizes = [(inputs, outputs), *[(outputs, outputs)] * (depth - 1)]
        yield tuple(
            _block(config, (stage, block), size).chain() for block, size in enumerate(sizes)
        )
        inputs = outputs


def _block(config: MobileNetV3, place: Size, channels: Size) -> InvertedResidual:
    (stage, block), (inputs, outputs) = place, channels
    published = config.table.stages[stage]
    stride, first = config.steps[stage] if block == 0 else 1, 1 if stage > 0 else 0
    inner = _inner(config, place, inputs) if first else inputs
    last = first + (2 if published.is_excited else 1)
    squeeze = Squeeze(channels=divisible(inner / _SQUEEZE), activation="relu", gate="hardsigmoid")
    return InvertedResidual(
        prefix=f"features.{1 + sum(config.table.depths[:stage]) + block}.block",
        other=f"blocks.{stage}.{block}",
        inputs=inputs,
        inner=inner,
        outputs=outputs,
        kernel=min(published.kernel, config.kernel),
        stride=stride,
        activation=config.activations[stage],
        is_expanded=bool(first),
        is_added=stride == 1 and _read(config, place) == published.outputs,
        last=(f"{last}.0", f"{last}.1"),
        squeeze=squeeze if published.is_excited and config.excitation else None,
    )


def _inner(config: MobileNetV3, place: Size, inputs: int) -> int:
    """Channels inside an expanded block."""
    stage, block = place
    published = config.table.stages[stage].inner[block]
    return divisible(inputs * published / _read(config, place) * config.expansion)


def _read(config: MobileNetV3, place: Size) -> int:
    """The channels that the published block reads."""
    stage, block = place
    stages: tuple[PublishedStage, ...] = config.table.stages
    if block > 0:
        return stages[stage].outputs
    return stages[stage - 1].outputs if stage > 0 else STEM
