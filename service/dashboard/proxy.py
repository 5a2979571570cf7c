"""Forward reading requests to the dashboard's process, without our secrets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import quote

import httpx2
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from featherweight.client import authorities
from service.dashboard import errors
from service.errors import DashboardUnavailable

_log = logging.getLogger(__name__)
_ASKED = ("accept", "accept-encoding", "accept-language", "if-modified-since", "if-none-match")
_ANSWERED = frozenset(
    {
        "cache-control",
        "content-encoding",
        "content-length",
        "content-security-policy",
        "content-type",
        "etag",
        "last-modified",
        "location",
        "vary",
    }
)
SECRET_HEADER = "X-Featherweight-Secret"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "font-src 'self' data:; object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
)
"""The dashboard needs inline styles and compiles its plots; it may still reach nobody but us."""


_STRANGER = (
    "the dashboard's process has read another secret: let it use the same database, and start it "
    "again with 'featherweight dashboard'"
)


def open_client(address: str, *, secret: str) -> httpx2.AsyncClient:
    """Return a client of the dashboard's process, which answers only with the shared secret.

    It follows no redirects and keeps no cookies of ours.
    """
    timeout = httpx2.Timeout(60.0, connect=2.0)
    return httpx2.AsyncClient(
        base_url=address,
        timeout=timeout,
        trust_env=False,
        headers={SECRET_HEADER: secret},
        verify=authorities.trusted(by_environment=False),
    )


async def forward(request: Request, client: httpx2.AsyncClient) -> Response:
    """Return the dashboard's answer, streamed.

    Only listed headers pass, in both directions: no cookie and no token of ours leaves. Raises
    DashboardUnavailable if its process does not answer or does not accept our secret.
    """
    wanted = client.build_request(
        request.method,
        httpx2.URL(path=quote(request.url.path), query=request.scope["query_string"]),
        headers=_headers(request),
    )
    try:
        answer = await client.send(wanted, stream=True)
    except httpx2.TransportError as error:
        _log.warning("the dashboard does not answer: %s", type(error).__name__)
        raise DashboardUnavailable from error
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        await answer.aclose()
        raise DashboardUnavailable(_STRANGER)
    if answer.status_code >= HTTPStatus.BAD_REQUEST:
        return await errors.as_problem(answer)
    headers = {name: value for name, value in answer.headers.items() if name in _ANSWERED}
    headers.setdefault("content-security-policy", POLICY)
    return StreamingResponse(_body(answer), status_code=answer.status_code, headers=headers)


def _headers(request: Request) -> dict[str, str]:
    # The dashboard fails on static files if this header is missing.
    passed = {name: request.headers[name] for name in _ASKED if name in request.headers}
    return {"accept-encoding": "identity", **passed}


async def _body(answer: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
