"""What a house is rid of from time to time: one list of what goes, and when.

Every entry is a name and an iterator: each step of it removes a bounded number of things, in one
or a few short transactions, and says how many. Nothing is held between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.housekeeping import kept_files
from service.settings import RetentionSettings
from store.database import clock
from store.files.file_store import FileStore
from store.housekeeping import collector, home, leftovers, removal, retention
from store.session import Database, Session

GRACE = timedelta(hours=1)
"""What seems to be garbage is left alone for so long: it costs nothing to wait."""
LEFTOVER_SECONDS = 2.0
"""A temporary file that is older and that nobody has locked is nobody's."""
ORPHAN_SECONDS = 60.0
"""An upload's bytes are there a moment before its row is."""
_JOBS_AT_ONCE = 20
_REMOVAL_SECONDS = 5.0
_MOST_REMEMBERED = 100_000
Work = Iterator[tuple[str, Iterator[int]]]


@dataclass(frozen=True, kw_only=True)
class House:
    """What is tidied, and by which rules.

    ``grace`` is how long garbage is left alone. ``takes_unmarked`` says that files without a row
    go even if they lay there before the folder was marked as this database's.
    """

    database: Database
    files: FileStore
    settings: RetentionSettings
    grace: timedelta = GRACE
    takes_unmarked: bool = False
    now: Callable[[], datetime] = clock.utc_now
    looked_into: set[str] = field(default_factory=set)
    """Jobs whose files of stopped trials are gone, but for those that are needed."""


def work(house: House) -> Work:
    """Everything that goes, in an order in which what goes later is set free before."""
    yield "deleted jobs", _repeat(lambda: _finish_deletions(house))
    yield "files of stopped trials", _forget_files(house)
    yield from _rows(house)
    yield from _uploads(house)
    yield "profiles", _repeat(_writing(house, retention.forget_profiles))
    yield from collection(house)


def collection(house: House) -> Work:
    """What lies on the disk and nothing needs; nothing where the folder is another's."""
    if home.settle(house.database, house.files):
        yield "unreferenced files", _collect_known(house)
        yield "unknown files", _collect_unknown(house)
        yield "temporary files", _remove_leftovers(house)


def _finish_deletions(house: House) -> int:
    return removal.finish_all(house.database, house.files, seconds=_REMOVAL_SECONDS)


def _forget_files(house: House) -> Iterator[int]:
    """Files of trials that came to nothing, job by job; the collector removes their bytes."""
    kept = house.settings.keep_stopped_files
    while kept and (found := _jobs_to_look_into(house, before=house.now() - kept)):
        for job_id in found:
            with house.database.read() as session:
                files = kept_files.dispensable(session, job_id)
            for begin in range(0, len(files), retention.ROWS_AT_ONCE):
                some = files[begin : begin + retention.ROWS_AT_ONCE]
                with house.database.write() as session:
                    forgotten = len(retention.forget_files(session, some))
                yield forgotten
            house.looked_into.add(job_id)


def _jobs_to_look_into(house: House, *, before: datetime) -> list[str]:
    if len(house.looked_into) > _MOST_REMEMBERED:
        house.looked_into.clear()
    with house.database.read() as session:
        return retention.jobs_with_lost_files(
            session, before=before, besides=house.looked_into, limit=_JOBS_AT_ONCE
        )


def _rows(house: House) -> Work:
    kept, older = house.settings, _older
    yield "events", older(house, retention.forget_events, kept.keep_events)
    yield "workers", older(house, retention.forget_workers, kept.keep_workers)
    yield "workers' faults", older(house, retention.forget_faults, kept.keep_workers)
    yield "audit entries", older(house, retention.forget_audit, kept.keep_audit)
    yield "expired logins", _repeat(_writing(house, retention.forget_sessions))


def _uploads(house: House) -> Work:
    database, files = house.database, house.files
    if kept := house.settings.keep_uploads:
        before = house.now() - kept
        forget = leftovers.forget_finished
        yield "unfinished uploads", leftovers.remove_unfinished(database, files, before=before)
        yield "finished uploads", _repeat(lambda: forget(database, before=before))


def _collect_known(house: House) -> Iterator[int]:
    database, files = house.database, house.files
    for sha256 in collector.unreferenced(database, grace=house.grace):
        yield collector.remove(database, files, sha256, grace=house.grace)


def _collect_unknown(house: House) -> Iterator[int]:
    for found in unknown(house):
        yield collector.remove(house.database, house.files, found.sha256)


def unknown(house: House) -> Iterator[collector.OnDisk]:
    """Files without a row that may go."""
    marked_at = home.marked_at(house.files) or 0.0
    latest = house.now().timestamp() - house.grace.total_seconds()
    for found in collector.unknown(house.database, house.files):
        is_ours = house.takes_unmarked or found.written_at >= marked_at
        if is_ours and found.changed_at <= latest:
            yield found


def _remove_leftovers(house: House) -> Iterator[int]:
    seconds = max(LEFTOVER_SECONDS, house.grace.total_seconds())
    yield from leftovers.remove_temporary(house.files, older_than_seconds=seconds)
    seconds = max(ORPHAN_SECONDS, seconds)
    yield from leftovers.remove_orphans(house.database, house.files, older_than_seconds=seconds)


def _older(house: House, forget: Callable[..., int], kept: timedelta | None) -> Iterator[int]:
    if kept is None:
        return iter(())
    before = house.now() - kept
    return _repeat(_writing(house, lambda session: forget(session, before=before)))


def _writing(house: House, act: Callable[[Session], int]) -> Callable[[], int]:
    def step() -> int:
        with house.database.write() as session:
            return act(session)

    return step


def _repeat(step: Callable[[], int]) -> Iterator[int]:
    while count := step():
        yield count
