"""Record the versions of what made a file. Torch-free: reads only the packages' metadata."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("featherweight", "torch", "onnx", "onnxruntime")


def collect() -> dict[str, str]:
    """Return the versions of Python and of every package that shapes a file, or ``absent``."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
