"""Remove the rows and files that are left of a deleted job, in many short transactions."""

from __future__ import annotations

import time
from datetime import timedelta

from store.files.file_store import FileStore
from store.housekeeping import collector, deletion
from store.session import Database

_JOBS_AT_ONCE = 20


def finish(database: Database, files: FileStore, job_id: str, *, seconds: float) -> bool:
    """Remove rows and files of a job whose deletion has begun. Returns False if time ran out.

    The collector removes later what stays: a file that somebody is storing now or may soon refer
    to, and every file whose row was not reached in time.
    """
    ends = time.monotonic() + seconds
    while True:
        with database.write() as session:
            purged = deletion.purge(session, job_id)
        collector.collect(database, files, purged.files, grace=timedelta())
        if purged.is_last:
            return True
        if time.monotonic() >= ends:
            return False


def finish_all(database: Database, files: FileStore, *, seconds: float) -> int:
    """Finish the deletion of every job for which it has begun. Returns how many were finished."""
    ends = time.monotonic() + seconds
    with database.read() as session:
        begun = deletion.begun(session, limit=_JOBS_AT_ONCE)
    found = 0
    for job_id in begun:
        left = ends - time.monotonic()
        if left <= 0:
            break
        found += finish(database, files, job_id, seconds=left)
    return found
