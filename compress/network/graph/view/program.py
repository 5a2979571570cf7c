"""What ties the nodes of a graph to the modules that compute them in torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from compress.network.graph.values import Graph, Node
from compress.network.network import OwnModule
from compress.network.signature import Signature


@dataclass(frozen=True, kw_only=True)
class NodeCall:
    """One node in the order in which they run.

    ``layer`` names its module; it is empty for a node that no module stands for. ``reads`` are the
    tensors that the module is given, ``pads`` goes around the first of them, ``statics`` replaces
    sizes of the node by place, and ``frees`` are tensors that nobody reads later.
    """

    node: Node
    layer: str = ""
    reads: tuple[str, ...] = ()
    pads: tuple[int, ...] = ()
    statics: Mapping[int, tuple[int, ...]] = field(default_factory=dict[int, tuple[int, ...]])
    frees: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Program:
    """A graph and the modules of its nodes, never changed: copies of a module share it."""

    graph: Graph
    calls: tuple[NodeCall, ...]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class GraphedModule(OwnModule):
    """A module whose layers are nodes of a graph, so that it can be written to a file."""

    @abstractmethod
    def program_for(self, signature: Signature) -> Program:
        """Return its graph on ports of that signature, and the layers of the nodes.

        The graph is that of the module as it was built; ``absorbing.absorb`` puts in what its
        layers have become.
        """
