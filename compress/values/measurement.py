"""What was measured of one file. Every number comes from the file itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.values.bounds import Error, Milliseconds, Seconds, Speed
from compress.values.latency.latency import Latency
from compress.values.metrics import MetricInfo, Need, Unit, table
from compress.values.revision import FIRST_REVISION

Observer = Literal["minmax", "mse", "percentile"]
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
PERTURBED_QUALITY = "perturbed_quality"
"""The primary metric on a perturbed copy of validation, 0 to 1, of texts that have one."""
QUALITY = "quality"
"""The metric that every task has: its primary one, 0 to 1."""
FIRST_PRIMARY = "accuracy"
"""The primary metric of all measurements that are older than the field."""
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
Interval = tuple[
    Annotated[float, Field(ge=-MOST_FIGURE, le=MOST_FIGURE, allow_inf_nan=False)],
    Annotated[float, Field(ge=-MOST_FIGURE, le=MOST_FIGURE, allow_inf_nan=False)],
]
_ANY = (-MOST_FIGURE, MOST_FIGURE)
_WITHIN: Mapping[Unit, tuple[float, float]] = {
    "share": (0.0, 1.0),
    "score": (-MOST_FIGURE, 1.0),
    "error": (0.0, MOST_FIGURE),
}
"""Between what the values of a unit lie."""


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
    """The quality of answers per split, bytes, counts, latency and parity of one ONNX file."""

    accuracy: dict[Split, float] = Field(
        default_factory=dict,
        max_length=3,
        json_schema_extra={
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        },
        description="Share of examples whose answer is the label, 0 to 1. Empty for tasks whose "
        "primary metric is another, which is among ``quality`` then.",
    )
    primary: str = Field(
        default=FIRST_PRIMARY,
        max_length=100,
        exclude_if=lambda value: value == FIRST_PRIMARY,
        description="The task's metric that files are compared by unless a job names another: it "
        "is 1 at best.",
    )
    intervals: dict[Split, Interval] = Field(
        default_factory=dict,
        max_length=3,
        exclude_if=lambda value: not value,
        description="95 % interval of the primary metric, by the bootstrap over examples; left out "
        "for accuracy, whose interval follows from the number of examples.",
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
        "top5_accuracy, macro_f1, r2 and the like. Left out in older measurements.",
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
    package_bytes: int | None = Field(
        default=None,
        gt=0,
        exclude_if=lambda value: value is None,
        description="Bytes of the file, of the words that it still tells apart and of their "
        "settings: what a text needs to become its input. None: the data has no words.",
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
        primary = METRICS.get(self.primary)
        if primary is None or not primary.is_bounded:
            raise ValueError(f"primary must be a metric that is 1 at best, got {self.primary!r}")
        if not self.has_score("validation"):
            raise ValueError(f"{self.primary} on the validation split is missing")
        for split, value in self.accuracy.items():
            if not (math.isfinite(value) and 0 <= value <= 1):
                raise ValueError(f"accuracy on {split} must be within 0 and 1, got {value}")
        return self

    @model_validator(mode="after")
    def _shares(self) -> Measurement:
        for split, figures in self.quality.items():
            for metric, value in figures.items():
                info = METRICS.get(metric)
                low, high = _WITHIN.get(info.unit, _ANY) if info is not None else _ANY
                if not low <= value <= high:
                    raise ValueError(
                        f"{metric} on {split} must be within {low:g} and {high:g}, got {value}"
                    )
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

    def has_score(self, split: Split) -> bool:
        """Whether the answers on a split were measured."""
        if self.primary == FIRST_PRIMARY:
            return split in self.accuracy
        return self.primary in self.quality.get(split, {})

    def score(self, split: Split = "validation") -> float:
        """The primary metric on a split that was measured, 0 to 1; values below 0 count as 0."""
        if self.primary == FIRST_PRIMARY:
            return self.accuracy[split]
        return METRICS[self.primary].as_share(self.quality[split][self.primary])

    @property
    def scores(self) -> dict[Split, float]:
        """The primary metric of every split that was measured, 0 to 1."""
        return {split: self.score(split) for split in SPLITS if self.has_score(split)}

    def with_score(self, value: float, split: Split = "validation") -> Measurement:
        """The same measurement with another primary metric on a split."""
        if self.primary == FIRST_PRIMARY:
            return self.model_copy(update={"accuracy": {**self.accuracy, split: value}})
        figures = {**self.quality.get(split, {}), self.primary: value}
        return self.model_copy(update={"quality": {**self.quality, split: figures}})

    def value(self, metric: Metric) -> float:
        """The number the search compares.

        Qualities are those on the validation split, latency the one relative to the baseline.

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
        is_known = split in self.accuracy
        accuracy = {"validation": self.accuracy[split]} if is_known else {}
        return self.model_copy(update={"accuracy": accuracy, "quality": quality})


