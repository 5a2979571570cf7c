"""Jobs: created once per idempotency key, changed only under their row's lock."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.schemas import Counts
from featherweight.specs.states import JobState, Phase, StopReason
from store import paging
from store.database import clock
from store.database.upserts import insert_new
from store.errors import (
    DatasetNotFound,
    IdempotencyConflict,
    IllegalTransition,
    JobDeleted,
    JobNotFound,
    ModelNotFound,
)
from store.jobs import events, transitions
from store.tables.records import (
    DatasetRecord,
    DeletedJobRecord,
    JobRecord,
    JobTagRecord,
    ModelRecord,
)

_AGE = (JobRecord.created_at, JobRecord.id)
# NO KEY UPDATE: rows that merely refer to the job need not wait.
_LOCKED = select(JobRecord).where(JobRecord.id == bindparam("job")).with_for_update(key_share=True)
_IF_FREE = (
    select(JobRecord)
    .where(JobRecord.id == bindparam("job"))
    .with_for_update(key_share=True, skip_locked=True)
)
_ALONE = select(JobRecord).where(JobRecord.id == bindparam("job")).with_for_update()
_AS_IT_IS = {"populate_existing": True}
_LAST_EVENT = select(JobRecord.last_event).where(
    JobRecord.id == bindparam("job"), JobRecord.state != JobState.DELETED
)
_AFTER_EVERY_ID = "g"
"""Sorts after every character of an id: hexadecimal digits and ``-``."""
_MOST_UNDERSTOOD = 256
_understood: dict[str, tuple[dict[str, Any], JobSpec]] = {}


def create(  # noqa: PLR0913 - what a job refers to, by name
    session: Session,
    spec: JobSpec,
    *,
    model: ModelRecord | None,
    dataset: DatasetRecord,
    idempotency_key: str | None,
    body_sha256: str,
    teacher: ModelRecord | None = None,
    supernet: ModelRecord | None = None,
    owner: str = "",
) -> tuple[JobRecord, bool]:
    """Return a new queued job and True, or the job that this owner's key made before and False.

    Args:
        session: A writing transaction.
        spec: What was asked.
        model: The uploaded model it names; None if the spec describes an untrained one.
        dataset: The dataset it names.
        idempotency_key: The client's key; None never equals another request's.
        body_sha256: Digest of the request, to tell a repeat from a different request.
        teacher: The uploaded model it names as its teacher, if it names one.
        supernet: The uploaded supernet it names, if it names one.
        owner: Whose job and whose key it is.

    Raises:
        IdempotencyConflict: the key came with another body before.
        ModelNotFound, DatasetNotFound: it was deleted in this moment.
    """
    if (model is None) != isinstance(spec.model, UntrainedModel):
        raise ValueError("give the model record if and only if the spec names a model")
    if (teacher is None) != (spec.teacher is None):
        raise ValueError("give the teacher's record if and only if the spec names a teacher")
    _keep(session, dataset, (model, teacher, supernet))
    values = _values(spec, model, dataset) | {
        "teacher_id": teacher.id if teacher else None,
        **_shared(spec, supernet),
        "owner": owner,
        "idempotency_key": idempotency_key,
        "body_sha256": body_sha256,
    }
    older = _made_without_owner(session, idempotency_key, body_sha256)
    if older is not None:
        return older, False
    if not insert_new(session, JobRecord, values):
        return _repeated(session, owner, idempotency_key, body_sha256), False
    job = get(session, values["id"])
    events.append(session, job, f"job.{job.state}", {"name": job.name})
    return job, True


def _keep(
    session: Session, dataset: DatasetRecord, networks: Collection[ModelRecord | None]
) -> None:
    shared = {"read": True, "key_share": True}
    if session.get(DatasetRecord, dataset.id, with_for_update=shared) is None:
        raise DatasetNotFound(f"no dataset {dataset.id}")
    for model in networks:
        if model is not None and session.get(ModelRecord, model.id, with_for_update=shared) is None:
            raise ModelNotFound(f"no model {model.id}")


def _values(spec: JobSpec, model: ModelRecord | None, dataset: DatasetRecord) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "name": spec.name,
        "state": JobState.QUEUED,
        "phase": Phase.BASELINE,
        "stop_detail": "",
        "spec": spec.model_dump(mode="json"),
        "model_id": model.id if model else None,
        "dataset_id": dataset.id,
        "weights_sha256": model.sha256 if model else None,
        "normalisation": model.normalisation if model else None,
        "budget_trials": spec.budget.trials,
        "parallel_trials": spec.budget.parallel_trials,
        "counts": {},
        "last_event": 0,
        "paused_seconds": 0.0,
        "created_at": clock.utc_now(),
    }


def _shared(spec: JobSpec, supernet: ModelRecord | None) -> dict[str, str | None]:
    named = None if spec.supernet is None else spec.supernet.model
    if (supernet is None) != (named is None):
        raise ValueError("give the supernet's record if and only if the spec names one")
    is_ready = supernet is not None and not spec.trains_supernet
    return {
        "supernet_model_id": supernet.id if supernet else None,
        "supernet_sha256": supernet.sha256 if supernet and is_ready else None,
    }


def _made_without_owner(session: Session, key: str | None, body_sha256: str) -> JobRecord | None:
    """Return what the same request made before jobs had owners, so that no second job is made."""
    if key is None:
        return None
    query = select(JobRecord).where(
        JobRecord.owner == "",
        JobRecord.idempotency_key == key,
        JobRecord.body_sha256 == body_sha256,
    )
    return session.scalars(query).one_or_none()


def _repeated(session: Session, owner: str, key: str | None, body_sha256: str) -> JobRecord:
    query = select(JobRecord).where(JobRecord.owner == owner, JobRecord.idempotency_key == key)
    job = session.scalars(query).one()
    if job.body_sha256 != body_sha256:
        raise IdempotencyConflict(
            f"the idempotency key {key!r} made job {job.id} from another body: use a new key"
        )
    return job


def get(session: Session, job_id: str) -> JobRecord:
    """Return the job. Raises JobNotFound, which is a JobDeleted if something of it is left."""
    return _existing(session, job_id, session.get(JobRecord, job_id))


def deleted(session: Session, job_id: str) -> DeletedJobRecord:
    """Return what is left of a deleted job. Raises JobNotFound."""
    found = session.get(DeletedJobRecord, job_id)
    if found is None:
        raise JobNotFound(f"no job {job_id}")
    return found


def last_event(session: Session, job_id: str) -> int:
    """Return the number of the job's newest event. Raises JobNotFound."""
    found = session.scalar(_LAST_EVENT, {"job": job_id})
    return get(session, job_id).last_event if found is None else found


