"""Turn every error into an RFC 9457 problem that reveals nothing about the internals."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response

from compress.values.errors import CompressError
from featherweight.specs.schemas import Problem
from search.errors import SearchError
from service.access import addresses
from service.errors import NotAuthenticated, ServiceError, status_of
from store.database.outages import OUTAGES
from store.errors import StoreError
from store.files import disk

_log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
_SHOWN_ERRORS = 20
_SHOWN_CHARACTERS = 400
RETRY_AFTER_SECONDS = "2"
_RETRY_AFTER_DISK_SECONDS = "5"
_FULL = "the disk of the service is full: its operator has to make room"
_BROKEN = "the disk of the service cannot be read or written: its operator has to look at it"
_ARRAY, _OBJECT = "Input should be a JSON array", "Input should be a JSON object"
_JSON_WORDS: Mapping[str, str] = {
    "tuple_type": _ARRAY,
    "list_type": _ARRAY,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
}
"""JSON has arrays and objects, no tuples and dictionaries."""


def install(app: FastAPI, routes: Iterable[APIRoute]) -> None:
    """Translate every error of the application; ``routes`` say which methods an address has."""
    table = tuple(routes)

    async def from_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _from_http(request, error, table)

    for base in (StoreError, SearchError, CompressError, ServiceError):
        app.add_exception_handler(base, from_fact)
    for outage in OUTAGES:
        app.add_exception_handler(outage, from_outage)
    app.add_exception_handler(OSError, from_disk)
    app.add_exception_handler(ClientDisconnect, from_hang_up)
    app.add_exception_handler(RequestValidationError, from_validation)
    app.add_exception_handler(HTTPException, from_http)
    app.add_exception_handler(Exception, from_bug)


def respond(problem: Problem, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the problem as a response."""
    return Response(
        problem.model_dump_json(),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers={
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )


async def from_fact(request: Request, error: Exception) -> Response:
    """Answer with one of our errors: its class is the code, its text the detail."""
    if isinstance(error, NotAuthenticated) and _is_page_visit(request):
        return RedirectResponse(addresses.login(request.url), status_code=HTTPStatus.SEE_OTHER)
    status = status_of(type(error))
    headers = dict(error.headers) if isinstance(error, ServiceError) else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="featherweight"'
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    detail = str(error) or (type(error).__doc__ or "").strip()
    return respond(describe(type(error).__name__, status, detail), headers=headers)


async def from_validation(request: Request, error: Exception) -> Response:
    """Answer with what is wrong in the request, and where, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    found = [_validation_entry(entry) for entry in _without_echoes(error.errors())]
    first = found[0] if found else {"loc": [], "msg": ""}
    where = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    problem = describe(
        "RequestValidationError",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"{where}: {first['msg']}{more}",
    )
    return respond(problem.model_copy(update={"errors": tuple(found[:_SHOWN_ERRORS])}))


async def from_outage(request: Request, error: Exception) -> Response:
    """Answer that the database is briefly unavailable. The reason is logged, not sent."""
    if disk.fault(error) is not None:
        return await from_disk(request, error)
    _log.warning("the database does not answer: %s", error)
    return respond(
        describe(
            "DatabaseUnavailable",
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the database does not answer; try again in a moment",
        ),
        headers={"Retry-After": RETRY_AFTER_SECONDS},
    )


async def from_disk(request: Request, error: Exception) -> Response:
    """Answer that one of our disks is full or broken: nothing was kept, and a retry is possible.

    The log names the file. An error that is not about a disk is treated as unexpected.
    """
    match disk.fault(error):
        case "full":
            code, status, words = "StorageFull", HTTPStatus.INSUFFICIENT_STORAGE, _FULL
        case "broken":
            code, status, words = "StorageUnavailable", HTTPStatus.SERVICE_UNAVAILABLE, _BROKEN
        case None:
            raise error
    _log.error("%s (%s %s): %s", words, request.method, request.url.path, error)
    return respond(
        describe(code, status, f"{words}; try again later"),
        headers={"Retry-After": _RETRY_AFTER_DISK_SECONDS},
    )


async def from_hang_up(request: Request, error: Exception) -> Response:
    """Log that the sender left before the end of its body, such as a killed worker."""
    _log.info("%s %s: the sender hung up", request.method, request.url.path)
    status = HTTPStatus.BAD_REQUEST
    return respond(describe("BodyInvalid", status, "the body ended before its announced length"))


async def from_bug(request: Request, error: Exception) -> Response:
    """Answer an unexpected error. The traceback is logged, not sent."""
    return respond(
        describe(
            "InternalError",
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "an unexpected error; the service's log has the details",
        )
    )


def describe(code: str, status: HTTPStatus, detail: str) -> Problem:
    """Return a problem whose title is its code in words."""
    title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code).capitalize()
    return Problem(title=title, status=int(status), code=code, detail=_shortened(detail))


def _from_http(request: Request, error: HTTPException, routes: tuple[APIRoute, ...]) -> Response:
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request.url.path, routes))
        detail = f"{request.method} is not possible here, only {headers['Allow']}"
    if status == HTTPStatus.NOT_FOUND and detail == status.phrase:
        detail = f"there is nothing at {request.url.path}"
    return respond(
        describe(status.phrase.title().replace(" ", ""), status, detail), headers=headers
    )


def _methods(path: str, routes: tuple[APIRoute, ...]) -> list[str]:
    found: set[str] = set()
    for route in routes:
        if route.path_regex.match(path):
            found |= route.methods or set()
    return sorted(found)


def _without_echoes(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Drop entries that only follow from others: pydantic counts refused items as missing."""
    inside = {tuple(e["loc"][:end]) for e in entries for end in range(len(e["loc"]))}
    return [e for e in entries if e["type"] != "too_short" or tuple(e["loc"]) not in inside]


def _validation_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    words = _JSON_WORDS.get(str(entry["type"]), str(entry["msg"]))
    words = re.sub(r"^(Tuple|List) should have", "The array should have", words)
    return {
        "loc": [part if isinstance(part, int) else _shortened(str(part)) for part in entry["loc"]],
        "msg": _shortened(words),
        "type": str(entry["type"]),
    }


def _shortened(text: str) -> str:
    # Half a surrogate pair, out of a file's names say, is no text that could be sent.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _is_page_visit(request: Request) -> bool:
    return request.method == "GET" and "text/html" in request.headers.get("accept", "")
