"""Limit how long a sender may take over a body: bytes earn time, and silence spends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Message

from service.errors import BodyTooSlow


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How many seconds a body may bring nothing, and how many bytes per second it must bring."""

    seconds: float
    bytes_per_second: float


class BodyPace:
    """The progress of one body.

    A sender begins with all of the patience. Waiting spends it and bytes earn it back, never beyond
    the initial value: neither silence nor a byte now and then holds a request for ever, and the
    time that we take to write what has arrived is not counted against the sender.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._left = patience.seconds
        self._timeout: asyncio.Timeout | None = None
        self._silent_since: float | None = None
        self._gives_way = False

    def silent_seconds(self, now: float) -> float:
        """Return how long the sender has been waited for; 0 while its data are being written."""
        return 0.0 if self._silent_since is None else now - self._silent_since

    def give_way(self) -> None:
        """End the body, because others wait for its place."""
        self._gives_way = True
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def next(self, receive: Callable[[], Awaitable[Message]]) -> Message:
        """Return the next message of the request. Raises BodyTooSlow."""
        loop = asyncio.get_running_loop()
        begin = self._silent_since = loop.time()
        try:
            async with asyncio.timeout(0.0 if self._gives_way else self._left) as self._timeout:
                message = await receive()
        except TimeoutError as error:
            raise self._too_slow() from error
        finally:
            self._timeout = self._silent_since = None
        earned = len(message.get("body", b"")) / self._patience.bytes_per_second
        left = self._left - (loop.time() - begin) + earned
        self._left = min(self._patience.seconds, max(0.0, left))
        return message

    def _too_slow(self) -> BodyTooSlow:
        if self._gives_way:
            return BodyTooSlow("the body brought nothing while other uploads waited: send it again")
        return BodyTooSlow(
            f"the body brought nothing for {self._patience.seconds:g} seconds, or less than "
            f"{self._patience.bytes_per_second:g} bytes per second: send it again, a large file "
            "in parts (POST /v1/uploads)"
        )
