"""The latency of one file: what was taken of its calls, where, and how far it can be trusted."""

from __future__ import annotations

import math

from pydantic import BaseModel, Field, model_validator

from compress.values.bounds import Factor, Milliseconds
from compress.values.latency.timing import Clock, Estimator


class Latency(BaseModel, frozen=True, extra="forbid"):
    """Latency of one call with one input in the ``runtime``, in milliseconds.

    ``median_ms`` is the latency on a machine that does nothing else: what ``estimator`` takes of
    the calls' times by ``clock``, which on such a machine is near the median that gave the field
    its name. A candidate's file is timed in turns with the baseline's, so that what else the
    machine does meets both (``docs/decisions/engine/0009-latency-beside-the-baseline.md``).
    """

    median_ms: Milliseconds = Field(
        description="Latency on an unloaded machine: by the clock, the 10 % quantile of the calls' "
        "times; of an older measurement what `estimator` says.",
    )
    p95_ms: Milliseconds = Field(description="95 % quantile of the calls' times by the same clock.")
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    baseline_ms: Milliseconds | None = Field(
        default=None,
        description="Latency of the baseline's file in the same run; None: timed alone.",
    )
    reference_ms: Milliseconds | None = Field(
        default=None,
        description="Latency that the baseline's own trial recorded; None: timed alone.",
    )
    device: str | None = Field(
        default=None,
        max_length=200,
        description="What it was timed on: the model of the CPU; None: an older measurement.",
    )
    clock: Clock | None = Field(
        default=None,
        description="CPU time of the calling thread, or wall time where the system's CPU clock is "
        "too coarse; None: an older measurement.",
    )
    estimator: Estimator | None = Field(
        default=None,
        description="What was taken of the calls' times; None: an older measurement, the least of "
        "them where it has a clock, and else the median.",
    )
    runtime: str | None = Field(
        default=None,
        max_length=50,
        description="What ran the file; None: an older measurement, by ONNX Runtime.",
    )
    runtime_version: str | None = Field(
        default=None,
        max_length=50,
        description="Version of the runtime; None: an older measurement.",
    )
    wall_ms: Milliseconds | None = Field(
        default=None,
        description="Median of the calls' wall times, with whatever else the machine did.",
    )
    busy: bool = Field(default=False, description="Whether the machine did something else, too.")
    within: Factor = Field(
        default=1.0,
        description="Where busy: the factor, up or down, within which the ratio to the baseline's "
        "latency is right, and of the baseline its latency.",
    )

    @model_validator(mode="after")
    def _beside(self) -> Latency:
        if (self.baseline_ms is None) != (self.reference_ms is None):
            raise ValueError("give baseline_ms and reference_ms both, or neither")
        return self

    @property
    def taken_by(self) -> Estimator:
        """What was taken of the calls' times, in older measurements, too."""
        return self.estimator or ("median" if self.clock is None else "least")

    @property
    def ratio(self) -> float | None:
        """The file's latency over the baseline's in the same run; None where it was timed alone."""
        return None if self.baseline_ms is None else self.median_ms / self.baseline_ms

    @property
    def compared_ms(self) -> float:
        """What the search compares: the ratio times the baseline's recorded latency.

        The latency itself where the file was timed alone.
        """
        if self.ratio is None or self.reference_ms is None:
            return self.median_ms
        return self.ratio * self.reference_ms

    @property
    def remark(self) -> str:
        """What to know of a doubtful figure, in words; empty where the machine was quiet."""
        if not self.busy:
            return ""
        within = math.ceil(round(10 * self.within, 6)) / 10
        return f"measured on a busy machine; right within a factor of {within:.1f}"

    def at_worst(self) -> Latency:
        """The slowest that the file may be: ``within`` times what was measured on a busy machine.

        Of a file that was timed alone nothing changes: it is the baseline, whose ratio is 1.
        """
        return self._times(self.within)

    def at_best(self) -> Latency:
        """The fastest that the file may be, likewise."""
        return self._times(1 / self.within)

    def _times(self, factor: float) -> Latency:
        if not self.busy or self.ratio is None:
            return self
        sure = {"median_ms": factor * self.median_ms, "busy": False, "within": 1.0}
        return self.model_copy(update=sure)
