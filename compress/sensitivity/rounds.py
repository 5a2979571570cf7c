"""The order of the probes, and their results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from compress.sensitivity.document import BitsPoint, RatioPoint


@dataclass(frozen=True, kw_only=True)
class Round:
    """Probes that belong together; earlier rounds are coarse and cover every part."""

    stage_ratio: float | None = None
    bits: int | None = None
    group_ratio: float | None = None


ROUNDS = (
    Round(stage_ratio=0.5, bits=4),
    Round(stage_ratio=0.75, bits=2),
    Round(stage_ratio=0.25, bits=3),
    Round(stage_ratio=0.9, bits=8),
    Round(group_ratio=0.5),
    Round(bits=6),
    Round(bits=1),
    Round(group_ratio=0.75),
    Round(group_ratio=0.25),
)
"""First what a search chooses between; single groups are for people who ask where it hurts.

5 and 7 bits lie between their neighbours.
"""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One probe: of a layer by its name, a stage by its number, or a group by its root."""

    part: tuple[str, str | int]
    value: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The result of a probe; ``coded``, of layers only, is that of ``BitsPoint``."""

    damage: float
    accuracy: float
    coded: float | None = None


class ProbedPoints:
    """The results of the probes, by part and by ratio or bits."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str | int], dict[float, Answer]] = defaultdict(dict)

    def add(self, step: Step, answer: Answer) -> None:
        """Record the result of a probe."""
        self._found[step.part][step.value] = answer

    def of_layer(self, name: str) -> tuple[BitsPoint, ...]:
        """Return the points of a layer, fewest bits first."""
        return tuple(
            BitsPoint(bits=int(bits), damage=each.damage, accuracy=each.accuracy, coded=each.coded)
            for bits, each in _in_order(self._found["layer", name])
        )

    def of_channels(self, kind: str, name: str | int) -> tuple[RatioPoint, ...]:
        """Return the points of a stage or a group, smallest ratio first."""
        return tuple(
            RatioPoint(ratio=ratio, damage=each.damage, accuracy=each.accuracy)
            for ratio, each in _in_order(self._found[kind, name])
        )


def _in_order(found: Mapping[float, Answer]) -> list[tuple[float, Answer]]:
    return sorted(found.items(), key=lambda item: item[0])
