"""The outline of an imported classifier, as it works within this program. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping

from compress.network.graph import outline
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
    shapes, of_two = (bind(working, {BATCH: examples}) for examples in (1, 2))
    found = outline.with_channels(working, shapes, of_two, unproven)
    return found.model_copy(update={"signature": signature})
