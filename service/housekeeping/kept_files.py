"""Find the files of stopped and failed trials that a finished job no longer needs."""

from __future__ import annotations

from service.reports import fronts
from store.errors import JobNotFound
from store.housekeeping import retention
from store.jobs import jobs
from store.session import Session
from store.tables.records import JobRecord
from store.trials.trials import of_job as trials_of


def dispensable(session: Session, job_id: str) -> list[str]:
    """Return the ids of files of the job's stopped and failed trials that nothing shows or needs.

    The front, the recommendation and the report of a job may show files of stopped trials; they
    stay the same afterwards.
    """
    try:
        job = jobs.get(session, job_id)
    except JobNotFound:
        return []
    lost = retention.lost_files(session, job_id)
    if not lost:
        return []
    shown, needed = fronts.shown(session, fronts.measured(session, job)), _needed(session, job)
    return [
        file.id
        for file in lost
        if (file.trial_id, file.rung) not in shown and file.sha256 not in needed
    ]


def _needed(session: Session, job: JobRecord) -> set[str]:
    """Return the digests that the job itself, or its trials on test, refer to."""
    own = {job.weights_sha256, job.supernet_sha256, job.profile_sha256} - {None}
    tested = (trial.files or () for trial in trials_of(session, job.id))
    return {*filter(None, own), *(sha256 for files in tested for sha256 in files)}
