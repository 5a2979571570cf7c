"""Files in the grids that TensorRT knows. No file was ever run in it: they are checked by rule."""

from __future__ import annotations

from compress.targets.plain import PLAIN
from compress.targets.target import ByteModel, Target

TENSORRT = Target(
    name="tensorrt",
    description="Constants are decoded, and activations lie on symmetric grids of signed bytes. "
    "Unproven: no such file was ever run in TensorRT.",
    runtimes=(),
    unproven="unproven: never run in TensorRT",
    opset=13,
    ir_version=7,
    functions=False,
    constant_operators=("DequantizeLinear",),
    element_types=("float32", "float64", "int8", "int32", "int64", "bool"),
    symmetric_activations=True,
    integer_bias="float32",
    packings=("int8", "float32"),
    bytes="one byte for a weight of an integer layer, four for any other, whatever its bits",
    # A scale and a float bias of each channel.
    counted=ByteModel(packs=False, decoding=1_000, scale=8, half_scale=8),
    idle_knobs=PLAIN.idle_knobs,
)
"""Files for TensorRT, by the rules of its importer."""
