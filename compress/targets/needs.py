"""The oldest runtimes that load a file and run it as it was measured, from its graph."""

from __future__ import annotations

from onnx import ModelProto

from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.target import Target

_NAME = "onnxruntime"
_BY_OPSET = ((19, "1.15"), (20, "1.17"))
"""The newest opset that a version of ONNX Runtime loads."""
_INLINES = "1.17"
"""From here on functions of a model are decoded once; before, in every call."""


def oldest(model: ModelProto, target: Target) -> tuple[str, ...]:
    """Return each runtime with the oldest version that the file is for, as "name >= version".

    Versions are those that were tried. A file as it is made needs what its graph says; any other
    runs wherever its target does.
    """
    if target.unproven:
        return (target.unproven,)
    if target is not ONNXRUNTIME:
        return tuple(f"{runtime.name} >= {runtime.oldest}" for runtime in target.runtimes)
    opset = max(entry.version for entry in model.opset_import if not entry.domain)
    loads = next((v for newest, v in _BY_OPSET if opset <= newest), target.runtimes[0].oldest)
    return (f"{_NAME} >= {max(loads, _INLINES) if model.functions else loads}",)
