"""The element type of every tensor of a graph."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper, shape_inference


def of(model: ModelProto) -> dict[str, int]:
    """Return the element type of every tensor, as ``TensorProto.DataType``.

    Tensors whose type can neither be inferred nor is declared are missing.
    """
    light = _without_weights(model)
    light.graph.value_info.extend(model.graph.value_info)
    graph = shape_inference.infer_shapes(light).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if kind := value.type.tensor_type.elem_type:
            found[value.name] = kind
    return found


def _without_weights(model: ModelProto) -> ModelProto:
    """Return the graph with integer constants only: inference would copy the others."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.INT64:
            light.graph.initializer.append(tensor)
            continue
        light.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    return light
