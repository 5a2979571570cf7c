"""From records to the Assignment that a worker gets."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import Phase
from store import jobs
from store.tables import AttemptRecord, DatasetRecord, JobRecord, ModelRecord, TrialRecord


def build(
    session: Session, attempt: AttemptRecord, *, token: str, lease_seconds: float
) -> Assignment:
    """Everything a worker needs for the attempt's trial; ``token`` is shown only here."""
    job = session.get_one(JobRecord, attempt.job_id)
    trial = session.get_one(TrialRecord, attempt.trial_id)
    dataset = session.get_one(DatasetRecord, job.dataset_id)
    return Assignment.model_validate(
        {
            "attempt": attempt.id,
            "token": token,
            "lease_seconds": lease_seconds,
            "job": job.id,
            "dataset": dataset.sha256,
            "num_classes": dataset.info["num_classes"],
            **_of_trial(trial),
            **_network(session, job, trial),
        }
    )


def _of_trial(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.id,
        "number": trial.number,
        "phase": trial.phase,
        "candidate": trial.candidate,
        "seed": trial.seed,
        "rungs": trial.rungs,
        "first_rung": 0 if trial.rung is None else trial.rung + 1,
        "splits": trial.splits,
    }


def _network(session: Session, job: JobRecord, trial: TrialRecord) -> dict[str, Any]:
    spec = jobs.spec(job)
    training = _training(spec, trial)
    weights = {"sha256": job.weights_sha256, "normalisation": job.normalisation}
    return {
        "architecture": _architecture(session, job, spec),
        "train": training,
        "weights": None if training else weights,
    }


def _training(spec: JobSpec, trial: TrialRecord) -> dict[str, Any] | None:
    if trial.phase != Phase.BASELINE or not isinstance(spec.model, UntrainedModel):
        return None
    return {"epochs": spec.model.epochs, "normalisation": spec.model.normalisation}


def _architecture(session: Session, job: JobRecord, spec: JobSpec) -> Any:
    if isinstance(spec.model, UntrainedModel):
        return spec.model.architecture
    return session.get_one(ModelRecord, job.model_id).architecture
