"""Tokens that ``featherweight up`` makes for its own worker and its own client, new at each start.

They travel in the environment of `featherweight migrate`, which keeps their hashes, and in that of
the workers. Until a user makes the first token nobody else needs one.
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
    """A token to make in the place of the one with this name."""

    name: str
    scopes: tuple[str, ...]
    secret: str


_LIST = TypeAdapter(tuple[OwnToken, ...])


def new(folder: Path, what: str, *scopes: str) -> OwnToken:
    """A new secret for one part of the ``up`` that runs on this machine in this folder."""
    place = f"{socket.gethostname()}:{folder.resolve()}"
    key = hashlib.sha256(place.encode()).hexdigest()[:8]
    return OwnToken(
        name=f"up-{key}-{what}", scopes=scopes, secret=_PREFIX + secrets.token_urlsafe(32)
    )


def written(tokens: Sequence[OwnToken]) -> str:
    """The value of ``VARIABLE``."""
    return _LIST.dump_json(tuple(tokens)).decode()


def read(value: str) -> tuple[OwnToken, ...]:
    """The tokens in the value of ``VARIABLE``."""
    return _LIST.validate_json(value)
