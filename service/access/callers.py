"""Who sent a request, as its token says: kept with the request, asked for by endpoints."""

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
    """Note who sends the request; None where no token exists and nobody needs one."""
    request.state.caller = NOBODY if token is None else _caller(token, granted)


def of(request: Request) -> Caller:
    """Who sent a request that was authorised."""
    return request.state.caller


def _caller(token: TokenRecord, granted: frozenset[str]) -> Caller:
    # Our own processes make nothing that outlives them under a name of theirs.
    name = "" if token.kind == OWN else token.name
    return Caller(name=name, token_id=token.id, is_admin="admin" in granted)


async def _of_endpoint(request: Request) -> Caller:
    return of(request)


Sender = Annotated[Caller, Depends(_of_endpoint)]
