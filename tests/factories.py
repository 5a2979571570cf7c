"""Plausible values and records for tests; every field can be given."""

from __future__ import annotations

import hashlib
import math
import uuid
from typing import Any

from sqlalchemy.orm import Session

from compress.network.families import layout
from compress.network.families.catalog import Architecture
from compress.network.families.residual.config import Residual
from compress.network.outline import Outline
from compress.network.preprocessing import Normalisation
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.source import FamilySource
from compress.sensitivity.document import ProfileDocument
from compress.targets import registry as targets
from compress.tasks.inspection import DatasetInfo
from compress.techniques.candidate import Candidate
from compress.values.latency.latency import Latency
from compress.values.measurement import Measurement, Parity
from compress.values.revision import ENGINE_REVISION
from featherweight.rung_context import RungContext
from featherweight.specs.job import JobSpec, UntrainedModel
from featherweight.specs.protocol import (
    Assignment,
    AttemptResult,
    ClaimRequest,
    Decision,
    FileRef,
    Report,
    WorkerInfo,
)
from featherweight.specs.states import JobState, Phase
from search.space import stored_problem
from search.space.problem import Networks, Problem
from store.attempts import attempts
from store.files import datasets, file_store, models
from store.files.file_store import StoredFile
from store.jobs import jobs
from store.tables.records import DatasetRecord, JobRecord, ModelRecord, TrialRecord
from store.trials import trials

ARCHITECTURE = Residual(widths=(4, 8), depths=(1, 1))
NORMALISATION = Normalisation(scale=1 / 16, mean=(0.3,), std=(0.4,))
UNTRAINED = UntrainedModel(architecture=ARCHITECTURE, epochs=1)
TAUGHT = {"distillation": {"teacher": ["baseline", "uploaded"]}}
"""Techniques of a job that needs an uploaded teacher."""
SHARED: dict[str, Any] = {
    "techniques": {"family_member": {"width": [0.25, 0.5, 0.75, 1.0]}, "quantization": {}},
    "supernet": {"epochs": 2},
    "budget": {"trials": 7, "parallel_trials": 2},
}
"""Changes of a spec whose members share weights that a trial of two checkpoints trains."""
PROFILED: dict[str, Any] = {
    "techniques": {"filter_pruning": {}, "quantization": {"weight_bits": [8, 4, 2]}},
    "profile": {},
    "budget": {"trials": 9, "parallel_trials": 2},
}
"""Changes of a spec whose model is probed before the search."""
LEASE_SECONDS = 30.0
MANY = 1000
"""Parallel trials of one owner, where a test is not about them."""
OVER = -1.0
"""A lease that is over when it begins: what a test has instead of waiting."""


def spec(**changes: Any) -> JobSpec:
    """A valid spec of an untrained model on the dataset ``digits``; whole fields are replaced."""
    fields = {
        "name": "job",
        "model": UNTRAINED.model_dump(mode="json"),
        "data": "digits",
        "techniques": {"filter_pruning": {}, "quantization": {}},
        "objectives": ["maximise accuracy", "minimise size_bytes"],
        "budget": {"trials": 6, "parallel_trials": 2},
        "early_stopping": {"rungs": [0, 1], "eta": 3},
        "finish": {"trials": 1, "finalists": 1},
    }
    return JobSpec.model_validate(fields | changes)


def measurement(
    accuracy: float = 0.9, size_bytes: int = 1000, *, latency_ms: float = 1.0, **changes: Any
) -> Measurement:
    """A measurement on the validation split."""
    fields = {
        "accuracy": {"validation": accuracy},
        "size_bytes": size_bytes,
        "parameters": 500,
        "macs": 20_000,
        "latency": Latency(median_ms=latency_ms, p95_ms=latency_ms * 1.5, threads=1, batch=1),
        "parity": Parity(max_abs_error=1e-5, agreement=1.0, images=64),
        "engine_revision": ENGINE_REVISION,
        "target": targets.DEFAULT.name,
    }
    return Measurement.model_validate(fields | changes)


def quality(**figures: float) -> dict[str, dict[str, float]]:
    """Figures of the answers on validation."""
    return {"validation": figures}


