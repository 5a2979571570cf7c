"""The shape of every tensor of a graph once its dynamic axes have sizes. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnx import ValueInfoProto, shape_inference

from compress.network.graph.values import Graph, GraphPort, Shapes
from compress.network.graph.write import write
from compress.values.errors import InvalidNetwork


def bind(graph: Graph, sizes: Mapping[str, int]) -> Shapes:
    """Give every dynamic axis of the inputs its size, and infer what follows.

    A tensor whose shape nothing tells without running the graph is absent. Raises
    InvalidNetwork if the operators do not fit these sizes.
    """
    bound = replace(
        graph,
        inputs=tuple(replace(port, shape=_sizes(port, sizes)) for port in graph.inputs),
        outputs=tuple(replace(port, shape=_unknown(port)) for port in graph.outputs),
    )
    try:
        found = shape_inference.infer_shapes(
            write(bound), check_type=True, strict_mode=True, data_prop=True
        )
    except shape_inference.InferenceError as error:
        raise InvalidNetwork(
            f"the operators do not fit inputs of these sizes ({dict(sizes)}): {_words(error)}"
        ) from error
    known = (_known(value) for value in (*found.graph.value_info, *found.graph.output))
    shapes = {port.name: tuple(map(int, port.shape)) for port in bound.inputs}
    shapes |= {name: tensor.shape for name, tensor in graph.tensors.items()}
    return shapes | dict(entry for entry in known if entry is not None)


def _sizes(port: GraphPort, sizes: Mapping[str, int]) -> tuple[int, ...]:
    missing = [axis for axis in port.shape if isinstance(axis, str) and axis not in sizes]
    if missing:
        raise InvalidNetwork(f"input {port.name[:80]!r} needs a size for axis {missing[0][:80]!r}")
    return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in port.shape)


def _unknown(port: GraphPort) -> tuple[str, ...]:
    """Output axes that inference may fill: what a file claims for them is not believed."""
    return tuple(f"{port.name}.{axis}" for axis in range(len(port.shape)))


def _known(value: ValueInfoProto) -> tuple[str, tuple[int, ...]] | None:
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in dims):
        return None
    return value.name, tuple(dim.dim_value for dim in dims)


def _words(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[-300:]
