"""Build the Assignment that a worker receives from stored records."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from compress.network.sources.source import DrawnSource, FamilySource, NetworkSource
from compress.tasks.inspection import DatasetInfo
from compress.techniques.candidate import Candidate
from compress.techniques.training.distillation.config import Distillation
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.protocol import Assignment
from featherweight.specs.states import Phase
from store.attempts import evaluations, profiles, supernets
from store.jobs import jobs
from store.tables.records import AttemptRecord, DatasetRecord, JobRecord, ModelRecord, TrialRecord

_FIRST_FILE = select(TrialRecord.file_sha256).where(
    TrialRecord.job_id == bindparam("job"), TrialRecord.number == 0
)
_BASELINE_FILE = "the ONNX file of the baseline"


def build(
    session: Session, attempt: AttemptRecord, *, token: str, lease_seconds: float
) -> Assignment:
    """Return everything a worker needs for its trial. ``token`` is shown only here."""
    job = session.get_one(JobRecord, attempt.job_id)
    trial = session.get_one(TrialRecord, attempt.trial_id)
    dataset = session.get_one(DatasetRecord, job.dataset_id)
    candidate = Candidate.of_record(trial.candidate)
    return Assignment.model_validate(
        {
            "attempt": attempt.id,
            "token": token,
            "lease_seconds": lease_seconds,
            "job": job.id,
            "task": dataset.task,
            "outputs": job.spec.get("outputs", {}),
            "dataset": dataset.sha256,
            "num_classes": dataset.info["num_classes"],
            "candidate": candidate,
            **_of_trial(trial),
            **_network(session, job, trial),
            "tutor": _uploaded_teacher(session, job, candidate),
            "baseline_file": _baseline_file(session, job),
            **supernets.of_trial(session, job, trial),
            **profiles.of_trial(session, job, trial),
            **evaluations.of_trial(session, job, trial),
        }
    )


def named(session: Session, attempt: AttemptRecord) -> dict[str, str]:
    """Return the stored files that the trial needs, as a map from digest to a description."""
    job = session.get_one(JobRecord, attempt.job_id)
    given = build(session, attempt, token="", lease_seconds=0.0)
    found = {given.dataset: f"the dataset {session.get_one(DatasetRecord, job.dataset_id).name!r}"}
    if given.weights is not None:
        found[given.weights.sha256] = _of_model(
            session, job.model_id, "the weights of the baseline"
        )
    if given.tutor is not None:
        found[given.tutor.weights.sha256] = _of_model(session, job.teacher_id, "the teacher")
    if given.supernet is not None:
        found[given.supernet.sha256] = _of_supernet(session, job, "the weights of the supernet")
    if given.supernet_task is not None and given.supernet_task.checkpoint is not None:
        checkpoint = given.supernet_task.checkpoint.sha256
        found[checkpoint] = _of_supernet(session, job, "the checkpoint of the supernet")
    if given.profile_task is not None:
        found[given.profile_task.file] = _BASELINE_FILE
    if given.baseline_file is not None:
        found[given.baseline_file.sha256] = _BASELINE_FILE
    if given.evaluation_task is not None:
        found |= {file.sha256: "a file of the front" for file in given.evaluation_task.files}
    return found


def _of_model(session: Session, model_id: str | None, what: str) -> str:
    if model_id is None:
        return what
    return f"{what}, of the model {session.get_one(ModelRecord, model_id).name!r}"


def _of_supernet(session: Session, job: JobRecord, what: str) -> str:
    is_trained_here = jobs.spec(job).trains_supernet
    return what if is_trained_here else _of_model(session, job.supernet_model_id, what)


def _of_trial(trial: TrialRecord) -> dict[str, Any]:
    return {
        "trial": trial.id,
        "number": trial.number,
        "phase": trial.phase,
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
        "recovery": spec.recovery,
        "target": spec.target,
        "train": training,
        "weights": None if training else weights,
    }


def _uploaded_teacher(
    session: Session, job: JobRecord, candidate: Candidate
) -> dict[str, Any] | None:
    if job.teacher_id is None or not _learns_from_upload(candidate):
        return None
    model = session.get_one(ModelRecord, job.teacher_id)
    weights = {"sha256": model.sha256, "normalisation": model.normalisation}
    return {"weights": weights, "architecture": model.architecture}


def _baseline_file(session: Session, job: JobRecord) -> dict[str, Any] | None:
    baseline = jobs.baseline(job)
    if baseline is None:
        return None
    sha256 = session.scalars(_FIRST_FILE, {"job": job.id}).one()
    return {"sha256": sha256, "latency_ms": baseline.latency.median_ms}


def _learns_from_upload(candidate: Candidate) -> bool:
    return any(
        isinstance(step, Distillation) and step.teacher == "uploaded" and step.has_effect
        for step in candidate.steps
    )


def _training(spec: JobSpec, trial: TrialRecord) -> dict[str, Any] | None:
    if trial.phase != Phase.BASELINE or not isinstance(spec.model, UntrainedModel):
        return None
    model = spec.model
    return {
        "epochs": model.epochs,
        "normalisation": model.normalisation,
        "augment": model.augment,
    }


def _architecture(session: Session, job: JobRecord, spec: JobSpec) -> Any:
    if isinstance(spec.model, UntrainedModel):
        return _fitted(spec.model.architecture, session.get_one(DatasetRecord, job.dataset_id))
    return session.get_one(ModelRecord, job.model_id).architecture


def _fitted(source: FamilySource | DrawnSource, dataset: DatasetRecord) -> NetworkSource:
    """Return the source as workers need it: with what the data decides of a drawn network."""
    if isinstance(source, FamilySource):
        return source
    return source.fitted(DatasetInfo.model_validate(dataset.info).examples)
