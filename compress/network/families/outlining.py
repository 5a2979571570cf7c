"""The outline of a network of a family, and of its members. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from compress.network.families import layout
from compress.network.families.catalog import Architecture, plan_of
from compress.network.families.plans import coupling
from compress.network.member import Dimension, Shape
from compress.network.outline import CoupledChannels, ElasticNetwork, LayerInfo, Outline
from compress.network.signature import IMAGE_AXES, ExampleShape, Signature
from compress.values.errors import InvalidCandidate

_MOST_OUTLINES = 256
_MOST_PIXELS = 8
"""Pixels of a side of the last map, of which every family can lay out some number."""
_OPERATION = re.compile(r"\.edges\.(\d+)\.(\w+?)(?:\.|$)")
"""Where the name of a layer of a cell holds its edge and its operation."""


@dataclass(frozen=True, kw_only=True)
class ElasticFamily(ElasticNetwork):
    """The members of a network of a family, for images ``(C, H, W)``."""

    config: Architecture
    input_shape: ExampleShape
    num_classes: int

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.config.family

    @property
    def dimensions(self) -> frozenset[Dimension]:
        """The dimensions in which its members may differ, apart from the resolution."""
        return self.config.elastic

    @property
    def largest_depth(self) -> int:
        """Blocks of its deepest stage."""
        return max(self.config.blocks)

    @property
    def largest_kernel(self) -> int:
        """Rows of the largest kernel that a member may have smaller; 1 if there is none."""
        return self.config.largest_kernel

    @property
    def operations(self) -> tuple[tuple[str, ...], ...]:
        """The operations that each edge of its cell may have, the most costly first."""
        return self.config.operations

    def least(self, allowed: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Choose the cheapest of the ``allowed`` operations of every edge of its cell."""
        return self.config.least(allowed)

    def coupled(self) -> CoupledChannels:
        """Find the groups of channels that may leave the network itself.

        Raises InvalidCandidate for a network that answers alike whatever the image.
        """
        return _coupled(self.config, input_shape=self.input_shape, num_classes=self.num_classes)

    def is_whole(self, shape: Shape) -> bool:
        """Return whether the member of that shape is the network itself."""
        return self.config.member(shape) == self.config

    def is_constant(self, shape: Shape) -> bool:
        """Return whether the member of that shape answers alike whatever the image."""
        return plan_of(self.config.member(shape), in_channels=1, num_classes=2).is_constant

    def member(self, shape: Shape) -> Outline:
        """Outline the member of that shape.

        Raises InvalidCandidate for a shape that no member has, and where its maps cannot be laid
        out as a vector.
        """
        return outline(
            self.config.member(shape), input_shape=self.input_shape, num_classes=self.num_classes
        )


@lru_cache(maxsize=_MOST_OUTLINES)
def outline(architecture: Architecture, *, input_shape: ExampleShape, num_classes: int) -> Outline:
    """Describe the network for images ``(C, H, W)`` without building it.

    Raises InvalidCandidate where maps cannot be laid out as a vector at that size, and for examples
    of other axes.
    """
    if len(input_shape) != IMAGE_AXES:
        raise InvalidCandidate(
            f"networks of families take images, (C, H, W), not examples of shape {input_shape}: "
            "name a family that does (docs/reference/families.md), or upload a network that takes "
            "these as an ONNX file"
        )
    channels, height, width = input_shape
    rows = layout.layers(
        architecture, in_channels=channels, num_classes=num_classes, image=(height, width)
    )
    return Outline(
        signature=Signature.of_examples(input_shape, num_classes=num_classes),
        layers=tuple(_layer(row) for row in rows),
        blocks=architecture.blocks,
        resolution=architecture.resolution,
        least_input=architecture.reduction,
        elastic=ElasticFamily(
            config=architecture, input_shape=input_shape, num_classes=num_classes
        ),
    )


@lru_cache(maxsize=_MOST_OUTLINES)
def _coupled(
    architecture: Architecture, *, input_shape: ExampleShape, num_classes: int
) -> CoupledChannels:
    plan = plan_of(architecture, in_channels=input_shape[0], num_classes=num_classes)
    found = outline(architecture, input_shape=input_shape, num_classes=num_classes)
    return coupling.coupled(plan, found.signature, found.layers)


def narrowed(
    architecture: Architecture, *, in_channels: int, num_classes: int
) -> frozenset[str] | None:
    """Return the layers that get narrower when channels leave, whatever the size of images.

    None for a network of which channels are not looked for: one that answers alike whatever the
    image.
    """
    for pixels in range(1, _MOST_PIXELS + 1):
        side = pixels * architecture.reduction
        try:
            found = _coupled(
                architecture, input_shape=(in_channels, side, side), num_classes=num_classes
            )
        except InvalidCandidate:
            # Maps of this size cannot be laid out as a vector.
            continue
        return frozenset(axis.layer for group in found.groups for axis in group.axes)
    return None


def _layer(row: layout.Layer) -> LayerInfo:
    place = _OPERATION.search(row.name)
    return LayerInfo(
        name=row.name,
        kind=row.kind,
        weight_shape=row.shape,
        parameters=row.parameters,
        macs=row.macs or 0,
        stage=row.stage,
        edge=int(place[1]) if place else None,
        operation=place[2] if place else "",
        has_factors=row.has_factors,
    )
