"""Our own pages: the jobs, one job with its live front, the login, and the API reference."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Query, Request, Response
from fastapi.exceptions import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from service import resources
from service.access import addresses, auth
from service.access.auth import PUBLIC, READ
from service.errors import BodyInvalid, TooManyLogins
from service.http import body_parsing
from service.http.headers import PAGE_POLICY
from service.http.parameters import JobId
from service.http.routing import router as guarded
from service.resources import Resources, ResourcesDep
from store.access import secrets, sessions

router = guarded("pages")

FOLDER = Path(__file__).parents[1] / "pages"
TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INCLUDE = re.compile(rb"<!-- include (\w+\.html) -->")


def _whole(path: Path) -> bytes:
    """Return the file, with the parts that its pages share in their places."""
    return _INCLUDE.sub(lambda found: _part(found[1].decode()), path.read_bytes())


def _part(name: str) -> bytes:
    return (FOLDER / "parts" / name).read_bytes().strip()


FILES: Mapping[str, bytes] = {
    path.name: _whole(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES
}
"""Every page file by name; other files cannot be requested."""

Wanted = Annotated[str, Query(alias="next", description="Where to continue after the login.")]
Failed = Annotated[str, Query(description="Present if the last try was refused.")]
_MAX_LOGIN_BYTES = 4096
_DAY_SECONDS = 24 * 3600
_WAIT = (b'id="wait" hidden', b'id="wait"')


def page(name: str) -> Response:
    """Return a page or one of its files."""
    return Response(
        FILES[name],
        media_type=TYPES[Path(name).suffix],
        headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"},
    )


@router.get("/", dependencies=[PUBLIC], include_in_schema=False)
async def go_home() -> Response:
    """The start page is the list of jobs."""
    return RedirectResponse(addresses.HOME, status_code=HTTPStatus.SEE_OTHER)


@router.get("/ui", dependencies=[READ], include_in_schema=False)
async def show_jobs() -> Response:
    """All jobs."""
    return page("jobs.html")


@router.get("/ui/jobs/{job_id}", dependencies=[READ], include_in_schema=False)
async def show_job(job_id: JobId) -> Response:
    """One job and its front."""
    return page("job.html")


@router.get("/ui/files/{name}", dependencies=[PUBLIC], include_in_schema=False)
async def show_file(name: str) -> Response:
    """A script or style of the pages; they hold no data."""
    if name not in FILES or name.endswith(".html"):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return page(name)


@router.get("/favicon.ico", dependencies=[PUBLIC], include_in_schema=False)
async def show_icon() -> Response:
    """Return the icon that a browser asks for if a page names none, as the pages of Optuna do."""
    return page("icon.svg")


@router.get("/docs", dependencies=[PUBLIC], include_in_schema=False)
async def show_docs() -> Response:
    """Show the API reference, drawn from /openapi.json without external resources."""
    return page("docs.html")


@router.get("/login", dependencies=[PUBLIC], include_in_schema=False)
async def show_login(wanted: Wanted = "", failed: Failed = "") -> Response:
    """Show the login page. Its script reads the query parameters."""
    return page("login.html")


@router.post("/login", dependencies=[PUBLIC], include_in_schema=False)
async def log_in(resources: ResourcesDep, request: Request) -> Response:
    """Begin a session for a valid token; its secret is in a cookie that no script can read."""
    auth.check_same_origin(request)
    address = auth.address_of(request)
    try:
        resources.logins.begin(address)
    except TooManyLogins as error:
        return _come_back_later(error)
    fields = await _fields(request)
    wanted = addresses.safe_next(fields.get("next"))
    secret = await run_in_threadpool(_begin_session, request, fields.get("token", "").strip())
    if secret is None:
        back = addresses.login_failed(wanted)
        return RedirectResponse(back, status_code=HTTPStatus.SEE_OTHER)
    resources.logins.succeeded(address)
    response = RedirectResponse(wanted, status_code=HTTPStatus.SEE_OTHER)
    seconds = round(resources.settings.session_days * _DAY_SECONDS)
    response.set_cookie(auth.COOKIE, secret, max_age=seconds, **_cookie(request))
    return response


@router.post("/logout", dependencies=[PUBLIC], include_in_schema=False)
async def log_out(resources: ResourcesDep, request: Request) -> Response:
    """End the session, and the streams of the browser that had it."""
    auth.check_same_origin(request)
    if (secret := auth.session_secret(request)) is not None:
        await run_in_threadpool(_end_session, resources, secret)
        resources.streams.end_of_session(secrets.digest(secret))
    response = RedirectResponse("/login", status_code=HTTPStatus.SEE_OTHER)
    response.delete_cookie(auth.COOKIE, **_cookie(request))
    return response


def _begin_session(request: Request, secret: str) -> str | None:
    """Return the secret of a new session. A previous session of the browser ends."""
    token = auth.find_token(request, secret)
    if token is None:
        return None
    opened, before = resources.of(request), auth.session_secret(request)
    with opened.database.write() as session:
        if before is not None:
            sessions.end(session, before)
        return sessions.begin(session, token, days=opened.settings.session_days)


def _end_session(resources: Resources, secret: str) -> None:
    with resources.database.write() as session:
        sessions.end(session, secret)


def _come_back_later(error: TooManyLogins) -> Response:
    """Return the login page, which says how long to wait."""
    response = page("login.html")
    response.status_code = HTTPStatus.TOO_MANY_REQUESTS
    response.body = FILES["login.html"].replace(*_WAIT)
    response.headers["Content-Length"] = str(len(response.body))
    response.headers["Retry-After"] = error.headers["Retry-After"]
    return response


def _cookie(request: Request) -> dict[str, Any]:
    is_tls = request.url.scheme == "https" or resources.of(request).settings.tls_proxy
    return {"httponly": True, "samesite": "strict", "secure": is_tls, "path": "/"}


async def _fields(request: Request) -> dict[str, str]:
    parts = [part async for part in body_parsing.bounded(request, limit=_MAX_LOGIN_BYTES)]
    try:
        found = parse_qs(b"".join(parts).decode(), max_num_fields=4, errors="strict")
    except ValueError as error:
        raise BodyInvalid(f"the form could not be read: {error}") from error
    return {name: values[0] for name, values in found.items()}
