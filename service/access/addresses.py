"""Addresses within the service: the login page, and where a browser may be sent after it."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from starlette.datastructures import URL

HOME = "/ui"


def login(wanted: URL) -> str:
    """Return the login page that leads on to ``wanted``."""
    query = f"?{wanted.query}" if wanted.query else ""
    return "/login?" + urlencode({"next": wanted.path + query})


def safe_next(candidate: str | None) -> str:
    """Return a path of this service; anything that could lead elsewhere becomes the start page."""
    if not candidate or not candidate.startswith("/") or candidate.startswith("//"):
        return HOME
    if "\\" in candidate or any(ord(character) < 33 for character in candidate):
        return HOME
    parts = urlsplit(candidate)
    return HOME if parts.scheme or parts.netloc else candidate


def login_failed(wanted: str) -> str:
    """Return the login page that says that the token was not accepted."""
    return "/login?" + urlencode({"next": wanted, "failed": "1"})
