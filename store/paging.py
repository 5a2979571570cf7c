"""Keyset pages: a cursor names the last row that was seen, so inserts never shift a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from featherweight import documents
from store.errors import InvalidCursor

MAX_LIMIT = 200
MAX_CURSOR_CHARACTERS = 400
_ALPHABET = b"-_"
Record = TypeVar("Record")
Key = Sequence[InstrumentedAttribute[Any]]


def fetch(
    session: Session,
    query: Select[Record],
    key: Key,
    *,
    limit: int,
    cursor: str | None,
    descending: bool,
) -> tuple[list[Record], str | None]:
    """Return one page of ``query`` in the order of ``key``, and the cursor of the next page.

    Args:
        session: Where to read.
        query: All rows of the listing, unordered.
        key: Columns that are unique together; the page is ordered by them.
        limit: 1 to 200 rows.
        cursor: What the page before returned; None for the first page.
        descending: Newest or largest first.

    Raises:
        InvalidCursor: the cursor was not made by this listing.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit must be within 1 and {MAX_LIMIT}, got {limit}")
    if cursor is not None:
        query = query.where(_beyond(key, decode(cursor, key), descending=descending))
    order = [column.desc() if descending else column.asc() for column in key]
    rows = list(session.scalars(query.order_by(*order).limit(limit + 1)))
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode(rows[limit - 1], key)


def encode(record: object, key: Key) -> str:
    """Return the cursor that continues after ``record``."""
    values = [_write(getattr(record, column.key)) for column in key]
    text = json.dumps([_listing(key), *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, key: Key) -> list[Any]:
    """Return the key values in a cursor. Raises InvalidCursor.

    A cursor comes back from a client, so it is read like any other document.
    """
    try:
        listing, *values = _document(cursor)
        if listing != _listing(key):
            raise ValueError("another listing made it")
        return [_READ[_python_type(c)](v) for c, v in zip(key, values, strict=True)]
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidCursor(
            f"cannot continue at cursor {cursor[:80]!r}: {error}; start without one"
        ) from error


def _document(cursor: str) -> list[Any]:
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CURSOR_CHARACTERS} characters")
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    found = documents.read_json(base64.b64decode(padded, _ALPHABET, validate=True))
    if not isinstance(found, list):
        raise TypeError("no listing made it")
    documents.check_storable(found)
    return found


def _beyond(key: Key, values: list[Any], *, descending: bool) -> ColumnElement[bool]:
    columns, last = tuple_(*key), tuple_(*values)
    return columns < last if descending else columns > last


def _listing(key: Key) -> str:
    return str(key[0].class_.__tablename__)


def _python_type(column: InstrumentedAttribute[Any]) -> type:
    return column.type.python_type


def _write(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _read_time(value: Any) -> datetime:
    moment = datetime.fromisoformat(_read_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    # Databases keep UTC, in which the first and the last moments of the calendar do not exist.
    return moment.astimezone(UTC)


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {value!r}")
    return value


def _read_int(value: Any) -> int:
    # Not isinstance: true is no number.
    if type(value) is not int or abs(value) > 2**31 - 1:
        raise TypeError(f"expected a small whole number, got {value!r}")
    return value


_READ: dict[type, Callable[[Any], Any]] = {
    datetime: _read_time,
    str: _read_text,
    int: _read_int,
}
