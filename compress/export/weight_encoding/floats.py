"""Store scales and biases: many tensors in one, as float32, or as float16 if that is exact.

A technique that rounds its scales to float16 before it rounds its weights halves their bytes at no
cost; no value is ever rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from compress.export.weight_encoding.building import Building
from compress.network.stored_weight import is_half
from compress.values.errors import NumericalError


def constant(building: Building, values: NDArray[np.float32]) -> str:
    """Return one float32 tensor; stored as float16 behind a Cast if that is exact and smaller."""
    halved, plain = building.scratch(), building.scratch()
    names = {plain.prefix: plain.constant(values)}
    if is_half(values):
        half = halved.constant(values.astype(np.float16))
        names[halved.prefix] = halved.add("Cast", [half], to=TensorProto.FLOAT)
    best = min((b for b in (plain, halved) if b.prefix in names), key=lambda b: b.size_bytes)
    building.include(best)
    return names[best.prefix]


def pooled(building: Building, floats: Mapping[str, NDArray[np.float32]]) -> dict[str, str]:
    """Return the tensors of many vectors: one initializer and a Split if that is smaller.

    Raises ValueError for anything but float32 vectors and NumericalError for NaN or infinity.
    """
    for name, values in floats.items():
        if values.dtype != np.float32 or values.ndim != 1 or not values.size:
            raise ValueError(
                f"{name} must be a float32 vector, not {values.dtype} of shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise NumericalError(f"{name} holds NaN or infinity")
    halves = {name: values for name, values in floats.items() if is_half(values)}
    others = {name: values for name, values in floats.items() if name not in halves}
    return _pool(building, halves) | _pool(building, others)


def _pool(building: Building, floats: Mapping[str, NDArray[np.float32]]) -> dict[str, str]:
    if not floats:
        return {}
    # Equal vectors are one tensor, here and among initializers once the file is compact.
    distinct = {values.tobytes(): values for values in floats.values()}
    split, own = building.scratch(), building.scratch()
    blob = constant(split, np.concatenate(list(distinct.values())))
    sizes = [values.size for values in distinct.values()]
    parts = split.split(blob, sizes, total=sum(sizes))
    singles = [constant(own, values) for values in distinct.values()]
    best, tensors = min(((split, parts), (own, singles)), key=lambda form: form[0].size_bytes)
    building.include(best)
    tensor = dict(zip(distinct, tensors, strict=True))
    return {name: tensor[values.tobytes()] for name, values in floats.items()}
