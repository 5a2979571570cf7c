"""Values that hold for a moment: readiness and counts, computed once for all who ask in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from service.shared.single_flight import SingleFlight

Value = TypeVar("Value")
_THREADS = 2


class Momentary:
    """Values by name, each kept for some seconds. Used on the event loop's thread only."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Any]] = {}
        self._flights: SingleFlight[Any] = SingleFlight(threads=_THREADS)

    async def get(self, name: str, work: Callable[[], Value], *, seconds: float) -> Value:
        """Return what ``work`` returned at most ``seconds`` ago, else what it returns now."""
        good_until, value = self._kept.get(name, (0.0, None))
        if time.monotonic() < good_until:
            return value
        value = await self._flights.run(name, work)
        self._kept[name] = (time.monotonic() + seconds, value)
        return value
