"""Which channels of a graph can only leave together, found without running it. Torch-free.

Every index along every axis of every tensor has a label; each operator joins labels that must be
one, and holds those that cannot leave. What ends in one set is one channel. The idea is that of
dependency graphs (Fang et al., DepGraph, arXiv:2301.12900), on indices instead of layers.
"""

from __future__ import annotations

from collections.abc import Mapping

from compress.network.graph.coupling import groups, shuffles
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.coupling.rules import walk
from compress.network.graph.names import layer_names
from compress.network.graph.values import Graph, Shapes


def couple(graph: Graph, shapes: Shapes, names: Mapping[str, str] | None = None) -> Couplings:
    """Find the groups of channels that may leave; what comes in and what goes out stays whole.

    ``names`` are those of the layers by their nodes, unless they are the usual ones. Raises
    InvalidNetwork, naming the node, where operands do not fit or axes are too long.
    """
    plain, plain_shapes = shuffles.as_gathers(graph, shapes)
    return groups.collect(walk.label(plain, plain_shapes), names or layer_names(graph))
