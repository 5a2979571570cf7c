"""Clocks. Leases are judged by the database clock alone, so that clock skew cannot break them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Float, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class DbNow(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, at the moment the statement runs."""

    name = "db_now"
    type = Float()
    inherit_cache = True


@compiles(DbNow, "sqlite")
def _sqlite(element: DbNow, compiler: SQLCompiler, **options: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DbNow, "postgresql")
def _postgresql(element: DbNow, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(): that is the transaction's start, and a transaction may have waited for a lock.
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


def db_now() -> DbNow:
    """Return the seconds since 1970 by the database's clock, as an SQL expression."""
    return DbNow()


def now(session: Session) -> float:
    """Return the seconds since 1970 by the database's clock."""
    return session.execute(select(db_now())).scalar_one()


def utc_now() -> datetime:
    """Return the time of this machine, timezone-aware, for records that people read."""
    return datetime.now(UTC)
