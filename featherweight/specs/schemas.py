"""Shapes of the public REST answers; the client returns exactly these."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, Field

from compress.network.families.catalog import Architecture
from compress.network.preprocessing import Normalisation
from compress.network.sources.inspection import ModelInfo
from compress.network.sources.onnx_info import OnnxInfo
from compress.tasks.inspection import DatasetInfo
from compress.techniques.candidate import Candidate
from compress.techniques.reach import TechniqueReach
from compress.values.measurement import Measurement, Split
from featherweight.specs.cluster import AttemptSchema, MeterReading
from featherweight.specs.job import JobSpec
from featherweight.specs.objective import (
    FigureSchema,
    MetricSchema,
    QualitySchema,
    SpreadSchema,
)
from featherweight.specs.progress import Counts, Forecast, LookSchema
from featherweight.specs.protocol import Decision
from featherweight.specs.states import (
    FailureClass,
    JobState,
    ModelState,
    PauseReason,
    Phase,
    StopReason,
    TrialState,
)

Item = TypeVar("Item")
OWNER = (
    "Name of the token that made it: only tokens of that name and admins may change it. None: "
    "made without a token, anybody may."
)


class Page(BaseModel, Generic[Item], frozen=True):
    """One page of a listing; ``next_cursor`` is None on the last."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


