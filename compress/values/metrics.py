"""The description of a metric: a row of the table ``compress.values.measurement.METRICS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

Unit = Literal["share", "score", "error", "bytes", "ms", "count"]
"""Of values: a share lies between 0 and 1 and is shown in percent.

A score is at most 1, which is perfect, and may be below 0; an error is 0 at best and never below.
"""
Direction = Literal["maximise", "minimise"]
Need = Literal["class_counts", "logits", "file", "runtime", "structure"]
"""What a measurement takes a metric from.

``class_counts``: images, right answers and answers of each class; ``logits``: all answers of the
file; ``file``: its bytes; ``runtime``: running it; ``structure``: counting its layers.
"""
Part = Literal["bytes", "weights", "macs"]
"""Of a network: the bytes of its weights, their number, its multiply-accumulates."""

M = TypeVar("M")


@dataclass(frozen=True, kw_only=True)
class MetricInfo(Generic[M]):
    """One metric that a job may compare.

    Attributes:
        name: In jobs, constraints and measurements.
        words: The name for people.
        unit: Of its values, and of the numbers in a constraint on it.
        direction: In which it is better.
        is_known_before_training: Whether a lower bound follows from the candidate alone.
        needs: What a measurement takes it from.
        in_proportion_to: The part of the network that it grows with, if there is one.
        read: The value that the search compares; None if it was not measured.
        least_classes: With fewer classes it is the same whatever a network answers.
    """

    name: str
    words: str
    unit: Unit
    direction: Direction
    is_known_before_training: bool
    needs: Need
    in_proportion_to: Part | None
    read: Callable[[M], float | None]
    least_classes: int = 2

    def __post_init__(self) -> None:
        """Check the row. Raises ValueError for a name unfit for constraints, or an unknown word."""
        if not self.name.isidentifier():
            raise ValueError(f"the name of a metric must be an identifier, got {self.name!r}")
        parts = {"unit": Unit, "direction": Direction, "needs": Need}
        for part, words in parts.items():
            if getattr(self, part) not in get_args(words):
                raise ValueError(
                    f"metric {self.name}: {part} must be one of {list(get_args(words))}, got "
                    f"{getattr(self, part)!r}"
                )
        if not self.words or not callable(self.read):
            lacking = "words" if not self.words else "read"
            raise ValueError(f"metric {self.name} lacks {lacking}")

    @property
    def is_quality(self) -> bool:
        """Whether it measures answers, which training changes, and not costs, which stay."""
        return self.needs in ("class_counts", "logits")

    @property
    def is_bounded(self) -> bool:
        """Whether it measures answers and is 1 at best."""
        return self.is_quality and self.unit in ("share", "score")

    def as_share(self, value: float) -> float:
        """Return a value of a metric that is 1 at best within 0 and 1: nothing is below 0."""
        return min(1.0, max(0.0, value))


def table(rows: Sequence[MetricInfo[M]]) -> Mapping[str, MetricInfo[M]]:
    """Index the rows by name, in their order. Raises ValueError for a name that comes twice."""
    found = {row.name: row for row in rows}
    if len(found) < len(rows):
        names = [row.name for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"two metrics have the name {', '.join(twice)}")
    return found
