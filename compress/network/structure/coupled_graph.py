"""An imported network as a graph with its coupled channels, and the same without some of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.coupling.removal import remove
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph, Shapes
from compress.network.graph.view import absorbing
from compress.network.graph.view.module import GraphModule
from compress.network.network import Network
from compress.network.signature import BATCH

_EXAMPLES = 2


@dataclass(frozen=True, kw_only=True)
class CoupledGraph:
    """The graph of a module as it is now, its shapes for two images, and its channels.

    ``layers`` names the layer of the module that each node stands for.
    """

    graph: Graph
    shapes: Shapes
    couplings: Couplings
    layers: Mapping[str, str]


def coupled(module: GraphModule) -> CoupledGraph:
    """Return the graph of a module as it is now, and its channels.

    Raises InvalidNetwork, naming the node, where operands do not fit each other.
    """
    found = absorbing.layered(module, module.program)
    shapes = bind(found.graph, {BATCH: _EXAMPLES})
    couplings = couple(found.graph, shapes, found.layers)
    return CoupledGraph(graph=found.graph, shapes=shapes, couplings=couplings, layers=found.layers)


def without(network: Network, whole: CoupledGraph, removed: Mapping[str, Tensor]) -> Network:
    """Return a copy of the network without some channels of the groups, named by their roots.

    ``whole`` is the graph of the network. Layers keep their names, and what is trained of them.
    Raises InvalidCandidate where nothing would be left along an axis.
    """
    gone = {root: channel_R.tolist() for root, channel_R in removed.items()}
    graph, shapes = remove(whole.graph, whole.shapes, whole.couplings, gone)
    smaller = GraphModule(graph, shapes, whole.layers).train(network.module.training)
    given = dict(network.module.named_parameters())
    for name, parameter in smaller.named_parameters():
        if name in given:
            parameter.requires_grad_(given[name].requires_grad)
    if given:
        smaller.to(next(iter(given.values())).device)
    return replace(network, module=smaller)
