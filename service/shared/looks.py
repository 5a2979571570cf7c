"""Looks into uploaded data that go on here: how far each is, and whether it is still wanted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from featherweight.specs.progress import LookSchema, LookStage
from featherweight.system.bounded import GivenUp

_GRACE_SECONDS = 20.0
"""So long an upload is looked into for a sender that has hung up, and may ask for it again."""
_LOOK_SECONDS = 0.1


class Look:
    """One look. A thread tells how far it is, the event loop whether it is still wanted."""

    def __init__(self, *, grace_seconds: float) -> None:
        """Let a sender that has hung up come back within so many seconds."""
        self._grace_seconds = grace_seconds
        self._left_at: float | None = None
        self._is_dropped = False
        self._found = LookSchema(stage="waiting", share=0.0)

    @property
    def found(self) -> LookSchema:
        """How far it is."""
        return self._found

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it, or did so a moment ago."""
        left_at = self._left_at
        is_left = left_at is not None and time.monotonic() - left_at >= self._grace_seconds
        return not (self._is_dropped or is_left)

    def tell(self, stage: LookStage, share: float) -> None:
        """Note how far it is. Raises GivenUp if nobody wants it."""
        if not self.is_wanted:
            raise GivenUp
        self._found = LookSchema(stage=stage, share=round(share, 3))

    def leave(self) -> None:
        """Note that its sender has hung up, or has just asked and does not wait."""
        self._left_at = time.monotonic()

    def asked(self) -> None:
        """Note that somebody asks how far it is."""
        if self._left_at is not None:
            self.leave()

    def drop(self) -> None:
        """End it at once."""
        self._is_dropped = True


class Looks:
    """The looks of one service. Used on the event loop's thread, but for ``found`` and ``drop``."""

    def __init__(self) -> None:
        """Begin with none."""
        self._of_uploads: dict[str, Look] = {}

    def found(self, upload: str) -> LookSchema | None:
        """Return how far the look into an upload is; None if there is none here."""
        look = self._of_uploads.get(upload)
        if look is None:
            return None
        look.asked()
        return look.found

    def drop(self, upload: str) -> None:
        """End the look into an upload, if there is one."""
        look = self._of_uploads.get(upload)
        if look is not None:
            look.drop()

    @asynccontextmanager
    async def begun(self, upload: str | None, hung_up: asyncio.Future[None]) -> AsyncIterator[Look]:
        """Yield a look that ends once ``hung_up`` does: after a while for an upload, else soon.

        An upload that is looked into already is waited for, without a thread: what that look has
        found is there then.
        """
        look = Look(grace_seconds=0.0 if upload is None else _GRACE_SECONDS)
        hung_up.add_done_callback(partial(_leave, look))
        try:
            async with self._entered(upload, look):
                yield look
        finally:
            hung_up.cancel()

    @asynccontextmanager
    async def _entered(self, upload: str | None, look: Look) -> AsyncIterator[None]:
        if upload is None:
            yield
            return
        while (running := self._of_uploads.get(upload)) is not None:
            running.asked()
            await asyncio.sleep(_LOOK_SECONDS)
        self._of_uploads[upload] = look
        try:
            yield
        finally:
            del self._of_uploads[upload]


def _leave(look: Look, hung_up: asyncio.Future[None]) -> None:
    if not hung_up.cancelled():
        look.leave()
