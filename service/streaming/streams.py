"""Open event streams: their number per token is limited, and none outlives its token."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from service.errors import TooManyStreams
from service.streaming.lookouts import Lookout
from service.streaming.notifications import Notifications
from store.access import sessions, tokens
from store.session import Database

_CHECK_SECONDS = 1.0
"""A stream outlives a token revoked by another process by at most two of these."""
_RETRY_AFTER_SECONDS = "15"


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The holder of a stream: a token, or an address if no tokens exist.

    ``session_sha256`` names the session of a browser that logged in with the token.
    """

    token_id: str | None
    address: str
    session_sha256: str | None = None

    @property
    def key(self) -> str:
        """The key by which streams are counted: the token, or else the address."""
        return f"address {self.address}" if self.token_id is None else f"token {self.token_id}"

    @property
    def keys(self) -> frozenset[str]:
        """The keys by which bodies are counted: the address, and the token if there is one."""
        return frozenset({f"address {self.address}", self.key})


class OpenStream:
    """One open stream; its own coroutine sends, others only wake it."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.is_ended = False
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let it look for news."""
        self._woken.set()

    def end(self) -> None:
        """Let it send nothing more and close."""
        self.is_ended = True
        self._woken.set()

    async def wait(self, *, timeout: float) -> bool:
        """Wait to be woken. Returns False if nobody did within ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True


class Streams:
    """All open streams of this process. Used on the event loop's thread only."""

    def __init__(self, database: Database, notifications: Notifications, *, most: int) -> None:
        self.lookout = Lookout(
            notifications, self._look, seconds=_CHECK_SECONDS, pace_seconds=_CHECK_SECONDS
        )
        self._database = database
        self._notifications = notifications
        self._most = most
        self._open: dict[str, set[OpenStream]] = {}
        notifications.subscribe(self._dismiss)

    def open(self, holder: Holder) -> OpenStream:
        """Return a stream that counts until it is closed. Raises TooManyStreams."""
        own = self._open.setdefault(holder.key, set())
        if len(own) >= self._most:
            whose = "this address" if holder.token_id is None else "this token"
            raise TooManyStreams(
                f"{len(own)} event streams of {whose} are open, the most that are allowed: close "
                "one, or set FEATHERWEIGHT_STREAMS_PER_TOKEN higher",
                headers={"Retry-After": _RETRY_AFTER_SECONDS},
            )
        stream = OpenStream(holder)
        own.add(stream)
        if self._notifications.is_closed:
            stream.end()
        return stream

    def close(self, stream: OpenStream) -> None:
        """Forget a stream that sends nothing more."""
        own = self._open.get(stream.holder.key, set())
        own.discard(stream)
        if not own:
            self._open.pop(stream.holder.key, None)

    def end_of(self, token_id: str) -> None:
        """End the streams of a token that was just revoked."""
        self._end(stream for stream in self._all() if stream.holder.token_id == token_id)

    def end_of_session(self, sha256: str) -> None:
        """End the streams of a browser that has just logged out."""
        self._end(stream for stream in self._all() if stream.holder.session_sha256 == sha256)

    async def _look(self) -> None:
        holders = {stream.holder for stream in self._all()}
        if holders:
            allowed = await run_in_threadpool(_allowed, self._database, holders)
            self._end(
                one for one in self._all() if one.holder in holders and one.holder not in allowed
            )

    def _dismiss(self) -> None:
        if self._notifications.is_closed:
            self._end(self._all())

    def _all(self) -> list[OpenStream]:
        return [stream for own in self._open.values() for stream in own]

    def _end(self, streams: Iterable[OpenStream]) -> None:
        for stream in streams:
            stream.end()


def _allowed(database: Database, holders: set[Holder]) -> set[Holder]:
    """Return the holders that may go on: a valid token and session, or no tokens at all."""
    ids = {holder.token_id for holder in holders if holder.token_id is not None}
    with database.read() as session:
        valid = tokens.valid(session, ids) if ids else frozenset()
        digests = {one.session_sha256 for one in holders if one.session_sha256 is not None}
        stand = {None, *(sessions.valid(session, digests) if digests else ())}
        is_open = len(ids) == len(holders) or not tokens.any_exist(session)
    return {
        one
        for one in holders
        if (is_open if one.token_id is None else one.token_id in valid)
        and one.session_sha256 in stand
    }
