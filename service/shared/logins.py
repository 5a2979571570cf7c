"""Limit how often one address may try to log in, so that tokens cannot be guessed."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

from service.errors import TooManyLogins

MOST_ADDRESSES = 10_000
"""Beyond that, the address that has not tried for longest is forgotten."""
_WINDOW_SECONDS = 60.0


class Logins:
    """Failed logins of the last minute, by address. Used on the event loop's thread only."""

    def __init__(self, *, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now = now
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, address: str) -> None:
        """Count a try before it is checked, so that concurrent tries are counted too.

        Raises TooManyLogins.
        """
        tries, now = self._of(address), self._now()
        while tries and tries[0] <= now - _WINDOW_SECONDS:
            tries.popleft()
        if len(tries) >= self._most:
            seconds = max(1, round(tries[0] + _WINDOW_SECONDS - now))
            raise TooManyLogins(
                f"{len(tries)} logins from this address failed within a minute: try again in "
                f"{seconds} seconds",
                headers={"Retry-After": str(seconds)},
            )
        tries.append(now)

    def succeeded(self, address: str) -> None:
        """Take back the last try: successful logins are not limited."""
        tries = self._of(address)
        if tries:
            tries.pop()

    def _of(self, address: str) -> deque[float]:
        tries = self._tries.setdefault(address, deque())
        self._tries.move_to_end(address)
        if len(self._tries) > MOST_ADDRESSES:
            self._tries.popitem(last=False)
        return tries
