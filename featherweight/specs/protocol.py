"""The protocol between workers and the service, over HTTP only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from compress.network.preprocessing import Normalisation
from compress.network.sources.source import FamilySource, NetworkSource
from compress.network.supernet.config import Elastic
from compress.sensitivity.document import ProfileDocument
from compress.targets.registry import AS_MADE, TargetName
from compress.tasks.names import FIRST_TASK, Comparison, TaskName
from compress.techniques.candidate import Candidate
from compress.values.measurement import Measurement, Split
from compress.values.schedule import BEFORE_THE_FIELD, FIRST, Augment, RecordedSchedule
from featherweight.specs.names import Name
from featherweight.specs.states import FailureClass, Phase

Sha256 = Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, StringConstraints(max_length=4000)]
FENCE_HEADER = "Fencing-Token"
"""Header in which a worker shows the secret of its attempt."""


class WorkerInfo(BaseModel, frozen=True, extra="forbid"):
    """The worker that asks for work. ``boot_id`` is new in every process."""

    name: Name
    boot_id: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9a-f]{32}$")]
    device: Annotated[str, StringConstraints(max_length=100)]
    threads: int = Field(ge=1, le=1024)
    version: Annotated[str, StringConstraints(max_length=50)]


class ClaimRequest(BaseModel, frozen=True, extra="forbid"):
    """Ask for one trial; the answer may take up to ``wait_seconds`` (long poll)."""

    worker: WorkerInfo
    wait_seconds: float = Field(default=20.0, ge=0, le=60)


class TrainingTask(BaseModel, frozen=True, extra="forbid"):
    """The baseline trial of an untrained model: train it first."""

    epochs: int = Field(ge=1)
    normalisation: Normalisation | None
    augment: Augment = BEFORE_THE_FIELD


class Weights(BaseModel, frozen=True, extra="forbid"):
    """Trained weights to start from, learn from or share, by the digest of their file.

    That is a safetensors file, or the ONNX file of the network.
    """

    sha256: Sha256
    normalisation: Normalisation


class Tutor(BaseModel, frozen=True, extra="forbid"):
    """An uploaded model that only teaches."""

    weights: Weights
    architecture: NetworkSource


class SupernetTask(BaseModel, frozen=True, extra="forbid"):
    """Train the weights that members share; every rung is a checkpoint of them."""

    elastic: Elastic
    epochs: int = Field(ge=1, description="Of the whole training.")
    start: Literal["fresh", "baseline"]
    augment: Augment = BEFORE_THE_FIELD
    checkpoint: Weights | None = Field(
        default=None,
        description="Continue from here, with a fresh optimiser: what the rung before first_rung "
        "left, or an uploaded model.",
    )


class BaselineFile(BaseModel, frozen=True, extra="forbid"):
    """The baseline's ONNX file, to be timed in turns with the candidate's."""

    sha256: Sha256
    latency_ms: float = Field(gt=0, description="Latency that the baseline's own trial recorded.")


class ProfileTask(BaseModel, frozen=True, extra="forbid"):
    """Probe the baseline, which was measured already: its measurement and its file."""

    images: int = Field(ge=1, description="Training images that every probe answers.")
    allowed_seconds: float | None = Field(ge=0, description="None: until every probe is made.")
    baseline: Measurement
    file: Sha256


class StoredModel(BaseModel, frozen=True, extra="forbid"):
    """An ONNX file of an earlier trial, and what was measured of it there."""

    sha256: Sha256
    measurement: Measurement


class EvaluationTask(BaseModel, frozen=True, extra="forbid"):
    """Measure stored files on the test split, one at each rung; train nothing."""

    files: tuple[StoredModel, ...] = Field(min_length=1)


class Assignment(BaseModel, frozen=True, extra="forbid"):
    """Everything a worker needs for one trial, and the fencing token that makes it the owner.

    Exactly one of ``train`` and ``weights`` is given.
    """

    attempt: str
    token: str
    lease_seconds: float
    job: str
    trial: str
    number: int
    phase: Phase
    candidate: Candidate
    seed: int
    rungs: tuple[int, ...] = Field(description="Total recovery epochs at each rung.")
    first_rung: int = Field(
        default=0, description="Rungs before this one were decided in an earlier attempt."
    )
    architecture: NetworkSource
    train: TrainingTask | None
    weights: Weights | None
    tutor: Tutor | None = Field(
        default=None, description="Given where the candidate learns from an uploaded model."
    )
    student: FamilySource | None = Field(
        default=None, description="The largest network whose members are tried, if not the model."
    )
    supernet: Weights | None = Field(
        default=None, description="Given where the candidate takes its slices of a supernet."
    )
    supernet_task: SupernetTask | None = Field(
        default=None, description="Given where the trial trains the supernet."
    )
    profile_task: ProfileTask | None = Field(
        default=None, description="Given where the trial probes the baseline."
    )
    evaluation_task: EvaluationTask | None = Field(
        default=None, description="Given where the trial measures files of others on test."
    )
    task: TaskName = FIRST_TASK
    outputs: dict[str, Comparison] = Field(
        default_factory=dict, description="How outputs of an unlabelled task are compared, by name."
    )
    dataset: Sha256
    num_classes: int
    recovery: RecordedSchedule = Field(
        default=FIRST, description="How the candidate is trained after its compression."
    )
    target: TargetName = Field(
        default=AS_MADE.name, description="The form in which files are made and measured."
    )
    splits: tuple[Split, ...] = Field(description="Splits to measure on, at the last rung.")
    latency_threads: int = 1
    baseline_file: BaselineFile | None = Field(
        default=None, description="Given once the baseline is measured."
    )


class HeartbeatReply(BaseModel, frozen=True, extra="forbid"):
    """The lease was extended; ``stop`` is the reason to drop the trial, if there is one."""

    lease_seconds: float
    stop: str | None = None


class Heartbeat(BaseModel, frozen=True, extra="forbid"):
    """Progress, for people: what the trial is doing right now."""

    stage: Annotated[str, StringConstraints(max_length=60)] = "running"
    done: float = Field(default=0.0, ge=0, le=1, description="Share of this stage that is done.")


class FileRef(BaseModel, frozen=True, extra="forbid"):
    """A file that was uploaded within the attempt, and what it is."""

    role: Literal["onnx", "weights", "manifest", "profile"]
    sha256: Sha256
    size_bytes: int = Field(gt=0)


class Report(BaseModel, frozen=True, extra="forbid"):
    """One reached rung: the measurement and its files. A repeat gets the first answer again."""

    rung: int = Field(ge=0, le=64)
    epochs: int = Field(ge=0)
    measurement: Measurement
    files: tuple[FileRef, ...] = Field(min_length=1, max_length=3)
    normalisation: Normalisation | None = Field(
        default=None, description="Of a baseline that was trained here."
    )
    profile: ProfileDocument | None = Field(
        default=None, description="What is in the file of this role, of a trial that probes."
    )


class Decision(BaseModel, frozen=True, extra="forbid"):
    """Whether the trial goes on, and why."""

    stop: bool
    reason: str
    rank: int | None = Field(default=None, description="Non-dominated rank at the rung, from 0.")
    peers: int | None = Field(default=None, description="Trials seen at the rung, with this one.")
    allowed: int | None = Field(default=None, description="How many of them may climb.")
    tie_break: float | None = Field(
        default=None,
        description="Where only some of the rank may climb: the hypervolume the trial alone adds, "
        "or with the net its distance from those taken before.",
    )
    extrapolated: float | None = Field(
        default=None, description="The accuracy it was judged by, if that was extrapolated."
    )
    room: float | None = Field(
        default=None,
        description="Where the job leaves tie-break or rounding to us: the share, 0 to 1, of the "
        "accuracy within reach that it has still to gain; none while it misses a floor.",
    )


class Failure(BaseModel, frozen=True, extra="forbid"):
    """Why an attempt failed. ``file_lost`` says which file the service could not give."""

    failure_class: FailureClass
    message: Text
    file: Sha256 | None = Field(
        default=None,
        description="The file of the assignment that is lost; without it a file_lost is taken for "
        "an infrastructure. Of other classes it means nothing.",
    )


class AttemptResult(BaseModel, frozen=True, extra="forbid"):
    """What became of the trial after complete, fail or release."""

    trial: str
    state: str
    repeated: bool = Field(description="True if this had been reported before and nothing changed.")
