"""Limit what one owner may have at once: unfinished jobs, and stored bytes.

Check after adding, in the same transaction, so that a request that exceeds a limit rolls back.
Owners are counted in turns, so two concurrent requests cannot both take the last free place.
Records with the owner ``""`` are not limited: an installation without tokens has one user.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, ScalarSelect, bindparam, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from store.access import turns
from store.errors import JobLimitReached, StorageLimitReached
from store.tables.records import (
    ArtifactRecord,
    DatasetRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    TrialRecord,
    UploadRecord,
)


def check_jobs(session: Session, owner: str, *, most: int) -> None:
    """Raise JobLimitReached if the owner now has more than ``most`` unfinished jobs."""
    if not owner:
        return
    turns.wait(session, "jobs", owner)
    found = session.execute(_UNFINISHED, {"owner": owner, "count": most + 1})
    if found.scalar_one() > most:
        raise JobLimitReached(
            f"{owner!r} has {most} unfinished jobs, the most that are allowed: cancel one, wait "
            "until one has ended, or set FEATHERWEIGHT_JOBS_PER_TOKEN higher"
        )


def check_bytes(session: Session, owner: str, *, most: int, artifacts: int) -> None:
    """Raise StorageLimitReached if the owner now has more than ``most`` bytes.

    ``artifacts`` is the recent result of ``artifact_bytes``.
    """
    if owner:
        turns.wait(session, "bytes", owner)
        _check_sum(session, owner, artifacts, most=most)


def check_coming(session: Session, owner: str, *, size_bytes: int, most: int) -> None:
    """Raise StorageLimitReached if ``size_bytes`` more would be too many, before an upload."""
    if owner:
        _check_sum(session, owner, artifact_bytes(session, owner) + size_bytes, most=most)


def artifact_bytes(session: Session, owner: str) -> int:
    """Return the total size of all files that the jobs of the owner have made.

    It reads one row per file: call it in a reading transaction, before the one that writes.
    """
    return int(session.execute(_ARTIFACTS, {"owner": owner}).scalar_one()) if owner else 0


def _check_sum(session: Session, owner: str, further: int, *, most: int) -> None:
    found = int(session.execute(_UPLOADED, {"owner": owner}).scalar_one()) + further
    if found > most:
        raise StorageLimitReached(
            f"{owner!r} would have {found} bytes in models, datasets, unfinished uploads and "
            f"files of jobs, and {most} are allowed: delete some, or set "
            "FEATHERWEIGHT_STORED_BYTES_PER_TOKEN higher"
        )


def _sum(size: InstrumentedAttribute[int], *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.coalesce(func.sum(size), 0)).where(*conditions).scalar_subquery()


_OWNER = bindparam("owner")
_UNFINISHED = select(func.count()).select_from(
    select(JobRecord.id)
    .where(JobRecord.owner == _OWNER, JobRecord.finished_at.is_(None))
    .order_by(JobRecord.created_at, JobRecord.id)
    .limit(bindparam("count"))
    .subquery()
)
_IS_KNOWN = exists().where(FileRecord.sha256 == UploadRecord.sha256)
"""A finished upload is counted as the model or dataset that it became."""
_UPLOADED = select(
    _sum(ModelRecord.size_bytes, ModelRecord.owner == _OWNER)
    + _sum(DatasetRecord.size_bytes, DatasetRecord.owner == _OWNER)
    + _sum(
        UploadRecord.size_bytes,
        UploadRecord.owner == _OWNER,
        or_(UploadRecord.sha256.is_(None), ~_IS_KNOWN),
    )
)
_ARTIFACTS = (
    select(func.coalesce(func.sum(ArtifactRecord.size_bytes), 0))
    .select_from(JobRecord)
    .join(TrialRecord, TrialRecord.job_id == JobRecord.id)
    .join(ArtifactRecord, ArtifactRecord.trial_id == TrialRecord.id)
    .where(JobRecord.owner == _OWNER)
)
