"""Weights that the members of a job share: trained in one of its trials, or uploaded before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from compress.network.supernet.config import Elastic
from compress.techniques.candidate import Candidate
from featherweight.specs.protocol import FileRef
from featherweight.specs.states import Phase
from store.attempts.held_attempt import HeldAttempt
from store.jobs import jobs
from store.tables.records import ArtifactRecord, JobRecord, ModelRecord, TrialRecord
from store.trials.trials import RERUN


def set_elastic(session: Session, job: JobRecord, elastic: Elastic) -> None:
    """Record what the members may differ in, before the trial that trains their weights is made."""
    jobs.lock(session, job.id).elastic = elastic.model_dump(mode="json")


def keep(held: HeldAttempt, weights: FileRef) -> None:
    """Make the trained weights the job's. Weights of a re-run stay with the re-run."""
    if held.trial.origin != RERUN:
        held.job.supernet_sha256 = weights.sha256


def of_trial(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any]:
    """Return the assignment fields that describe students and supernets."""
    if trial.phase == Phase.BASELINE:
        return {}
    fields: dict[str, Any] = {"student": jobs.spec(job).student}
    if trial.phase == Phase.SUPERNET:
        return fields | {"supernet_task": _task(session, job, trial)}
    return fields | {"supernet": _trained(session, job, trial)}


def _task(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any]:
    training = jobs.spec(job).supernet
    assert training is not None  # else nobody makes a trial of this phase
    return {
        "elastic": job.elastic,
        "epochs": training.epochs,
        "start": training.start,
        "augment": training.augment,
        "checkpoint": _weights(session, job, _checkpoint(session, job, trial)),
    }


def _checkpoint(session: Session, job: JobRecord, trial: TrialRecord) -> str | None:
    """Return the last checkpoint of an earlier attempt; before the first rung, the upload."""
    if trial.rung is None:
        model = _model(session, job)
        return None if model is None else model.sha256
    query = select(ArtifactRecord.sha256).where(
        ArtifactRecord.trial_id == trial.id,
        ArtifactRecord.rung == trial.rung,
        ArtifactRecord.role == "weights",
    )
    return session.scalars(query).one()


def _trained(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any] | None:
    if job.supernet_sha256 is None or not _is_slice(trial):
        return None
    return _weights(session, job, job.supernet_sha256)


def _is_slice(trial: TrialRecord) -> bool:
    network = Candidate.of_record(trial.candidate).network
    return network is not None and network.weights == "supernet"


def _weights(session: Session, job: JobRecord, sha256: str | None) -> dict[str, Any] | None:
    """Return the weights, which see images as their start model does, or else as the baseline."""
    if sha256 is None:
        return None
    model = _model(session, job)
    return {"sha256": sha256, "normalisation": (model or job).normalisation}


def _model(session: Session, job: JobRecord) -> ModelRecord | None:
    if job.supernet_model_id is None:
        return None
    return session.get_one(ModelRecord, job.supernet_model_id)
