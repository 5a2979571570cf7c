"""Files that every reader of ONNX understands: nothing is computed from constants."""

from __future__ import annotations

from compress.targets.target import Runtime, Target

PLAIN = Target(
    name="plain",
    description="Constants are decoded: integers of 8 bits behind DequantizeLinear, or floats.",
    runtimes=(Runtime(name="onnxruntime", oldest="1.15", newest="1.32"),),
    opset=13,
    ir_version=7,
    functions=False,
    constant_operators=("DequantizeLinear",),
    element_types=("float32", "float64", "int8", "uint8", "int32", "int64", "bool"),
    integer_bias="int32",
    packings=("int8", "float32"),
    bytes="one byte for a weight of an integer layer, four for any other, whatever its bits",
)
