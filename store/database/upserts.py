"""INSERT .. ON CONFLICT, written the same way for both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.tables.records import Base


def insert_new(session: Session, table: type[Base], values: dict[str, Any]) -> bool:
    """Insert one row unless a unique value of it exists. Returns True if it was inserted.

    On PostgreSQL it waits for a transaction that is inserting the same value, and it does not break
    the current transaction as a caught IntegrityError would.
    """
    statement = _insert(session)(table).values(**values).on_conflict_do_nothing()
    # The returned key tells: the drivers' row counts do not agree.
    return session.execute(statement.returning(*table.__mapper__.primary_key)).first() is not None


def insert_or_renew(
    session: Session, table: type[Base], values: dict[str, Any], *, renewed: str
) -> None:
    """Insert one row, or update one column of the row with the same key.

    In both cases the row is locked until the end of the transaction.
    """
    statement = _insert(session)(table).values(**values)
    again = statement.on_conflict_do_update(
        index_elements=list(table.__mapper__.primary_key), set_={renewed: values[renewed]}
    )
    session.execute(again)


def _insert(session: Session) -> Any:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    return sqlite.insert if is_sqlite else postgresql.insert
