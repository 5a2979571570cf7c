"""The outline of an imported classifier, as it works within this program. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from compress.network.graph import outline
from compress.network.graph.coupling import description, groups
from compress.network.graph.coupling.couplings import couple
from compress.network.graph.shapes import bind
from compress.network.graph.values import Graph
from compress.network.outline import Outline
from compress.network.signature import BATCH, Signature


def described(
    working: Graph, signature: Signature, unproven: Mapping[str, str] | None = None
) -> Outline:
    """Describe the network in its inner form (``onnx_form.inner``), with the ports of its files.

    Groups that are ``unproven`` (``onnx_trial.unproven``) stay, and why is told. Layers of the same
    resolution are a stage, which one pruning ratio is for, as in any network of
    no family; ``blocks`` counts the layers of each.
    """
    found = outline.outline(working, {BATCH: 1})
    couplings = couple(working, bind(working, {BATCH: 2}))
    couplings = groups.without_each(couplings, unproven or {})
    channels = description.describe(working, couplings, found.layers)
    narrowed = {axis.layer for group in channels.groups for axis in group.axes}
    layers = tuple(
        layer.model_copy(update={"loses_channels": layer.name in narrowed})
        for layer in found.layers
    )
    stages = Counter(layer.stage for layer in found.layers if layer.stage is not None)
    blocks = tuple(stages[stage] for stage in range(len(stages)))
    return found.model_copy(
        update={"signature": signature, "layers": layers, "blocks": blocks, "channels": channels}
    )
