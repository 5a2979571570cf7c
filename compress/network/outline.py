"""What may be asked about a network without building it. Torch-free, and of no family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field, InstanceOf
from pydantic.json_schema import SkipJsonSchema

from compress.network.member import Dimension, Shape
from compress.network.signature import Signature
from compress.values.errors import InvalidCandidate

LayerKind = Literal["conv", "pad", "norm", "linear", "embedding", "recurrent"]

MATRICES: frozenset[LayerKind] = frozenset({"conv", "linear"})
"""The kinds whose weights are matrices to techniques, and which lose channels."""


class LayerInfo(BaseModel, frozen=True, extra="forbid"):
    """One layer with a weight; a ``pad`` has one that is never trained.

    ``stage`` counts from 0 and is None in the stem and in the head. ``parameters`` are those of
    the layer and of its BatchNorm, ``macs`` the multiply-accumulates for one image. A layer on the
    edge of a cell belongs to one ``operation`` there; ``edge`` counts from 0.

    ``has_view`` says whether its weight is a matrix to techniques, ``loses_channels`` whether it
    gets narrower when channels leave, and ``has_factors`` whether thinner layers may take its
    place. They are None where a kind alone tells, and in older documents; networks of families say
    only what has factors, and ``families.outlining.narrowed`` what loses channels.
    """

    name: str
    kind: LayerKind
    weight_shape: tuple[int, ...]
    parameters: int
    macs: int
    stage: int | None
    edge: int | None = None
    operation: str = ""
    has_view: bool | None = None
    loses_channels: bool | None = None
    has_factors: bool | None = None


class GroupAxis(BaseModel, frozen=True, extra="forbid"):
    """What the channels of a group hold of a layer: ``indices`` along an axis of its weight.

    ``axis`` is one of ``weight_shape``. Every channel holds equally many of the indices; if not
    ``is_even``, what the axis loses depends on which channels leave.
    """

    layer: str
    axis: int
    indices: int
    is_even: bool = True


class GroupInfo(BaseModel, frozen=True, extra="forbid"):
    """Channels that the same layers make, each of which can only leave with all that it holds.

    ``root`` names a layer that makes them, ``stage`` the first that they exist in. They leave all
    ``sections`` of a grouped convolution alike. A channel is a ``unit`` of at least ``width``
    outputs of a layer. When one of a group that is not ``exact`` leaves, a norm over the channels
    changes the others.
    """

    root: str
    stage: int
    num_channels: int
    sections: int = 1
    width: int = 1
    exact: bool = True
    unit: Literal["channel", "head", "hidden"] = "channel"
    axes: tuple[GroupAxis, ...]


class CoupledChannels(BaseModel, frozen=True, extra="forbid"):
    """All groups of channels that may leave a network, in the order in which it runs their roots.

    ``fixed`` says why the channels of other layers stay. The counts of its layers are all that a
    file counts if ``is_counted``; an attention multiplies activations, which are of no layer.
    """

    groups: tuple[GroupInfo, ...]
    fixed: dict[str, str] = Field(default_factory=dict[str, str])
    is_counted: bool = True


class ElasticNetwork(ABC):
    """A network that has smaller members, as the networks of families do.

    A member is named by its ``Shape``. None of these questions builds a network. All channels of a
    group hold alike of every layer of a member, and its layers are all that a file counts.
    """

    @property
    @abstractmethod
    def family(self) -> str:
        """The name of its family."""

    @property
    @abstractmethod
    def dimensions(self) -> frozenset[Dimension]:
        """The dimensions in which its members may differ, apart from the resolution."""

    @property
    @abstractmethod
    def largest_depth(self) -> int:
        """Blocks of its deepest stage."""

    @property
    @abstractmethod
    def largest_kernel(self) -> int:
        """Rows of the largest kernel that a member may have smaller; 1 if there is none."""

    @property
    @abstractmethod
    def operations(self) -> tuple[tuple[str, ...], ...]:
        """The operations that each edge of its cell may have, the most costly first.

        It is empty if there is no cell.
        """

    @abstractmethod
    def least(self, allowed: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Choose the cheapest of the ``allowed`` operations of every edge of its cell.

        Edges without any effect on the answer get ``none``. Without ``allowed`` the cell keeps its
        own operations. The result is empty if there is no cell.
        """

    @abstractmethod
    def coupled(self) -> CoupledChannels:
        """Find the groups of channels that may leave the network itself."""

    @abstractmethod
    def is_whole(self, shape: Shape) -> bool:
        """Return whether the member of that shape is the network itself."""

    @abstractmethod
    def is_constant(self, shape: Shape) -> bool:
        """Return whether the member of that shape answers alike whatever the image."""

    @abstractmethod
    def member(self, shape: Shape) -> Outline:
        """Outline the member of that shape.

        Raises InvalidCandidate for a shape that no member has.
        """


class Outline(BaseModel, frozen=True, extra="forbid"):
    """A network's signature, and its layers in the order in which it computes them.

    ``blocks`` counts the blocks of every stage. ``resolution`` is the side in pixels to which the
    network resizes its images, None if it leaves them. ``least_input`` is the shortest side in
    pixels of which its strides leave something, None if that is unknown. ``channels`` are those
    that may leave, None if the network has members, which answers for itself, and if the document
    is older than the field. ``elastic`` answers for the members of the network, None if it has no
    members. It is no part of the document: a network with members is outlined from its source.
    """

    signature: Signature
    layers: tuple[LayerInfo, ...]
    blocks: tuple[int, ...]
    resolution: int | None = None
    least_input: int | None = None
    channels: CoupledChannels | None = None
    elastic: SkipJsonSchema[InstanceOf[ElasticNetwork] | None] = Field(
        default=None, exclude=True, repr=False
    )

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all layers for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def image(self) -> tuple[int, int] | None:
        """Height and width of its images in pixels; None if it does not read images."""
        shape = self.signature.inputs[0].shape
        return (shape[2], shape[3]) if len(shape) == 4 else None

    @property
    def coupled(self) -> CoupledChannels | None:
        """The groups of channels that may leave; None if nobody has looked for them."""
        if self.channels is None and self.elastic is not None:
            return self.elastic.coupled()
        return self.channels

    def names(self, *, only_trained: bool) -> list[str]:
        """The layers' names, without those whose weights are never trained if asked."""
        return [layer.name for layer in self.layers if layer.kind != "pad" or not only_trained]

    def member(self, shape: Shape) -> Outline:
        """Outline the member of that shape; the network itself if the shape keeps everything.

        Raises InvalidCandidate for a shape that no member has.
        """
        if shape == Shape():
            return self
        if self.elastic is None:
            raise InvalidCandidate("only a network of a family has members, and this one has none")
        return self.elastic.member(shape)
