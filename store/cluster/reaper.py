"""The reaper: return trials of expired leases, so that no job waits for a dead worker.

A lease expires if its worker was silent. That is the worker's fault only while it could be heard:
after a gap in what the reaper sees (it was suspended, the database was away or could not write, the
service was away, the clock jumped, the machine slept) every worker gets one lease to show itself.
"""

from __future__ import annotations

import logging

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from featherweight.specs.states import AttemptState
from store.attempts import outcomes
from store.cluster import liveness
from store.database import clock
from store.database.outages import OUTAGES
from store.session import Database
from store.tables.records import AttemptRecord, table_of

LOOK_SECONDS = 1.0
_SLACK_SECONDS = 1.0
_LONGEST_LEASE_SECONDS = 3600.0
"""Length of a lease that an older version granted."""
_ATTEMPTS = table_of(AttemptRecord)
_LENGTH = func.coalesce(_ATTEMPTS.c.lease_seconds, _LONGEST_LEASE_SECONDS)
_TOO_LONG = (
    _ATTEMPTS.c.state == AttemptState.ACTIVE,
    _ATTEMPTS.c.lease_until > clock.db_now() + _LENGTH + _SLACK_SECONDS,
)
_log = logging.getLogger(__name__)


class Reaper:
    """One process's view of the leases. Call ``look`` every ``LOOK_SECONDS``."""

    def __init__(
        self, database: Database, *, longest_gap_seconds: float = 3 * LOOK_SECONDS
    ) -> None:
        """Begin with nothing seen.

        Args:
            database: The store.
            longest_gap_seconds: Between two looks, by the database's clock; more is a gap.
        """
        self._database = database
        self._longest_gap_seconds = longest_gap_seconds
        self._looked_at = 0.0
        self._heard_since = 0.0

    def look(self) -> int:
        """Give back the trials of dead workers. Returns how many attempts there were.

        Raises one of OUTAGES if the database does not answer, which is a gap.
        """
        try:
            with self._database.read() as session:
                self._note_gap(clock.now(session))
                if liveness.service_is_silent(session):
                    # Nobody could be heard: the next look starts from scratch.
                    self._looked_at = 0.0
                    return 0
                overdue = outcomes.overdue_by_job(session, heard_since=self._heard_since)
                is_too_long = session.execute(select(_ATTEMPTS.c.id).where(*_TOO_LONG)).first()
            if is_too_long is not None:
                self._shorten()
            lost = sum(self._reap(job_id) for job_id in overdue)
        except OUTAGES:
            # Heartbeats could not be written either.
            self._looked_at = 0.0
            raise
        if lost:
            _log.warning("%d attempts were lost with their workers", lost)
        return lost

    def _note_gap(self, now: float) -> None:
        if not 0 <= now - self._looked_at <= self._longest_gap_seconds:
            self._heard_since = now
        self._looked_at = now

    def _reap(self, job_id: str) -> int:
        with self._database.write() as session:
            return outcomes.reap(session, job_id=job_id, heard_since=self._heard_since)

    def _shorten(self) -> None:
        """Renew leases that end later than possible, which shows that the clock was set back."""
        with self._database.write() as session:
            found = _shortened(session)
        if found:
            _log.warning("%d leases ended later than they could: was the clock set back?", found)


def _shortened(session: Session) -> int:
    free = select(_ATTEMPTS.c.id).where(*_TOO_LONG).with_for_update(skip_locked=True)
    ids = list(session.scalars(free))
    renewed = (
        update(_ATTEMPTS)
        .where(_ATTEMPTS.c.id.in_(ids))
        .values(lease_until=clock.db_now() + _LENGTH)
    )
    session.execute(renewed)
    return len(ids)
