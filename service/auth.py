"""Who may do what: bearer tokens with scopes, a cookie for browsers, and the open loopback."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from fastapi import Security
from fastapi.security import HTTPBearer
from starlette.requests import Request

from service import callers, resources
from service.errors import CrossOrigin, HostNotAllowed, NotAuthenticated, ScopeMissing
from service.settings import LOOPBACK_NAMES
from service.streams import Holder
from store import tokens
from store.tables import TokenRecord

COOKIE = "featherweight_token"
IMPLIED: Mapping[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "submit": frozenset({"read", "submit"}),
    "work": frozenset({"work"}),
    "admin": frozenset({"read", "submit", "work", "admin"}),
}
"""Scope of a token to everything it allows."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SECRET_CHARACTERS = 200

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
    """Let the request pass or raise; reads the token from the database.

    Raises:
        NotAuthenticated: no token, or an unknown or revoked one.
        ScopeMissing: the token does not have one of ``scopes``.
        CrossOrigin: a cookie, or no token at all, and the request comes from a foreign page.
        HostNotAllowed: no tokens exist, and the request was not sent to a loopback name.
    """
    header = request.headers.get("authorization")
    if header is not None:
        return _check_secret(request, _bearer_secret(header), scopes)
    cookie = request.cookies.get(COOKIE)
    if cookie:
        _check_same_origin(request, must_be_told=True)
        return _check_secret(request, cookie, scopes)
    _check_open(request)
    callers.keep(request, None, frozenset())
    return None


def _check_secret(request: Request, secret: str, scopes: frozenset[str]) -> None:
    token = _find(request, secret)
    if token is None:
        raise NotAuthenticated("the token is unknown or revoked")
    granted = _granted(token)
    callers.keep(request, token, granted)
    if missing := scopes - granted:
        raise ScopeMissing(f"this needs a token with the scope {sorted(missing)[0]!r}")


def find_scopes(request: Request, secret: str) -> frozenset[str] | None:
    """Everything the token allows; None for a secret that no valid token has."""
    token = _find(request, secret)
    return None if token is None else _granted(token)


def holder_of(request: Request) -> Holder:
    """Who sent an authorised request, for limits and for what outlasts the request's start."""
    address = request.client.host if request.client else ""
    return Holder(token_id=callers.of(request).token_id, address=address)


def _find(request: Request, secret: str) -> TokenRecord | None:
    # Looked up by its hash, so the time it takes says nothing about stored ones.
    if not secret or len(secret) > _MAX_SECRET_CHARACTERS or not secret.isascii():
        return None
    with resources.of(request).database.read() as session:
        return tokens.find(session, secret)


def _granted(token: TokenRecord) -> frozenset[str]:
    return frozenset().union(*(IMPLIED[scope] for scope in token.scopes))


def _bearer_secret(header: str) -> str:
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise NotAuthenticated("expected 'Authorization: Bearer fw_...'")
    return secret.strip()


def _check_open(request: Request) -> None:
    here = resources.of(request)
    with here.database.read() as session:
        has_tokens = tokens.any_exist(session)
    if has_tokens or not here.settings.is_loopback:
        raise NotAuthenticated
    # A page elsewhere can make its own name point to 127.0.0.1 and then read our answers.
    if not _is_loopback_name(request.url.hostname or ""):
        raise HostNotAllowed
    _check_same_origin(request, must_be_told=False)


def check_same_origin(request: Request) -> None:
    """Refuse a request that changes something and that a page of another origin sent."""
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


def _is_loopback_name(host: str) -> bool:
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def scopes_of(dependencies: list[Any]) -> frozenset[str] | None:
    """The scopes that a route's markers ask for; None where it has no marker."""
    found = [d for d in dependencies if getattr(d, "dependency", None) is bearer]
    if not found:
        return None
    return frozenset(scope for marker in found for scope in marker.scopes)


STATUSES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
"""What a guarded route may answer besides its own statuses."""
