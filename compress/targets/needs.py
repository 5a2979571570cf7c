"""The oldest runtimes that load a file and run it as it was measured, from its graph."""

from __future__ import annotations

from onnx import ModelProto

from compress.targets import onnxruntime
from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.target import Target


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
    version = onnxruntime.oldest(opset, has_functions=bool(model.functions))
    return (f"{ONNXRUNTIME.runtimes[0].name} >= {version}",)
