"""Authorisation: bearer tokens with scopes, sessions of browsers, and the open loopback."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import Security
from fastapi.security import HTTPBearer
from starlette.requests import Request

from service import resources
from service.access import callers, hosts
from service.errors import CrossOrigin, HostNotAllowed, NotAuthenticated, ScopeMissing
from service.streaming.streams import Holder
from store.access import secrets, sessions, tokens
from store.tables.records import TokenRecord

COOKIE = "featherweight_session"
IMPLIED: Mapping[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "submit": frozenset({"read", "submit"}),
    "work": frozenset({"work"}),
    "admin": frozenset({"read", "submit", "work", "admin"}),
}
"""Each scope with all the scopes that it includes."""

_LONGEST_ADDRESS = 100
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token made with 'featherweight token create'; browsers log in at /login.",
)
READ = Security(bearer, scopes=["read"])
SUBMIT = Security(bearer, scopes=["submit"])
WORK = Security(bearer, scopes=["work"])
ADMIN = Security(bearer, scopes=["admin"])
PUBLIC = Security(bearer, scopes=[])
"""Markers on a route; ``routing.Guarded`` reads them and asks ``authorise`` before anything else.

``bearer`` itself refuses nobody: it is there to be seen in the OpenAPI document.
"""


def authorise(request: Request, scopes: frozenset[str]) -> None:
    """Let the request pass, or raise. Reads the token from the database.

    Raises:
        NotAuthenticated: no token, or one that is unknown, revoked or expired.
        ScopeMissing: the token does not have one of ``scopes``.
        CrossOrigin: a cookie, or no token at all, and the request comes from a foreign page.
        HostNotAllowed: no tokens exist, and the request was not sent to a loopback name.
    """
    header = request.headers.get("authorization")
    if header is not None:
        token = find_token(request, _bearer_secret(header))
        if token is None:
            raise NotAuthenticated("the token is unknown, revoked or expired")
        return _let(request, token, scopes)
    token = _of_session(request)
    if token is not None:
        _check_same_origin(request, must_be_told=True)
        return _let(request, token, scopes)
    _check_open(request)
    callers.keep(request, None, frozenset())
    return None


def _let(request: Request, token: TokenRecord, scopes: frozenset[str]) -> None:
    granted = _granted(token)
    callers.keep(request, token, granted)
    if missing := scopes - granted:
        raise ScopeMissing(f"this needs a token with the scope {sorted(missing)[0]!r}")


def holder_of(request: Request) -> Holder:
    """Return the sender of an authorised request, for limits and for work that outlasts it."""
    return Holder(
        token_id=callers.of(request).token_id,
        address=request.client.host if request.client else "",
        session_sha256=getattr(request.state, "session_sha256", None),
    )


def address_of(request: Request) -> str:
    """Return the address of the client; behind a TLS proxy, the one that the proxy reports."""
    if resources.of(request).settings.tls_proxy:
        told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if told:
            return told[:_LONGEST_ADDRESS]
    return request.client.host if request.client else ""


def find_token(request: Request, secret: str) -> TokenRecord | None:
    """Return the valid token with this secret."""
    if not _may_be_secret(secret):
        return None
    with resources.of(request).database.read() as session:
        return tokens.find(session, secret)


def session_secret(request: Request) -> str | None:
    """Return the content of the browser's cookie, if it may be a session secret."""
    cookie = request.cookies.get(COOKIE, "")
    return cookie if _may_be_secret(cookie) else None


def _of_session(request: Request) -> TokenRecord | None:
    secret = session_secret(request)
    if secret is None:
        return None
    with resources.of(request).database.read() as session:
        token = sessions.find(session, secret)
    if token is not None:
        request.state.session_sha256 = secrets.digest(secret)
    return token


def _may_be_secret(secret: str) -> bool:
    # Looked up by its hash, so the time it takes says nothing about stored ones.
    return 0 < len(secret) <= tokens.LONGEST_SECRET and secret.isascii()


def _granted(token: TokenRecord) -> frozenset[str]:
    return frozenset().union(*(IMPLIED[scope] for scope in token.scopes))


def _bearer_secret(header: str) -> str:
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotAuthenticated("expected 'Authorization: Bearer fw_...'")
    return secret.strip()


def _check_open(request: Request) -> None:
    opened = resources.of(request)
    with opened.database.read() as session:
        has_tokens = tokens.any_exist(session)
    if has_tokens or not opened.settings.is_loopback:
        raise NotAuthenticated
    if not hosts.is_loopback_request(request.headers):
        raise HostNotAllowed
    _check_same_origin(request, must_be_told=False)


def check_same_origin(request: Request) -> None:
    """Refuse a changing request that was sent by a page of another origin."""
    _check_same_origin(request, must_be_told=False)


def _check_same_origin(request: Request, *, must_be_told: bool) -> None:
    if request.method in _SAFE_METHODS:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise CrossOrigin
    if origin is not None and not _is_own(origin, request):
        raise CrossOrigin
    if must_be_told and site is None and origin is None:
        raise CrossOrigin("a cookie needs a browser that says where a request comes from")


def _is_own(origin: str, request: Request) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # Not the scheme: a proxy in front of us may speak TLS for us.
    return parts.scheme in ("http", "https") and parts.netloc == request.headers.get("host")


def scopes_of(dependencies: list[Any]) -> frozenset[str] | None:
    """Return the scopes that a route's markers ask for; None if it has no marker."""
    found = [d for d in dependencies if getattr(d, "dependency", None) is bearer]
    if not found:
        return None
    return frozenset(scope for marker in found for scope in marker.scopes)


STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""Statuses of a guarded route in addition to its own."""