class Problem(BaseModel, frozen=True):
    """RFC 9457 problem details; ``code`` is the name of the error's class."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    errors: tuple[dict[str, Any], ...] = ()


class ModelSchema(BaseModel, frozen=True):
    """An uploaded network: safetensors weights of a family, or an ONNX file."""

    id: str
    name: str
    owner: str | None = Field(default=None, description=OWNER)
    created_at: AwareDatetime
    sha256: str
    size_bytes: int
    format: Literal["safetensors", "onnx"] = "safetensors"
    state: ModelState = Field(
        default=ModelState.READY,
        description="An ONNX file is inspected first: ask again until it is ready or refused.",
    )
    reasons: tuple[str, ...] = Field(default=(), description="Why it is refused, and the way out.")
    architecture: Architecture | None = Field(
        description="The family's config; None of an ONNX file, which holds its own."
    )
    normalisation: Normalisation | None = Field(
        description="What happens to raw values before the network; None: not known yet."
    )
    info: ModelInfo | OnnxInfo | None = Field(
        description="What an inspection has found; None until the model is ready."
    )
    techniques: tuple[TechniqueReach, ...] = Field(
        default=(), description="What each technique can work on, once the model is ready."
    )


class DatasetSchema(BaseModel, frozen=True):
    """An uploaded dataset."""

    id: str
    name: str
    owner: str | None = Field(default=None, description=OWNER)
    created_at: AwareDatetime
    sha256: str
    size_bytes: int
    task: str
    info: DatasetInfo


class JobSchema(BaseModel, frozen=True):
    """A job and its state."""

    id: str
    name: str
    owner: str | None = Field(default=None, description=OWNER)
    state: JobState
    phase: Phase | None = Field(description="What it does, or did at its end; None once deleted.")
    stop_reason: StopReason | None
    stop_detail: str = Field(description="Why it stops or ended, or why the system paused it.")
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    deleted_at: AwareDatetime | None = Field(
        default=None,
        description="When it was deleted; its spec is kept for jobs that started from it.",
    )
    spec: JobSpec
    trials: Counts
    baseline: Measurement | None
    supernet_sha256: str | None = Field(
        default=None, description="SHA-256 of the weights that the members share, once trained."
    )
    profile_sha256: str | None = Field(
        default=None, description="SHA-256 of the profile that the search uses, once known."
    )
    pause_reason: PauseReason | None = Field(
        default=None, description="Why the system paused it; None if a user did, or nobody."
    )
    forecast: Forecast | None = Field(
        default=None, description="How long it will take; None in a listing and after a change."
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        description="What is wrong with the data or the baseline, bounds and objectives that say "
        "nothing, and what to do; left out in a listing and after a change.",
    )
    last_event: int
    tags: tuple[str, ...] = ()
    priority: int = Field(
        default=0, description="Of an owner's jobs the highest get workers first."
    )


class TrialSchema(BaseModel, frozen=True):
    """One candidate tried. ``measurement`` is the one of the last rung reached."""

    id: str
    job: str
    number: int
    phase: Phase
    origin: str = Field(
        description="Who proposed it: baseline, supernet, profile, sampler, control, allocation, "
        "user, warm (an earlier job's front), finish, test, rerun."
    )
    state: TrialState
    candidate: Candidate
    candidate_digest: str
    description: str
    seed: int
    rung: int | None
    epochs: int | None
    measurement: Measurement | None
    feasible: bool | None
    file: str | None = Field(description="SHA-256 of its newest ONNX file.")
    reason: str
    failure_class: FailureClass | None
    attempts: int
    engine_revision: int | None = Field(
        default=None,
        description="Of the engine that made its files; figures of two revisions may differ for "
        "the same candidate and seed.",
    )
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class RungSchema(BaseModel, frozen=True):
    """What happened at one rung of one trial."""

    rung: int
    epochs: int
    decision: Decision
    measurement: Measurement
    file: str | None


class WhySchema(BaseModel, frozen=True):
    """Why a trial ended as it did: rungs, ranks, constraints, attempts."""

    trial: str
    state: TrialState
    reason: str
    failure_class: FailureClass | None
    violations: dict[str, float] = Field(
        description="Constraint to violation as a share of its bound; above 0 is violated."
    )
    rungs: tuple[RungSchema, ...]
    attempts: tuple[AttemptSchema, ...]


class ArtifactSchema(BaseModel, frozen=True):
    """One file of a trial."""

    id: str
    trial: str
    job: str
    rung: int
    role: Literal["onnx", "weights", "manifest", "profile"]
    sha256: str
    size_bytes: int
    created_at: AwareDatetime


class FrontPoint(BaseModel, frozen=True):
    """One file of the front. ``measurement`` has its accuracy on test, too, once that is known."""

    trial: str
    number: int
    phase: Phase
    description: str
    candidate: Candidate
    seed: int
    epochs: int
    artifact: str
    sha256: str
    size_bytes: int
    feasible: bool
    measurement: Measurement
    test: QualitySchema | None = Field(
        default=None,
        description="On images that the search never saw; None: not measured, and the front's "
        "test_note says why.",
    )
    validation: QualitySchema | None = Field(
        default=None,
        description="On the images that the search chooses by: too high by chance, as it chose.",
    )
    url: str
    manifest_url: str | None
    figures: dict[str, float] = Field(
        default_factory=dict,
        description="Every metric that was measured, by name, as the search compares it.",
    )
    meters: tuple[MeterReading, ...] = Field(
        default=(), description="What meters measured of it, by name; the search uses none of it."
    )


class FrontSchema(BaseModel, frozen=True):
    """Feasible files that no other feasible file dominates, the baseline for comparison."""

    job: str
    state: JobState
    objectives: tuple[str, ...]
    compared: tuple[MetricSchema, ...] = Field(
        default=(), description="Metrics of the objectives, constraints and targets of the job."
    )
    baseline: FrontPoint | None
    points: tuple[FrontPoint, ...]
    controls: tuple[FrontPoint, ...] = Field(
        default=(), description="Newest file of every control, on the front or not."
    )
    nearest: FrontPoint | None = Field(
        default=None, description="If nothing is feasible: the file nearest to the constraints."
    )
    blocked_by: str | None = Field(
        default=None, description="If nothing is feasible: the constraint in the way."
    )
    hypervolume: float = Field(
        description="Share of the box between baseline-anchored reference and ideal; 0 to 1."
    )
    recommended: str | None = Field(
        default=None, description="The artifact of the file to take, on the front or not."
    )
    recommendation: str = Field(default="", description="That file's figures, and why to take it.")
    test_note: str | None = Field(
        default=None, description="Why some files have no figure on test, if so."
    )
    warnings: tuple[str, ...] = Field(
        default=(), description="Why the figures are worth less than they look, and what to do."
    )


class RecommendationSchema(BaseModel, frozen=True):
    """One file and the reason to take it."""

    job: str
    point: FrontPoint | None
    reason: str = Field(description="By which rule it was chosen; validation figures decide.")
    text: str = Field(
        default="", description="Its accuracy on test, then on validation, and the reason."
    )


class FinalistSchema(BaseModel, frozen=True):
    """One candidate retrained from several seeds: mean and spread over them."""

    candidate: Candidate
    description: str
    trials: tuple[int, ...]
    size_bytes: tuple[int, ...]
    validation_mean: float
    validation_std: float
    test_mean: float | None
    test_std: float | None
    figures: dict[str, SpreadSchema] = Field(
        default_factory=dict,
        description="The same of every metric that the job compares, on validation.",
    )


class ClassSchema(BaseModel, frozen=True):
    """One class of one split: the number of images, and the share answered right."""

    label: int
    name: str = Field(default="", description="Its name; empty if the dataset names no classes.")
    split: Split
    images: int
    baseline: float | None = Field(description="None: without images, or not counted.")
    recommended: float | None = Field(description="None: without images, or not counted.")


class ReportSchema(BaseModel, frozen=True):
    """What the job found, for people and scripts."""

    job: str
    state: JobState
    baseline: Measurement | None
    baseline_test: QualitySchema | None = None
    baseline_validation: QualitySchema | None = None
    recommended: FrontPoint | None = Field(
        default=None, description="The file to take: the one that /recommendation names."
    )
    recommendation: str = Field(default="", description="Its figures, and why to take it.")
    test_note: str | None = Field(
        default=None, description="Why some files of the front have no figure on test, if so."
    )
    classes: tuple[ClassSchema, ...] = Field(
        default=(), description="Right answers class by class, baseline and recommended file."
    )
    figures: tuple[FigureSchema, ...] = Field(
        default=(), description="Every metric, of the baseline and of the recommended file."
    )
    counts: Counts
    controls: tuple[FrontPoint, ...]
    finalists: tuple[FinalistSchema, ...]
    best_without_search: FrontPoint | None = Field(
        description="Best control on the front of controls, by the recommendation's rule."
    )
    hypervolume: float = Field(description="Hypervolume of the front of all files.")
    hypervolume_of_controls: float = Field(
        description="Hypervolume of the controls alone: the result without a search."
    )
    refused: int = Field(
        description="Candidates refused beforehand: they could not have entered the front."
    )
    seconds: dict[str, float] = Field(description="Where the trials' time went, in seconds.")
    stop_reasons: dict[str, int] = Field(description="Reason of every trial's end, counted.")
    compression_ratio: float | None = Field(
        description="Baseline bytes over those of the smallest feasible file."
    )
    warnings: tuple[str, ...] = Field(
        default=(), description="Why the figures are worth less than they look, and what to do."
    )
    notes: tuple[str, ...] = Field(
        description="The warnings, then notes of the files of the front."
    )


class KnobSchema(BaseModel, frozen=True):
    """One dimension of the search space."""

    name: str
    kind: Literal["float", "int", "categorical", "fixed"]
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()


class DryRunSchema(BaseModel, frozen=True):
    """What a job would do, without doing it."""

    valid: Literal[True] = True
    data: DatasetInfo | None = Field(default=None, description="What was understood of the data.")
    fit: str | None = Field(default=None, description="In what the model fits the data.")
    space: tuple[KnobSchema, ...]
    candidates: float | None = Field(description="Distinct ones; None if a knob is real-valued.")
    sampler: str
    warm_start: tuple[str, ...] = Field(
        default=(), description="The candidates that open the search, and where they come from."
    )
    trials: dict[str, int] = Field(description="Phase to trials; their sum is the budget.")
    feasibility: tuple[str, ...] = Field(description="What was checked of each constraint.")
    warnings: tuple[str, ...] = Field(
        default=(),
        description="What would make the job's figures worth little, bounds and objectives that "
        "say nothing, and what to do.",
    )
    forecast: Forecast


class EventSchema(BaseModel, frozen=True):
    """One thing that happened to a job; ``seq`` counts from 1 without gaps."""

    job: str
    seq: int
    type: str
    at: AwareDatetime
    data: dict[str, Any]


class TokenSchema(BaseModel, frozen=True):
    """A bearer token; the secret is shown once, when it is made."""

    id: str
    name: str
    scopes: tuple[str, ...]
    kind: Literal["user", "own"] = Field(
        default="user",
        description="'own' are those of a running `featherweight up`: they close nothing.",
    )
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None
    secret: str | None = None


class UploadSchema(BaseModel, frozen=True):
    """A resumable upload: send the bytes from ``received`` on with PATCH, then name it."""

    id: str
    owner: str | None = Field(default=None, description=OWNER)
    size_bytes: int
    received: int
    created_at: AwareDatetime
    look: LookSchema | None = None
