"""Convert records into the schemas of the REST answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from compress.network.sources.source import FamilySource, OnnxSource
from compress.techniques import reach
from compress.techniques.candidate import Candidate
from compress.techniques.reach import DescribedLayer, TechniqueReach
from featherweight.specs.cluster import AttemptSchema, AuditSchema, WorkerSchema
from featherweight.specs.job import JobSpec
from featherweight.specs.schemas import (
    ArtifactSchema,
    Counts,
    DatasetSchema,
    EventSchema,
    JobSchema,
    ModelSchema,
    RungSchema,
    TokenSchema,
    TrialSchema,
    UploadSchema,
)
from featherweight.specs.states import JobState
from store.access.owners import Owned
from store.attempts.faults import SetAside
from store.files import models
from store.jobs import jobs, transitions
from store.tables.records import (
    ArtifactRecord,
    AttemptRecord,
    AuditRecord,
    Base,
    DatasetRecord,
    DeletedJobRecord,
    EventRecord,
    JobRecord,
    ModelRecord,
    RungRecord,
    TokenRecord,
    TrialRecord,
    UploadRecord,
    WorkerRecord,
)
from store.trials.revisions import revision_of

_WITHOUT_WEIGHTS = frozenset({"norm", "pad"})
"""Kinds of layers that have no weight to work on, or one that is never trained."""


def job(record: JobRecord, counts: Counts) -> JobSchema:
    """Return a job and its trials by state."""
    said = record.pause_detail or record.stop_detail
    own = {"trials": counts, "spec": jobs.spec(record), "stop_detail": said}
    own |= _owner(record) | {"tags": tuple(record.tags or ())}
    return JobSchema.model_validate(_fields(record, JobSchema) | own)


def deleted_job(record: DeletedJobRecord) -> JobSchema:
    """Return what is left of a deleted job: its id and name, its spec, and its times."""
    gone = {
        "state": JobState.DELETED,
        "phase": None,
        "stop_reason": None,
        "stop_detail": "the job was deleted; its trials, files and study are gone",
        "trials": Counts(),
        "baseline": None,
        "last_event": 0,
    }
    own = {"spec": JobSpec.of_record(record.spec)}
    return JobSchema.model_validate(_fields(record, JobSchema) | own | gone)


def trial(record: TrialRecord) -> TrialSchema:
    """Return a trial."""
    own = {
        "job": record.job_id,
        "candidate": Candidate.of_record(record.candidate),
        "description": transitions.describe(record),
        "feasible": None if record.violation is None else record.violation <= 0,
        "file": record.file_sha256,
        "attempts": record.num_attempts,
        "engine_revision": revision_of(record.measurement),
    }
    return TrialSchema.model_validate(_fields(record, TrialSchema) | own)


def model(record: ModelRecord) -> ModelSchema:
    """Return a model."""
    source = models.source_of(record)
    own: dict[str, Any] = {
        "format": "onnx" if isinstance(source, OnnxSource) else "safetensors",
        "reasons": record.reasons or (),
        "architecture": source.config if isinstance(source, FamilySource) else None,
        "normalisation": models.normalisation_of(record),
        "info": record.info or None,
        "techniques": _reaches(record.info, is_family=isinstance(source, FamilySource)),
    }
    return ModelSchema.model_validate(_fields(record, ModelSchema) | own | _owner(record))


def _reaches(info: dict[str, Any], *, is_family: bool) -> tuple[TechniqueReach, ...]:
    if not info.get("layers"):
        return ()
    rows = (row for row in info["layers"] if row["kind"] not in _WITHOUT_WEIGHTS)
    layers = [DescribedLayer.of_row(row) for row in rows]
    return reach.reaches(layers, is_family=is_family)


def dataset(record: DatasetRecord) -> DatasetSchema:
    """Return a dataset."""
    return DatasetSchema.model_validate(_fields(record, DatasetSchema) | _owner(record))


def artifact(record: ArtifactRecord) -> ArtifactSchema:
    """Return a file of a trial."""
    own = {"job": record.job_id, "trial": record.trial_id}
    return ArtifactSchema.model_validate(_fields(record, ArtifactSchema) | own)


def attempt(record: AttemptRecord) -> AttemptSchema:
    """Return a lease of a trial."""
    return AttemptSchema.model_validate(_fields(record, AttemptSchema))


def rung(record: RungRecord) -> RungSchema:
    """Return a rung that a trial reached."""
    return RungSchema.model_validate(_fields(record, RungSchema) | {"file": record.file_sha256})


def event(record: EventRecord) -> EventSchema:
    """Something that happened to a job."""
    return EventSchema.model_validate(_fields(record, EventSchema) | {"job": record.job_id})


def worker(record: WorkerRecord, trial: str | None, aside: SetAside | None = None) -> WorkerSchema:
    """Return a worker and its current trial, or why and until when it gets none."""
    own: dict[str, Any] = {key: record.info[key] for key in ("device", "threads", "version")}
    own["trial"] = trial
    if aside is not None:
        own["set_aside_until"] = datetime.fromtimestamp(aside.until, UTC)
        own["set_aside_reason"] = aside.reason
    return WorkerSchema.model_validate(_fields(record, WorkerSchema) | own)


def token(record: TokenRecord, secret: str | None = None) -> TokenSchema:
    """Return a token, with its secret only at the moment of its creation."""
    return TokenSchema.model_validate(_fields(record, TokenSchema) | {"secret": secret})


def upload(record: UploadRecord) -> UploadSchema:
    """Return an upload that is not finished."""
    return UploadSchema.model_validate(_fields(record, UploadSchema) | _owner(record))


def audited(record: AuditRecord) -> AuditSchema:
    """Something that was created, changed or deleted."""
    own = {"actor": record.actor or None}
    return AuditSchema.model_validate(_fields(record, AuditSchema) | own)


def _owner(record: Owned) -> dict[str, str | None]:
    return {"owner": record.owner or None}


def _fields(record: Base, schema: Any) -> dict[str, Any]:
    return {
        name: getattr(record, name)
        for name in schema.model_fields
        if name in record.__mapper__.column_attrs
    }
