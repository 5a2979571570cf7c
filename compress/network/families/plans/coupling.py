"""Which channels may leave a network of a family, from its plan alone. Torch-free.

A plan deals channels out in turns and gives branches equal shares, whatever their number. So what
meets a shuffle or a split stays, though a graph could follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from compress.network.families.plans.lowering import lower
from compress.network.families.plans.plan import Plan
from compress.network.families.plans.shapes import shapes_of
from compress.network.graph.coupling import description, groups
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.coupling.groups import Couplings
from compress.network.graph.values import Graph, Shapes
from compress.network.outline import CoupledChannels, LayerInfo
from compress.network.signature import Signature

SHUFFLED = "a channel shuffle mixes them"
SPLIT = "they are split between branches"
_REASONS = {"Reshape": SHUFFLED, "Split": SPLIT}


def coupled(plan: Plan, signature: Signature, layers: tuple[LayerInfo, ...]) -> CoupledChannels:
    """Find the groups of channels of a plan, whose layers are these.

    Raises InvalidCandidate where ``lower`` does.
    """
    graph = lower(plan, signature)
    couplings = of_plan(graph, shapes_of(graph, batch=2))
    return description.describe(graph, couplings, layers)


def of_plan(graph: Graph, shapes: Shapes, names: Mapping[str, str] | None = None) -> Couplings:
    """Find the groups of a lowered plan, also of one that has lost channels.

    ``names`` are those of the layers by their nodes, unless they are the usual ones.
    """
    couplings = couple(graph, shapes, names)
    found: dict[str, str] = {}
    for root, reason in _dealt_out(graph, couplings):
        found.setdefault(root, reason)
    for root, reason in found.items():
        couplings = groups.without(couplings, {root}, reason)
    return couplings


def _dealt_out(graph: Graph, couplings: Couplings) -> Iterator[tuple[str, str]]:
    """Yield the root of every group that is split or shuffled, with the reason."""
    for node in graph.nodes:
        if node.op not in _REASONS or node.inputs[0] not in couplings.axes:
            continue
        met = np.unique(couplings.axes[node.inputs[0]][1])
        for group in couplings.groups:
            start = couplings.starts[group.root]
            if ((met >= start) & (met < start + group.num_channels)).any():
                yield group.root, _REASONS[node.op]
