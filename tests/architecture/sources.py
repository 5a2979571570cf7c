"""The product's own code, for tests that read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = (
    "featherweight",
    "compress",
    "store",
    "search",
    "service",
    "workers",
    "launch",
    "migrations",
)


def files_where(found: Callable[[str], object]) -> set[str]:
    """Names of the files in which something is found."""
    paths = {path for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    return {str(p.relative_to(ROOT)) for p in paths if found(p.read_text(encoding="utf-8"))}
