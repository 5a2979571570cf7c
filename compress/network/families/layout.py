"""Tensor names, shapes and arithmetic of a family's network, from its config alone. Torch-free.

A ``pad`` shortcut has no tensors of its own in a weights file; the network computes it as a 1x1
convolution of zeros and ones, and its multiply-accumulates count.
"""

from __future__ import annotations

import math

from pydantic import BaseModel

from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.plans import plan, sizes
from compress.network.families.plans.plan import (
    Cell,
    Chain,
    Concat,
    Conv,
    Excite,
    Linear,
    Norm,
    Pad,
    Size,
    Sum,
)
from compress.network.outline import LayerKind

_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class Layer(BaseModel, frozen=True, extra="forbid"):
    """One row of the table of layers; ``output`` is ``(C, H, W)`` or ``(classes,)``.

    ``parameters`` counts the layer's weight and bias and those of its BatchNorm. ``stage`` and
    ``block`` say where it is, from 0; None in the stem and in the head. ``loses_channels`` says
    whether it gets narrower when channels leave, ``has_factors`` whether thinner layers may take
    its place; None where nobody has looked, as in older documents.
    """

    name: str
    kind: LayerKind
    shape: tuple[int, ...]
    parameters: int
    output: tuple[int, ...] | None = None
    macs: int | None = None
    stage: int | None = None
    block: int | None = None
    loses_channels: bool | None = None
    has_factors: bool | None = None


def tensor_shapes(
    architecture: Architecture, *, in_channels: int, num_classes: int
) -> dict[str, tuple[int, ...]]:
    """Every tensor of a weights file, without the ``num_batches_tracked`` counters."""
    found: dict[str, tuple[int, ...]] = {}
    for layer in plan_of(architecture, in_channels=in_channels, num_classes=num_classes).layers:
        found |= _tensors(layer)
    return found


def parameters(architecture: Architecture, *, in_channels: int, num_classes: int) -> int:
    """Number of trainable parameters; running statistics are not among them."""
    rows = layers(architecture, in_channels=in_channels, num_classes=num_classes)
    return sum(row.parameters for row in rows)


def macs(
    architecture: Architecture, *, in_channels: int, num_classes: int, height: int, width: int
) -> int:
    """Multiply-accumulates of all convolutions and linear layers for one image."""
    rows = layers(
        architecture, in_channels=in_channels, num_classes=num_classes, image=(height, width)
    )
    return sum(row.macs or 0 for row in rows)


def layers(
    architecture: Architecture,
    *,
    in_channels: int,
    num_classes: int,
    image: Size | None = None,
) -> list[Layer]:
    """One row per convolution, linear layer and BatchNorm by itself, in order of computation.

    ``image`` is ``(height, width)``; without it ``output`` and ``macs`` are None. Raises
    InvalidCandidate where maps cannot be laid out as a vector at that size.
    """
    drawn = plan_of(architecture, in_channels=in_channels, num_classes=num_classes)
    found = _sizes(drawn, image) if image else {}
    return [_row(layer, found.get(layer.name), drawn.places) for layer in drawn.layers]


def _tensors(layer: plan.Layer) -> dict[str, tuple[int, ...]]:
    match layer:
        case Conv():
            found: dict[str, tuple[int, ...]] = {f"{layer.name}.weight": layer.shape}
            if layer.bias:
                found[f"{layer.name}.bias"] = (layer.outputs,)
            if layer.norm is not None:
                found |= {f"{layer.norm}.{name}": (layer.outputs,) for name in _NORM_TENSORS}
            return found
        case Linear():
            return {
                f"{layer.name}.weight": (layer.outputs, layer.inputs),
                f"{layer.name}.bias": (layer.outputs,),
            }
        case Norm():
            return {f"{layer.name}.{name}": (layer.channels,) for name in _NORM_TENSORS}
        case Pad():
            return {}


def _row(layer: plan.Layer, size: Size | None, places: dict[str, Size]) -> Layer:
    stage, block = places.get(layer.name, (None, None))
    trained = {name: s for name, s in _tensors(layer).items() if "running_" not in name}
    match layer:
        case Conv():
            kind, shape = "conv", layer.shape
        case Pad():
            kind, shape = "pad", (layer.outputs, layer.inputs, 1, 1)
        case Norm():
            kind, shape = "norm", (layer.channels,)
        case Linear():
            kind, shape = "linear", (layer.outputs, layer.inputs)
    output = None
    if size is not None:
        output = (layer.outputs,) if kind == "linear" else (layer.outputs, *size)
    return Layer(
        name=layer.name,
        kind=kind,
        shape=shape,
        parameters=sum(math.prod(s) for s in trained.values()),
        output=output,
        macs=_macs(kind, shape, size) if size is not None else None,
        stage=stage,
        block=block,
        has_factors=isinstance(layer, Linear) or (isinstance(layer, Conv) and layer.groups == 1),
    )


def _macs(kind: LayerKind, shape: tuple[int, ...], size: Size) -> int:
    """One per weight and place; a BatchNorm only scales."""
    return 0 if kind == "norm" else math.prod(shape) * math.prod(size)


def _sizes(drawn: plan.Plan, image: Size) -> dict[str, Size]:
    """Height and width of every layer's output."""
    found: dict[str, Size] = {}
    size = image
    for chain in drawn.chains:
        size = _through(chain, size, found)
    return found


def _through(node: plan.Node | Chain, size: Size, found: dict[str, Size]) -> Size:
    """The size after a node; those of its layers go into ``found``."""
    match node:
        case tuple():
            for part in node:
                size = _through(part, size, found)
            return size
        case Conv() | Pad():
            found[node.name] = sizes.strided(node, size)
            return found[node.name]
        case Norm():
            found[node.name] = size
            return size
        case Linear():
            found[node.name] = sizes.POINT
            return sizes.POINT
        case Excite() | Sum() | Concat() | Cell():
            return _joined(node, size, found)
        case _:
            return sizes.changed(node, size)


def _joined(node: Excite | Sum | Concat | Cell, size: Size, found: dict[str, Size]) -> Size:
    match node:
        case Excite():
            found[node.reduce.name] = found[node.expand.name] = sizes.POINT
            return size
        case Sum() | Concat():
            first, *_ = [_through(branch, size, found) for branch in node.branches]
            return first
        case Cell():
            for edge in (edge for edges in node.nodes for edge in edges):
                _through(edge.chain, size, found)
            return size
