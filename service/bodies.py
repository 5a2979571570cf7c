"""Reading bodies with a bound: JSON and YAML as one strict document, files as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyio import from_thread
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from featherweight import documents
from service.errors import BodyInvalid, BodyTooLarge, UnsupportedMediaType

MAX_FORM_OVERHEAD_BYTES = 1024**2
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
UPLOAD_THREADS = 16
"""Slow senders hold a thread each; theirs are not those of the other requests."""


class DocumentRequest(Request):
    """A request whose JSON body is bounded and strict.

    No NaN or Infinity, no whole number beyond 64 bits, no text that a database cannot hold: what
    passes here can be stored on every database.
    """

    async def body(self) -> bytes:
        """The whole body; raises BodyTooLarge beyond a mebibyte."""
        if not hasattr(self, "_body"):
            parts = [part async for part in bounded(self, limit=documents.MAX_BYTES)]
            self._body = b"".join(parts)
        return self._body

    async def json(self) -> Any:
        """The body as JSON; raises RequestValidationError."""
        if not hasattr(self, "_json"):
            self._json = _parsed(await self.body())
        return self._json


class ReplayedRequest(DocumentRequest):
    """A request whose body was read, and translated to JSON, before."""

    def __init__(self, scope: Scope, receive: Receive, body: bytes) -> None:
        headers = [
            (name, value) for name, value in scope["headers"] if name.lower() != b"content-type"
        ]
        headers.append((b"content-type", b"application/json"))
        super().__init__({**scope, "headers": headers}, receive)
        self._body = body


def media_type(request: Request) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def bounded(request: Request, *, limit: int) -> AsyncIterator[bytes]:
    """The body's chunks; raises BodyTooLarge by the announced length, and by counting."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if chunk:
            yield chunk


def from_thread_chunks(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The stream as a plain iterator, for a worker thread of the event loop that feeds it."""
    while (chunk := from_thread.run(_next_or_none, stream)) is not None:
        yield chunk


async def form(request: Request, *, limit: int) -> FormData:
    """A multipart form, its files in temporary files; close it after use."""
    if media_type(request) != "multipart/form-data":
        raise UnsupportedMediaType(
            f"expected multipart/form-data, got {media_type(request)[:100] or 'no content type'}"
        )
    stream = bounded(request, limit=limit + MAX_FORM_OVERHEAD_BYTES)
    parser = MultiPartParser(
        request.headers,
        stream,  # pyright: ignore[reportArgumentType] - it only iterates
        max_files=1,
        max_fields=4,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise BodyInvalid(f"the form could not be read: {error.message}") from error


def read_json(body: bytes | str) -> Any:
    """One strict JSON document that databases can hold; raises ValueError with the reason."""
    document = documents.read_json(body)
    check_storable(document)
    return document


def yaml_as_json(body: bytes) -> bytes:
    """A YAML document as JSON. Only plain data: no tags, no aliases, no merge keys."""
    if len(body) > documents.MAX_YAML_BYTES:
        raise _too_large(documents.MAX_YAML_BYTES)
    try:
        return json.dumps(documents.read_yaml(body), default=str).encode()
    except (ValueError, TypeError) as error:
        raise BodyInvalid(f"the YAML document could not be read: {error}") from error


def check_storable(document: Any) -> None:
    """Refuse text that not every database can hold: zero characters and lone surrogates.

    Raises ValueError.
    """
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, dict):
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


async def disconnected(receive: Receive) -> None:
    """Return when the client has gone; only once its body has been read."""
    message: Message = {}
    while message.get("type") != "http.disconnect":
        message = await receive()


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("text must not hold the zero character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError("text must be valid Unicode, found half a surrogate pair") from error


async def _next_or_none(stream: AsyncIterator[bytes]) -> bytes | None:
    return await anext(stream, None)


def _parsed(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError as error:
        entry = {"type": "json_invalid", "loc": ("body",), "msg": f"JSON decode error: {error}"}
        raise RequestValidationError([entry]) from error


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over the limit of {limit} bytes")
