"""Sessions of browsers: a cookie holds a session secret instead of the token of the login."""

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
"""Most sessions per token: beyond that, the oldest ones end."""


def begin(session: Session, token: TokenRecord, *, days: float) -> str:
    """Return the secret of a new session that ends with its token or after ``days``."""
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
    """Return the token behind a session, or None if the session or the token has ended."""
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
    """Return the sessions, by the digests of their secrets, that have not ended."""
    query = select(SessionRecord.secret_sha256).where(
        SessionRecord.secret_sha256.in_(digests), SessionRecord.expires_at > clock.utc_now()
    )
    return frozenset(session.scalars(query))


def end(session: Session, secret: str) -> None:
    """End a session. Ending it again changes nothing."""
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
