"""Store scales and biases: many tensors in one, in half the bytes if that is exact.

A technique that rounds its scales to float16 before it rounds its weights halves their bytes at no
cost, and most biases of integer kernels are int32 that 16 bits hold; no value is ever rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from compress.export.weight_encoding.building import Building
from compress.network.stored_weight import is_half
from compress.values.errors import NumericalError

Vector = NDArray[np.float32] | NDArray[np.int32] | NDArray[np.float32 | np.int32]
_INT16 = np.iinfo(np.int16)


def constant(building: Building, values: Vector) -> str:
    """Return one float32 or int32 tensor; in 16 bits behind a Cast if that is exact and smaller."""
    halved, plain = building.scratch(), building.scratch()
    names = {plain.prefix: plain.constant(values)}
    narrow, wide = _types(values)
    if _is_narrow(values):
        half = halved.constant(values.astype(narrow))
        names[halved.prefix] = halved.add("Cast", [half], to=wide)
    best = min((b for b in (plain, halved) if b.prefix in names), key=lambda b: b.size_bytes)
    building.include(best)
    return names[best.prefix]


def pooled(building: Building, vectors: Mapping[str, Vector]) -> dict[str, str]:
    """Return the tensors of many vectors: one initializer and a Split if that is smaller.

    Raises ValueError for anything but vectors of float32 or int32 and NumericalError for NaN or
    infinity.
    """
    kinds: dict[tuple[object, bool], dict[str, Vector]] = {}
    for name, values in vectors.items():
        _check(name, values)
        kinds.setdefault((values.dtype, not _is_narrow(values)), {})[name] = values
    names: dict[str, str] = {}
    for kind in sorted(kinds, key=str):
        names |= _pool(building, kinds[kind])
    return names


def _types(values: Vector) -> tuple[type[np.generic], int]:
    """Return numpy's narrow type and ONNX's wide one."""
    if values.dtype == np.int32:
        return np.int16, TensorProto.INT32
    return np.float16, TensorProto.FLOAT


def _is_narrow(values: Vector) -> bool:
    """Whether 16 bits hold all values exactly."""
    if values.dtype == np.int32:
        return bool(values.min() >= _INT16.min and values.max() <= _INT16.max)
    return is_half(values.astype(np.float32, copy=False))


def _check(name: str, values: Vector) -> None:
    if values.dtype not in (np.float32, np.int32) or values.ndim != 1 or not values.size:
        raise ValueError(
            f"{name} must be a vector of float32 or int32, not {values.dtype} of shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise NumericalError(f"{name} holds NaN or infinity")


def _pool(building: Building, vectors: Mapping[str, Vector]) -> dict[str, str]:
    # Equal vectors are one tensor, here and among initializers once the file is compact.
    distinct = {values.tobytes(): values for values in vectors.values()}
    split, own = building.scratch(), building.scratch()
    blob = constant(split, np.concatenate(list(distinct.values())))
    sizes = [values.size for values in distinct.values()]
    parts = split.split(blob, sizes, total=sum(sizes))
    singles = [constant(own, values) for values in distinct.values()]
    best, tensors = min(((split, parts), (own, singles)), key=lambda form: form[0].size_bytes)
    building.include(best)
    tensor = dict(zip(distinct, tensors, strict=True))
    return {name: tensor[values.tobytes()] for name, values in vectors.items()}
