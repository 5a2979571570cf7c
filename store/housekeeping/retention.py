"""Remove what has expired, in transactions with a bounded number of rows.

Every function removes up to ``limit`` rows and returns how many it removed: the caller repeats it
until the number is lower. Nothing that is removed here is needed to understand what stays.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Table, delete, exists, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from featherweight.specs.states import (
    AttemptState,
    JobState,
    MeteringState,
    Phase,
    TrialState,
)
from store.database import clock
from store.jobs import rejections
from store.tables.records import (
    ArtifactRecord,
    AttemptRecord,
    AuditRecord,
    DatasetRecord,
    EventRecord,
    JobRecord,
    MeteringRecord,
    MeterLookRecord,
    MeterRecord,
    ModelRecord,
    ProfileRecord,
    SessionRecord,
    TrialRecord,
    WorkerFaultRecord,
    WorkerRecord,
    table_of,
)

ROWS_AT_ONCE = 500
LOST = (TrialState.STOPPED, TrialState.FAILED)
"""States of trials whose files are removed some time after the end of their job."""
_JOBS, _EVENTS = table_of(JobRecord), table_of(EventRecord)
_TRIALS, _ARTIFACTS = table_of(TrialRecord), table_of(ArtifactRecord)
_ATTEMPTS, _PROFILES = table_of(AttemptRecord), table_of(ProfileRecord)
_MODELS, _DATASETS = table_of(ModelRecord), table_of(DatasetRecord)
_KEPT_PHASES = (Phase.BASELINE, Phase.TEST)
"""Phases whose files stay however a trial ended, because others are compared with them."""


def jobs_with_lost_files(
    session: Session, *, before: datetime, besides: Collection[str], limit: int
) -> list[str]:
    """Return jobs that ended before then and still have files of stopped or failed trials."""
    lost = exists(_lost_files().where(_TRIALS.c.job_id == _JOBS.c.id)).correlate(_JOBS)
    query = (
        select(_JOBS.c.id)
        .where(_JOBS.c.finished_at < before, _JOBS.c.state != JobState.DELETED, lost)
        .order_by(_JOBS.c.finished_at, _JOBS.c.id)
    )
    found: list[str] = []
    for job_id in session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE)):
        if job_id not in besides:
            found.append(job_id)
        if len(found) == limit:
            break
    return found


def lost_files(session: Session, job_id: str) -> list[ArtifactRecord]:
    """Return the files of the job's stopped and failed trials."""
    ids = _lost_files().where(_TRIALS.c.job_id == job_id)
    return list(session.scalars(select(ArtifactRecord).where(ArtifactRecord.id.in_(ids))))


def forget_files(session: Session, artifact_ids: Collection[str]) -> set[str]:
    """Forget these artifacts. Returns the digests of those that existed."""
    gone = delete(_ARTIFACTS).where(_ARTIFACTS.c.id.in_(artifact_ids))
    return set(session.scalars(gone.returning(_ARTIFACTS.c.sha256)))


def forget_events(session: Session, *, before: datetime, limit: int = ROWS_AT_ONCE) -> int:
    """Forget events of jobs that ended before then.

    The last event of a job stays because it ends the streams of its readers; events of refused
    candidates stay because the report counts them.
    """
    old = (
        select(_EVENTS.c.job_id, _EVENTS.c.seq)
        .join(_JOBS, _JOBS.c.id == _EVENTS.c.job_id)
        .where(
            _JOBS.c.finished_at < before,
            _EVENTS.c.seq < _JOBS.c.last_event,
            _EVENTS.c.type != rejections.TYPE,
        )
    )
    return _remove(session, _EVENTS, old.limit(limit))


def forget_workers(session: Session, *, before: datetime, limit: int = ROWS_AT_ONCE) -> int:
    """Forget workers that were last heard of before then and hold no trial."""
    workers = table_of(WorkerRecord)
    holds = exists().where(
        _ATTEMPTS.c.boot_id == workers.c.boot_id, _ATTEMPTS.c.state == AttemptState.ACTIVE
    )
    old = select(workers.c.boot_id).where(workers.c.last_seen < before, ~holds)
    return _remove(session, workers, old.limit(limit))


def forget_faults(session: Session, *, before: datetime, limit: int = ROWS_AT_ONCE) -> int:
    """Forget failures of workers that have not failed since then and hold no trial."""
    faults = table_of(WorkerFaultRecord)
    holds = exists().where(
        _ATTEMPTS.c.worker == faults.c.name, _ATTEMPTS.c.state == AttemptState.ACTIVE
    )
    # The end of its suspension is computed from its last failure, by the database clock.
    ago = (clock.utc_now() - before).total_seconds()
    old = select(faults.c.name).where(faults.c.set_aside_until < clock.db_now() - ago, ~holds)
    return _remove(session, faults, old.limit(limit))


def forget_meters(session: Session, *, before: datetime, limit: int = ROWS_AT_ONCE) -> int:
    """Forget meters that were last heard of before then, and what waits for them.

    What they measured stays with its files.
    """
    meters, left = table_of(MeterRecord), table_of(MeteringRecord)
    looks = table_of(MeterLookRecord)
    old = select(meters.c.name).where(meters.c.last_seen < before).limit(limit)
    gone = session.scalars(delete(meters).where(meters.c.name.in_(old)).returning(meters.c.name))
    names = gone.all()
    session.execute(delete(looks).where(looks.c.meter.in_(names)))
    waiting = left.c.state != MeteringState.DONE
    session.execute(delete(left).where(left.c.meter.in_(names), waiting))
    return len(names)


def forget_sessions(session: Session, *, limit: int = ROWS_AT_ONCE) -> int:
    """Forget browser sessions that have ended."""
    logins = table_of(SessionRecord)
    old = select(logins.c.secret_sha256).where(logins.c.expires_at < clock.utc_now())
    return _remove(session, logins, old.limit(limit))


def forget_audit(session: Session, *, before: datetime, limit: int = ROWS_AT_ONCE) -> int:
    """Forget audit entries from before then."""
    audit = table_of(AuditRecord)
    old = select(audit.c.id).where(audit.c.at < before)
    return _remove(session, audit, old.limit(limit))


def forget_profiles(session: Session, *, limit: int = ROWS_AT_ONCE) -> int:
    """Forget profiles that no job uses and none could use, because weights or data are gone."""
    used = exists().where(_JOBS.c.profile_sha256 == _PROFILES.c.sha256)
    weights = exists().where(_MODELS.c.sha256 == _PROFILES.c.weights_sha256)
    trained = exists().where(_JOBS.c.weights_sha256 == _PROFILES.c.weights_sha256)
    data = exists().where(_DATASETS.c.sha256 == _PROFILES.c.dataset_sha256)
    old = select(_PROFILES.c.sha256).where(~used, ~data | ~(weights | trained))
    try:
        with session.begin_nested():
            return _remove(session, _PROFILES, old.limit(limit))
    except IntegrityError:
        return 0  # a job has taken one up after the look


def _lost_files() -> Select[str]:
    return (
        select(_ARTIFACTS.c.id)
        .join(_TRIALS, _TRIALS.c.id == _ARTIFACTS.c.trial_id)
        .where(_TRIALS.c.state.in_(LOST), _TRIALS.c.phase.not_in(_KEPT_PHASES))
    )


def _remove(session: Session, table: Table, some: Select[*tuple[Any, ...]]) -> int:
    columns = list(table.primary_key.columns)
    key = columns[0] if len(columns) == 1 else tuple_(*columns)
    return len(session.scalars(delete(table).where(key.in_(some)).returning(columns[0])).all())
