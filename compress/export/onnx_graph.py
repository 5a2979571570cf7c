"""Make ONNX graphs small: fold and share constants, drop defaults and documentation.

A small network's file is dominated by names and attributes, so both are bytes worth saving. No
function here changes what a graph computes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.helper import get_attribute_value
from onnx.reference import ReferenceEvaluator

from compress.export.weight_encoding.building import shortest_form
from compress.export.weight_encoding.forms import WEIGHTED, made_by

_WINDOW = {"dilations": 1, "strides": 1, "pads": 0, "group": 1}
_POOL = _WINDOW | {"ceil_mode": 0, "storage_order": 0, "count_include_pad": 0}
# What the specification says a missing attribute means, for every entry of its value.
_DEFAULTS = {
    "Conv": _WINDOW,
    "MaxPool": _POOL,
    "AveragePool": _POOL,
    "Gemm": {"alpha": 1, "beta": 1, "transA": 0, "transB": 0},
    "BatchNormalization": {"training_mode": 0},
    "Cast": {"saturate": 1},
    "Flatten": {"axis": 1},
    "GRU": {"layout": 0},
    "LSTM": {"layout": 0},
    "Reshape": {"allowzero": 0},
    "ReduceMean": {"keepdims": 1, "noop_with_empty_axes": 0},
    "Resize": {"coordinate_transformation_mode": b"half_pixel", "cubic_coeff_a": -0.75},
}
# C90 identifiers, as the ONNX specification asks of names.
_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
_LATER = _FIRST + "0123456789"


def fold(model: ModelProto) -> None:
    """Evaluate, in place, every node whose inputs are all constants, and drop what nobody reads.

    What two nodes compute alike is computed once, such as an activation in front of every edge of
    a cell. Meant for the float graph, before ``compress.export.weight_encoding`` puts nodes before
    its weights.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    same_as: dict[str, str] = {}
    first: dict[bytes, NodeProto] = {}
    kept: list[NodeProto] = []
    for node in model.graph.node:
        _replace(node.input, [same_as.get(name, name) for name in node.input])
        alike = first.setdefault(_what_it_computes(node), node)
        if all(name in constants for name in node.input if name):
            constants.update(_evaluate(node, constants, model))
        elif node.op_type == "Identity" and node.output[0] not in outputs:
            same_as[node.output[0]] = node.input[0]
        elif alike is not node and outputs.isdisjoint(node.output):
            same_as.update(zip(node.output, alike.output, strict=True))
        else:
            kept.append(node)
    _replace(model.graph.node, kept)
    used = {name for node in kept for name in node.input}
    _replace(model.graph.initializer, [t for name, t in constants.items() if name in used])


def compact(model: ModelProto) -> None:
    """Shorten the file, in place, without changing its meaning; nodes that decode weights stay."""
    _drop_documents(model)
    for node in model.graph.node:
        _replace(node.attribute, [a for a in node.attribute if not _says_nothing(node, a)])
    _replace(model.graph.initializer, [shortest_form(t) for t in model.graph.initializer])
    _share_constants(model)
    _shorten_names(model)


def number_tensors(model: ModelProto) -> None:
    """Name every inner tensor by its number, in place.

    What is written around a tensor is called after it (``x.weight``, ``x.q``), and in the file of
    a stranger another tensor may have that name already.
    """
    ports = {value.name for value in (*model.graph.input, *model.graph.output)}
    tensors = [tensor.name for tensor in model.graph.initializer]
    made = [name for node in model.graph.node for name in node.output if name]
    inner = [name for name in dict.fromkeys([*tensors, *made]) if name not in ports]
    model.graph.ClearField("value_info")
    _rename(model, {name: f"inner.{number}" for number, name in enumerate(inner)})


def _what_it_computes(node: NodeProto) -> bytes:
    """Return the node without its name and those of its outputs; layers stay distinct."""
    if node.op_type in WEIGHTED:
        return made_by(node).encode()
    bare = NodeProto(op_type=node.op_type, domain=node.domain, input=node.input)
    bare.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
    return bare.SerializeToString(deterministic=True)


def _evaluate(
    node: NodeProto, constants: dict[str, TensorProto], model: ModelProto
) -> dict[str, TensorProto]:
    if node.op_type == "Identity":
        renamed = TensorProto()
        renamed.CopyFrom(constants[node.input[0]])
        renamed.name = node.output[0]
        return {renamed.name: renamed}
    versions = {opset.domain: opset.version for opset in model.opset_import}
    feeds = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
    values = ReferenceEvaluator(node, opsets=versions).run(None, feeds)
    return {
        name: numpy_helper.from_array(np.asarray(value), name)
        for name, value in zip(node.output, values, strict=True)
    }


def _drop_documents(model: ModelProto) -> None:
    for field in ("producer_name", "producer_version", "doc_string", "domain", "model_version"):
        model.ClearField(field)
    model.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    model.graph.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    model.graph.name = "g"
    for node in model.graph.node:
        for field in ("name", "doc_string", "metadata_props"):
            node.ClearField(field)
        if not node.domain:  # set to nothing it would still be written down
            node.ClearField("domain")
    for value in [*model.graph.input, *model.graph.output]:
        value.ClearField("doc_string")


def _says_nothing(node: NodeProto, attribute: AttributeProto) -> bool:
    value = get_attribute_value(attribute)
    if (node.op_type, attribute.name) == ("Conv", "kernel_shape"):
        # The specification reads it from the weight, decoded or not, and allows nothing else.
        return True
    if attribute.name not in _DEFAULTS.get(node.op_type, {}):
        return False
    default = _DEFAULTS[node.op_type][attribute.name]
    return all(entry == default for entry in np.ravel(value))


def _share_constants(model: ModelProto) -> None:
    first: dict[bytes, TensorProto] = {}
    renamed: dict[str, str] = {}
    for tensor in model.graph.initializer:
        tensor.ClearField("doc_string")
        name = tensor.name
        tensor.name = ""
        key = tensor.SerializeToString(deterministic=True)
        tensor.name = name
        renamed[name] = first.setdefault(key, tensor).name
    _replace(model.graph.initializer, list(first.values()))
    _rename(model, renamed)


def _shorten_names(model: ModelProto) -> None:
    uses = Counter(
        name for node in model.graph.node for name in [*node.input, *node.output] if name
    )
    fixed = {value.name for value in (*model.graph.input, *model.graph.output)}
    short = (name for name in _names() if name not in fixed)
    _rename(model, {name: next(short) for name, _ in uses.most_common() if name not in fixed})


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    for node in model.graph.node:
        _replace(node.input, [names.get(name, name) for name in node.input])
        _replace(node.output, [names.get(name, name) for name in node.output])
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)


def _names() -> Iterator[str]:
    for number in count():
        name, rest = _FIRST[number % len(_FIRST)], number // len(_FIRST)
        while rest:
            rest, digit = divmod(rest - 1, len(_LATER))
            name += _LATER[digit]
        yield name


def _replace(field: object, values: object) -> None:
    """Assign a repeated field, which protobuf cannot; ``values`` may hold its own members."""
    copies = list(values)  # pyright: ignore[reportArgumentType]
    del field[:]  # pyright: ignore[reportIndexIssue]
    field.extend(copies)  # pyright: ignore[reportAttributeAccessIssue]
