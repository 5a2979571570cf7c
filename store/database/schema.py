"""The revision of the open database's schema, read without Alembic."""

from __future__ import annotations

from sqlalchemy import column, inspect, select, table
from sqlalchemy.orm import Session

VERSION_TABLE = "fw_alembic_version"
_REVISION = select(column("version_num")).select_from(table(VERSION_TABLE))


def revision(session: Session) -> str | None:
    """Return the schema revision of the database, or None if it has none."""
    if not inspect(session.connection()).has_table(VERSION_TABLE):
        return None
    return session.scalar(_REVISION)
