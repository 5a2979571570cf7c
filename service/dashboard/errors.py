"""Convert errors of the dashboard's process into problems, like all errors of this service."""

from __future__ import annotations

import json
from http import HTTPStatus

import httpx2
from starlette.responses import Response

from service.http import problem_details

_MOST_BYTES = 64 * 1024
_POLICY = "content-security-policy"


async def as_problem(answer: httpx2.Response) -> Response:
    """Return the problem that the dashboard's answer describes, and close the answer.

    The problem also has the field ``reason``, which the pages of the dashboard look for.
    """
    reason = _reason(await _beginning(answer))
    status = _status(answer.status_code)
    problem = problem_details.describe(
        "DashboardFailed" if status == HTTPStatus.BAD_GATEWAY else _code(status),
        status,
        f"the dashboard says: {reason}" if reason else f"the dashboard says: {status.phrase}",
    )
    headers = {_POLICY: answer.headers[_POLICY]} if _POLICY in answer.headers else {}
    document = problem.model_dump(mode="json") | {"reason": problem.detail}
    return Response(
        json.dumps(document),
        status_code=status,
        media_type=problem_details.MEDIA_TYPE,
        headers=headers,
    )


async def _beginning(answer: httpx2.Response) -> bytes:
    found = bytearray()
    try:
        async for piece in answer.aiter_bytes():
            found += piece
            if len(found) > _MOST_BYTES:
                break
    except httpx2.HTTPError:
        return b""
    finally:
        await answer.aclose()
    return bytes(found[:_MOST_BYTES])


def _reason(body: bytes) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""  # a page in HTML
    reason = document.get("reason") if isinstance(document, dict) else None
    return reason if isinstance(reason, str) else ""


def _status(status: int) -> HTTPStatus:
    """Keep a client error as it is; turn a server error of the dashboard into 502."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status not in set(HTTPStatus):
        return HTTPStatus.BAD_GATEWAY
    return HTTPStatus(status)


def _code(status: HTTPStatus) -> str:
    return status.phrase.title().replace(" ", "")