def training_seconds(seconds: Mapping[str, float]) -> float:
    """Return the part of ``Measurement.seconds`` that grows with epochs."""
    return sum(spent for stage, spent in seconds.items() if stage.startswith(_TRAINING))


def on_validation(metric: str) -> Callable[[Measurement], float | None]:
    """Read a metric from ``Measurement.quality``."""
    return lambda measured: measured.quality.get("validation", {}).get(metric)


def _of_answers(
    name: str, words: str, *, needs: Need = "logits", unit: Unit = "share", least_classes: int = 2
) -> MetricInfo[Measurement]:
    """Return the row of a metric of the answers, kept in ``Measurement.quality``."""
    return MetricInfo(
        name=name,
        words=words,
        unit=unit,
        direction="minimise" if unit == "error" else "maximise",
        is_known_before_training=False,
        needs=needs,
        in_proportion_to=None,
        read=on_validation(name),
        least_classes=least_classes,
    )


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
            read=lambda measured: measured.accuracy.get("validation"),
        ),
        MetricInfo(
            name=QUALITY,
            words="quality",
            unit="share",
            direction="maximise",
            is_known_before_training=False,
            needs="logits",
            in_proportion_to=None,
            read=lambda measured: measured.score(),
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
            name="package_bytes",
            words="bytes of the file with its words",
            unit="bytes",
            direction="minimise",
            is_known_before_training=False,
            needs="file",
            in_proportion_to="bytes",
            read=lambda measured: measured.package_bytes or measured.size_bytes,
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
        _of_answers("top5_accuracy", "top-5 accuracy", needs="logits", least_classes=6),
        _of_answers("macro_f1", "macro F1", needs="class_counts"),
        _of_answers("balanced_accuracy", "mean recall of the classes", needs="class_counts"),
        _of_answers("least_recall", "recall of the worst class", needs="class_counts"),
        _of_answers("calibration_error", "expected calibration error", unit="error"),
        _of_answers("micro_f1", "micro F1"),
        _of_answers("exact_match", "share of examples with every label right"),
        _of_answers("mean_average_precision", "mean average precision over labels"),
        _of_answers("r2", "coefficient of determination", unit="score"),
        _of_answers("spearman", "rank correlation (Spearman)", unit="score"),
        _of_answers("mae", "mean absolute error", unit="error"),
        _of_answers("mse", "mean squared error", unit="error"),
        _of_answers("entity_f1", "entity F1"),
        _of_answers("token_accuracy", "share of tokens with the right tag"),
        _of_answers(PERTURBED_QUALITY, "quality on perturbed validation"),
        _of_answers("agreement", "agreement with the baseline's answers"),
        _of_answers("cosine", "least mean cosine with the baseline's outputs", unit="score"),
        _of_answers("relative_error", "largest relative error against the baseline", unit="error"),
        _of_answers("divergence", "largest divergence from the baseline in nats", unit="error"),
    ]
)
"""Everything that a job may compare, by name: a new metric is a row."""

if TYPE_CHECKING:
    Metric: TypeAlias = str
else:
    Metric = Literal[tuple(METRICS)]
