"""Files that every reader of ONNX understands: nothing is computed from constants."""

from __future__ import annotations

from compress.targets.target import ByteModel, IdleKnob, Runtime, Target

_WHOLE = "a weight takes one byte in a layer of integers and four in any other, whatever its bits"
_ZEROS = "zeros take as many bytes as any other weight"

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
    # A scale of its own for the bias of each channel, which no node computes.
    counted=ByteModel(packs=False, decoding=1_000, scale=8, half_scale=8),
    idle_knobs=(
        IdleKnob(knob="quantization.weight_bits", fixed_at="widest", why=_WHOLE),
        IdleKnob(
            knob="quantization.scale_bits",
            fixed_at="widest",
            why="a scale takes four bytes, whatever its bits",
        ),
        IdleKnob(knob="sparsity.sparsity", fixed_at="off", why=_ZEROS),
        IdleKnob(knob="sparsity.pattern", fixed_at="off", why=_ZEROS),
        IdleKnob(knob="weight_sharing.index_bits", fixed_at="off", why=_WHOLE),
    ),
)
