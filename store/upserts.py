"""INSERT .. ON CONFLICT DO NOTHING, spelled alike on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.tables import Base


def insert_new(session: Session, table: type[Base], values: dict[str, Any]) -> bool:
    """Insert one row unless a unique value of it exists; whether it was inserted.

    On PostgreSQL it waits for a transaction that is inserting the same value, and it does not
    break the own transaction as a caught IntegrityError would.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(table).values(**values).on_conflict_do_nothing()
    # The returned key tells: the drivers' row counts do not agree.
    return session.execute(statement.returning(*table.__mapper__.primary_key)).first() is not None
