"""Keep the sensitivity profile of a network on a dataset, and share it between jobs.

A job keeps the profile that it found or made, so the basis of its search never changes.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.sensitivity.document import FORMAT_VERSION, ProfileDocument
from compress.values import revision
from featherweight.specs.job import UntrainedModel
from featherweight.specs.protocol import Report
from featherweight.specs.states import Phase
from store.attempts.held_attempt import HeldAttempt
from store.database import clock
from store.database.upserts import insert_new
from store.errors import FileMismatch
from store.jobs import jobs
from store.tables.records import DatasetRecord, JobRecord, ProfileRecord, TrialRecord
from store.trials.trials import RERUN


def of_job(session: Session, job: JobRecord) -> ProfileDocument | None:
    """Return the profile that the job's search uses, or None before there is one."""
    if job.profile_sha256 is None:
        return None
    record = session.get_one(ProfileRecord, job.profile_sha256)
    return ProfileDocument.model_validate(record.document)


def known(session: Session, job: JobRecord) -> ProfileRecord | None:
    """Return the newest stored profile that is as good as the one this job would make.

    It is of the same weights, data and engine revision, on as many images, and either has all its
    probes or had as much time.
    """
    wanted, dataset = _images(session, job), session.get_one(DatasetRecord, job.dataset_id)
    query = select(ProfileRecord).where(
        ProfileRecord.weights_sha256 == job.weights_sha256,
        ProfileRecord.dataset_sha256 == dataset.sha256,
        ProfileRecord.version == FORMAT_VERSION,
    )
    newest = query.order_by(ProfileRecord.created_at.desc(), ProfileRecord.sha256)
    mine = allowed_seconds(job)
    for record in session.scalars(newest):
        document = ProfileDocument.model_validate(record.document)
        if revision.differs(document.engine_revision):
            continue
        had = document.allowed_seconds
        has_time = document.is_complete or _or_endless(had) >= _or_endless(mine)
        if document.probes > 0 and document.images >= wanted and has_time:
            return record
    return None


def use(session: Session, job: JobRecord, profile: ProfileRecord) -> None:
    """Make the job use this profile."""
    jobs.lock(session, job.id).profile_sha256 = profile.sha256


def allowed_seconds(job: JobRecord) -> float | None:
    """Return the time limit of probing in seconds, or None if it cannot be derived."""
    spec, baseline = jobs.spec(job), jobs.baseline(job)
    assert spec.profile is not None
    whole = spec.budget.seconds
    if whole is None and baseline is not None and isinstance(spec.model, UntrainedModel):
        whole = baseline.seconds.get("train")
    return None if whole is None else spec.profile.share * whole


def of_trial(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any]:
    """Return the assignment field that describes the probing."""
    if trial.phase != Phase.PROFILE:
        return {}
    file = select(TrialRecord.file_sha256).where(
        TrialRecord.job_id == job.id, TrialRecord.number == 0
    )
    task = {
        "images": _images(session, job),
        "allowed_seconds": allowed_seconds(job),
        "baseline": job.baseline,
        "file": session.scalars(file).one(),
    }
    return {"profile_task": task}


def check(session: Session, held: HeldAttempt, report: Report) -> None:
    """Raise FileMismatch unless a probing trial, and no other, brings a profile that fits."""
    files = [file for file in report.files if file.role == "profile"]
    document = report.profile
    if held.trial.phase != Phase.PROFILE:
        if files or document is not None:
            raise FileMismatch("only a trial that probes the baseline may bring a profile")
        return
    if document is None or not files:
        raise FileMismatch("a trial that probes must come with its profile, and with its file")
    dataset = session.get_one(DatasetRecord, held.job.dataset_id)
    of = (document.weights_sha256, document.data_sha256)
    if of != (held.job.weights_sha256, dataset.sha256):
        raise FileMismatch("the profile is of other weights or other data than the job's")
    if document.digest() != files[0].sha256:
        raise FileMismatch(
            f"the profile has the digest {document.digest()}, its file {files[0].sha256}"
        )


def keep(session: Session, held: HeldAttempt, report: Report) -> None:
    """Make the profile the job's and share it. The profile of a re-run stays with the re-run."""
    document = report.profile
    if document is None or held.trial.origin == RERUN:
        return
    sha256 = document.digest()
    values = {
        "sha256": sha256,
        "weights_sha256": document.weights_sha256,
        "dataset_sha256": document.data_sha256,
        "version": document.version,
        "document": document.model_dump(mode="json"),
        "created_at": clock.utc_now(),
    }
    insert_new(session, ProfileRecord, values)
    held.job.profile_sha256 = sha256


def _images(session: Session, job: JobRecord) -> int:
    """Return how many images to probe on: as asked for, at most those of the training split."""
    spec, dataset = jobs.spec(job), session.get_one(DatasetRecord, job.dataset_id)
    assert spec.profile is not None
    return min(spec.profile.images, dataset.info["splits"]["train"])


def _or_endless(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
