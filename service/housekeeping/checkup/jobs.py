"""Find jobs whose deletion has begun and not finished."""

from __future__ import annotations

from collections.abc import Iterator

from featherweight.specs.checkup import MOST_SHOWN, Finding
from store.housekeeping import deletion
from store.session import Database


def look(database: Database) -> Iterator[Finding]:
    """Yield jobs that are deleted for their users and still have rows."""
    with database.read() as session:
        begun = deletion.begun(session, limit=MOST_SHOWN + 1)
    for job_id in begun:
        yield Finding(
            check="jobs",
            what="a deleted job has not been removed yet",
            thing=job_id,
            mend="`featherweight doctor --repair` removes the rest; the service does so by itself "
            "after a while",
            repairable=True,
        )
