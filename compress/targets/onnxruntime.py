"""Files in the smallest form, for new versions of ONNX Runtime."""

from __future__ import annotations

from compress.targets.target import ByteModel, Runtime, Target

ONNXRUNTIME = Target(
    name="onnxruntime",
    description="The smallest form that ONNX Runtime decodes. Files without INT4 load in 1.15, "
    "too, and are as fast from 1.17 on.",
    runtimes=(Runtime(name="onnxruntime", oldest="1.23", newest="1.32"),),
    opset=21,
    ir_version=10,
    functions=True,
    constant_operators=None,
    element_types=None,
    integer_bias="int32",
    packings=("int8", "int4", "digits", "planes", "prefix code", "bit mask", "float16"),
    bytes="weights of few bits take few bits: the fewest bytes of all",
    counted=ByteModel(packs=True, decoding=1_000, scale=4, half_scale=0),
)
_BY_OPSET = ((19, "1.15"), (20, "1.17"))
"""The newest opset that a version of ONNX Runtime loads."""
_INLINES = "1.17"
"""From here on functions of a model are decoded once; before, in every call."""


def oldest(opset: int, *, has_functions: bool) -> str:
    """Return the oldest version that loads a file as it was made, and decodes it once."""
    newest = ONNXRUNTIME.runtimes[0].oldest
    loads = next((version for most, version in _BY_OPSET if opset <= most), newest)
    return max(loads, _INLINES) if has_functions else loads
