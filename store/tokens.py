"""Bearer tokens: a name, scopes, and the hash of a secret."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from store import clock, paging, secrets
from store.errors import TokenNotFound, TokenTaken
from store.tables import TokenRecord
from store.upserts import insert_new

SCOPES = ("read", "submit", "work", "admin")
PREFIX = "fw_"
OWN = "own"
"""Kind of the tokens that `featherweight up` makes for its own processes."""


def create(
    session: Session, *, name: str, scopes: Sequence[str], secret: str | None = None
) -> tuple[TokenRecord, str]:
    """A new token and its secret, which is not stored and cannot be read again.

    Args:
        session: A writing transaction.
        name: For people.
        scopes: Some of ``SCOPES``.
        secret: Use this one instead of a new random one.

    Raises:
        TokenTaken: the given secret is another token's.
    """
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise ValueError(f"scopes must be some of {list(SCOPES)}, got {list(scopes)}")
    secret = secret or secrets.new(PREFIX)
    values = {
        "id": str(uuid.uuid4()),
        "name": name,
        "secret_sha256": secrets.digest(secret),
        "scopes": [scope for scope in SCOPES if scope in scopes],
        "created_at": clock.utc_now(),
    }
    if not insert_new(session, TokenRecord, values):
        raise TokenTaken("this secret belongs to another token: leave it out to get a new one")
    return session.get_one(TokenRecord, values["id"]), secret


def renew_own(session: Session, *, name: str, scopes: Sequence[str], secret: str) -> None:
    """Make the token of our own processes, instead of the one that an earlier start made.

    It is of a kind that ``any_exist`` does not count: the loopback stays open until a user makes
    the first token, and the process that has this one works on after that.

    Args:
        session: A writing transaction.
        name: Whose it is; one of each name is kept.
        scopes: Some of ``SCOPES``.
        secret: Made by whoever will use it.
    """
    earlier = delete(TokenRecord).where(TokenRecord.kind == OWN, TokenRecord.name == name)
    session.execute(earlier)
    token, _ = create(session, name=name, scopes=scopes, secret=secret)
    token.kind = OWN


def find(session: Session, secret: str) -> TokenRecord | None:
    """The token behind the secret; None where there is none or it was revoked."""
    query = select(TokenRecord).where(
        TokenRecord.secret_sha256 == secrets.digest(secret), TokenRecord.revoked_at.is_(None)
    )
    return session.scalars(query).one_or_none()


def page(
    session: Session, *, limit: int, cursor: str | None = None
) -> tuple[list[TokenRecord], str | None]:
    """One page of tokens, revoked ones too, newest first; raises InvalidCursor."""
    key = (TokenRecord.created_at, TokenRecord.id)
    query = select(TokenRecord)
    return paging.fetch(session, query, key, limit=limit, cursor=cursor, descending=True)


def get(session: Session, token_id: str) -> TokenRecord:
    """The token, revoked or not; raises TokenNotFound."""
    token = session.get(TokenRecord, token_id)
    if token is None:
        raise TokenNotFound(f"no token {token_id}")
    return token


def revoke(session: Session, token_id: str) -> TokenRecord:
    """Make the secret worthless; a repeat changes nothing. Raises TokenNotFound."""
    token = get(session, token_id)
    token.revoked_at = token.revoked_at or clock.utc_now()
    return token


def valid(session: Session, token_ids: Collection[str]) -> frozenset[str]:
    """Those of the tokens that exist and were not revoked."""
    query = select(TokenRecord.id).where(
        TokenRecord.id.in_(token_ids), TokenRecord.revoked_at.is_(None)
    )
    return frozenset(session.scalars(query))


def any_exist(session: Session) -> bool:
    """Whether a user has ever made a token: without one the service must stay on loopback."""
    of_users = select(TokenRecord.id).where(TokenRecord.kind != OWN)
    return session.execute(select(exists(of_users))).scalar_one()
