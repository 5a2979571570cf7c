"""A network as an ONNX graph on raw values: its own nodes, and no exporter."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor

from compress.network import affine
from compress.network.graph.view.absorbing import absorb
from compress.network.graph.view.program import GraphedModule
from compress.network.graph.write import write
from compress.network.preprocessing import Normalisation
from compress.network.signature import INPUT, Signature

_NORMALISED = "normalised"


def on_raw_values(
    module: GraphedModule, signature: Signature, normalisation: Normalisation
) -> ModelProto:
    """The graph of the module, in eval mode, behind ``(x * scale - mean) / std``."""
    has_open_sizes = any(axis > 0 for port in signature.inputs for axis in port.dynamic)
    model = write(absorb(module, module.program_for(signature), is_open=has_open_sizes))
    axes = len(signature.example_shape)
    _normalise(model, affine.affine(normalisation, axes=axes))
    return model


def _normalise(model: ModelProto, found: affine.Affine) -> None:
    if found.is_identity:
        return
    for node in model.graph.node:
        node.input[:] = [_NORMALISED if name == INPUT else name for name in node.input]
    steps = [("Mul", found.factor_C11), ("Add", found.offset_C11)]
    if found.has_shift:
        # Added, not subtracted: whoever reads the graph knows an Add of a constant.
        steps.insert(0, ("Add", -found.shift_C11))
    nodes: list[NodeProto] = []
    name = INPUT
    for number, (op, constant_C11) in enumerate(steps):
        made = _NORMALISED if number == len(steps) - 1 else f"{_NORMALISED}.{number}"
        nodes.append(helper.make_node(op, [name, _held(model, constant_C11, made)], [made]))
        name = made
    nodes += model.graph.node
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _held(model: ModelProto, constant_C11: Tensor, made: str) -> str:
    name = f"{made}.constant"
    model.graph.initializer.append(numpy_helper.from_array(constant_C11.numpy(), name))
    return name
