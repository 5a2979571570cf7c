"""What it looks like when the database cannot be reached or does not answer in time."""

from __future__ import annotations

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

OUTAGES: tuple[type[Exception], ...] = (OperationalError, InterfaceError, PoolTimeout)
"""Errors that pass by themselves; for rooms that may not import sqlalchemy."""
