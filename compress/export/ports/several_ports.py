"""Several inputs and outputs put back into a graph that has one of each.

``compress.network.sources.ports.packing`` has made one input of several, and one output. What cuts
the parts out of ``input`` gives way to the ports themselves; where something else reads it, the
parts are packed in front.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from compress.network.signature import Port, PortType, Signature, is_stacked

TYPES: dict[PortType, int] = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
"""Numbers of the types of ports in ONNX."""
EXAMPLE, ANSWER = "ports.input", "ports.answer"
"""What the one input and the one output are called until they are gone: ports may have any name."""
_THROUGH = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear"})
"""What may stand behind a flat output, and works on one of any shape."""


def info(port: Port, shape: tuple[int | str, ...]) -> ValueInfoProto:
    """What a file says of a port of that shape."""
    return helper.make_tensor_value_info(port.name, TYPES[port.dtype], list(shape))


def take(model: ModelProto, signature: Signature) -> None:
    """Let a graph on ``EXAMPLE``, in place, take the inputs of the signature."""
    nodes = list(model.graph.node)
    front: list[NodeProto] = []
    floats = [_as_float(port, front) for port in signature.taken]
    if len(floats) == 1:
        names = {EXAMPLE: floats[0]} | _made(nodes, signature)
    else:
        names = _parts(nodes, _constants(model), signature, floats)
        if any(EXAMPLE in node.input for node in nodes):
            front += _packed(model, signature, floats)
    for node in nodes:
        _read_others(node, names)
    nodes = [*front, *nodes]
    _undo_casts(nodes, signature)
    _replace(model, _used(nodes, {each.name for each in model.graph.output}))
    del model.graph.input[:]
    for port in signature.inputs:
        model.graph.input.append(info(port, (port.words[0], *port.shape[1:])))


def answer(model: ModelProto, signature: Signature) -> None:
    """Let a graph that answers ``ANSWER``, in place, give the outputs of the signature."""
    nodes = list(model.graph.node)
    last = _maker(nodes, ANSWER)
    flat = [ANSWER] if len(signature.outputs) == 1 else list(last.input)
    if len(signature.outputs) > 1:
        nodes.remove(last)
    wholes = [_unflattened(nodes, name, f"{ANSWER}.{n}") for n, name in enumerate(flat)]
    inputs = {each.name for each in model.graph.input}
    for whole, port in zip(wholes, signature.outputs, strict=True):
        made = _given(nodes, whole, port, may_rename=wholes.count(whole) == 1, kept=inputs)
        nodes += [] if made in nodes else [made]
    _replace(model, _used(nodes, {port.name for port in signature.outputs}))
    del model.graph.output[:]
    for port in signature.outputs:
        model.graph.output.append(info(port, (port.words[0], *port.shape[1:])))


def _as_float(port: Port, nodes: list[NodeProto]) -> str:
    if port.dtype == "float32":
        return port.name
    made = f"ports.floats.{port.name}"
    nodes.append(helper.make_node("Cast", [port.name], [made], to=TensorProto.FLOAT))
    return made


def _made(nodes: Sequence[NodeProto], signature: Signature) -> dict[str, str]:
    """What is computed of the ids in place of the ports that are made of them, by its name."""
    found: dict[str, str] = {}
    for port in signature.inputs:
        for node in nodes if port.made else ():
            if not _starts(node, port):
                continue
            if port.dtype == ("bool" if port.made == "mask" else "float32"):
                found[node.output[0]] = port.name
            for other in nodes:
                if node.output[0] in other.input and _casts_to(other, port.dtype):
                    found[other.output[0]] = port.name
    return found


def _starts(node: NodeProto, port: Port) -> bool:
    if port.made == "mask":
        return list(node.input) == [EXAMPLE] and _casts_to(node, "bool")
    return node.op_type == "Sub" and list(node.input) == [EXAMPLE, EXAMPLE]


def _casts_to(node: NodeProto, dtype: PortType) -> bool:
    return node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TYPES[dtype]


def _parts(
    nodes: list[NodeProto],
    constants: dict[str, TensorProto],
    signature: Signature,
    floats: Sequence[str],
) -> dict[str, str]:
    """The tensors that are cut out of ``input``, and whose parts they are.

    What cuts them is taken out of the nodes.
    """
    begins = dict(zip(_begins(signature), range(len(floats)), strict=True))
    names: dict[str, str] = {}
    for node in list(nodes):
        if node.op_type != "Slice" or node.input[0] != EXAMPLE:
            continue
        part = begins[int(numpy_helper.to_array(constants[node.input[1]])[0])]
        nodes.remove(node)
        if len(signature.parts[part]) == 1 and not is_stacked(signature.parts):
            names[node.output[0]] = floats[part]
            continue
        for other in list(nodes):
            if other.input[0] == node.output[0]:
                nodes.remove(other)
                names[other.output[0]] = floats[part]
    return names


def _begins(signature: Signature) -> list[int]:
    if is_stacked(signature.parts):
        return list(range(len(signature.parts)))
    sizes = [int(np.prod(shape, dtype=np.int64)) for shape in signature.parts]
    return [sum(sizes[:place]) for place in range(len(sizes))]


def _packed(model: ModelProto, signature: Signature, floats: Sequence[str]) -> Iterator[NodeProto]:
    """Make ``input`` of the parts."""
    axes = "ports.axes"
    if is_stacked(signature.parts):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray([1], np.int64), axes))
    laid: list[str] = []
    for number, name in enumerate(floats):
        laid.append(f"ports.part.{number}")
        if is_stacked(signature.parts):
            yield helper.make_node("Unsqueeze", [name, axes], [laid[-1]])
        else:
            yield helper.make_node("Flatten", [name], [laid[-1]], axis=1)
    yield helper.make_node("Concat", laid, [EXAMPLE], axis=1)


def _undo_casts(nodes: list[NodeProto], signature: Signature) -> None:
    """Let whoever casts a port back to its own type read the port."""
    floats = {f"ports.floats.{port.name}": port for port in signature.taken}
    names: dict[str, str] = {}
    for node in list(nodes):
        port = floats.get(node.input[0]) if node.input else None
        if port is not None and _casts_to(node, port.dtype):
            names[node.output[0]] = port.name
            nodes.remove(node)
    for node in nodes:
        _read_others(node, names)


def _unflattened(nodes: list[NodeProto], name: str, prefix: str) -> str:
    """The tensor of that name before it was laid flat.

    What works on it element by element, such as a grid, does so on the whole.
    """
    chain: list[NodeProto] = []
    node = _maker(nodes, name)
    while node.op_type in _THROUGH:
        chain.append(node)
        node = _maker(nodes, node.input[0])
    assert node.op_type == "Flatten"
    source = node.input[0]
    for number, each in enumerate(reversed(chain)):
        again = NodeProto()
        again.CopyFrom(each)
        again.input[0], again.output[0] = source, f"{prefix}.{number}"
        nodes.append(again)
        source = again.output[0]
    return source


def _given(
    nodes: Sequence[NodeProto], source: str, port: Port, *, may_rename: bool, kept: set[str]
) -> NodeProto:
    """Give the tensor the name and the type of the port; return what makes it."""
    maker = next((node for node in nodes if source in node.output), None)
    if port.dtype != "float32":
        if maker is not None and _casts_to(maker, "float32"):
            source = maker.input[0]  # it was cast to lie beside others
        return helper.make_node("Cast", [source], [port.name], to=TYPES[port.dtype])
    if maker is None or not may_rename or source in kept:
        return helper.make_node("Identity", [source], [port.name])
    for node in nodes:
        rename(node, {source: port.name})
    return maker


def _maker(nodes: Sequence[NodeProto], name: str) -> NodeProto:
    return next(node for node in nodes if name in node.output)


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def rename(node: NodeProto, names: dict[str, str]) -> None:
    """Let the node read and make tensors, in place, under these names."""
    _read_others(node, names)
    node.output[:] = [names.get(name, name) for name in node.output]


def _read_others(node: NodeProto, names: dict[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]


def _used(nodes: Sequence[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """The nodes on which an output depends."""
    wanted, kept = set(outputs), list[NodeProto]()
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return list(reversed(kept))


def _replace(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    copies = [_copy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    used = {name for node in copies for name in node.input}
    kept = [_copy_tensor(each) for each in model.graph.initializer if each.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def _copy(node: NodeProto) -> NodeProto:
    found = NodeProto()
    found.CopyFrom(node)
    return found


def _copy_tensor(tensor: TensorProto) -> TensorProto:
    found = TensorProto()
    found.CopyFrom(tensor)
    return found