def stored(session: Session, content: str | None = None, *, size_bytes: int = 1000) -> StoredFile:
    """A file that the database knows; nothing is on disk. Without ``content`` it is a new one."""
    digest = hashlib.sha256((content or uuid.uuid4().hex).encode()).hexdigest()
    file = StoredFile(sha256=digest, size_bytes=size_bytes)
    file_store.record(session, file)
    return file


def dataset_info(**changes: Any) -> DatasetInfo:
    """What is known of 8x8 grey digits."""
    fields = {
        "num_classes": 2,
        "input_shape": (1, 8, 8),
        "dtype": "uint8",
        "value_range": (0, 16),
        "splits": {"train": 80, "validation": 20, "test": 20},
        "class_counts": {"train": (40, 40), "validation": (10, 10), "test": (10, 10)},
        "held_out": False,
    }
    return DatasetInfo.model_validate(fields | changes)


def problem(asked: JobSpec, *, own: Architecture | None = None, **known: Any) -> Problem:
    """What a job solves: on 8x8 grey digits, and on ``ARCHITECTURE`` if no other is given.

    ``known`` may hold ``dataset``, ``baseline`` and ``profile``.
    """
    dataset = known.pop("dataset", None) or dataset_info()
    source = FamilySource(own or ARCHITECTURE)
    found = Networks(
        own=stored_problem.outlined(source, dataset, where="model", data=asked.data),
        student=asked.student
        and stored_problem.outlined(asked.student, dataset, where="student", data=asked.data),
    )
    return Problem.compiled(asked, dataset, found, **known)


def outline(
    network: Architecture = ARCHITECTURE,
    *,
    input_shape: tuple[int, int, int] = (1, 8, 8),
    num_classes: int = 2,
) -> Outline:
    """What is known of a network on 8x8 grey digits."""
    return FamilySource(network).outline(input_shape=input_shape, num_classes=num_classes)


def model_info(**changes: Any) -> ModelInfo:
    """What is known of a small residual network."""
    fields = {
        "architecture": ARCHITECTURE,
        "in_channels": 1,
        "num_classes": 2,
        "input_shape": (1, 8, 8),
        "parameters": 500,
        "macs": 20_000,
        "layers": (),
    }
    return ModelInfo.model_validate(fields | changes)


def dataset(
    session: Session, name: str = "digits", *, owner: str = "", **changes: Any
) -> DatasetRecord:
    """An uploaded dataset."""
    return datasets.create(
        session,
        owner=owner,
        name=name,
        stored=stored(session, f"dataset {name}"),
        task="image_classification",
        info=dataset_info(**changes),
    )


def model(
    session: Session, name: str = "network", *, owner: str = "", **changes: Any
) -> ModelRecord:
    """An uploaded model."""
    info = model_info(**changes)
    return models.create(
        session,
        owner=owner,
        name=name,
        stored=stored(session, f"model {name}"),
        source=FamilySource(info.architecture),
        normalisation=NORMALISATION,
        info=info,
    )


def job(
    session: Session,
    *,
    model: ModelRecord | None = None,
    teacher: ModelRecord | None = None,
    shared: ModelRecord | None = None,
    dataset: DatasetRecord | None = None,
    key: str | None = None,
    owner: str = "",
    running: bool = False,
    **changes: Any,
) -> JobRecord:
    """A queued (or running) job; ``changes`` are fields of its spec. Its dataset is made.

    ``shared`` is an uploaded supernet, as it is unless its field says otherwise.
    """
    dataset = dataset or _dataset_named(session, changes.get("data", "digits"))
    if model is not None:
        changes.setdefault("model", model.name)
    if teacher is not None:
        changes = {"techniques": TAUGHT, "teacher": teacher.name} | changes
    if shared is not None:
        changes = SHARED | {"supernet": {"epochs": 0, "model": shared.name}} | changes
    asked = spec(**changes)
    digest = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
    record, _ = jobs.create(
        session,
        asked,
        model=model,
        teacher=teacher,
        supernet=shared,
        dataset=dataset,
        idempotency_key=key,
        body_sha256=digest,
        owner=owner,
    )
    if running:
        jobs.move(session, record, JobState.RUNNING)
    return record


