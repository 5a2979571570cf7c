"""Tensor names, shapes and arithmetic of a residual network, from its config alone. Torch-free.

Names follow the published CIFAR networks of Y. Idelbayev (pytorch_resnet_cifar10), so that those
checkpoints load as they are. A ``pad`` shortcut has no tensors of its own in a weights file; the
network computes it as a 1x1 convolution of zeros and ones, and its multiply-accumulates count.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from compress.families.residual.config import Residual

Kind = Literal["conv", "pad", "linear"]
_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class Layer(BaseModel, frozen=True, extra="forbid"):
    """One row of the table of layers; ``output`` is ``(C, H, W)`` or ``(classes,)``."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    parameters: int
    output: tuple[int, ...] | None = None
    macs: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Convolution:
    name: str
    norm: str | None
    kind: Kind
    shape: tuple[int, int, int, int]
    halvings: int


def tensor_shapes(
    architecture: Residual, *, in_channels: int, num_classes: int
) -> dict[str, tuple[int, ...]]:
    """Every tensor of a weights file, without the ``num_batches_tracked`` counters."""
    shapes: dict[str, tuple[int, ...]] = {}
    for convolution in _convolutions(architecture, in_channels):
        if convolution.norm is not None:
            shapes[f"{convolution.name}.weight"] = convolution.shape
            width = (convolution.shape[0],)
            shapes |= {f"{convolution.norm}.{tensor}": width for tensor in _NORM_TENSORS}
    shapes["linear.weight"] = (num_classes, architecture.widths[-1])
    shapes["linear.bias"] = (num_classes,)
    return shapes


def parameters(architecture: Residual, *, in_channels: int, num_classes: int) -> int:
    """Number of trainable parameters; running statistics are not among them."""
    shapes = tensor_shapes(architecture, in_channels=in_channels, num_classes=num_classes)
    return sum(math.prod(shape) for name, shape in shapes.items() if "running_" not in name)


def macs(
    architecture: Residual, *, in_channels: int, num_classes: int, height: int, width: int
) -> int:
    """Multiply-accumulates of all convolutions and the linear layer for one image."""
    rows = layers(
        architecture, in_channels=in_channels, num_classes=num_classes, image=(height, width)
    )
    return sum(row.macs or 0 for row in rows)


def layers(
    architecture: Residual,
    *,
    in_channels: int,
    num_classes: int,
    image: tuple[int, int] | None = None,
) -> list[Layer]:
    """One row per convolution and linear layer, in order of computation.

    ``image`` is ``(height, width)``; without it ``output`` and ``macs`` are None.
    """
    rows = [_row(convolution, image) for convolution in _convolutions(architecture, in_channels)]
    features = architecture.widths[-1]
    size = num_classes * features
    rows.append(
        Layer(
            name="linear",
            kind="linear",
            shape=(num_classes, features),
            parameters=size + num_classes,
            output=(num_classes,) if image else None,
            macs=size if image else None,
        )
    )
    return rows


def _row(convolution: _Convolution, image: tuple[int, int] | None) -> Layer:
    size = math.prod(convolution.shape)
    output = None
    if image is not None:
        height, width = (_halve(side, convolution.halvings) for side in image)
        output = (convolution.shape[0], height, width)
    return Layer(
        name=convolution.name,
        kind=convolution.kind,
        shape=convolution.shape,
        parameters=size + 2 * convolution.shape[0] if convolution.norm else 0,
        output=output,
        macs=size * output[1] * output[2] if output else None,
    )


def _halve(side: int, times: int) -> int:
    for _ in range(times):
        side = (side + 1) // 2
    return side


def _convolutions(architecture: Residual, in_channels: int) -> Iterator[_Convolution]:
    stem = architecture.widths[0]
    yield _Convolution(
        name="conv1", norm="bn1", kind="conv", shape=(stem, in_channels, 3, 3), halvings=0
    )
    before = stem
    for stage, (width, depth) in enumerate(
        zip(architecture.widths, architecture.depths, strict=True)
    ):
        for block in range(depth):
            yield from _block(architecture, stage, block, before, width)
            before = width


def _block(
    architecture: Residual, stage: int, block: int, before: int, width: int
) -> Iterator[_Convolution]:
    prefix = f"layer{stage + 1}.{block}"
    for index, inputs in ((1, before), (2, width)):
        yield _Convolution(
            name=f"{prefix}.conv{index}",
            norm=f"{prefix}.bn{index}",
            kind="conv",
            shape=(width, inputs, 3, 3),
            halvings=stage,
        )
    if block > 0 or stage == 0:
        return
    pad = architecture.shortcut == "pad"
    yield _Convolution(
        name=f"{prefix}.shortcut" if pad else f"{prefix}.shortcut.0",
        norm=None if pad else f"{prefix}.shortcut.1",
        kind="pad" if pad else "conv",
        shape=(width, before, 1, 1),
        halvings=stage,
    )
