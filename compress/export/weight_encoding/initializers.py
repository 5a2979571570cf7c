"""Store weights as initializers of their own: int8, INT4, float16 widened by a Cast, or float32."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from compress.export.weight_encoding import floats, layout
from compress.export.weight_encoding.building import Building
from compress.export.weight_encoding.integer_spelling import INTEGERS
from compress.export.weight_encoding.layout import EncodedWeight
from compress.export.weight_encoding.spelling import Spelling
from compress.network.stored_weight import SparseFloat

_LOWEST_INT4, _HIGHEST_INT4 = -8, 7
# What a Cast adds to a file is half a byte saved for each of so many weights.
_CAST_BYTES = 60


def own(building: Building, item: EncodedWeight, spelling: Spelling = INTEGERS) -> str:
    """Return the tensor of one item, stored on its own."""
    if isinstance(item.weight, SparseFloat):
        values = item.weight.values_OI
        building.temporaries += 4 * item.size if item.is_half else 0
        return floats.constant(building, values.T if item.transposed else values)
    integers = item.integers
    if item.transposed and not item.is_float:
        integers = np.ascontiguousarray(integers.T)
    is_narrow = integers.min() >= _LOWEST_INT4 and integers.max() <= _HIGHEST_INT4
    is_worth = spelling.has_int4 and is_narrow and integers.size > _CAST_BYTES
    kind = TensorProto.INT4 if is_worth else None
    stored = building.constant(integers, kind=kind)
    if item.is_float:
        return layout.to_float(building, stored, item, spelling)
    if kind is None:
        return stored
    building.temporaries += item.size
    return building.add("Cast", [stored], to=TensorProto.INT8)
