"""The doctor: checks the installation, with or without its processes, and repairs what is safe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from featherweight.specs.checkup import Finding
from service.errors import CannotLook
from service.housekeeping import checkup
from service.housekeeping.caretaker import LEASE_SECONDS, Caretaker
from service.housekeeping.checkup import places
from service.housekeeping.tidying import HousekeepingScope
from service.settings import ServiceSettings
from store.database import migrate
from store.database.outages import OUTAGES
from store.files.file_store import FileStore
from store.session import Database

_ASK_AGAIN_SECONDS = 1.0


def schema_findings(settings: ServiceSettings) -> list[Finding]:
    """Return findings that prevent further checks: a schema that is not this version's.

    Raises:
        CannotLook: there is no database, or it does not answer.
    """
    try:
        found = migrate.current(settings.database_url)
    except OUTAGES as error:
        raise CannotLook(f"the database does not answer: {error}") from error
    if found is None:
        where = migrate.shown(settings.database_url)
        raise CannotLook(f"there is nothing at {where}: is this the right database?")
    if found == migrate.head():
        return []
    words = (
        f"the schema is {found}, this version needs {migrate.head()}; nothing else was looked at"
    )
    mend = "run `featherweight migrate`, or the version of featherweight that the service runs"
    return [Finding(check="versions", what=words, thing="schema", mend=mend)]


def look(settings: ServiceSettings, *, deep: bool = False) -> Iterator[Finding]:
    """Yield everything that is wrong, except in the studies. The schema must be this version's.

    Raises:
        CannotLook: the database does not answer any more.
    """
    with _opened(settings) as (database, files):
        for part in checkup.PARTS:
            try:
                yield from part(database, files, settings, deep)
            except OUTAGES as error:
                raise CannotLook(f"the database does not answer: {error}") from error
            except OSError as error:
                yield Finding(
                    check="disk",
                    what=f"the disk cannot be read: {error.strerror or error}",
                    thing=str(error.filename or settings.files),
                    mend="look at the disk and at whose it is, and run the doctor again",
                )


def repair(settings: ServiceSettings) -> Counter[str]:
    """Repair file modes and remove what may go, without the grace period of the service.

    Raises:
        CannotLook: another process has been tidying for all this time.
    """
    with _opened(settings) as (database, files):
        mended = Counter({"modes": places.close(files, settings)})
        scope = HousekeepingScope(
            database=database,
            files=files,
            settings=settings,
            grace=timedelta(),
            takes_unmarked=True,
        )
        return +(mended + _tidied(Caretaker(scope).turn))


def _tidied(turn: Callable[[], Counter[str] | None]) -> Counter[str]:
    """Take one turn. A process that was killed during its own turn keeps the lease for a while."""
    ends = time.monotonic() + LEASE_SECONDS + 5 * _ASK_AGAIN_SECONDS
    while (removed := turn()) is None:
        if time.monotonic() > ends:
            raise CannotLook("another process is doing the housekeeping: try again later")
        time.sleep(_ASK_AGAIN_SECONDS)
    return removed


@contextmanager
def _opened(settings: ServiceSettings) -> Iterator[tuple[Database, FileStore]]:
    database = Database(settings.database_url)
    try:
        yield database, FileStore(settings.files)
    finally:
        database.dispose()
