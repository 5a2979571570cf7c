"""Let requests that count and then add to what an owner has take turns.

On PostgreSQL a turn is an advisory lock that ends with the transaction; waiting for it is limited
like waiting for a row. SQLite has a single writer anyway.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

_WAIT = text("SELECT pg_advisory_xact_lock(hashtextextended(:turn, 0))")
_TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:turn, 0))")


def wait(session: Session, what: str, owner: str) -> None:
    """Wait for the turn; it lasts until the transaction ends."""
    if _is_shared(session):
        session.execute(_WAIT, {"turn": f"{what} of {owner}"})


def take_if_free(session: Session, what: str, owner: str) -> bool:
    """Take the turn unless another transaction has it. Returns True if it was taken."""
    return (
        not _is_shared(session)
        or session.execute(_TRY, {"turn": f"{what} of {owner}"}).scalar_one()
    )


def _is_shared(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"
