"""One node of a graph as whoever builds it sees it: attributes, constants and shapes.

Legend: a *static* operand is a constant that says sizes, axes or bounds; whatever varies with the
input is a tensor that comes with every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from torch import Tensor, nn

from compress.network.graph.values import Array, Graph, Node, Shapes
from compress.values.errors import InvalidNetwork

Computed = Tensor | tuple[Tensor, ...]
_Value = TypeVar("_Value")


def unsupported(node: Node, why: str) -> InvalidNetwork:
    """The refusal of one node, by operator and name."""
    return InvalidNetwork(f"{node.op} ({node.name}) {why}")


class Operator(nn.Module):
    """A node without a layer of torch's own: a function of its inputs and of its constants.

    ``places`` lists, for every argument of the function, the attribute that holds it; None stands
    for the next input of the run.
    """

    def __init__(
        self, function: Callable[..., Computed], places: tuple[str | None, ...] = (None,)
    ) -> None:
        super().__init__()
        self.function = function
        self.places = places

    def forward(self, *inputs: Tensor) -> Computed:
        """The node's outputs."""
        given = iter(inputs)
        arguments = [next(given) if p is None else getattr(self, p) for p in self.places]
        return self.function(*arguments)


@dataclass(frozen=True)
class Site:
    """A node and what is known of it before it runs."""

    graph: Graph
    node: Node
    shapes: Shapes
    is_behind_layers: bool = True
    """Whether one of its inputs comes out of a layer with weights."""

    def attribute(self, name: str, default: _Value) -> _Value:
        """The attribute, or what the specification says of a missing one."""
        value: Any = self.node.attributes.get(name, default)
        return value

    def has(self, place: int) -> bool:
        """Whether this input is given at all."""
        return place < len(self.node.inputs) and self.node.inputs[place] != ""

    def constant(self, place: int) -> Array | None:
        """The constant in this place; None if there is none, or if it is computed."""
        return self.graph.tensors.get(self.node.inputs[place]) if self.has(place) else None

    def static(self, place: int) -> Array | None:
        """A constant that must not vary; None if it is left out. Raises InvalidNetwork."""
        if not self.has(place):
            return None
        found = self.constant(place)
        if found is None:
            raise unsupported(self.node, f"computes its input {place} anew in every run")
        return found

    def integers(self, place: int, name: str = "") -> tuple[int, ...] | None:
        """Integers of a static input, or of the attribute of older forms; None without either."""
        found = self.static(place)
        if found is None and name:
            value = self.node.attributes.get(name)
            found = None if value is None else np.asarray(value)
        return None if found is None else tuple(int(entry) for entry in np.ravel(found))

    def shape(self, place: int) -> tuple[int, ...]:
        """The bound shape of an input. Raises InvalidNetwork if nobody could tell it."""
        name = self.node.inputs[place]
        if name in self.graph.tensors:
            return tuple(self.graph.tensors[name].shape)
        if name not in self.shapes:
            raise unsupported(self.node, f"reads {name}, whose shape cannot be inferred")
        return self.shapes[name]

    def rank(self, place: int = 0) -> int:
        """Number of axes of an input."""
        return len(self.shape(place))

    def axis(self, default: int, *, place: int = 0) -> int:
        """The attribute ``axis``, counted from the front."""
        axis = self.attribute("axis", default)
        return axis if axis >= 0 else axis + self.rank(place)


@dataclass(frozen=True)
class Built:
    """What runs for a node.

    ``reads`` lists the inputs of the node, by place, that the module is given in every run; None
    is all of them that are given. ``pads`` goes around the first one before that, in the order of
    ``torch.nn.functional.pad``. ``statics`` are sizes, by place, in the form in which they also fit
    a network with fewer channels.
    """

    module: nn.Module
    reads: tuple[int, ...] | None = None
    pads: tuple[int, ...] = ()
    statics: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
