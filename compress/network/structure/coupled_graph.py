"""A network as a graph with its coupled channels, and the same without some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.coupling.removal import remove
from compress.network.graph.names import layer_names
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, Shapes
from compress.network.graph.view import absorbing
from compress.network.graph.view.program import graphed
from compress.network.network import Network
from compress.network.signature import BATCH

_EXAMPLES = 2
_DOING = "lose channels"


@dataclass(frozen=True, kw_only=True)
class CoupledGraph:
    """The graph of a module as it is now, its shapes for two images, and its channels.

    ``layers`` names the layer of the module that each node stands for.
    """

    graph: Graph
    shapes: Shapes
    couplings: Couplings
    layers: Mapping[str, str]


def coupled(network: Network) -> CoupledGraph:
    """Return the graph of a network as it is now, and its channels.

    Raises InvalidCandidate for a module that is no graph, and InvalidNetwork, naming the node,
    where operands do not fit each other.
    """
    module = graphed(network.module, doing=_DOING)
    found = absorbing.layered(module, module.program_for(network.signature))
    shapes = bind(found.graph, {BATCH: _EXAMPLES})
    layers = layer_names(found.graph, found.layers)
    couplings = module.couplings(found.graph, shapes, layers)
    return CoupledGraph(graph=found.graph, shapes=shapes, couplings=couplings, layers=layers)


def without(network: Network, whole: CoupledGraph, removed: Mapping[str, Tensor]) -> Network:
    """Return a copy of the network without some channels of the groups, named by their roots.

    ``whole`` is the graph of the network. Layers keep their names, and what is trained of them.
    Raises InvalidCandidate where nothing would be left along an axis.
    """
    gone = {root: channel_R.tolist() for root, channel_R in removed.items()}
    graph, shapes = remove(whole.graph, whole.shapes, whole.couplings, gone)
    module = graphed(network.module, doing=_DOING)
    return replace(network, module=module.narrowed(graph, shapes, whole.layers))