def lock(session: Session, job_id: str) -> JobRecord:
    """Return the job as it is now, locked until the transaction ends. Raises JobNotFound."""
    found = session.scalars(_LOCKED, {"job": job_id}, execution_options=_AS_IT_IS)
    return _existing(session, job_id, found.one_or_none())


def lock_alone(session: Session, job_id: str) -> JobRecord:
    """Lock as ``lock`` does, and keep new rows from referring to the job. Raises JobNotFound."""
    found = session.scalars(_ALONE, {"job": job_id}, execution_options=_AS_IT_IS)
    return _existing(session, job_id, found.one_or_none())


def _existing(session: Session, job_id: str, job: JobRecord | None) -> JobRecord:
    if job is not None and job.state != JobState.DELETED:
        return job
    left = deleted(session, job_id)
    raise JobDeleted(f"job {job_id} ({left.name!r}) was deleted at {left.deleted_at:%F %T} UTC")


def lock_if_free(session: Session, job_id: str) -> JobRecord | None:
    """Return the job, freshly read and locked; None if it does not exist or is locked elsewhere."""
    found = session.scalars(_IF_FREE, {"job": job_id}, execution_options=_AS_IT_IS)
    return found.one_or_none()


def page(  # noqa: PLR0913 - every filter, by name
    session: Session,
    *,
    limit: int,
    cursor: str | None = None,
    state: JobState | None = None,
    owner: str | None = None,
    name: str | None = None,
    prefix: str | None = None,
    tag: str | None = None,
) -> tuple[list[JobRecord], str | None]:
    """Return one page of jobs, newest first: those of a name or tag, or with ids that begin so.

    Raises InvalidCursor.
    """
    wanted = ((JobRecord.state, state), (JobRecord.owner, owner), (JobRecord.name, name))
    query = select(JobRecord).where(
        JobRecord.state != JobState.DELETED,
        *(column == value for column, value in wanted if value is not None),
    )
    if prefix is not None:
        query = query.where(JobRecord.id.between(prefix, prefix + _AFTER_EVERY_ID))
    if tag is not None:
        tagged = select(JobTagRecord.job_id).where(JobTagRecord.tag == tag)
        query = query.where(JobRecord.id.in_(tagged))
    return paging.fetch(session, query, _AGE, limit=limit, cursor=cursor, descending=True)


