"""Read request bodies with a limit: JSON and YAML as one strict document, files as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from featherweight import documents
from service import resources
from service.access import auth
from service.errors import BodyInvalid, BodyTooLarge, BodyTooSlow
from service.shared.pace import BodyPace

MAX_FORM_OVERHEAD_BYTES = 1024**2
_PIECE_BYTES = 512 * 1024
_LONGEST_MEDIA_TYPE = 300
_SMALL_BYTES = 64 * 1024
"""A larger document must get a place among the large ones before the rest of it is read."""
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})


class DocumentRequest(Request):
    """A request whose JSON body is bounded and strict.

    It has no NaN or Infinity, no whole number beyond 64 bits and no text that a database cannot
    hold: what passes here can be stored in every database.
    """

    async def body(self) -> bytes:
        """Return the whole body. Raises BodyTooLarge beyond a mebibyte."""
        if not hasattr(self, "_body"):
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        pace, parts, size = pace_of(self), bytearray(), 0
        with ExitStack() as place:
            async for part in bounded(self, limit=documents.MAX_BYTES, pace=pace):
                parts += part
                if size <= _SMALL_BYTES < len(parts):
                    places = resources.of(self).lanes.documents
                    place.enter_context(places.taken(senders(self), pace))
                size = len(parts)
        return bytes(parts)

    async def json(self) -> Any:
        """Return the body as JSON. Raises RequestValidationError."""
        if not hasattr(self, "_json"):
            self.take(await run_in_threadpool(parsed, await self.body()))
        return self._json

    def take(self, understood: Any) -> None:
        """Give the endpoint this value, which was read from the body."""
        self._json = understood


class ReplayedRequest(DocumentRequest):
    """A request whose body has already been read and translated to JSON."""

    def __init__(self, scope: Scope, receive: Receive, body: bytes) -> None:
        headers = [
            (name, value) for name, value in scope["headers"] if name.lower() != b"content-type"
        ]
        headers.append((b"content-type", b"application/json"))
        super().__init__({**scope, "headers": headers}, receive)
        self._body = body


def media_type(request: Request) -> str:
    """Return the content type without its parameters, in lower case."""
    told = request.headers.get("content-type", "")[:_LONGEST_MEDIA_TYPE]
    return told.split(";", 1)[0].strip().lower()


async def bounded(
    request: Request, *, limit: int, pace: BodyPace | None = None
) -> AsyncIterator[bytes]:
    """Yield the body's chunks. Only the event loop waits: a slow sender holds no thread.

    Raises:
        BodyTooLarge: it is longer than ``limit``, by the announced length or by counting.
        BodyTooSlow: the next bytes do not come in time.
        ClientDisconnect: the sender is gone.
    """
    _check_announced(request.headers.get("content-length", ""), limit)
    pace, received, is_over = pace or pace_of(request), 0, False
    while not is_over:
        message = await pace.next(request.receive)
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        is_over = not message.get("more_body", False)
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


async def pass_on(
    chunks: AsyncIterator[bytes], write: Callable[[bytes], Awaitable[object]]
) -> None:
    """Give the body to ``write`` in large pieces.

    What has arrived when the sender stops or hangs up is written before the error is raised.
    """
    waiting = bytearray()
    try:
        async for chunk in chunks:
            waiting += chunk
            if len(waiting) >= _PIECE_BYTES:
                piece, waiting = bytes(waiting), bytearray()
                await write(piece)
    except (ClientDisconnect, BodyTooSlow):
        if waiting:
            await write(bytes(waiting))
        raise
    if waiting:
        await write(bytes(waiting))


def pace_of(request: Request) -> BodyPace:
    """Return the pace of a body that begins now."""
    return BodyPace(resources.of(request).lanes.patience)


def senders(request: Request) -> frozenset[str]:
    """Return the keys by which bodies of this request are counted: token, if any, and address."""
    return auth.holder_of(request).keys


def read_json(body: bytes | str, *, most_values: int = documents.MAX_VALUES) -> Any:
    """Return one strict JSON document that databases can hold. Raises ValueError with a reason."""
    document = documents.read_json(body, most_values=most_values)
    documents.check_storable(document)
    return document


def yaml_as_json(body: bytes) -> bytes:
    """Return a YAML document as JSON. Only plain data: no tags, no aliases, no merge keys."""
    if len(body) > documents.MAX_YAML_BYTES:
        raise _too_large(documents.MAX_YAML_BYTES)
    try:
        return json.dumps(documents.read_yaml(body), default=str).encode()
    except documents.InvalidValue as error:
        raise _not_json(error) from error
    except (ValueError, TypeError) as error:
        raise BodyInvalid(f"the YAML document could not be read: {error}") from error


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; only once its body has been read."""
    message: Message = {}
    while message.get("type") != "http.disconnect":
        message = await receive()


def _check_announced(length: str, limit: int) -> None:
    # Longer than any length that is allowed: not worth reading, and slow to read.
    is_long = len(length) > len(str(limit)) and length.strip("0") != ""
    if length.isdecimal() and (is_long or int(length) > limit):
        raise _too_large(limit)


def parsed(body: bytes, *, most_values: int = documents.MAX_VALUES) -> Any:
    """Return the body as one strict JSON document. Raises RequestValidationError."""
    try:
        return read_json(body, most_values=most_values)
    except ValueError as error:
        raise _not_json(error) from error


def _not_json(error: ValueError) -> RequestValidationError:
    entry = {"type": "json_invalid", "loc": ("body",), "msg": f"JSON decode error: {error}"}
    return RequestValidationError([entry])


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over the limit of {limit} bytes")
