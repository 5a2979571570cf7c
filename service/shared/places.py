"""Limit how many bodies are received at once: in all, and per token or address."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import TooManyBodies
from service.shared.pace import BodyPace

LONGEST_PAUSE_SECONDS = 1.0
"""A sender that is silent for longer loses its place if another one waits for it."""


@dataclass(frozen=True)
class _Place:
    keys: frozenset[str]
    pace: BodyPace


class Places:
    """Places for bodies. Used on the event loop's thread only.

    If all are taken, a new body gets the place of the sender that has been silent for longest, so
    idle connections keep nobody out; if every sender is busy, the new one has to try again later.
    """

    def __init__(self, *, total: int, each: int) -> None:
        """Make room for ``total`` bodies, at most ``each`` of them for one token or address."""
        self._total = total
        self._each = each
        self._taken: list[_Place] = []

    @contextmanager
    def taken(self, keys: Collection[str], pace: BodyPace) -> Iterator[None]:
        """Hold a place. Raises TooManyBodies."""
        place = _Place(frozenset(keys), pace)
        for key in place.keys:
            self._make_room([p for p in self._taken if key in p.keys], self._each)
        self._make_room(self._taken, self._total)
        self._taken.append(place)
        try:
            yield
        finally:
            # The sender that gave its place away has left already.
            if place in self._taken:
                self._taken.remove(place)

    def _make_room(self, among: list[_Place], most: int) -> None:
        if len(among) < most:
            return
        now = asyncio.get_running_loop().time()
        slowest = max(among, key=lambda place: place.pace.silent_seconds(now))
        if slowest.pace.silent_seconds(now) < LONGEST_PAUSE_SECONDS:
            raise TooManyBodies(
                f"{len(among)} bodies are on their way already, and {most} may be: try again in "
                "a moment"
            )
        slowest.pace.give_way()
        self._taken.remove(slowest)
