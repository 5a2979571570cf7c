"""Documents that a client may have already: ``ETag``, ``If-None-Match`` and 304."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

ETAG: dict[str, Any] = {
    "ETag": {
        "description": "Tag of this state of the document.",
        "required": True,
        "schema": {"type": "string"},
    }
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The document, and its tag", "headers": ETAG},
    304: {"description": "The asker has it already, by its `If-None-Match`", "headers": ETAG},
}


def respond(
    request: Request, body: bytes, *, etag: str, media_type: str = "application/json"
) -> Response:
    """Return the document, JSON by default, or 304 if ``If-None-Match`` names its tag.

    It is the asker's own and to be asked for each time: another token may not see it.
    """
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
    }
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def is_known(request: Request, etag: str) -> bool:
    """Return whether ``If-None-Match`` names the tag, compared weakly as RFC 9110 (13.1.2) says."""
    known = ",".join(request.headers.getlist("if-none-match"))
    return any(tag.strip().removeprefix("W/") in (etag, "*") for tag in known.split(","))
