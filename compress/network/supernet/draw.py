"""Draw random members of a supernet. Torch-free."""

from __future__ import annotations

import random
from collections.abc import Callable

from compress.network.families.catalog import Architecture, plan_of
from compress.network.member import Shape
from compress.network.supernet.config import Elastic
from compress.values.errors import InvalidCandidate

_MOST_TRIES = 2_000


class Draw:
    """Draws members evenly, the same ones in the same epoch whatever came before it."""

    def __init__(self, elastic: Elastic, architecture: Architecture, *, seed: int) -> None:
        self._elastic = elastic
        self._architecture = architecture
        self._seed = seed
        self._chance = random.Random(seed)

    @property
    def smallest(self) -> Architecture:
        """The member with the least of every dimension."""
        return self._architecture.member(self._elastic.smallest)

    def begin(self, epoch: int) -> None:
        """Begin an epoch, counted from zero."""
        self._chance = random.Random(f"{self._seed} {epoch}")

    def next(self) -> Architecture:
        """Draw a member, every dimension by itself; cells without a path through them are skipped.

        Raises InvalidCandidate if no cell has one.
        """
        shape = passable(self._elastic, self._chance, is_constant=self._is_constant)
        return self._architecture.member(shape)

    def _is_constant(self, shape: Shape) -> bool:
        member = self._architecture.member(shape)
        return plan_of(member, in_channels=1, num_classes=2).is_constant


def passable(
    elastic: Elastic, chance: random.Random, *, is_constant: Callable[[Shape], bool]
) -> Shape:
    """Sample the shape of a member; draw again as long as no path leads through its cell.

    Raises InvalidCandidate if no cell with a path is found in 2,000 draws.
    """
    for _ in range(_MOST_TRIES):
        shape = elastic.sample(chance)
        if not elastic.operations or not is_constant(shape):
            return shape
    raise InvalidCandidate(
        "no cell of these operations has a path from its input to its output: allow more than "
        "'none' on the edges of one path"
    )
