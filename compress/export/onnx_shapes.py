"""Evaluate what a graph computes of shapes while it is written: only the batch is unknown.

An exporter writes nine nodes to say "half of the channels", as if their number could change. Here
they are evaluated with NaN for the size of the batch: whatever comes out as a number is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference

Values = NDArray[np.float64]
_ARITHMETIC: Mapping[str, Callable[[Values, Values], Values]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    # Of sizes, which are never negative: rounding down and towards zero are one.
    "Div": np.floor_divide,
}


def resolve(model: ModelProto) -> None:
    """Turn what follows from sizes alone into constants, in place, and drop what nobody reads.

    Constants of the graph must be initializers.
    """
    light, weights = _without_weights(model)
    # What has become constant lets the sizes behind it be inferred.
    while _resolve_once(light):
        pass
    read = {name for node in light.graph.node for name in node.input}
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(light.graph.node)
    model.graph.initializer.extend(tensor for tensor in weights if tensor.name in read)
    model.graph.initializer.extend(light.graph.initializer)


def element_types(model: ModelProto) -> dict[str, int]:
    """Return the element type of every tensor, as ``TensorProto.DataType``.

    Tensors whose type can neither be inferred nor is declared are missing.
    """
    light, _ = _without_weights(model)
    light.graph.value_info.extend(model.graph.value_info)
    graph = shape_inference.infer_shapes(light).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if kind := value.type.tensor_type.elem_type:
            found[value.name] = kind
    return found


def _without_weights(model: ModelProto) -> tuple[ModelProto, list[TensorProto]]:
    """Return the graph with integer constants only, and the others, which inference would copy."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    weights: list[TensorProto] = []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            light.graph.initializer.append(tensor)
            continue
        weights.append(tensor)
        light.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    return light, weights


def _resolve_once(light: ModelProto) -> bool:
    """Return whether something has become constant that was not."""
    known, sizes = _known(light)
    for node in light.graph.node:
        if node.op_type == "Resize" and len(node.input) == 4:
            light.graph.initializer.extend(_resize_of_any_batch(node, known, sizes))
    given = {tensor.name for tensor in light.graph.initializer}
    found = {name: values for name, values in known.items() if np.isfinite(values).all()}
    new = [
        numpy_helper.from_array(values.astype(np.int64), name)
        for name, values in found.items()
        if name not in given
    ]
    light.graph.initializer.extend(new)
    _drop_unread(light, found)
    return bool(new)


def _known(model: ModelProto) -> tuple[dict[str, Values], dict[str, Values]]:
    """Return every integer tensor that follows from sizes, and the sizes; the batch's is NaN."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = {
        value.name: np.asarray([d.dim_value or np.nan for d in value.type.tensor_type.shape.dim])
        for value in [*graph.input, *graph.value_info]
    }
    known = {
        tensor.name: numpy_helper.to_array(tensor).astype(np.float64)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT64
    }
    for node in model.graph.node:
        values = _computed(node, known, sizes)
        if values is not None:
            known[node.output[0]] = values
    return known, sizes


def _computed(
    node: NodeProto, known: Mapping[str, Values], sizes: Mapping[str, Values]
) -> Values | None:
    """Compute a node from known values; None if its operator or its inputs are not known."""
    if node.op_type == "Shape":
        return sizes.get(node.input[0]) if not node.attribute else None
    if not node.input or not all(name in known for name in node.input):
        return None
    values = [known[name] for name in node.input]
    if node.op_type in _ARITHMETIC:
        return np.asarray(_ARITHMETIC[node.op_type](*values))
    return _moved(node, values)


def _moved(node: NodeProto, values: list[Values]) -> Values | None:
    """Compute a node that only moves values; all are scalars or vectors."""
    first, *others = values
    match node.op_type:
        case "Cast" if helper.get_node_attr_value(node, "to") == TensorProto.INT64:
            return first
        case "Concat":
            return np.concatenate(values)
        case "Gather" if np.isfinite(others[0]).all():
            return np.asarray(first[others[0].astype(int)])
        case "Unsqueeze" if first.ndim == 0:
            return first.reshape(1)
        case "Slice" if all(len(each) == 1 and np.isfinite(each).all() for each in others):
            start, end = (int(each[0]) for each in others[:2])
            step = int(others[3][0]) if len(others) > 3 else 1
            return first[start:end:step]
        case _:
            return None


def _resize_of_any_batch(
    node: NodeProto, known: dict[str, Values], sizes: Mapping[str, Values]
) -> list[TensorProto]:
    """Say the new height and width alone where the other sizes are not known; the new constants.

    As scales where the old ones are known: ONNX Runtime cannot place a Resize with ``axes`` among
    integer convolutions, whose channels come last. It computes with the same scales either way.
    """
    target = known.get(node.input[3])
    if target is None or np.isfinite(target).all():
        return []
    # The channels are known too, and stay.
    before = sizes.get(node.input[0], target[:0])[2:]
    if len(before) == len(target) - 2 and np.isfinite(before).all():
        factors = [1, 1, *map(_factor, before, target[2:])]
        node.input[2:] = [f"{node.output[0]}.scales"]
        return [numpy_helper.from_array(np.array(factors, np.float32), node.input[2])]
    axes = np.arange(2, len(target))
    node.attribute.append(helper.make_attribute("axes", axes.tolist()))
    node.input[3] = f"{node.output[0]}.sizes"
    known[node.input[3]] = target[axes]
    return []


def _factor(before: float, after: float) -> np.float32:
    """Return the quotient as float32, or the next float that turns ``before`` into ``after``."""
    factor = np.float32(after) / np.float32(before)
    if np.floor(factor * np.float32(before)) < after:
        factor = np.nextafter(factor, np.float32(np.inf))
    return factor


def _drop_unread(model: ModelProto, constants: Collection[str]) -> None:
    needed = {value.name for value in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(model.graph.node):
        if any(name in needed and name not in constants for name in node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(reversed(kept))
    model.graph.initializer.extend(tensors)
