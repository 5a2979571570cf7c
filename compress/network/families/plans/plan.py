"""What a network of a family computes, as plain values: the one description everything reads.

A family writes its networks as a ``Plan``. The table of layers, the tensors of a weights file, the
multiply-accumulates (``layout``) and the torch network itself (``network``) all follow from it, and
so does a slice of a supernet. Torch-free.

Where nothing else is said, a kernel of ``k`` has ``(k - 1) // 2`` rows of zeros on each side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from compress.network.families.plans import paths

Activation = Literal["none", "relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid"]
Size: TypeAlias = tuple[int, int]
Names: TypeAlias = tuple[str, str | None]
"""What another layout of weights files calls a layer and its BatchNorm."""


@dataclass(frozen=True, kw_only=True)
class Conv:
    """A convolution, its BatchNorm where ``norm`` names one, and an activation."""

    name: str
    inputs: int
    outputs: int
    kernel: Size
    stride: int | Size = 1
    groups: int = 1
    norm: str | None = None
    bias: bool = False
    activation: Activation = "none"
    padding: Size | None = None
    alias: Names | None = None

    @property
    def zeros(self) -> Size:
        """Rows and columns of zeros on each side of the input."""
        height, width = self.kernel
        return self.padding or ((height - 1) // 2, (width - 1) // 2)

    @property
    def steps(self) -> Size:
        """Rows and columns from one output to the next."""
        return self.stride if isinstance(self.stride, tuple) else (self.stride, self.stride)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of its weight: ``(outputs, inputs / groups, height, width)``."""
        return (self.outputs, self.inputs // self.groups, *self.kernel)


@dataclass(frozen=True, kw_only=True)
class Pad:
    """Every second pixel, channels padded evenly with zeros; it has no tensors in a file."""

    name: str
    inputs: int
    outputs: int
    stride: int = 2


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A linear layer with bias, and an activation."""

    name: str
    inputs: int
    outputs: int
    activation: Activation = "none"
    alias: str | None = None


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A BatchNorm of maps that no convolution has to itself, and an activation."""

    name: str
    channels: int
    activation: Activation = "none"
    alias: str | None = None

    @property
    def inputs(self) -> int:
        """Channels that it reads."""
        return self.channels

    @property
    def outputs(self) -> int:
        """Channels that it puts out."""
        return self.channels


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool over maps; ``global`` is the mean of each map, which leaves a vector.

    Zeros around a map do not count in an average. ``round_up`` keeps the last window where only a
    part of it is inside, so that sizes are those of a convolution with the same stride.
    """

    kind: Literal["max", "average", "global"]
    kernel: int = 1
    stride: int = 1
    round_up: bool = False


@dataclass(frozen=True, kw_only=True)
class Activate:
    """An activation by itself."""

    activation: Activation


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Bilinear, to ``side`` pixels in height and width."""

    side: int


@dataclass(frozen=True, kw_only=True)
class Border:
    """Rows of zeros below a map and columns to its right, for kernels with an even side."""

    below: int
    right: int


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """Maps averaged to ``side`` by ``side`` pixels, then laid out as a vector, map by map.

    The maps' own sides are multiples of it.
    """

    side: int


@dataclass(frozen=True, kw_only=True)
class Excite:
    """Squeeze and excitation (Hu et al., arXiv:1709.01507): maps scaled by their own means."""

    reduce: Conv
    expand: Conv


@dataclass(frozen=True, kw_only=True)
class Sum:
    """Branches that read the same maps, added up, and an activation; ``()`` is the identity."""

    branches: tuple[Chain, ...]
    activation: Activation = "none"


@dataclass(frozen=True, kw_only=True)
class Concat:
    """Branches whose maps are laid side by side.

    ``split`` gives each branch its equal share of the channels, else all read all of them.
    ``shuffle`` groups of channels are then dealt out in turns (Zhang et al., arXiv:1707.01083).
    """

    branches: tuple[Chain, ...]
    split: bool = False
    shuffle: int = 1


@dataclass(frozen=True, kw_only=True)
class Edge:
    """From node ``source`` of a cell to a later one."""

    source: int
    chain: Chain


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A graph of maps of one shape: node 0 is the input, each next one the sum of its edges.

    The last node is the output. A node that no edge reaches from the input is zero, and so is
    whatever reads only that.
    """

    nodes: tuple[tuple[Edge, ...], ...]

    @cached_property
    def live(self) -> tuple[tuple[Edge, ...], ...]:
        """The nodes without the edges that cannot change the output."""
        numbered = tuple(enumerate(self.nodes, 1))
        arrows = [(edge.source, node) for node, edges in numbered for edge in edges]
        kept = paths.between(arrows, last=len(self.nodes))
        return tuple(
            tuple(edge for edge in edges if (edge.source, node) in kept) for node, edges in numbered
        )


Change: TypeAlias = Activate | Pool | Resize | Border | Flatten
"""What has no weights and reads one map."""
Node: TypeAlias = Conv | Pad | Norm | Linear | Change | Excite | Sum | Concat | Cell
Chain: TypeAlias = tuple[Node, ...]
Layer: TypeAlias = Conv | Pad | Norm | Linear


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A network, first node to last. ``stages`` hold the blocks that depth and pruning speak of.

    All blocks of a stage but the first keep the shape of their input, so a stage may end early.
    """

    stem: Chain
    stages: tuple[tuple[Chain, ...], ...]
    head: Chain
    norm_epsilon: float = 1e-5

    def __deepcopy__(self, memo: object) -> Plan:
        """Itself: a plan never changes, and every copy of a network carries one."""
        return self

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return len(self.stages)

    @cached_property
    def chains(self) -> tuple[Chain, ...]:
        """Stem, every block, and head, in order."""
        return (self.stem, *(block for stage in self.stages for block in stage), self.head)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Everything with a weight, in the order in which it is computed."""
        return tuple(layer for chain in self.chains for layer in layers_of(chain))

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def is_constant(self) -> bool:
        """Whether it answers alike whatever the image: a cell has no path through it."""
        nodes = (node for chain in self.chains for node in chain)
        return any(isinstance(node, Cell) and not node.live[-1] for node in nodes)

    @cached_property
    def places(self) -> dict[str, Size]:
        """``(stage, block)`` of the layers within stages, both from 0."""
        return {
            layer.name: (stage, block)
            for stage, blocks in enumerate(self.stages)
            for block, chain in enumerate(blocks)
            for layer in layers_of(chain)
        }

    @cached_property
    def aliases(self) -> dict[str, str]:
        """What another layout of weights files calls layers and BatchNorms."""
        found: dict[str, str] = {}
        for layer in self.layers:
            match layer:
                case Conv(alias=(conv, norm)):
                    found[layer.name] = conv
                    if layer.norm is not None and norm is not None:
                        found[layer.norm] = norm
                case Norm(alias=str() as alias) | Linear(alias=str() as alias):
                    found[layer.name] = alias
                case _:
                    pass
        return found


def layers_of(node: Node | Chain) -> Iterator[Layer]:
    """The layers of a node or of a chain, in the order in which they are computed."""
    match node:
        case Conv() | Pad() | Norm() | Linear():
            yield node
        case tuple():
            for part in node:
                yield from layers_of(part)
        case Excite():
            yield from (node.reduce, node.expand)
        case Sum() | Concat():
            yield from layers_of(tuple(part for branch in node.branches for part in branch))
        case Cell():
            for edge in (edge for edges in node.nodes for edge in edges):
                yield from layers_of(edge.chain)
        case _:
            pass
