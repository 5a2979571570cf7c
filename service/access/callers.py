"""The caller of a request, as its token says: stored with the request and read by endpoints."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query, Request

from store.access.owners import NOBODY, Caller
from store.access.tokens import OWN
from store.tables.records import TokenRecord

Owner = Annotated[
    str | None,
    Query(
        max_length=255,
        pattern=r"^[^\u0000]{1,255}$",
        description="Only what tokens of this name made.",
    ),
]


def keep(request: Request, token: TokenRecord | None, granted: frozenset[str]) -> None:
    """Store the sender with the request; None if no tokens exist and none is needed."""
    request.state.caller = NOBODY if token is None else _caller(token, granted)


def of(request: Request) -> Caller:
    """Return the sender of an authorised request."""
    return request.state.caller


def _caller(token: TokenRecord, granted: frozenset[str]) -> Caller:
    # Our own processes own nothing under their names.
    name = "" if token.kind == OWN else token.name
    return Caller(name=name, token_id=token.id, is_admin="admin" in granted)


async def _of_endpoint(request: Request) -> Caller:
    return of(request)


Sender = Annotated[Caller, Depends(_of_endpoint)]