def _dataset_named(session: Session, name: str) -> DatasetRecord:
    found = session.query(DatasetRecord).filter_by(name=name).one_or_none()
    return found or dataset(session, name)


def candidate(ratio: float = 0.5, *, stages: int = 2) -> Candidate:
    """Prune every stage by one ratio and store 8-bit weights."""
    return Candidate.model_validate(
        {
            "steps": [
                {"technique": "filter_pruning", "ratios": [ratio] * stages},
                {"technique": "quantization"},
            ]
        }
    )


def trial(session: Session, job: JobRecord, **changes: Any) -> TrialRecord:
    """A waiting search trial of a candidate that the job does not have yet."""
    number = len(trials.of_job(session, job.id))
    fields: dict[str, Any] = {
        "phase": Phase.SEARCH,
        "origin": "sampler",
        "candidate": candidate(0.001 * number),
        "seed": 0,
        "rungs": (0, 1),
        "splits": ("validation",),
    }
    return trials.create(session, job, **(fields | changes))


def baseline_trial(session: Session, job: JobRecord) -> TrialRecord:
    """The waiting trial 0."""
    fields: dict[str, Any] = {"phase": Phase.BASELINE, "origin": "baseline", "rungs": (0,)}
    return trial(session, job, candidate=Candidate(), **fields)


def worker_info(name: str = "worker", *, boot_id: str | None = None) -> WorkerInfo:
    """A worker process; the same name gives the same boot id unless one is given."""
    return WorkerInfo(
        name=name,
        boot_id=boot_id or hashlib.md5(name.encode()).hexdigest(),
        device="cpu",
        threads=1,
        version="0",
    )


def claim(
    session: Session,
    worker: str = "worker",
    *,
    lease_seconds: float = LEASE_SECONDS,
    per_owner: int = MANY,
) -> Assignment | None:
    """Ask for work in the name of a worker."""
    request = ClaimRequest(worker=worker_info(worker))
    return attempts.claim(session, request, lease_seconds=lease_seconds, per_owner=per_owner)


def must_claim(
    session: Session,
    worker: str = "worker",
    *,
    lease_seconds: float = LEASE_SECONDS,
    per_owner: int = MANY,
) -> Assignment:
    """Ask for work where there must be some."""
    assignment = claim(session, worker, lease_seconds=lease_seconds, per_owner=per_owner)
    assert assignment is not None
    return assignment


def profile_document(**changes: Any) -> ProfileDocument:
    """A profile of ``ARCHITECTURE``: later layers and later stages matter less."""
    rows = layout.layers(ARCHITECTURE, in_channels=1, num_classes=2, image=(8, 8))
    layers = [
        {
            "name": row.name,
            "weights": math.prod(row.shape),
            "outputs": row.shape[0],
            "macs": row.macs,
            "writes": None if row.kind == "linear" else row.stage or 0,
            "reads": None if number == 0 else 1 if row.kind == "linear" else row.stage,
            "points": [
                {"bits": bits, "damage": 4.0**-bits / (1 + number), "accuracy": 0.9}
                for bits in (2, 4, 8)
            ],
        }
        for number, row in enumerate(row for row in rows if row.kind in ("conv", "linear"))
    ]
    stages = [
        {
            "stage": stage,
            "points": [
                {"ratio": ratio, "damage": ratio**2 / (1 + stage), "accuracy": 0.9}
                for ratio in (0.25, 0.5, 0.9)
            ],
        }
        for stage in range(ARCHITECTURE.num_stages)
    ]
    fields = {
        "weights_sha256": "0" * 64,
        "data_sha256": "1" * 64,
        "images": 80,
        "accuracy": 0.9,
        "seconds": 1.0,
        "allowed_seconds": None,
        "probes": 30,
        "planned": 30,
        "layers": layers,
        "stages": stages,
        "groups": [],
        "engine_revision": ENGINE_REVISION,
    }
    return ProfileDocument.model_validate(fields | changes)


