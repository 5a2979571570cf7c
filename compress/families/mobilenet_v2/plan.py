"""MobileNetV2 as plans.

Sandler et al., arXiv:1801.04381, section 3.3. Names follow torchvision, other names timm.
torchvision numbers blocks through all stages: they keep the number they have in the published
network where stages have fewer blocks, so that they are slices of it.

Every block of a stage but its first adds its input. The published code also does so in a first
block of stride 1 where rounding makes it as wide as the stage before it; no published width does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from compress.families.config import divisible
from compress.families.mobilenet_v2.config import DEPTHS, MobileNetV2
from compress.families.plan import Chain, Conv, Linear, Plan, Pool, Resize, Size, Sum

_POINT: Size = (1, 1)
_HEAD = f"features.{1 + sum(DEPTHS)}"


@dataclass(frozen=True, kw_only=True)
class _Block:
    """One inverted residual; ``other`` is timm's prefix, ``first`` the number of its depthwise."""

    config: MobileNetV2
    prefix: str
    other: str
    inputs: int
    outputs: int
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
            _chain(_block(config, (stage, block), size)) for block, size in enumerate(sizes)
        )
        inputs = outputs


def _block(config: MobileNetV2, place: Size, channels: Size) -> _Block:
    stage, block = place
    return _Block(
        config=config,
        prefix=f"features.{1 + sum(DEPTHS[:stage]) + block}.conv",
        other=f"blocks.{stage}.{block}",
        inputs=channels[0],
        outputs=channels[1],
        stride=config.strides[stage] if block == 0 else 1,
        is_expanded=stage > 0,
        is_added=block > 0,
    )


def _chain(block: _Block) -> Chain:
    expand = (_expand(block),) if block.is_expanded else ()
    body: Chain = (*expand, _depthwise(block), _project(block))
    return (Sum(branches=(body, ())),) if block.is_added else body


def _expand(block: _Block) -> Conv:
    return Conv(
        name=f"{block.prefix}.0.0",
        norm=f"{block.prefix}.0.1",
        alias=(f"{block.other}.conv_pw", f"{block.other}.bn1"),
        inputs=block.inputs,
        outputs=block.inner,
        kernel=_POINT,
        activation=block.config.activation,
    )


def _depthwise(block: _Block) -> Conv:
    side = block.config.kernel
    return Conv(
        name=f"{block.prefix}.{block.first}.0",
        norm=f"{block.prefix}.{block.first}.1",
        alias=(f"{block.other}.conv_dw", f"{block.other}.bn{block.first + 1}"),
        inputs=block.inner,
        outputs=block.inner,
        kernel=(side, side),
        stride=block.stride,
        groups=block.inner,
        activation=block.config.activation,
    )


def _project(block: _Block) -> Conv:
    other = "conv_pwl" if block.is_expanded else "conv_pw"
    return Conv(
        name=f"{block.prefix}.{block.first + 1}",
        norm=f"{block.prefix}.{block.first + 2}",
        alias=(f"{block.other}.{other}", f"{block.other}.bn{block.first + 2}"),
        inputs=block.inner,
        outputs=block.outputs,
        kernel=_POINT,
    )
