"""What it looks like when the database cannot be reached or does not answer in time."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_LOCK_NOT_AVAILABLE = "55P03"

OUTAGES: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeout)
"""Errors that pass by themselves; for rooms that may not import sqlalchemy."""


def is_lock_timeout(error: BaseException) -> bool:
    """Whether somebody else held a row of PostgreSQL for longer than one waits for it."""
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None) == _LOCK_NOT_AVAILABLE
