"""Which versions of what made a file. Torch-free: it reads the packages' metadata only."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("featherweight", "torch", "onnx", "onnxruntime")


def collect() -> dict[str, str]:
    """Versions of Python and of every package that shapes a file; ``absent`` if not installed."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
