"""Files that run where people ship: weights of few bits take few bits, in every runtime alike."""

from __future__ import annotations

from compress.targets.target import ByteModel, Runtime, Target

PORTABLE = Target(
    name="portable",
    description="Constants are decoded in float32, with operators of opset 13 that every runtime "
    "computes alike and once, as it loads the file.",
    runtimes=(
        Runtime(name="onnxruntime", oldest="1.15", newest="1.32"),
        Runtime(name="openvino", oldest="2023.3", newest="2026.4"),
        Runtime(name="opencv", oldest="5.0", newest="5.0"),
    ),
    opset=13,
    ir_version=7,
    functions=False,
    constant_operators=(
        "DequantizeLinear",
        "Cast",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Floor",
        "Max",
        "Min",
        "CumSum",
        "MatMul",
        "Gather",
        "Reshape",
        "Split",
        "Slice",
        "Transpose",
    ),
    float_operators=("Div", "Floor", "CumSum", "MatMul"),
    splits_say_axis=True,
    wide_constants=False,
    element_types=(
        "float16",
        "float32",
        "float64",
        "int8",
        "uint8",
        "int16",
        "int32",
        "int64",
        "bool",
    ),
    integer_bias="int32",
    packings=("int8", "digits", "planes", "prefix code", "bit mask", "float16"),
    # Of the published ResNet-20, at 2 to 8 bits, 0.8 to 1.4 kB more than for onnxruntime.
    counted=ByteModel(packs=True, decoding=2_200, scale=4, half_scale=0),
    bytes="weights of few bits take few bits: 1 to 7 % or 1 kB more than for onnxruntime",
)
"""Files for old and new runtimes of several makers, in few bytes."""
