"""The engine revision of stored figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compress.values.revision import FIRST_REVISION


def revision_of(measurement: Mapping[str, Any] | None) -> int | None:
    """Return the revision of the engine that a stored measurement is of; None without one."""
    return None if measurement is None else measurement.get("engine_revision", FIRST_REVISION)
