"""The targets that there are, by name. Free of torch and of ONNX."""

from __future__ import annotations

from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.targets.target import Target
from compress.values.errors import UnknownTarget

TARGETS: tuple[Target, ...] = (ONNXRUNTIME, PORTABLE, PLAIN)
AS_MADE = ONNXRUNTIME
"""The target of files as they are made and measured."""


def find(name: str) -> Target:
    """Return the target of that name. Raises UnknownTarget."""
    for target in TARGETS:
        if target.name == name:
            return target
    known = ", ".join(target.name for target in TARGETS)
    raise UnknownTarget(f"no target is named {name[:80]!r}; expected one of {known}")
