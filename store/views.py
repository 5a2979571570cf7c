"""From records to the shapes of the REST answers."""

from __future__ import annotations

from typing import Any

from compress.candidate import Candidate
from featherweight.specs.schemas import (
    ArtifactSchema,
    AttemptSchema,
    Counts,
    DatasetSchema,
    EventSchema,
    JobSchema,
    ModelSchema,
    RungSchema,
    TokenSchema,
    TrialSchema,
    UploadSchema,
    WorkerSchema,
)
from store import jobs, transitions
from store.tables import (
    ArtifactRecord,
    AttemptRecord,
    Base,
    DatasetRecord,
    EventRecord,
    JobRecord,
    ModelRecord,
    RungRecord,
    TokenRecord,
    TrialRecord,
    UploadRecord,
    WorkerRecord,
)


def job(record: JobRecord, counts: Counts) -> JobSchema:
    """A job and its trials by state."""
    own = {"spec": jobs.spec(record), "trials": counts}
    return JobSchema.model_validate(_fields(record, JobSchema) | own)


def trial(record: TrialRecord) -> TrialSchema:
    """A trial."""
    own = {
        "job": record.job_id,
        "candidate": Candidate.of_record(record.candidate),
        "description": transitions.describe(record),
        "feasible": None if record.violation is None else record.violation <= 0,
        "file": record.file_sha256,
        "attempts": record.num_attempts,
    }
    return TrialSchema.model_validate(_fields(record, TrialSchema) | own)


def model(record: ModelRecord) -> ModelSchema:
    """A model."""
    return ModelSchema.model_validate(_fields(record, ModelSchema))


def dataset(record: DatasetRecord) -> DatasetSchema:
    """A dataset."""
    return DatasetSchema.model_validate(_fields(record, DatasetSchema))


def artifact(record: ArtifactRecord) -> ArtifactSchema:
    """A file of a trial."""
    own = {"job": record.job_id, "trial": record.trial_id}
    return ArtifactSchema.model_validate(_fields(record, ArtifactSchema) | own)


def attempt(record: AttemptRecord) -> AttemptSchema:
    """A lease of a trial."""
    return AttemptSchema.model_validate(_fields(record, AttemptSchema))


def rung(record: RungRecord) -> RungSchema:
    """A rung that a trial reached."""
    return RungSchema.model_validate(_fields(record, RungSchema) | {"file": record.file_sha256})


def event(record: EventRecord) -> EventSchema:
    """Something that happened to a job."""
    return EventSchema.model_validate(_fields(record, EventSchema) | {"job": record.job_id})


def worker(record: WorkerRecord, trial: str | None) -> WorkerSchema:
    """A worker and the trial it has."""
    own = {key: record.info[key] for key in ("device", "threads", "version")} | {"trial": trial}
    return WorkerSchema.model_validate(_fields(record, WorkerSchema) | own)


def token(record: TokenRecord, secret: str | None = None) -> TokenSchema:
    """A token; its secret only in the moment it is made."""
    return TokenSchema.model_validate(_fields(record, TokenSchema) | {"secret": secret})


def upload(record: UploadRecord) -> UploadSchema:
    """An upload that is not finished."""
    return UploadSchema.model_validate(_fields(record, UploadSchema))


def _fields(record: Base, schema: Any) -> dict[str, Any]:
    return {
        name: getattr(record, name)
        for name in schema.model_fields
        if name in record.__mapper__.column_attrs
    }