def profile_of(assignment: Assignment, **changes: Any) -> ProfileDocument:
    """The profile that a worker brings from this assignment."""
    task, weights = assignment.profile_task, assignment.weights
    assert task is not None
    assert weights is not None
    own = {
        "weights_sha256": weights.sha256,
        "data_sha256": assignment.dataset,
        "images": task.images,
        "allowed_seconds": task.allowed_seconds,
    }
    return profile_document(**(own | changes))


def report_of(
    session: Session,
    assignment: Assignment,
    *,
    rung: int = 0,
    measured: Measurement | None = None,
) -> Report:
    """A report whose files the database knows; with weights where the worker trained them."""
    if assignment.evaluation_task is not None:
        return evaluation_report(assignment, rung=rung)
    measured = measured or measurement()
    onnx = stored(session, size_bytes=measured.size_bytes)
    refs = [FileRef(role="onnx", sha256=onnx.sha256, size_bytes=onnx.size_bytes)]
    if assignment.train is not None or assignment.supernet_task is not None:
        weights = stored(session)
        refs.append(FileRef(role="weights", sha256=weights.sha256, size_bytes=weights.size_bytes))
    profile = profile_of(assignment) if assignment.profile_task is not None else None
    if profile is not None:
        refs.append(profile_file(session, profile))
    return Report(
        rung=rung,
        epochs=assignment.rungs[rung] if rung < len(assignment.rungs) else rung,
        measurement=measured,
        files=tuple(refs),
        normalisation=NORMALISATION if assignment.train is not None else None,
        profile=profile,
    )


def evaluation_report(
    assignment: Assignment, *, rung: int = 0, test_accuracy: float | None = None
) -> Report:
    """What a worker says of a stored file on test: half a point less than on validation."""
    assert assignment.evaluation_task is not None
    file = assignment.evaluation_task.files[rung]
    accuracy = file.measurement.accuracy
    if test_accuracy is None:
        test_accuracy = max(0.0, accuracy["validation"] - 0.005)
    measured = file.measurement.model_copy(update={"accuracy": accuracy | {"test": test_accuracy}})
    onnx = FileRef(role="onnx", sha256=file.sha256, size_bytes=measured.size_bytes)
    return Report(rung=rung, epochs=0, measurement=measured, files=(onnx,))


def profile_file(session: Session, profile: ProfileDocument) -> FileRef:
    """The file of a profile, which the database knows."""
    size_bytes = len(profile.text().encode())
    file_store.record(session, StoredFile(sha256=profile.digest(), size_bytes=size_bytes))
    return FileRef(role="profile", sha256=profile.digest(), size_bytes=size_bytes)


def climb(context: RungContext) -> Decision:
    """A stopping rule that lets everything climb to the last rung."""
    return Decision(stop=context.is_last, reason="last rung" if context.is_last else "climbs")


def stop(context: RungContext) -> Decision:
    """A stopping rule that stops everything at once."""
    return Decision(stop=True, reason=f"stopped at rung {context.rung}", rank=1, peers=2, allowed=1)


def deliver(
    session: Session, assignment: Assignment, *, measured: Measurement | None = None
) -> AttemptResult:
    """Report every rung that is left and complete the trial."""
    for rung in range(assignment.first_rung, len(assignment.rungs)):
        report = report_of(session, assignment, rung=rung, measured=measured)
        attempts.report(session, assignment.attempt, assignment.token, report, decide=climb)
    return attempts.complete(session, assignment.attempt, assignment.token)


def searching_job(session: Session, *, waiting: int = 1, **changes: Any) -> JobRecord:
    """A running job with a delivered baseline (0.9, 1000 bytes) and waiting search trials."""
    job_record = job(session, running=True, **changes)
    baseline_trial(session, job_record)
    assignment = must_claim(session, "baseline-worker")
    assert assignment.job == job_record.id, "an older job has waiting trials: make this one first"
    deliver(session, assignment)
    jobs.set_phase(session, job_record, Phase.SEARCH)
    for _ in range(waiting):
        trial(session, job_record)
    return job_record
