"""A file run in ONNX Runtime as its users would run it, on random values. Torch-free.

Only a process with bounds on memory and time should do this: whoever made the file decides what
runs. Sessions have one thread, and open no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from compress.network.graph.values import Array
from compress.network.sources import onnx_trial
from compress.values.errors import InvalidNetwork, TargetParityError

_IMAGES, _SIZE = 4, 32
_LARGEST_PIXEL = 255


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

    Axes of any size are 4 long if they are the first, the images, and 32 otherwise.
    """
    random = np.random.default_rng(seed)
    ports = model.graph.input
    yield {port.name: _typed(random.standard_normal(_shape(port)), port) for port in ports}
    for most in (1, _LARGEST_PIXEL):
        yield {port.name: _typed(random.random(_shape(port)) * most, port) for port in ports}


def _shape(port: ValueInfoProto) -> tuple[int, ...]:
    axes = port.type.tensor_type.shape.dim
    return tuple(axis.dim_value or (_SIZE if place else _IMAGES) for place, axis in enumerate(axes))


def _typed(values: Array, port: ValueInfoProto) -> Array:
    kind = port.type.tensor_type.elem_type
    if kind not in {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}:
        values = np.abs(values)
    return values.astype(helper.tensor_dtype_to_np_dtype(kind))
