"""Addresses within the service: where to log in, and which places one may be sent to after it."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from starlette.datastructures import URL

HOME = "/ui"


def login(wanted: URL) -> str:
    """The login page that leads on to ``wanted``."""
    query = f"?{wanted.query}" if wanted.query else ""
    return "/login?" + urlencode({"next": wanted.path + query})


def safe_next(candidate: str | None) -> str:
    """A path of this service; anything that could lead elsewhere becomes the start page."""
    if not candidate or not candidate.startswith("/") or candidate.startswith("//"):
        return HOME
    if "\\" in candidate or any(ord(character) < 33 for character in candidate):
        return HOME
    parts = urlsplit(candidate)
    return HOME if parts.scheme or parts.netloc else candidate


def login_failed(wanted: str) -> str:
    """The login page once more, saying that the token was not accepted."""
    return "/login?" + urlencode({"next": wanted, "failed": "1"})
