"""Artifacts: which stored file has which role in which trial."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.errors import ArtifactNotFound
from store.jobs import jobs
from store.tables.records import ArtifactRecord, TrialRecord


def get(session: Session, artifact_id: str) -> ArtifactRecord:
    """Return the artifact. Raises ArtifactNotFound, or JobNotFound if its job was deleted."""
    artifact = session.get(ArtifactRecord, artifact_id)
    if artifact is None:
        raise ArtifactNotFound(
            f"no artifact {artifact_id}: files of trials that were stopped or failed are removed "
            "some time after the end of their job, and all of them with the job"
        )
    jobs.get(session, artifact.job_id)
    return artifact


def of_trial(session: Session, trial_id: str) -> list[ArtifactRecord]:
    """Return the files of the trial, by rung and role."""
    query = select(ArtifactRecord).where(ArtifactRecord.trial_id == trial_id)
    return list(session.scalars(query.order_by(ArtifactRecord.rung, ArtifactRecord.role)))


def of_job(session: Session, job_id: str) -> list[ArtifactRecord]:
    """Return the files of all trials of the job, by trial number, rung and role."""
    query = (
        select(ArtifactRecord)
        .join(TrialRecord, TrialRecord.id == ArtifactRecord.trial_id)
        .where(TrialRecord.job_id == job_id)
        .order_by(TrialRecord.number, ArtifactRecord.rung, ArtifactRecord.role)
    )
    return list(session.scalars(query))
