"""How a file takes examples and answers: the ports of the file that a network came from.

Within this program a graph takes ``input``, float32 ``(N, ...)``, and answers ``logits``. What
goes to the user takes what the uploaded file took and answers what it answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper

from compress.export.ports import several_ports
from compress.export.ports.several_ports import TYPES, info
from compress.network.signature import INPUT, OUTPUT, Port, Signature

CLASS_NAMES = "featherweight.class_names"
"""The entry of a file's metadata with a JSON list of its classes' names, in their order."""
_OWN = "featherweight."
"""What entries of ours begin with. Of another file they say what is not true of this one."""
_MOST_BYTES = 2**16
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
_FLOATS, _FIRST, _LOGITS = "ports.floats", "ports.channels_first", "ports.logits"


def put(model: ModelProto, signature: Signature) -> None:
    """Give a graph, in place, these ports; only the batch is of any size yet (``declare``)."""
    if signature.has_one_input and signature.has_plain_answer:
        _put_one(model, signature.inputs[0], signature.outputs[0], {})
        return
    # Ports may be called what the one input and the one output are called here.
    own = {INPUT: several_ports.EXAMPLE, OUTPUT: several_ports.ANSWER}
    for node in model.graph.node:
        several_ports.rename(node, own)
    taken, answered = (
        Port(name=name, shape=(1,)) for name in (several_ports.EXAMPLE, several_ports.ANSWER)
    )
    if signature.has_one_input:
        taken = signature.inputs[0]
    if signature.has_plain_answer:
        answered = signature.outputs[0]
    _put_one(model, taken, answered, own)
    if not signature.has_one_input:
        several_ports.take(model, signature)
    if not signature.has_plain_answer:
        several_ports.answer(model, signature)


def _put_one(model: ModelProto, taken: Port, answered: Port, own: Mapping[str, str]) -> None:
    """Put one input and one output, which have names of their own in the graph, if ``own``."""
    before, inner = _in_front(taken)
    behind, logits = _behind(answered)
    names = {own.get(INPUT, INPUT): inner, own.get(OUTPUT, OUTPUT): logits}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    nodes = _without_floats(_without_detour([*before, *model.graph.node, *behind], taken), taken)
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    model.graph.node.extend(nodes)
    model.graph.input.append(info(taken, (taken.words[0], *taken.shape[1:])))
    model.graph.output.append(info(answered, (answered.words[0], *answered.shape[1:])))


def declare(model: ModelProto, signature: Signature) -> None:
    """Say, in place, every axis and all metadata as the uploaded file said them.

    Of entries of ours, which a file has that once came from here, names of classes alone are kept.
    """
    ports = (*signature.inputs, *signature.outputs)
    values = (*model.graph.input, *model.graph.output)
    for value, port in zip(values, ports, strict=True):
        value.CopyFrom(info(port, port.words))
    kept = {
        key: text
        for key, text in signature.metadata.items()
        if key == CLASS_NAMES or not key.startswith(_OWN)
    }
    if kept:
        helper.set_model_props(model, kept)


def kept_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a file and its manifest have: none if they are too long."""
    return tuple(class_names) if len(_as_text(class_names)) <= _MOST_BYTES else ()


def _as_text(class_names: Sequence[str]) -> bytes:
    return json.dumps(class_names, ensure_ascii=False, separators=(",", ":")).encode()


def name_classes(model: ModelProto, class_names: Sequence[str]) -> tuple[str, ...]:
    """Say, in place, what the answers are called; without names the file stays as it is.

    Returns a note if the names are too long for a file.
    """
    if not class_names:
        return ()
    text = _as_text(class_names)
    if not kept_names(class_names):
        return (
            f"the file does not name its classes: their names take {len(text):,} bytes, at most "
            f"{_MOST_BYTES:,} are kept",
        )
    said = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, said | {CLASS_NAMES: text.decode()})
    return ()


def _in_front(taken: Port) -> tuple[list[NodeProto], str]:
    """What turns the file's images into those of the graph, and the name of these."""
    nodes, name = [], taken.name
    if taken.dtype != "float32":
        nodes.append(helper.make_node("Cast", [name], [_FLOATS], to=TensorProto.FLOAT))
        name = _FLOATS
    if taken.layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [name], [_FIRST], perm=_TO_NCHW))
        name = _FIRST
    return nodes, name


def _behind(answered: Port) -> tuple[list[NodeProto], str]:
    """What turns the graph's logits into the file's answer, and the name of the logits."""
    if not answered.softmax and answered.dtype == "float32":
        return [], answered.name
    nodes, name = [], _LOGITS
    if answered.softmax:
        made = answered.name if answered.dtype == "float32" else f"{_LOGITS}.softmax"
        nodes.append(helper.make_node("Softmax", [name], [made], axis=-1))
        name = made
    if answered.dtype != "float32":
        nodes.append(helper.make_node("Cast", [name], [answered.name], to=TYPES[answered.dtype]))
    return nodes, _LOGITS


def _without_detour(nodes: list[NodeProto], taken: Port) -> list[NodeProto]:
    """Without what is transposed to channels first and back again."""
    source = next((node.input[0] for node in nodes if node.output[0] == _FIRST), None)
    if source is None:
        return nodes
    back = [node.output[0] for node in nodes if _goes_back(node)]
    kept = [node for node in nodes if not _goes_back(node)]
    for node in kept:
        node.input[:] = [source if name in back else name for name in node.input]
    read = {name for node in kept for name in node.input}
    return [node for node in kept if node.output[0] != _FIRST or _FIRST in read]


def _without_floats(nodes: list[NodeProto], taken: Port) -> list[NodeProto]:
    """Without what is cast to float and back to the type in which the file takes it."""
    back = [
        node
        for node in nodes
        if node.op_type == "Cast"
        and node.input[0] == _FLOATS
        and helper.get_node_attr_value(node, "to") == TYPES[taken.dtype]
    ]
    kept = [node for node in nodes if node not in back]
    undone = {node.output[0] for node in back}
    for node in kept:
        node.input[:] = [taken.name if name in undone else name for name in node.input]
    read = {name for node in kept for name in node.input}
    return [node for node in kept if node.output[0] != _FLOATS or _FLOATS in read]


def _goes_back(node: NodeProto) -> bool:
    if node.op_type != "Transpose" or node.input[0] != _FIRST:
        return False
    return tuple(onnx.helper.get_node_attr_value(node, "perm")) == _TO_NHWC
