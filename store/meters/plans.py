"""Which files a meter measures: chosen job by job, again whenever a job has changed.

Who chooses is not this room; here it is remembered, for each meter and job, at which event that was
last done. A file that has left the front before its turn waits no more; what was measured stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session

from featherweight.specs.states import JobState, MeteringState
from store.database import clock
from store.database.upserts import insert_new
from store.meters import meters
from store.tables.records import (
    ArtifactRecord,
    JobRecord,
    MeteringRecord,
    MeterLookRecord,
)

NEWEST_JOBS = 200
"""A meter is given files of so many jobs at most: of the newest."""
AGAIN_SECONDS = 10.0
"""How often files of a job that runs are chosen anew, at most."""
_WITHOUT_FILES = (JobState.QUEUED, JobState.DELETED)


def next_job(session: Session, meter: str) -> JobRecord | None:
    """Return a job whose files are to be chosen for the meter: new ones first, newest first."""
    newest = (
        select(JobRecord.id)
        .where(JobRecord.state.not_in(_WITHOUT_FILES))
        .order_by(JobRecord.created_at.desc(), JobRecord.id.desc())
        .limit(NEWEST_JOBS)
        .subquery()
    )
    look = MeterLookRecord
    is_due = or_(
        JobRecord.finished_at.is_not(None), look.looked_at < clock.db_now() - AGAIN_SECONDS
    )
    query = (
        select(JobRecord)
        .join(newest, newest.c.id == JobRecord.id)
        .outerjoin(look, and_(look.job_id == JobRecord.id, look.meter == meter))
        .where(or_(look.job_id.is_(None), and_(look.last_event < JobRecord.last_event, is_due)))
        .order_by(look.job_id.is_not(None), look.looked_at, JobRecord.created_at.desc())
        .limit(1)
    )
    return session.scalars(query).one_or_none()


def plan(session: Session, meter: str, job: JobRecord, artifacts: Sequence[str]) -> None:
    """Let the meter measure these files of a job, in this order, as of the job's last event.

    ``job`` is as it was read when they were chosen. Nothing is planned for a job or a meter that
    has been deleted since.
    """
    if meters.lock(session, meter) is None or not _is_there(session, job.id):
        return
    _drop_waiting(session, meter, job.id, besides=artifacts)
    there = _kept(session, artifacts)
    for position, artifact in enumerate(artifacts):
        if artifact in there:
            insert_new(session, MeteringRecord, _values(meter, job.id, artifact, position))
    _remember(session, meter, job)


def _is_there(session: Session, job_id: str) -> bool:
    """Whether the job is not deleted; its deletion waits for the end of this transaction."""
    query = select(JobRecord.state).where(JobRecord.id == job_id)
    state = session.scalar(query.with_for_update(read=True, key_share=True))
    return state is not None and state != JobState.DELETED


def _kept(session: Session, artifacts: Sequence[str]) -> set[str]:
    query = select(ArtifactRecord.id).where(ArtifactRecord.id.in_(artifacts))
    return set(session.scalars(query.with_for_update(read=True, key_share=True)))


def _drop_waiting(session: Session, meter: str, job_id: str, *, besides: Collection[str]) -> None:
    gone = delete(MeteringRecord).where(
        MeteringRecord.meter == meter,
        MeteringRecord.job_id == job_id,
        MeteringRecord.state == MeteringState.WAITING,
        MeteringRecord.artifact_id.not_in(besides),
    )
    session.execute(gone)


def _values(meter: str, job_id: str, artifact: str, position: int) -> dict[str, object]:
    return {
        "id": str(uuid.uuid4()),
        "job_id": job_id,
        "artifact_id": artifact,
        "meter": meter,
        "position": position,
        "state": MeteringState.WAITING,
        "num_claims": 0,
        "created_at": clock.utc_now(),
    }


def _remember(session: Session, meter: str, job: JobRecord) -> None:
    now = clock.now(session)
    look = session.get(MeterLookRecord, (meter, job.id))
    if look is None:
        look = MeterLookRecord(meter=meter, job_id=job.id)
        session.add(look)
    look.last_event, look.looked_at = job.last_event, now
