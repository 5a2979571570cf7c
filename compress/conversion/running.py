"""A file run in ONNX Runtime as its users would run it, on random values. Torch-free.

Only a process with bounds on memory and time should do this: whoever made the file decides what
runs. Sessions have one thread, and open no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, shape_inference

from compress.network.graph.values import Array
from compress.network.sources import onnx_trial
from compress.values.errors import InvalidNetwork, TargetParityError

_IMAGES, _SIZE = 4, 32
_LARGEST_PIXEL = 255
_SAME_VALUES = frozenset(
    {"Cast", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"}
)
"""What may stand between an input and the table that it picks from."""


def run(
    model: ModelProto,
    names: Sequence[str] | None,
    given: Mapping[str, Array],
    *,
    optimise: bool = True,
) -> list[Array]:
    """Return the named outputs, or all. Raises TargetParityError if ONNX Runtime refuses."""
    (found,) = run_all(model, names, [given], optimise=optimise)
    return found


def run_all(
    model: ModelProto,
    names: Sequence[str] | None,
    every: Iterable[Mapping[str, Array]],
    *,
    optimise: bool = True,
) -> list[list[Array]]:
    """Return the same for each of several inputs; the file is loaded once."""
    try:
        return onnx_trial.answers_to(model.SerializeToString(), every, names, optimise=optimise)
    except InvalidNetwork as error:
        raise TargetParityError(f"{error} (version {onnxruntime.__version__})") from error


def random_inputs(model: ModelProto, *, seed: int) -> Iterator[dict[str, Array]]:
    """Yield inputs around 0, of 0 to 1 and of 0 to 255: nobody says what values a file takes.

    Axes of any size are 4 long if they are the first, the examples, and 32 otherwise. Whole
    numbers that pick rows of a table stay below the number of its rows.
    """
    random = np.random.default_rng(seed)
    ports, rows = model.graph.input, _rows(model)
    yield {
        port.name: _typed(random.standard_normal(_shape(port)), port, rows.get(port.name))
        for port in ports
    }
    for most in (1, _LARGEST_PIXEL):
        yield {
            port.name: _typed(random.random(_shape(port)) * most, port, rows.get(port.name))
            for port in ports
        }


def _rows(model: ModelProto) -> dict[str, int]:
    """Return the rows of the shortest table from which each input picks, of those that do."""
    inferred = shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}
    for value in inferred.value_info:
        dims = value.type.tensor_type.shape.dim
        shapes[value.name] = tuple(dim.dim_value for dim in dims)
    from_input = {port.name: port.name for port in model.graph.input}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[1] in from_input and shapes.get(node.input[0]):
            axis = next((each.i for each in node.attribute if each.name == "axis"), 0)
            name, rows = from_input[node.input[1]], shapes[node.input[0]][axis]
            found[name] = min(rows or 1, found.get(name, rows or 1))
        elif node.op_type in _SAME_VALUES and node.input[0] in from_input:
            from_input.update(dict.fromkeys(node.output, from_input[node.input[0]]))
    return found


def _shape(port: ValueInfoProto) -> tuple[int, ...]:
    axes = port.type.tensor_type.shape.dim
    return tuple(axis.dim_value or (_SIZE if place else _IMAGES) for place, axis in enumerate(axes))


def _typed(values: Array, port: ValueInfoProto, rows: int | None) -> Array:
    kind = port.type.tensor_type.elem_type
    if rows is not None:
        # Below one, whole numbers would all be the first row.
        values = np.abs(values * _LARGEST_PIXEL).astype(np.int64) % rows
    elif kind not in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}:
        values = np.abs(values)
    return values.astype(helper.tensor_dtype_to_np_dtype(kind))
