"""Leases of files to meters: claim, heartbeat, result, release.

As with trials the fencing token of the last claim makes its holder the owner. No job waits for a
measurement, so nobody has to look for leases that are over: the meter's next claim takes such a
file up again, and a token whose lease is over is refused, whether somebody else has come or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.orm import Session

from featherweight.specs.cluster import (
    MeterBeat,
    MeterInfo,
    MeterReading,
    MeterResult,
    MeterTask,
)
from featherweight.specs.states import JobState, MeteringState
from store.access import secrets
from store.database import clock
from store.errors import MeasurementNotFound, StaleAttempt
from store.meters import meters
from store.tables.records import ArtifactRecord, DatasetRecord, JobRecord, MeteringRecord

MOST_CLAIMS = 3
"""A file that the meter was lost with so often is given up."""
_IS_OVER = MeteringRecord.lease_until < clock.db_now()
_OPEN = and_(
    MeteringRecord.state.in_((MeteringState.WAITING, MeteringState.ACTIVE)),
    or_(MeteringRecord.state == MeteringState.WAITING, _IS_OVER),
)


def claim(session: Session, info: MeterInfo, *, lease_seconds: float) -> MeterTask | None:
    """Lease one file to the meter, of the newest job first; None if nothing waits for it.

    A process measures one file at a time. If it has one already, the answer to its last claim was
    lost: it gets that file again under a new token. Raises TooManyMeters.
    """
    meters.seen(session, info)
    found = _held_already(session, info)
    while found is None:
        first = _first_open(session, info.name)
        if first is None:
            return None
        if first.num_claims >= MOST_CLAIMS:
            _give_up(session, first)
        else:
            first.num_claims += 1
            found = first
    return _lease(session, found, info, lease_seconds)


def has_open(session: Session, meter: str) -> bool:
    """Whether a file waits for the meter, or was left by a process of it that was lost."""
    return _first_open(session, meter, is_locked=False) is not None


def heartbeat(session: Session, metering: str, token: str, *, lease_seconds: float) -> MeterBeat:
    """Extend the lease. Raises MeasurementNotFound and StaleAttempt."""
    extend = (
        update(MeteringRecord)
        .where(
            MeteringRecord.id == metering,
            MeteringRecord.state == MeteringState.ACTIVE,
            MeteringRecord.token_sha256 == secrets.digest(token),
            MeteringRecord.lease_until >= clock.db_now(),
        )
        .values(lease_until=clock.db_now() + lease_seconds)
        .returning(MeteringRecord.id)
    )
    if session.scalar(extend) is None:
        raise _stale(_find(session, metering))
    return MeterBeat(lease_seconds=lease_seconds)


def report(session: Session, metering: str, token: str, result: MeterResult) -> MeterReading:
    """Keep what was measured; a repeat changes nothing.

    Raises MeasurementNotFound and StaleAttempt.
    """
    found = _find(session, metering)
    is_own = found.token_sha256 is not None and secrets.matches(token, found.token_sha256)
    if is_own and found.state == MeteringState.DONE:
        return reading(found)
    _check(session, found, is_own=is_own)
    _end(found, result)
    return reading(found)


def release(session: Session, metering: str, token: str) -> MeterReading:
    """Give the file back, uncounted. Raises MeasurementNotFound and StaleAttempt."""
    found = _find(session, metering)
    is_own = found.token_sha256 is not None and secrets.matches(token, found.token_sha256)
    _check(session, found, is_own=is_own)
    found.state, found.num_claims = MeteringState.WAITING, found.num_claims - 1
    return reading(found)


def of_artifact(session: Session, artifact: str) -> tuple[MeterReading, ...]:
    """Return what meters measured of a file or have yet to measure, by their names."""
    query = select(MeteringRecord).where(MeteringRecord.artifact_id == artifact)
    return _readings(session.scalars(query.order_by(MeteringRecord.meter)))


def done_of_artifact(session: Session, artifact: str) -> tuple[MeterReading, ...]:
    """Return what meters measured of a file, by their names."""
    done = (MeteringRecord.artifact_id == artifact, MeteringRecord.state == MeteringState.DONE)
    query = select(MeteringRecord).where(*done).order_by(MeteringRecord.meter)
    return _readings(session.scalars(query))


def num_done(session: Session, job_id: str) -> int:
    """Return how many files of the job were measured by meters; it grows with each."""
    done = (MeteringRecord.job_id == job_id, MeteringRecord.state == MeteringState.DONE)
    return session.scalar(select(func.count()).select_from(MeteringRecord).where(*done)) or 0


def reading(record: MeteringRecord) -> MeterReading:
    """Return a file on a meter as the API shows it."""
    own = {"meter": record.meter, "artifact": record.artifact_id, "state": record.state}
    if record.state == MeteringState.DONE:
        info = record.info or {}
        own |= {key: info[key] for key in ("device", "cpu", "os") if key in info}
        own |= {"measured_at": record.finished_at, **(record.result or {})}
    return MeterReading.model_validate(own)


def _readings(records: Iterable[MeteringRecord]) -> tuple[MeterReading, ...]:
    return tuple(reading(record) for record in records)


def _held_already(session: Session, info: MeterInfo) -> MeteringRecord | None:
    query = select(MeteringRecord).where(
        MeteringRecord.meter == info.name,
        MeteringRecord.state == MeteringState.ACTIVE,
        MeteringRecord.boot_id == info.boot_id,
        ~_IS_OVER,
    )
    return session.scalars(query.with_for_update().limit(1)).first()


def _first_open(session: Session, meter: str, *, is_locked: bool = True) -> MeteringRecord | None:
    query = (
        select(MeteringRecord)
        .join(JobRecord, JobRecord.id == MeteringRecord.job_id)
        .where(MeteringRecord.meter == meter, _OPEN, JobRecord.state != JobState.DELETED)
        .order_by(JobRecord.created_at.desc(), MeteringRecord.position, MeteringRecord.id)
        .limit(1)
    )
    if is_locked:
        query = query.with_for_update(of=MeteringRecord)
    return session.scalars(query, execution_options={"populate_existing": True}).one_or_none()


def _give_up(session: Session, found: MeteringRecord) -> None:
    times = f"{found.num_claims} times"
    _end(found, MeterResult(detail=f"given up: the meter was lost with this file {times} in a row"))
    session.flush()


def _lease(
    session: Session, found: MeteringRecord, info: MeterInfo, lease_seconds: float
) -> MeterTask:
    token = secrets.new()
    found.state, found.boot_id = MeteringState.ACTIVE, info.boot_id
    found.token_sha256 = secrets.digest(token)
    found.lease_until = clock.now(session) + lease_seconds
    found.info = info.model_dump(mode="json", exclude={"boot_id"})
    artifact = session.get_one(ArtifactRecord, found.artifact_id)
    return MeterTask(
        measurement=found.id,
        token=token,
        lease_seconds=lease_seconds,
        job=found.job_id,
        artifact=artifact.id,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        example=_example(session, found.job_id),
    )


def _example(session: Session, job_id: str) -> tuple[int, ...]:
    query = select(DatasetRecord.info).join(JobRecord, JobRecord.dataset_id == DatasetRecord.id)
    info = session.execute(query.where(JobRecord.id == job_id)).scalar_one()
    return tuple(info.get("input_shape", ()))


def _find(session: Session, metering: str) -> MeteringRecord:
    query = select(MeteringRecord).where(MeteringRecord.id == metering).with_for_update()
    fresh = {"populate_existing": True}
    found = session.scalars(query, execution_options=fresh).one_or_none()
    if found is None:
        raise MeasurementNotFound(
            f"no measurement {metering}: its file was removed, or it is on no front any more"
        )
    return found


def _check(session: Session, found: MeteringRecord, *, is_own: bool) -> None:
    is_over = found.lease_until is None or found.lease_until < clock.now(session)
    if found.state != MeteringState.ACTIVE or not is_own or is_over:
        raise _stale(found)


def _stale(found: MeteringRecord) -> StaleAttempt:
    return StaleAttempt(
        f"the lease of measurement {found.id} is over or another's: drop the file and ask again"
    )


def _end(found: MeteringRecord, result: MeterResult) -> None:
    found.state, found.finished_at = MeteringState.DONE, clock.utc_now()
    found.result = result.model_dump(mode="json")
