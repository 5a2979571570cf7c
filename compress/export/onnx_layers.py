"""Match the nodes of an exported graph with the layers of the network.

A graph may rename weights and turn their axes, but it has the nodes in the order in which the
network ran. So layers and weighted nodes are matched by their order, and every pair is checked.
Nodes in between that belong to no layer, such as the projections of an attention or a convolution
written as a function, keep their floats. So do layers without a node, because nothing reads them or
something changes their weight before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, numpy_helper

from compress.export.weight_encoding import forms
from compress.export.weight_encoding.forms import WeightForm
from compress.network.layers import WeightedLayer


@dataclass(frozen=True, kw_only=True)
class WeightedNode:
    """The layer that a node computes, and how the node holds its weight."""

    layer: str
    form: WeightForm


def match(model: ModelProto, layers: tuple[WeightedLayer, ...]) -> dict[str, WeightedNode]:
    """Return the layers of a plain, folded network by the first tensor that their node makes."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    every = [(node, forms.form_of(node, constants)) for node in model.graph.node]
    nodes = [(node, form) for node, form in every if form is not None]
    found: dict[str, WeightedNode] = {}
    first = 0
    for layer in layers:
        weight_OI = layer.module.weight.detach().numpy()
        for place, (node, form) in enumerate(nodes[first:], start=first):
            held = [numpy_helper.to_array(constants[node.input[each]]) for each in form.places]
            if np.array_equal(form.weight(held), weight_OI):
                made = forms.made_by(node)
                found[made] = WeightedNode(layer=layer.name, form=form)
                first = place + 1
                break
    return found
