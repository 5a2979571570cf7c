"""Reading bodies with a bound: JSON and YAML as one strict document, files as a stream."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

import yaml
from anyio import from_thread
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from service.errors import BodyInvalid, BodyTooLarge, UnsupportedMediaType

MAX_DOCUMENT_BYTES = 1024**2
MAX_YAML_BYTES = 64 * 1024
MAX_FORM_OVERHEAD_BYTES = 1024**2
MAX_WHOLE_NUMBER = 2**63 - 1
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml"})
_MAX_YAML_NODES = 50_000
_MAX_DEPTH = 200
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
            parts = [part async for part in bounded(self, limit=MAX_DOCUMENT_BYTES)]
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
    """One strict JSON document; raises ValueError with the reason."""
    try:
        document = json.loads(
            body,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise ValueError("the document is nested too deeply") from error
    check_storable(document)
    return document


def yaml_as_json(body: bytes) -> bytes:
    """A YAML document as JSON. Only plain data: no tags, and aliases may not multiply it."""
    if len(body) > MAX_YAML_BYTES:
        raise _too_large(MAX_YAML_BYTES)
    try:
        document = yaml.safe_load(body)
        _check_size(document)
        return json.dumps(document, default=str).encode()
    except RecursionError as error:
        raise BodyInvalid("the YAML document is nested too deeply") from error
    except (yaml.YAMLError, ValueError, TypeError) as error:
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


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON: every number must be finite")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large: every number must be finite")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(int(text)) > MAX_WHOLE_NUMBER:
        raise ValueError(f"{text[:40]} is too large: whole numbers have at most 64 bits")
    return int(text)


def _parsed(body: bytes) -> Any:
    try:
        return read_json(body)
    except ValueError as error:
        entry = {"type": "json_invalid", "loc": ("body",), "msg": f"JSON decode error: {error}"}
        raise RequestValidationError([entry]) from error


def _check_size(document: Any) -> None:
    # An explicit stack: aliases can make the document endless, not only large.
    pending, seen = [(document, 0)], 0
    while pending:
        value, depth = pending.pop()
        seen += 1
        if seen > _MAX_YAML_NODES or depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_YAML_NODES} values or {_MAX_DEPTH} levels")
        if isinstance(value, dict):
            pending.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list | tuple | set):
            pending.extend((child, depth + 1) for child in value)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is over the limit of {limit} bytes")
