"""The errors that mean that the database cannot be reached or does not answer in time."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_LOCK_NOT_AVAILABLE = "55P03"

OUTAGES: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeout)
"""Errors that pass without action, for rooms that must not import sqlalchemy."""


def is_lock_timeout(error: BaseException) -> bool:
    """Return whether a PostgreSQL row was locked by somebody else for longer than the limit."""
    original = getattr(error, "orig", None)
    return getattr(original, "sqlstate", None) == _LOCK_NOT_AVAILABLE
