"""Residual networks for small images, as plans.

He et al., arXiv:1512.03385, section 4.2. Names follow the published CIFAR networks of Y. Idelbayev
(pytorch_resnet_cifar10), so that those checkpoints load as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from compress.network.families.plans.plan import Chain, Conv, Linear, Pad, Plan, Pool, Resize, Sum
from compress.network.families.residual.config import Residual


def draw(config: Residual, in_channels: int, num_classes: int) -> Plan:
    """A 3x3 stem, the stages, average pooling and a linear layer."""
    resize = () if config.resolution is None else (Resize(side=config.resolution),)
    return Plan(
        stem=(*resize, _conv("conv1", "bn1", in_channels, config.widths[0])),
        stages=tuple(_stages(config)),
        head=(
            Pool(kind="global"),
            Linear(name="linear", inputs=config.widths[-1], outputs=num_classes),
        ),
    )


def _stages(config: Residual) -> Iterator[tuple[Chain, ...]]:
    inputs = config.widths[0]
    for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
        blocks = []
        for block in range(depth):
            blocks.append(_block(config, (stage, block), inputs, width))
            inputs = width
        yield tuple(blocks)


def _block(config: Residual, place: tuple[int, int], inputs: int, width: int) -> Chain:
    stage, block = place
    prefix, stride = f"layer{stage + 1}.{block}", 2 if stage > 0 and block == 0 else 1
    body: Chain = (
        _conv(f"{prefix}.conv1", f"{prefix}.bn1", inputs, width, stride=stride),
        _conv(f"{prefix}.conv2", f"{prefix}.bn2", width, width, activation="none"),
    )
    is_same = stride == 1 and inputs == width
    skip = () if is_same else (_shortcut(config, prefix, inputs, width, stride),)
    return (Sum(branches=(body, skip), activation="relu"),)


def _shortcut(config: Residual, prefix: str, inputs: int, width: int, stride: int) -> Conv | Pad:
    if config.shortcut == "pad":
        return Pad(name=f"{prefix}.shortcut", inputs=inputs, outputs=width, stride=stride)
    return Conv(
        name=f"{prefix}.shortcut.0",
        norm=f"{prefix}.shortcut.1",
        inputs=inputs,
        outputs=width,
        kernel=(1, 1),
        stride=stride,
    )


def _conv(
    name: str, norm: str, inputs: int, outputs: int, *, stride: int = 1, activation: str = "relu"
) -> Conv:
    return Conv(
        name=name,
        norm=norm,
        inputs=inputs,
        outputs=outputs,
        kernel=(3, 3),
        stride=stride,
        activation="relu" if activation == "relu" else "none",
    )
