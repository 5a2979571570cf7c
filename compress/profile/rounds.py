"""Which probes are made in which order, and what they found."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from compress.profile.document import BitsPoint, RatioPoint


@dataclass(frozen=True, kw_only=True)
class Round:
    """Probes that belong together: earlier rounds are coarse and cover every part."""

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
    """One probe: a layer by its name, a stage by its number or a group by its root."""

    part: tuple[str, str | int]
    value: float


class Points:
    """What the probes found, by part and by ratio or bits: damage and accuracy."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str | int], dict[float, tuple[float, float]]] = (
            defaultdict(dict)
        )

    def add(self, step: Step, damage: float, accuracy: float) -> None:
        """Note what a probe found."""
        self._found[step.part][step.value] = (damage, accuracy)

    def of_layer(self, name: str) -> tuple[BitsPoint, ...]:
        """Of a layer, the fewest bits first."""
        found = sorted(self._found["layer", name].items())
        return tuple(BitsPoint(bits=int(b), damage=d, accuracy=a) for b, (d, a) in found)

    def of_channels(self, kind: str, name: str | int) -> tuple[RatioPoint, ...]:
        """Of a stage or a group, the smallest ratio first."""
        found = sorted(self._found[kind, name].items())
        return tuple(RatioPoint(ratio=r, damage=d, accuracy=a) for r, (d, a) in found)
