"""Find out what keeps a stored file: every row that names it and needs it.

A file that nothing keeps may be removed. The digests of measured files (``file_sha256`` of rungs
and trials) are names only: the figures remain when the file goes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Column, select
from sqlalchemy.orm import Session

from featherweight.specs.states import Phase
from store.tables.records import Base, FileRecord, TrialRecord, UploadRecord, table_of

_FILES, _TRIALS = table_of(FileRecord), table_of(TrialRecord)
_ROWS_AT_ONCE = 500
BY_KEY: tuple[Column[str], ...] = tuple(
    key.parent
    for table in Base.metadata.sorted_tables
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
    if key.column is _FILES.c.sha256
)
"""Columns with a foreign key to the file that they name."""
BY_UPLOADS: Column[str] = table_of(UploadRecord).c.sha256
"""A finished upload keeps its file until it is forgotten: its request may be repeated."""
_OF_TEST_TRIALS = select(_TRIALS.c.files).where(
    _TRIALS.c.phase == Phase.TEST, _TRIALS.c.files.is_not(None)
)


def keeping(
    session: Session, digests: Collection[str], *, besides_uploads: bool = False
) -> set[str]:
    """Return the files among these that a row refers to by a foreign key."""
    columns: Sequence[Column[str]] = BY_KEY if besides_uploads else (*BY_KEY, BY_UPLOADS)
    found: set[str] = set()
    for column in columns:
        left = set(digests) - found
        if left:
            found.update(session.scalars(select(column).where(column.in_(left))))
    return found


def unkept(session: Session, digests: Collection[str]) -> set[str]:
    """Return the files among these that nothing keeps; files to measure on test are kept too."""
    left = set(digests) - keeping(session, digests)
    return left - _tested(session, left) if left else left


def _tested(session: Session, digests: Collection[str]) -> set[str]:
    rows = session.scalars(_OF_TEST_TRIALS.execution_options(yield_per=_ROWS_AT_ONCE))
    return {sha256 for files in rows for sha256 in files if sha256 in digests}