def active(session: Session) -> list[JobRecord]:
    """Return jobs that are not finished, oldest first."""
    query = select(JobRecord).where(JobRecord.finished_at.is_(None)).order_by(*_AGE)
    return list(session.scalars(query))


def counts(session: Session, job_ids: Collection[str]) -> dict[str, Counts]:
    """Return the trials of each job by state. Ids that do not exist are left out."""
    query = select(JobRecord.id, JobRecord.counts).where(JobRecord.id.in_(job_ids))
    return {
        job_id: Counts(**by_state, total=sum(by_state.values()))
        for job_id, by_state in session.execute(query)
    }


def move(
    session: Session,
    job: JobRecord,
    to: JobState,
    *,
    reason: StopReason | None = None,
    detail: str = "",
) -> None:
    """Change the job's state; event ``job.<state>``.

    Raises:
        IllegalTransition: the states' table does not allow it, or trials are unfinished at the end.
    """
    transitions.move_job(session, lock(session, job.id), to, reason=reason, detail=detail)


def set_phase(session: Session, job: JobRecord, phase: Phase, *, detail: str = "") -> None:
    """Record the current phase of the job, and why it has begun; event ``job.phase``."""
    job = lock(session, job.id)
    job.phase = phase
    events.append(
        session, job, "job.phase", {"phase": phase} | ({"detail": detail} if detail else {})
    )


def cancel(session: Session, job_id: str) -> JobRecord:
    """Begin to stop the job. A repeat changes nothing.

    Waiting trials are stopped here; running ones learn of it with their next heartbeat.

    Raises:
        IllegalTransition: the job is finished.
    """
    job = lock(session, job_id)
    if job.state != JobState.STOPPING:
        transitions.move_job(session, job, JobState.STOPPING, reason=StopReason.CANCELLED)
        transitions.stop_waiting(session, job, StopReason.CANCELLED)
    return job


def pause(session: Session, job_id: str) -> JobRecord:
    """Hand out no more trials; running trials continue. A repeat changes nothing."""
    return _change(session, lock(session, job_id), JobState.PAUSED)


def resume(session: Session, job_id: str) -> JobRecord:
    """Continue after a pause. A repeat changes nothing."""
    job = lock(session, job_id)
    if job.state == JobState.QUEUED:
        raise IllegalTransition(f"job {job_id} is queued: it was never paused")
    return _change(session, job, JobState.RUNNING)


def _change(session: Session, job: JobRecord, to: JobState) -> JobRecord:
    if job.state != to:
        transitions.move_job(session, job, to)
    return job


def running_seconds(job: JobRecord, now: datetime) -> float:
    """Return how many seconds the job has run until ``now``, without its pauses."""
    if job.started_at is None:
        return 0.0
    end = job.finished_at or job.paused_at or now
    return max(0.0, (end - job.started_at).total_seconds() - job.paused_seconds)


def spec(job: JobRecord) -> JobSpec:
    """Return the spec of the job. It is parsed once per process, as every worker call needs it."""
    written, understood = _understood.get(job.id, (None, None))
    if understood is None or written != job.spec:
        understood = JobSpec.of_record(job.spec)
        if len(_understood) >= _MOST_UNDERSTOOD:
            _understood.clear()
        _understood[job.id] = (job.spec, understood)
    return understood


def baseline(job: JobRecord) -> Measurement | None:
    """Return the measurement of the uncompressed file, once there is one."""
    return None if job.baseline is None else Measurement.model_validate(job.baseline)
