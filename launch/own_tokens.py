"""Tokens that ``featherweight up`` makes at each start for its own worker and client.

They are passed in the environment of `featherweight migrate`, which stores their hashes, and of the
workers. Until a user makes the first token nobody else needs one.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

VARIABLE = "FEATHERWEIGHT_OWN_TOKENS"
_PREFIX = "fw_"


class OwnToken(BaseModel, frozen=True):
    """A token that replaces the one with the same name."""

    name: str
    scopes: tuple[str, ...]
    secret: str


_LIST = TypeAdapter(tuple[OwnToken, ...])


def new(folder: Path, what: str, *scopes: str) -> OwnToken:
    """Return a new secret for one part of the ``up`` in this folder on this machine."""
    place = f"{socket.gethostname()}:{folder.resolve()}"
    key = hashlib.sha256(place.encode()).hexdigest()[:8]
    return OwnToken(
        name=f"up-{key}-{what}", scopes=scopes, secret=_PREFIX + secrets.token_urlsafe(32)
    )


def written(tokens: Sequence[OwnToken]) -> str:
    """Return the tokens as the value of ``VARIABLE``."""
    return _LIST.dump_json(tuple(tokens)).decode()


def read(value: str) -> tuple[OwnToken, ...]:
    """Return the tokens from the value of ``VARIABLE``."""
    return _LIST.validate_json(value)
