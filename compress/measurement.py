"""What was measured of one file. Every number comes from the file itself."""

from __future__ import annotations

import math
from typing import Literal, get_args

from pydantic import BaseModel, Field, model_validator

Metric = Literal[
    "accuracy",
    "size_bytes",
    "download_bytes",
    "peak_memory_bytes",
    "latency_ms",
    "macs",
    "parameters",
]
METRICS: tuple[Metric, ...] = get_args(Metric)
Split = Literal["train", "validation", "test"]
TRAIN_SAMPLE = 10_000
"""Accuracy on the training split is that of at most so many of its images, evenly spaced."""


class Latency(BaseModel, frozen=True, extra="forbid"):
    """Latency of one call with one input in ONNX Runtime, in milliseconds.

    A candidate's file is timed in turns with the baseline's, so that what else the machine does
    meets both (``docs/decisions/0009-latency-beside-the-baseline.md``).
    """

    median_ms: float = Field(gt=0)
    p95_ms: float = Field(gt=0)
    threads: int = Field(ge=1)
    batch: int = Field(ge=1)
    baseline_ms: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Median of the baseline's file in the same run; None: timed alone.",
    )
    reference_ms: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Median that the baseline's own trial recorded; None: timed alone.",
    )
    device: str | None = Field(
        default=None,
        max_length=200,
        description="What it was timed on: the model of the CPU; None: an older measurement.",
    )

    @model_validator(mode="after")
    def _beside(self) -> Latency:
        if (self.baseline_ms is None) != (self.reference_ms is None):
            raise ValueError("give baseline_ms and reference_ms both, or neither")
        return self

    @property
    def ratio(self) -> float | None:
        """The file's median over the baseline's in the same run; None where it was timed alone."""
        return None if self.baseline_ms is None else self.median_ms / self.baseline_ms

    @property
    def compared_ms(self) -> float:
        """What the search compares: the ratio times the baseline's recorded median.

        The median itself where the file was timed alone.
        """
        if self.ratio is None or self.reference_ms is None:
            return self.median_ms
        return self.ratio * self.reference_ms


class Parity(BaseModel, frozen=True, extra="forbid"):
    """How far the file's answers are from those of the network it was exported from."""

    max_abs_error: float = Field(ge=0)
    agreement: float = Field(
        ge=0, le=1, description="Share of inputs with the same top class, up to ties."
    )
    images: int = Field(ge=1)
    equal_classes: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "Share of inputs with the very same top class, ties counted as different; None: an "
            "older measurement."
        ),
    )


class Measurement(BaseModel, frozen=True, extra="forbid"):
    """Accuracy (0 to 1) per split, bytes, counts, latency and parity of one ONNX file."""

    accuracy: dict[Split, float] = Field(
        json_schema_extra={
            "required": ["validation"],
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        }
    )
    size_bytes: int = Field(gt=0)
    download_bytes: int | None = Field(
        default=None,
        gt=0,
        description="Bytes compressed with zstd at level 19; None: an older measurement.",
    )
    peak_memory_bytes: int | None = Field(
        default=None,
        gt=0,
        description=(
            "Most resident memory that loading the file and running one image added to a fresh "
            "process with ONNX Runtime; None: not Linux, or an older measurement."
        ),
    )
    load_ms: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Median time to make a session from the file, in milliseconds.",
    )
    parameters: int = Field(gt=0)
    macs: int = Field(gt=0, description="Multiply-accumulates for one input.")
    latency: Latency
    parity: Parity
    seconds: dict[str, float] = Field(
        default_factory=dict, description="Where the trial's time went, in seconds."
    )
    train_images_per_second: float | None = Field(default=None, gt=0)
    notes: tuple[str, ...] = Field(
        default=(), description="Requests that had nothing to do, and other things worth knowing."
    )

    @model_validator(mode="after")
    def _finite(self) -> Measurement:
        if "validation" not in self.accuracy:
            raise ValueError("accuracy on the validation split is missing")
        for split, value in self.accuracy.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"accuracy on {split} must be within 0 and 1, got {value}")
        numbers = [*self.seconds.values(), self.latency.median_ms, self.latency.p95_ms]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"every number of a measurement must be finite, got {numbers}")
        return self

    def value(self, metric: Metric) -> float:
        """The number the search compares.

        Accuracy is the one on the validation split, latency the one relative to the baseline.

        Raises ValueError for a metric that was not measured.
        """
        found = self.known(metric)
        if found is None:
            raise ValueError(f"{metric} was not measured")
        return float(found)

    def known(self, metric: Metric) -> float | None:
        """``value``, or None where the metric was not measured."""
        match metric:
            case "accuracy":
                return self.accuracy["validation"]
            case "size_bytes":
                return self.size_bytes
            case "download_bytes":
                return self.download_bytes
            case "peak_memory_bytes":
                return self.peak_memory_bytes
            case "latency_ms":
                return self.latency.compared_ms
            case "macs":
                return self.macs
            case "parameters":
                return self.parameters
