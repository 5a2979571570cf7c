"""The integers and scales that float weights of a file are made of, found again. Torch-free.

A file that computes in float holds integers, and multiplies them by their scales while it is
loaded. With ones in place of the integers it computes the scales alone. A weight with a codebook
of its own is looked up instead: its few values are multiples of one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, shape_inference

from compress.conversion import decoding
from compress.network.stored_weight import TOP, StoredWeight

_INTEGERS = frozenset({TensorProto.INT4, TensorProto.INT8})
_MATRIX = 2
_LEVELS = 2 * TOP + 1
# A scale for fewer weights than this is not one.
_LEAST_SHARED = 4


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A weight that is exactly ``stored.values()``, or the transposed of it."""

    stored: StoredWeight
    transposed: bool = False


def found(model: ModelProto) -> dict[str, Grid]:
    """Return the float weights that constants alone decide and that are integers on a grid."""
    early, late = decoding.split(model)
    read = {name for node in late for name in node.input}
    made = [name for node in early for name in node.output if name in read]
    values = decoding.computed(model, early, made)
    names = [k for k, v in values.items() if v.dtype == np.float32 and v.ndim >= _MATRIX and v.size]
    scales = decoding.computed(*_of_ones(model, early), names)
    grids = {name: _grid(values[name], scales[name]) for name in names}
    return {name: grid for name, grid in grids.items() if grid is not None}


def _of_ones(model: ModelProto, early: list[NodeProto]) -> tuple[ModelProto, list[NodeProto]]:
    """Return the model and nodes that compute with ones wherever integers become floats."""
    inferred = shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in early:
        to = next((a.i for a in node.attribute if a.name == "to"), None)
        if to != TensorProto.FLOAT or types.get(node.input[0]) not in _INTEGERS:
            nodes.append(node)
            continue
        (name,) = node.output
        nodes.append(helper.make_node("Cast", node.input, [f"{name}|integers"], to=to))
        nodes.append(helper.make_node("Equal", [f"{name}|integers"] * 2, [f"{name}|true"]))
        nodes.append(helper.make_node("Cast", [f"{name}|true"], [name], to=to))
    return model, nodes


def _grid(values: NDArray[Any], scales: NDArray[Any]) -> Grid | None:
    turned = [False, True] if values.ndim == _MATRIX else [False]
    for transposed in turned:
        own, scale = (v.T if transposed else v for v in (values, scales))
        stored = _stored(np.ascontiguousarray(own), _scale(np.ascontiguousarray(scale)))
        if stored is not None:
            return Grid(stored=stored, transposed=transposed)
    stored = _stored(values, _step(values))
    return None if stored is None else Grid(stored=stored)


def _scale(scales_OI: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return one scale, one for each row or one for each group of a row; None for too many."""
    rows = scales_OI.reshape(len(scales_OI), -1)
    if (rows == rows[0, 0]).all():
        return rows[0, 0].reshape(())
    changes = np.flatnonzero((rows[:, 1:] != rows[:, :-1]).any(axis=0)) + 1
    length = gcd(rows.shape[1], *changes.tolist())
    if length < min(_LEAST_SHARED, rows.shape[1]):
        return None
    groups_OG = rows[:, ::length]
    return groups_OG[:, 0] if length == rows.shape[1] else np.ascontiguousarray(groups_OG)


def _step(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the largest step of which all values are multiples, up to 127 times."""
    magnitudes = np.unique(np.abs(values))
    if len(magnitudes) > _LEVELS or not np.isfinite(magnitudes).all() or not magnitudes[-1]:
        return None
    for times in range(1, TOP + 1):
        step = magnitudes[-1] / np.float32(times)
        for each in (step, *(np.nextafter(step, np.float32(end)) for end in (0, np.inf))):
            if each and np.array_equal(np.rint(magnitudes / each) * each, magnitudes):
                return np.asarray(each, np.float32)
    return None


def _stored(values: NDArray[np.float32], scale: NDArray[np.float32] | None) -> StoredWeight | None:
    """Return the weight of these scales if it is exactly these values."""
    if scale is None or not np.isfinite(scale).all() or not np.isfinite(values).all():
        return None
    spread = _spread(scale, values.shape)
    # Under a scale that is 0 only signs are left of integers.
    signs = np.where(np.signbit(values) == np.signbit(spread), 0, -1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        integers = np.where(spread == 0, signs, np.rint(values / spread))
    if not (np.abs(integers) <= TOP).all():
        return None
    stored = StoredWeight(integers_OI=integers.astype(np.int8), scale=np.ascontiguousarray(scale))
    return stored if stored.values().tobytes() == values.tobytes() else None


def _spread(scale: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    if not scale.ndim:
        return np.broadcast_to(scale, shape)
    rows = scale.reshape(shape[0], -1)
    inputs = int(np.prod(shape[1:]))
    return np.repeat(rows, inputs // rows.shape[1], axis=1).reshape(shape)
