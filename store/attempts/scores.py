"""How good a file's answers are, as events and stored measurements say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compress.values.measurement import FIRST_PRIMARY, METRICS, QUALITY, Measurement, Split


def told(measurement: Measurement, split: Split = "validation") -> dict[str, float]:
    """Return ``quality`` on a split, 0 to 1, and ``accuracy`` if it is that."""
    score = measurement.score(split)
    is_accuracy = measurement.primary == FIRST_PRIMARY
    return {QUALITY: score} | ({FIRST_PRIMARY: score} if is_accuracy else {})


def of(document: Mapping[str, Any], split: Split) -> float | None:
    """Return the primary metric on a split, 0 to 1, of a stored measurement; None if unknown."""
    primary = document.get("primary", FIRST_PRIMARY)
    if primary == FIRST_PRIMARY:
        return document.get("accuracy", {}).get(split)
    value = document.get("quality", {}).get(split, {}).get(primary)
    return None if value is None else METRICS[primary].as_share(value)


def has_score(document: Mapping[str, Any], split: Split) -> bool:
    """Whether a stored measurement has the primary metric on a split."""
    return of(document, split) is not None
