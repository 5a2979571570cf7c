"""Connections with deadlines: clients that send nothing, or half a header, are disconnected.

A connection waits either for the next request of its sender or for our answer. Only the first kind
depends on the sender, so it has a deadline and is closed first if there are too many.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections import Counter
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.http import problem_details
from service.settings import ServiceSettings

MAX_HEADER_BYTES = 16 * 1024
"""Request line and headers together."""
_OTHER_DESCRIPTORS = 256
"""Descriptors for the database, open files, and everything else except connections."""
_LOG_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """The limits of connections: seconds of each, and how many there may be."""

    header_seconds: float
    stalled_seconds: float
    total: int
    per_address: int


def limits_of(settings: ServiceSettings) -> ConnectionLimits:
    """Return the limits of the settings, as far as this process may open enough descriptors."""
    return ConnectionLimits(
        header_seconds=settings.header_seconds,
        stalled_seconds=3 * settings.body_seconds,
        total=min(settings.max_connections, _descriptors() - _OTHER_DESCRIPTORS),
        per_address=settings.max_connections_per_address,
    )


def _descriptors() -> int:
    """Return how many descriptors this process may have, after raising the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


class Connections:
    """The open connections of one server, by address; those that wait for a request by age."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._by_address: Counter[str] = Counter()
        # Ordered: the first has waited for longest.
        self._waiting: dict[Connection, None] = {}

    def add(self, connection: Connection) -> bool:
        """Count a new connection, if need be closing the one that has waited longest.

        Returns False if there are too many and none of them waits.
        """
        address, limits = connection.address, self.limits
        is_welcome = True
        if self._by_address[address] >= limits.per_address:
            is_welcome = self._close_oldest(address)
        if is_welcome and self._by_address.total() >= limits.total:
            is_welcome = self._close_oldest(None)
        self._by_address[address] += 1
        return is_welcome

    def remove(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._waiting.pop(connection, None)
        self._by_address[connection.address] -= 1
        if self._by_address[connection.address] <= 0:
            del self._by_address[connection.address]

    def wait(self, connection: Connection) -> None:
        """Note that the connection now waits for a request."""
        self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that a request of the connection is being answered."""
        self._waiting.pop(connection, None)

    def _close_oldest(self, address: str | None) -> bool:
        for oldest in self._waiting:
            if address is None or oldest.address == address:
                oldest.end_wait()
                return True
        return False


class Connection(H11Protocol):
    """Uvicorn's connection, with a deadline for every header and for answers that nobody reads."""

    def __init__(self, config: uvicorn.Config, *more: Any, **named: Any) -> None:
        assert isinstance(config, Config)
        super().__init__(config, *more, **named)
        self.address = ""
        self._all = config.connections
        self._is_counted = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Count it and wait for its first header; one too many is answered and closed at once."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._is_counted = True
        if self._all.add(self):
            self._wait()
        else:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections: try again")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it with its deadlines."""
        self._cancel(self._deadline, self._stall)
        if self._is_counted:
            self._is_counted = False
            self._all.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process more bytes; those of an incomplete header do not move its deadline."""
        if self.transport.is_closing():
            return
        try:
            super().data_received(data)
        except ValueError:
            # A number of thousands of digits, say: h11 lets it through and fails to read it.
            self.send_400_response("Invalid HTTP request received.")
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next header, unless it has already arrived."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is not HTTP with a problem."""
        self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def pause_writing(self) -> None:
        """Start a deadline, because the reader is slow."""
        super().pause_writing()
        self._stall = self.loop.call_later(self._all.limits.stalled_seconds, self._abort)

    def resume_writing(self) -> None:
        """End the deadline, because the reader continues."""
        self._cancel(self._stall)
        super().resume_writing()

    def end_wait(self) -> None:
        """Close the connection if it waits for a request. An incomplete header gets an answer."""
        self._all.work(self)
        self._cancel(self._deadline)
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            seconds = self._all.limits.header_seconds
            words = f"the header did not come within {seconds:g} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, words)
        else:
            self.transport.close()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._all.work(self)
            self._cancel(self._deadline)
            self._deadline = None
        elif self._deadline is None:
            self._wait()

    def _wait(self) -> None:
        self._all.wait(self)
        self._deadline = self.loop.call_later(self._all.limits.header_seconds, self.end_wait)

    def _abort(self) -> None:
        self.transport.abort()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem without asking the application, and close the connection."""
        problem = problem_details.describe(status.phrase.title().replace(" ", ""), status, detail)
        headers = {"Connection": "close"}
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = problem_details.RETRY_AFTER_SECONDS
        answer = problem_details.respond(problem, headers=headers)
        head = f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode()
        fields = b"".join(b"%b: %b\r\n" % field for field in answer.raw_headers)
        self.transport.write(head + fields + b"\r\n" + bytes(answer.body))
        self.transport.close()

    @staticmethod
    def _cancel(*timers: asyncio.TimerHandle | None) -> None:
        for timer in timers:
            if timer is not None:
                timer.cancel()


class Config(uvicorn.Config):
    """The configuration of uvicorn, with the connections of its server."""

    def __init__(self, *args: Any, connections: Connections, **named: Any) -> None:
        self.connections = connections
        super().__init__(
            *args,
            http=Connection,
            ws="none",
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            **named,
        )


class Sparing(logging.Filter):
    """Lets each message pass only once in a while, so that strangers cannot fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True for errors, and for messages that were not seen for some seconds."""
        if record.levelno >= logging.ERROR:
            return True
        now, text = time.monotonic(), str(record.msg)
        if now - self._passed.get(text, -_LOG_SECONDS) < _LOG_SECONDS:
            return False
        self._passed[text] = now
        return True


SPARING = Sparing()
"""One for all servers of a process: a logger takes the same filter only once."""
