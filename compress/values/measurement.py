"""What was measured of one file. Every number comes from the file itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.values.bounds import Error, Factor, Milliseconds, Seconds, Speed
from compress.values.metrics import MetricInfo, table
from compress.values.revision import FIRST_REVISION
from compress.values.timing import Clock, Estimator

Observer = Literal["minmax", "mse", "percentile"]
Split = Literal["train", "validation", "test"]
FIRST_TARGET = "onnxruntime"
"""The target of files that were measured before jobs had one."""
TRAIN_SAMPLE = 10_000
"""Accuracy on the training split is that of at most so many of its images, evenly spaced."""
MOST_CLASSES = 1000
"""Right answers are kept class by class for at most so many classes."""
MAX_CLASSES = 10_000
"""Classes that a dataset or a network may have."""
MOST_FIGURE = 1e15
"""No figure of answers is further from 0; no bound of a constraint is, either."""
_TRAINING = ("train", "recover")
"""Prefixes of the stages in ``Measurement.seconds`` that grow with epochs."""
ClassCounts = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=MOST_CLASSES)
]

Figures = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=100)],
        Annotated[float, Field(ge=-MOST_FIGURE, le=MOST_FIGURE, allow_inf_nan=False)],
    ],
    Field(max_length=100),
]


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


class Parity(BaseModel, frozen=True, extra="forbid"):
    """How far the file's answers are from those of the network it was exported from."""

    max_abs_error: Error
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
        max_length=3,
        json_schema_extra={
            "required": ["validation"],
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
    )
    class_correct: dict[Split, ClassCounts] = Field(
        default_factory=dict,
        max_length=3,
        description="Right answers on validation and test class by class; the images of each class "
        "are the dataset's class_counts. Left out for more than 1,000 classes, and in older "
        "measurements.",
    )
    quality: dict[Split, Figures] = Field(
        default_factory=dict,
        max_length=3,
        description="What else was measured of the answers on each split, by the metric's name: "
        "top5_accuracy, macro_f1 and the like, 0 to 1. Left out in older measurements.",
    )
    target: str = Field(
        default=FIRST_TARGET,
        max_length=40,
        description="Where the file is for, as its job says: the form that was measured.",
    )
    runtimes: tuple[Annotated[str, Field(max_length=100)], ...] = Field(
        default=(),
        max_length=20,
        description="Oldest version of each runtime that was tried with such files; empty: an "
        "older measurement.",
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
    load_ms: Milliseconds | None = Field(
        default=None,
        description="Milliseconds of CPU time to make a session from the file, the least of three; "
        "of an older measurement the median of wall times.",
    )
    parameters: int = Field(gt=0)
    macs: int = Field(gt=0, description="Multiply-accumulates for one input.")
    latency: Latency
    parity: Parity
    seconds: dict[Annotated[str, Field(max_length=100)], Seconds] = Field(
        default_factory=dict, max_length=100, description="Where the trial's time went, in seconds."
    )
    train_images_per_second: Speed | None = None
    activation_observer: Observer | None = Field(
        default=None,
        description="What set the ranges of the 8-bit activations, which need not be what the "
        "candidate asks for; None: float activations, or an older measurement.",
    )
    training_threads: int | None = Field(
        default=None,
        ge=1,
        description=(
            "Threads of the CPU that it was trained with: with another number the same seed gives "
            "slightly other weights; None: an older measurement."
        ),
    )
    notes: tuple[Annotated[str, Field(max_length=100_000)], ...] = Field(
        default=(),
        max_length=1000,
        description="Requests that had nothing to do, and other things worth knowing.",
    )
    engine_revision: int = Field(
        default=FIRST_REVISION,
        ge=FIRST_REVISION,
        le=2**31 - 1,
        description="Of the engine that made the file; figures of two revisions may differ for "
        "the same candidate and seed.",
    )

    @model_validator(mode="after")
    def _finite(self) -> Measurement:
        if "validation" not in self.accuracy:
            raise ValueError("accuracy on the validation split is missing")
        for split, value in self.accuracy.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"accuracy on {split} must be within 0 and 1, got {value}")
        return self

    @model_validator(mode="after")
    def _shares(self) -> Measurement:
        for split, figures in self.quality.items():
            for metric, value in figures.items():
                info = METRICS.get(metric)
                if info is not None and info.unit == "share" and not 0 <= value <= 1:
                    raise ValueError(f"{metric} on {split} must be within 0 and 1, got {value}")
        return self

    def at_worst(self) -> Measurement:
        """The measurement as it counts against other files: a doubtful latency at its slowest."""
        return self._with(self.latency.at_worst())

    def at_best(self) -> Measurement:
        """The measurement as it counts for its own file: a doubtful latency at its fastest."""
        return self._with(self.latency.at_best())

    def _with(self, latency: Latency) -> Measurement:
        is_same = latency is self.latency
        return self if is_same else self.model_copy(update={"latency": latency})

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
        return METRICS[metric].read(self)

    def seen_on(self, split: Split) -> Measurement:
        """The measurement with the answers on a split, which was measured, as if on validation.

        So constraints and objectives can be asked of test; nothing of another split is left.
        """
        quality = {"validation": self.quality[split]} if split in self.quality else {}
        accuracy = {"validation": self.accuracy[split]}
        return self.model_copy(update={"accuracy": accuracy, "quality": quality})


