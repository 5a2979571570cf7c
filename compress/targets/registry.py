"""The targets that there are, by name. Free of torch and of ONNX."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from compress.targets.onnxruntime import ONNXRUNTIME
from compress.targets.plain import PLAIN
from compress.targets.portable import PORTABLE
from compress.targets.target import Target
from compress.targets.tensorrt import TENSORRT
from compress.values.errors import UnknownTarget

TARGETS: tuple[Target, ...] = (ONNXRUNTIME, PORTABLE, PLAIN, TENSORRT)
PROVEN = tuple(target for target in TARGETS if not target.unproven)
"""Those whose files were run in the runtimes that they are for, and answer as they were made."""
AS_MADE = ONNXRUNTIME
"""The target of files as the search makes them, and of all that was stored before jobs had one."""
DEFAULT = PORTABLE
"""The target of new jobs that name none."""
_LONGEST = 40


def find(name: str) -> Target:
    """Return the target of that name. Raises UnknownTarget."""
    for target in TARGETS:
        if target.name == name:
            return target
    known = ", ".join(target.name for target in TARGETS)
    raise UnknownTarget(f"no target is named {name[:80]!r}; expected one of {known}")


def _known(name: str) -> str:
    try:
        return find(name).name
    except UnknownTarget as error:
        raise ValueError(str(error)) from error


TargetName = Annotated[
    str,
    Field(max_length=_LONGEST),
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": [target.name for target in TARGETS]}),
]
"""The name of a target that there is."""
