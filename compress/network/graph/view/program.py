"""What ties the nodes of a graph to the modules that compute them in torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from torch import nn

from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.values import Graph, Node, Shapes
from compress.network.network import OwnModule
from compress.network.signature import Signature
from compress.values.errors import InvalidCandidate


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
    """A module whose layers are nodes of a graph: so it loses channels, and is written to a file.

    Where it is described as a graph, ``layers`` are the names of its layers by their nodes.
    """

    @abstractmethod
    def program_for(self, signature: Signature) -> Program:
        """Return its graph on ports of that signature, and the layers of the nodes.

        The graph is that of the module as it was built; ``absorbing.absorb`` puts in what its
        layers have become.
        """

    def couplings(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> Couplings:
        """Find the groups of channels that may leave it; the graph is what it is now."""
        return couple(graph, shapes, layers)

    @abstractmethod
    def narrowed(self, graph: Graph, shapes: Shapes, layers: Mapping[str, str]) -> GraphedModule:
        """Return a copy that computes a graph of its own without some of the channels.

        What is frozen stays frozen, and its device and mode are those of this one.
        """


def graphed(module: nn.Module, *, doing: str) -> GraphedModule:
    """Return the module itself. Raises InvalidCandidate, saying what it cannot do, for others."""
    if not isinstance(module, GraphedModule):
        raise InvalidCandidate(
            f"a {type(module).__name__} cannot {doing}, a network of a family or an uploaded one "
            "can: write the module as ONNX (featherweight.torch.export) and load that file "
            "(compress.network.sources.onnx.load)"
        )
    return module
