"""ShuffleNet V2 as plans.

Ma et al., arXiv:1807.11164, figure 3 (c) and (d). Names follow torchvision, so that its weights
load as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.plans.config import scaled
from compress.network.families.plans.plan import Chain, Concat, Conv, Linear, Plan, Pool, Resize
from compress.network.families.shufflenet_v2.config import ShuffleNetV2

_FIRST_STAGE = 2


def draw(config: ShuffleNetV2, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, a max pool, the stages, a 1x1 convolution, the mean and a linear layer."""
    last = config.last_channels
    return Plan(
        stem=_stem(config, in_channels),
        stages=tuple(_stages(config)),
        head=(
            _point("conv5", 0, config.channels[-1], last),
            Pool(kind="global"),
            Linear(name="fc", inputs=last, outputs=num_classes),
        ),
    )


def _stem(config: ShuffleNetV2, in_channels: int) -> Chain:
    conv = Conv(
        name="conv1.0",
        norm="conv1.1",
        inputs=in_channels,
        outputs=config.stem,
        kernel=(3, 3),
        stride=config.stem_stride,
        activation="relu",
    )
    resize = (Resize(side=config.resolution),) if config.resolution else ()
    pool = (Pool(kind="max", kernel=3, stride=2),) if config.stem_pool else ()
    return (*resize, conv, *pool)


def _stages(config: ShuffleNetV2) -> Iterator[tuple[Chain, ...]]:
    inputs = config.stem
    for stage, (width, depth) in enumerate(zip(config.channels, config.depths, strict=True)):
        prefix = f"stage{stage + _FIRST_STAGE}"
        first = _smaller(config, f"{prefix}.0", inputs, width)
        yield (first, *(_same(config, f"{prefix}.{block}", width) for block in range(1, depth)))
        inputs = width


def _smaller(config: ShuffleNetV2, prefix: str, inputs: int, width: int) -> Chain:
    """Both branches read all channels and halve the image; each makes half of the channels."""
    half = width // 2
    left: Chain = (
        _depthwise(f"{prefix}.branch1", 0, inputs, config.kernel, stride=2),
        _point(f"{prefix}.branch1", 2, inputs, half),
    )
    right = _branch(config, f"{prefix}.branch2", (inputs, half), stride=2)
    return (Concat(branches=(left, right), shuffle=2),)


def _same(config: ShuffleNetV2, prefix: str, width: int) -> Chain:
    """The first half of the channels passes, the second is computed anew."""
    half = width // 2
    branch = _branch(config, f"{prefix}.branch2", (half, half), stride=1)
    return (Concat(branches=((), branch), split=True, shuffle=2),)


def _branch(config: ShuffleNetV2, prefix: str, channels: tuple[int, int], *, stride: int) -> Chain:
    inputs, outputs = channels
    inner = scaled(outputs, config.expansion)
    return (
        _point(prefix, 0, inputs, inner),
        _depthwise(prefix, 3, inner, config.kernel, stride=stride),
        _point(prefix, 5, inner, outputs),
    )


def _point(prefix: str, index: int, inputs: int, outputs: int) -> Conv:
    return Conv(
        name=f"{prefix}.{index}",
        norm=f"{prefix}.{index + 1}",
        inputs=inputs,
        outputs=outputs,
        kernel=(1, 1),
        activation="relu",
    )


def _depthwise(prefix: str, index: int, channels: int, kernel: int, *, stride: int) -> Conv:
    return Conv(
        name=f"{prefix}.{index}",
        norm=f"{prefix}.{index + 1}",
        inputs=channels,
        outputs=channels,
        kernel=(kernel, kernel),
        stride=stride,
        groups=channels,
    )
