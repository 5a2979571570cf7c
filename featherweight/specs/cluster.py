"""Answers about the cluster itself: its workers, its meters, and who changed what."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints, model_validator

from compress.values.bounds import Milliseconds
from compress.values.latency.timing import Clock
from featherweight.specs.names import Name
from featherweight.specs.states import MeteringState

_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Words = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_ONE_LINE)]
Reason = Annotated[str, StringConstraints(max_length=1000, pattern=_ONE_LINE)]
MOST_RUNTIMES = 8
MOST_PEAK_BYTES = 2**50
METER_THREADS = 1
"""Threads of a runtime while a meter measures: what one call costs is then its CPU time."""


class AttemptSchema(BaseModel, frozen=True):
    """One lease of the trial."""

    id: str
    worker: str
    state: str
    started_at: AwareDatetime
    finished_at: AwareDatetime | None
    detail: str


class WorkerSchema(BaseModel, frozen=True):
    """A worker as last heard of."""

    name: str
    device: str
    threads: int
    version: str
    first_seen: AwareDatetime
    last_seen: AwareDatetime
    trial: str | None
    set_aside_until: AwareDatetime | None = Field(
        default=None, description="It gets no trial until then: it has failed too often in a row."
    )
    set_aside_reason: str = Field(
        default="", description="Its last failure, where it is set aside."
    )


class AuditSchema(BaseModel, frozen=True):
    """One thing that was created, changed or deleted."""

    id: str
    at: AwareDatetime
    actor: str | None = Field(
        description="Name of the token; 'command line'; None where no token was needed."
    )
    action: str
    kind: str = Field(description="Of the subject: job, model, dataset or token.")
    subject: str = Field(description="Id of what was changed.")
    name: str = Field(description="The name that it had.")
    detail: dict[str, Any]


class RuntimeVersion(BaseModel, frozen=True, extra="forbid"):
    """A runtime as it is installed."""

    name: Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    version: Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=_ONE_LINE)]


class MeterInfo(BaseModel, frozen=True, extra="forbid"):
    """A device that offers itself for measurements. ``boot_id`` is new in every process."""

    name: Name
    boot_id: Annotated[str, StringConstraints(max_length=32, pattern=r"^[0-9a-f]{32}$")]
    device: Words = Field(description="The board or the machine.")
    cpu: Words = Field(description="The model of its CPU.")
    os: Words
    version: Annotated[str, StringConstraints(max_length=50, pattern=_ONE_LINE)]
    runtimes: tuple[RuntimeVersion, ...] = Field(min_length=1, max_length=MOST_RUNTIMES)


class MeterClaim(BaseModel, frozen=True, extra="forbid"):
    """Ask for one file to measure; the answer may take up to ``wait_seconds`` (long poll)."""

    meter: MeterInfo
    wait_seconds: float = Field(default=20.0, ge=0, le=60)


class MeterTask(BaseModel, frozen=True, extra="forbid"):
    """One file to measure, and the fencing token that makes the meter its owner."""

    measurement: str
    token: str
    lease_seconds: float
    job: str
    artifact: str
    sha256: str
    size_bytes: int
    threads: int = METER_THREADS
    example: tuple[int, ...] = Field(
        default=(),
        description="Sizes of one example of the job's data, as in channels, height and width: for "
        "a file that leaves them open.",
    )


class MeterBeat(BaseModel, frozen=True, extra="forbid"):
    """The lease of a measurement was extended by so many seconds."""

    lease_seconds: float


class RuntimeFigures(BaseModel, frozen=True, extra="forbid"):
    """What one runtime made of a file: its figures, or in words why it refused it.

    Calls have one random input of the shape and type that the file asks for; sizes that it leaves
    open are those of the job's data.
    """

    runtime: RuntimeVersion
    refusal: Reason = Field(default="", description="Why it does not run there; empty if it does.")
    latency_ms: Milliseconds | None = Field(
        default=None, description="10 % quantile of the calls' times by the clock."
    )
    wall_p50_ms: Milliseconds | None = Field(default=None, description="Median wall time.")
    wall_p95_ms: Milliseconds | None = Field(default=None, description="95 % of wall times.")
    load_ms: Milliseconds | None = Field(
        default=None, description="To make a session from the file, the least of three."
    )
    peak_memory_bytes: int | None = Field(
        default=None,
        gt=0,
        le=MOST_PEAK_BYTES,
        description="Most resident memory that loading it and one call added to a fresh process; "
        "None: not Linux.",
    )
    clock: Clock | None = Field(
        default=None, description="CPU time, or wall time where the CPU's clock is too coarse."
    )
    busy: bool = Field(
        default=False,
        description="Wall times sum to more than 1.3 times the CPU times: something else ran.",
    )

    @model_validator(mode="after")
    def _either(self) -> RuntimeFigures:
        figures = (self.latency_ms, self.wall_p50_ms, self.wall_p95_ms, self.load_ms, self.clock)
        known = [figure for figure in figures if figure is not None]
        if self.refusal and (known or self.peak_memory_bytes is not None):
            raise ValueError("give a refusal or figures, not both")
        if not self.refusal and len(known) < len(figures):
            raise ValueError(
                "latency_ms, wall_p50_ms, wall_p95_ms, load_ms and clock are needed where there is "
                "no refusal"
            )
        return self


class MeterResult(BaseModel, frozen=True, extra="forbid"):
    """What a meter found: one entry for each runtime, or in words why there is none."""

    figures: tuple[RuntimeFigures, ...] = Field(default=(), max_length=MOST_RUNTIMES)
    detail: Reason = ""

    @model_validator(mode="after")
    def _says_something(self) -> MeterResult:
        if not self.figures and not self.detail:
            raise ValueError("give figures, or in detail why there are none")
        return self


class MeterReading(BaseModel, frozen=True):
    """One file on one meter: still waiting, or with what was measured, where and when."""

    meter: str
    artifact: str
    state: MeteringState
    device: str | None = None
    cpu: str | None = None
    os: str | None = None
    threads: int = METER_THREADS
    figures: tuple[RuntimeFigures, ...] = ()
    detail: str = Field(default="", description="Why there are no figures.")
    measured_at: AwareDatetime | None = None


class MeterSchema(BaseModel, frozen=True):
    """A meter as last heard of, and how many files wait for it."""

    name: str
    device: str
    cpu: str
    os: str
    version: str
    runtimes: tuple[RuntimeVersion, ...]
    waiting: int
    first_seen: AwareDatetime
    last_seen: AwareDatetime
