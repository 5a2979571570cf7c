"""A batch of any size, also where a file fixes it at 1. Torch-free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import ModelProto, TensorShapeProto, ValueInfoProto

from compress.network.graph.reading import probing
from compress.network.graph.rewiring import free_name, names_of
from compress.network.graph.values import Array, Graph, GraphPort, Node
from compress.values.errors import InvalidNetwork

_BATCH = "batch"
_MOVING = frozenset({"Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"})
_WAY_OUT = "export it with a dynamic batch axis (dynamic_axes={name: {0: 'N'}} in torch)"


def free_batch(model: ModelProto) -> bool:
    """Name the first axis of every input that fixes it at 1, if no input has a free one.

    Changes the model; True if it did. Raises InvalidNetwork if no input has a batch axis.
    """
    ports = list(model.graph.input)
    for port in ports:
        if not port.type.tensor_type.HasField("shape"):
            raise InvalidNetwork(f"input {port.name[:80]!r} says no shape: {_WAY_OUT}")
    first = [axis for port in ports if (axis := _first(port)) is not None]
    if any(not axis.HasField("dim_value") or axis.dim_value < 1 for axis in first):
        return False
    fixed = [axis for axis in first if axis.dim_value == 1]
    if not fixed:
        shapes = [[dim.dim_value for dim in port.type.tensor_type.shape.dim] for port in ports]
        raise InvalidNetwork(f"no input has a batch axis (shapes {shapes[:4]}): {_WAY_OUT}")
    for axis in fixed:
        axis.dim_param = _BATCH
    return True


def _first(port: ValueInfoProto) -> TensorShapeProto.Dimension | None:
    dims = port.type.tensor_type.shape.dim
    return dims[0] if dims else None


def settled_free(graph: Graph) -> Graph:
    """Settle a graph whose file fixes the batch at 1. Raises InvalidNetwork if it must be 1."""
    free = _with_repeated_tokens(_with_free_reshapes(graph))
    try:
        return probing.settled(_with_free_states(free))
    except InvalidNetwork as error:
        raise InvalidNetwork(f"{error}; the file fixes its batch at 1: {_WAY_OUT}") from error


def _with_free_states(graph: Graph) -> Graph:
    """Let states of recurrent layers that come in, ``(layers, 1, hidden)``, have the batch."""
    states = _states(graph)
    inputs = tuple(_state(port) if port.name in states else port for port in graph.inputs)
    return replace(graph, inputs=inputs)


def _state(port: GraphPort) -> GraphPort:
    if len(port.shape) != 3 or port.shape[1] != 1:
        return port
    layers, _, hidden = port.shape
    return replace(port, shape=(1 if layers == _BATCH else layers, _BATCH, hidden))


def _states(graph: Graph) -> set[str]:
    """What recurrent layers begin with, followed back to where it comes in."""
    found: set[str] = set()
    for node in reversed(graph.nodes):
        if node.op in {"GRU", "LSTM", "RNN"}:
            found.update(node.inputs[5:7])
        elif node.op in _MOVING and not found.isdisjoint(node.outputs):
            found.update(node.inputs[:1])
    return found


def _with_free_reshapes(graph: Graph) -> Graph:
    """Let reshapes of activations to ``[1, ...]`` keep whatever the batch is."""
    tensors: dict[str, Array] = dict(graph.tensors)
    taken = names_of(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        target = tensors.get(node.inputs[1]) if node.op == "Reshape" else None
        if target is None or node.inputs[0] in tensors or not target.size or target.flat[0] != 1:
            nodes.append(node)
            continue
        name = free_name(f"{node.inputs[1]}_free", taken)
        taken.add(name)
        tensors[name] = _free(target)
        nodes.append(replace(node, inputs=(node.inputs[0], name)))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _with_repeated_tokens(graph: Graph) -> Graph:
    """Repeat constants of batch 1 that are laid next to activations, as class tokens are."""
    tensors: dict[str, Array] = dict(graph.tensors)
    taken = names_of(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        data = [name for name in node.inputs if name not in tensors]
        if node.op != "Concat" or node.integer("axis", 0) == 0 or not data:
            nodes.append(node)
            continue
        inputs = list(node.inputs)
        for place, name in enumerate(inputs):
            constant = tensors.get(name)
            if constant is not None and constant.ndim > 1 and constant.shape[0] == 1:
                inputs[place] = free_name(f"{name}_each", taken)
                taken.add(inputs[place])
                nodes += _repeated(name, data[0], inputs[place], constant.ndim, tensors, taken)
        nodes.append(replace(node, inputs=tuple(inputs)))
    return replace(graph, nodes=tuple(nodes), tensors=tensors)


def _repeated(
    name: str, like: str, to: str, rank: int, tensors: dict[str, Array], taken: set[str]
) -> list[Node]:
    """Nodes that expand a constant to the batch of another tensor."""
    shape, count, target, zero, ones = (
        free_name(f"{to}_{word}", taken) for word in ("shape", "count", "target", "zero", "ones")
    )
    taken.update((shape, count, target, zero, ones))
    tensors[zero] = np.zeros(1, np.int64)
    tensors[ones] = np.ones(rank - 1, np.int64)
    return [
        Node(op="Shape", name=shape, inputs=(like,), outputs=(shape,)),
        Node(op="Gather", name=count, inputs=(shape, zero), outputs=(count,)),
        Node(
            op="Concat",
            name=target,
            inputs=(count, ones),
            outputs=(target,),
            attributes={"axis": 0},
        ),
        Node(op="Expand", name=to, inputs=(name, target), outputs=(to,)),
    ]


def _free(target: Array) -> Array:
    """The first entry follows from the others, or is the input's."""
    first = 0 if -1 in target else -1
    return np.asarray([first, *target.tolist()[1:]], np.int64)
