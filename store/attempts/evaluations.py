"""Measure the files of the last front on the test split, once, after the search.

A trial of the phase ``test`` trains nothing and makes no file. It has one rung per measured file,
so measurements of a lost worker are kept, and each figure is written once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.values.measurement import Measurement
from featherweight.specs.protocol import EvaluationTask, Report, StoredModel
from featherweight.specs.states import Phase
from store.attempts.held_attempt import HeldAttempt
from store.attempts.scores import has_score
from store.errors import FileMismatch
from store.tables.records import JobRecord, RungRecord, TrialRecord

MOST_FILES = 64
"""Most files per trial: a longer front takes several trials."""


def tested(records: Iterable[RungRecord]) -> dict[str, RungRecord]:
    """Return, by file digest, the first of the records that measured the file on test."""
    found: dict[str, RungRecord] = {}
    for record in records:
        if has_score(record.measurement, "test"):
            found.setdefault(record.file_sha256, record)
    return found


def of_file(session: Session, job_id: str, sha256: str) -> RungRecord | None:
    """Return the first record that measured this file of the job on test, or None."""
    query = select(RungRecord).where(RungRecord.job_id == job_id, RungRecord.file_sha256 == sha256)
    order = (RungRecord.created_at, RungRecord.trial_id, RungRecord.rung)
    return tested(session.scalars(query.order_by(*order))).get(sha256)


def of_trial(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any]:
    """Return the assignment field that lists the files to measure on test."""
    if trial.phase != Phase.TEST:
        return {}
    known = _measurements(session, job, trial.files or [])
    files = [StoredModel(sha256=sha256, measurement=known[sha256]) for sha256 in trial.files or []]
    return {"evaluation_task": EvaluationTask(files=tuple(files))}


def check(held: HeldAttempt, report: Report) -> None:
    """Raise FileMismatch unless a trial that measures on test reports the file of its rung."""
    if held.trial.phase != Phase.TEST:
        return
    wanted = (held.trial.files or [])[report.rung]
    found = next(file.sha256 for file in report.files if file.role == "onnx")
    if found != wanted:
        raise FileMismatch(f"rung {report.rung} measures the file {wanted}, not {found}")
    if not report.measurement.has_score("test"):
        raise FileMismatch(f"the file {found} was to be measured on test, and was not")


def _measurements(session: Session, job: JobRecord, files: Iterable[str]) -> dict[str, Measurement]:
    """Return the measurement of each file by the trial that made it, without the bulky fields."""
    query = (
        select(RungRecord.file_sha256, RungRecord.measurement)
        .where(
            RungRecord.job_id == job.id,
            RungRecord.phase != Phase.TEST,
            RungRecord.file_sha256.in_(list(files)),
        )
        .order_by(RungRecord.created_at.desc(), RungRecord.trial_id, RungRecord.rung)
    )
    unsaid = {"class_correct": {}, "notes": (), "seconds": {}}
    return {
        sha256: Measurement.model_validate(found).model_copy(update=unsaid)
        for sha256, found in session.execute(query)
    }
