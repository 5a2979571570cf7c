"""What housekeeping removes, and when, as one list.

Every entry is a name and an iterator. Each step of it removes a bounded number of things, in one or
a few short transactions, and yields how many. Nothing is locked between two steps.
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
"""How long unreferenced files are left alone: waiting costs nothing."""
LEFTOVER_SECONDS = 2.0
"""A temporary file that is older than this and not locked belongs to nobody."""
ORPHAN_SECONDS = 60.0
"""The bytes of an upload exist a moment before its row does."""
_JOBS_AT_ONCE = 20
_REMOVAL_SECONDS = 5.0
_MOST_REMEMBERED = 100_000
Work = Iterator[tuple[str, Iterator[int]]]


@dataclass(frozen=True, kw_only=True)
class HousekeepingScope:
    """What housekeeping works on, and by which rules.

    ``grace`` is how long unreferenced files are left alone. ``takes_unmarked`` says that files
    without a row go even if they lay there before the folder was marked as this database's.
    """

    database: Database
    files: FileStore
    settings: RetentionSettings
    grace: timedelta = GRACE
    takes_unmarked: bool = False
    now: Callable[[], datetime] = clock.utc_now
    looked_into: set[str] = field(default_factory=set)
    """Jobs whose files of stopped trials are gone, but for those that are needed."""


def work(scope: HousekeepingScope) -> Work:
    """Yield all kinds of removal, ordered so that earlier ones free things for later ones."""
    yield "deleted jobs", _repeat(lambda: _finish_deletions(scope))
    yield "files of stopped trials", _forget_files(scope)
    yield from _rows(scope)
    yield from _uploads(scope)
    yield "profiles", _repeat(_writing(scope, retention.forget_profiles))
    yield from collection(scope)


def collection(scope: HousekeepingScope) -> Work:
    """Yield the removal of unneeded files; nothing if the folder belongs to another database."""
    if home.settle(scope.database, scope.files):
        yield "unreferenced files", _collect_known(scope)
        yield "unknown files", _collect_unknown(scope)
        yield "temporary files", _remove_leftovers(scope)


def _finish_deletions(scope: HousekeepingScope) -> int:
    return removal.finish_all(scope.database, scope.files, seconds=_REMOVAL_SECONDS)


def _forget_files(scope: HousekeepingScope) -> Iterator[int]:
    """Forget files of stopped and failed trials, job by job; the collector removes their bytes."""
    kept = scope.settings.keep_stopped_files
    while kept and (found := _jobs_to_look_into(scope, before=scope.now() - kept)):
        for job_id in found:
            with scope.database.read() as session:
                files = kept_files.dispensable(session, job_id)
            for begin in range(0, len(files), retention.ROWS_AT_ONCE):
                some = files[begin : begin + retention.ROWS_AT_ONCE]
                with scope.database.write() as session:
                    forgotten = len(retention.forget_files(session, some))
                yield forgotten
            scope.looked_into.add(job_id)


def _jobs_to_look_into(scope: HousekeepingScope, *, before: datetime) -> list[str]:
    if len(scope.looked_into) > _MOST_REMEMBERED:
        scope.looked_into.clear()
    with scope.database.read() as session:
        return retention.jobs_with_lost_files(
            session, before=before, besides=scope.looked_into, limit=_JOBS_AT_ONCE
        )


def _rows(scope: HousekeepingScope) -> Work:
    kept, older = scope.settings, _older
    yield "events", older(scope, retention.forget_events, kept.keep_events)
    yield "workers", older(scope, retention.forget_workers, kept.keep_workers)
    yield "workers' faults", older(scope, retention.forget_faults, kept.keep_workers)
    yield "meters", older(scope, retention.forget_meters, kept.keep_workers)
    yield "audit entries", older(scope, retention.forget_audit, kept.keep_audit)
    yield "expired logins", _repeat(_writing(scope, retention.forget_sessions))


def _uploads(scope: HousekeepingScope) -> Work:
    database, files = scope.database, scope.files
    if kept := scope.settings.keep_uploads:
        before = scope.now() - kept
        forget = leftovers.forget_finished
        yield "unfinished uploads", leftovers.remove_unfinished(database, files, before=before)
        yield "finished uploads", _repeat(lambda: forget(database, before=before))


def _collect_known(scope: HousekeepingScope) -> Iterator[int]:
    database, files = scope.database, scope.files
    for sha256 in collector.unreferenced(database, grace=scope.grace):
        yield collector.remove(database, files, sha256, grace=scope.grace)


def _collect_unknown(scope: HousekeepingScope) -> Iterator[int]:
    for found in unknown(scope):
        yield collector.remove(scope.database, scope.files, found.sha256)


def unknown(scope: HousekeepingScope) -> Iterator[collector.OnDisk]:
    """Yield files without a row that may be removed."""
    marked_at = home.marked_at(scope.files) or 0.0
    latest = scope.now().timestamp() - scope.grace.total_seconds()
    for found in collector.unknown(scope.database, scope.files):
        is_ours = scope.takes_unmarked or found.written_at >= marked_at
        if is_ours and found.changed_at <= latest:
            yield found


def _remove_leftovers(scope: HousekeepingScope) -> Iterator[int]:
    seconds = max(LEFTOVER_SECONDS, scope.grace.total_seconds())
    yield from leftovers.remove_temporary(scope.files, older_than_seconds=seconds)
    seconds = max(ORPHAN_SECONDS, seconds)
    yield from leftovers.remove_orphans(scope.database, scope.files, older_than_seconds=seconds)


def _older(
    scope: HousekeepingScope, forget: Callable[..., int], kept: timedelta | None
) -> Iterator[int]:
    if kept is None:
        return iter(())
    before = scope.now() - kept
    return _repeat(_writing(scope, lambda session: forget(session, before=before)))


def _writing(scope: HousekeepingScope, act: Callable[[Session], int]) -> Callable[[], int]:
    def step() -> int:
        with scope.database.write() as session:
            return act(session)

    return step


def _repeat(step: Callable[[], int]) -> Iterator[int]:
    while count := step():
        yield count