def training_seconds(seconds: Mapping[str, float]) -> float:
    """Return the part of ``Measurement.seconds`` that grows with epochs."""
    return sum(spent for stage, spent in seconds.items() if stage.startswith(_TRAINING))


def on_validation(metric: str) -> Callable[[Measurement], float | None]:
    """Read a metric from ``Measurement.quality``."""
    return lambda measured: measured.quality.get("validation", {}).get(metric)


METRICS: Mapping[str, MetricInfo[Measurement]] = table(
    [
        MetricInfo(
            name="accuracy",
            words="accuracy",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="class_counts",
            in_proportion_to=None,
            read=lambda measured: measured.accuracy["validation"],
        ),
        MetricInfo(
            name="size_bytes",
            words="bytes of the file",
            unit="bytes",
            direction="minimise",
            is_known_before_training=True,
            needs="file",
            in_proportion_to="bytes",
            read=lambda measured: measured.size_bytes,
        ),
        MetricInfo(
            name="download_bytes",
            words="bytes of a download",
            unit="bytes",
            direction="minimise",
            is_known_before_training=False,
            needs="file",
            in_proportion_to="bytes",
            read=lambda measured: measured.download_bytes,
        ),
        MetricInfo(
            name="peak_memory_bytes",
            words="peak memory",
            unit="bytes",
            direction="minimise",
            is_known_before_training=False,
            needs="runtime",
            in_proportion_to=None,
            read=lambda measured: measured.peak_memory_bytes,
        ),
        MetricInfo(
            name="load_ms",
            words="time to load",
            unit="ms",
            direction="minimise",
            is_known_before_training=False,
            needs="runtime",
            in_proportion_to=None,
            read=lambda measured: measured.load_ms,
        ),
        MetricInfo(
            name="latency_ms",
            words="latency",
            unit="ms",
            direction="minimise",
            is_known_before_training=False,
            needs="runtime",
            in_proportion_to="macs",
            read=lambda measured: measured.latency.compared_ms,
        ),
        MetricInfo(
            name="macs",
            words="multiply-accumulates",
            unit="count",
            direction="minimise",
            is_known_before_training=True,
            needs="structure",
            in_proportion_to="macs",
            read=lambda measured: measured.macs,
        ),
        MetricInfo(
            name="parameters",
            words="parameters",
            unit="count",
            direction="minimise",
            is_known_before_training=True,
            needs="structure",
            in_proportion_to="weights",
            read=lambda measured: measured.parameters,
        ),
        MetricInfo(
            name="top5_accuracy",
            words="top-5 accuracy",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="logits",
            in_proportion_to=None,
            read=on_validation("top5_accuracy"),
            least_classes=6,
        ),
        MetricInfo(
            name="macro_f1",
            words="macro F1",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="class_counts",
            in_proportion_to=None,
            read=on_validation("macro_f1"),
        ),
        MetricInfo(
            name="balanced_accuracy",
            words="mean recall of the classes",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="class_counts",
            in_proportion_to=None,
            read=on_validation("balanced_accuracy"),
        ),
        MetricInfo(
            name="least_recall",
            words="recall of the worst class",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="class_counts",
            in_proportion_to=None,
            read=on_validation("least_recall"),
        ),
    ]
)
"""Everything that a job may compare, by name: a new metric is a row."""

if TYPE_CHECKING:
    Metric: TypeAlias = str
else:
    Metric = Literal[tuple(METRICS)]
