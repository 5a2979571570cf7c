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
from dataclasses import dataclass

from compress.families.config import divisible
from compress.families.efficientnet.config import STAGES, EfficientNet, Stage
from compress.families.plan import (
    Activation,
    Chain,
    Conv,
    Excite,
    Linear,
    Names,
    Plan,
    Pool,
    Resize,
    Size,
    Sum,
)

_SQUEEZE = 4
_POINT: Size = (1, 1)


@dataclass(frozen=True, kw_only=True)
class _Block:
    """One inverted residual; ``other`` is timm's prefix, ``first`` the number of its first part."""

    config: EfficientNet
    prefix: str
    other: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    is_expanded: bool
    is_added: bool

    @property
    def first(self) -> int:
        return 1 if self.is_expanded else 0

    @property
    def inner(self) -> int:
        if not self.is_expanded:
            return self.inputs
        return divisible(self.inputs * self.config.expansion)


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
            _chain(_block(config, (number, block), stage, size)) for block, size in enumerate(sizes)
        )
        inputs = outputs


def _block(config: EfficientNet, place: Size, stage: Stage, channels: Size) -> _Block:
    number, block = place
    return _Block(
        config=config,
        prefix=f"features.{number + 1}.{block}.block",
        other=f"blocks.{number}.{block}",
        inputs=channels[0],
        outputs=channels[1],
        kernel=min(stage.kernel, config.kernel),
        stride=config.strides[number] if block == 0 else 1,
        is_expanded=stage.is_expanded,
        is_added=block > 0,
    )


def _chain(block: _Block) -> Chain:
    excite = (_excite(block),) if block.config.has_excitation else ()
    expand = (_expand(block),) if block.is_expanded else ()
    body: Chain = (*expand, _depthwise(block), *excite, _project(block))
    return (Sum(branches=(body, ())),) if block.is_added else body


def _expand(block: _Block) -> Conv:
    return Conv(
        name=f"{block.prefix}.0.0",
        norm=f"{block.prefix}.0.1",
        alias=(f"{block.other}.conv_pw", f"{block.other}.bn1"),
        inputs=block.inputs,
        outputs=block.inner,
        kernel=_POINT,
        activation=_activation(block.config),
    )


def _depthwise(block: _Block) -> Conv:
    index = block.first
    return Conv(
        name=f"{block.prefix}.{index}.0",
        norm=f"{block.prefix}.{index}.1",
        alias=(f"{block.other}.conv_dw", f"{block.other}.bn{index + 1}"),
        inputs=block.inner,
        outputs=block.inner,
        kernel=(block.kernel, block.kernel),
        stride=block.stride,
        groups=block.inner,
        activation=_activation(block.config),
    )


def _excite(block: _Block) -> Excite:
    prefix, squeeze = f"{block.prefix}.{block.first + 1}", max(1, block.inputs // _SQUEEZE)
    reduce: Names = (f"{block.other}.se.conv_reduce", None)
    expand: Names = (f"{block.other}.se.conv_expand", None)
    return Excite(
        reduce=Conv(
            name=f"{prefix}.fc1",
            alias=reduce,
            inputs=block.inner,
            outputs=squeeze,
            kernel=_POINT,
            bias=True,
            activation=_activation(block.config),
        ),
        expand=Conv(
            name=f"{prefix}.fc2",
            alias=expand,
            inputs=squeeze,
            outputs=block.inner,
            kernel=_POINT,
            bias=True,
            activation="sigmoid",
        ),
    )


def _project(block: _Block) -> Conv:
    index = block.first + 2
    other = "conv_pwl" if block.is_expanded else "conv_pw"
    return Conv(
        name=f"{block.prefix}.{index}.0",
        norm=f"{block.prefix}.{index}.1",
        alias=(f"{block.other}.{other}", f"{block.other}.bn{block.first + 2}"),
        inputs=block.inner,
        outputs=block.outputs,
        kernel=_POINT,
    )


def _activation(config: EfficientNet) -> Activation:
    return config.activation or ("relu6" if config.is_lite else "silu")
