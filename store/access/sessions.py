"""Sessions of browsers: what a cookie holds instead of the token that somebody logged in with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from store.access import secrets, tokens
from store.database import clock
from store.tables.records import SessionRecord, TokenRecord

PREFIX = "fws_"
MOST_PER_TOKEN = 100
"""Beyond that the oldest sessions of a token end."""


def begin(session: Session, token: TokenRecord, *, days: float) -> str:
    """The secret of a new session that ends with its token, and after so many days."""
    secret, now = secrets.new(PREFIX), clock.utc_now()
    _end_oldest(session, token)
    session.add(
        SessionRecord(
            secret_sha256=secrets.digest(secret),
            token_id=token.id,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return secret


def find(session: Session, secret: str) -> TokenRecord | None:
    """The token behind a session; None where either has ended."""
    query = (
        select(TokenRecord)
        .join(SessionRecord, SessionRecord.token_id == TokenRecord.id)
        .where(
            SessionRecord.secret_sha256 == secrets.digest(secret),
            SessionRecord.expires_at > clock.utc_now(),
            *tokens.are_valid(),
        )
    )
    return session.scalars(query).one_or_none()


def valid(session: Session, digests: Collection[str]) -> frozenset[str]:
    """Those of the sessions, by the digests of their secrets, that have not ended."""
    query = select(SessionRecord.secret_sha256).where(
        SessionRecord.secret_sha256.in_(digests), SessionRecord.expires_at > clock.utc_now()
    )
    return frozenset(session.scalars(query))


def end(session: Session, secret: str) -> None:
    """End a session; a repeat changes nothing."""
    session.execute(
        delete(SessionRecord).where(SessionRecord.secret_sha256 == secrets.digest(secret))
    )


def _end_oldest(session: Session, token: TokenRecord) -> None:
    newest = (
        select(SessionRecord.secret_sha256)
        .where(SessionRecord.token_id == token.id)
        .order_by(SessionRecord.created_at.desc(), SessionRecord.secret_sha256)
        .limit(MOST_PER_TOKEN - 1)
    )
    session.execute(
        delete(SessionRecord).where(
            SessionRecord.token_id == token.id,
            SessionRecord.secret_sha256.not_in(list(session.scalars(newest))),
        )
    )
