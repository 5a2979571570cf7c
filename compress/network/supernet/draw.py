"""Random members of a supernet. Torch-free."""

from __future__ import annotations

import random

from compress.network.families.catalog import Architecture, plan_of
from compress.network.supernet.config import Elastic
from compress.values.errors import InvalidCandidate

_MOST_TRIES = 2_000


class Draw:
    """Members drawn evenly, the same in the same epoch whatever came before it."""

    def __init__(self, elastic: Elastic, architecture: Architecture, *, seed: int) -> None:
        self._elastic = elastic
        self._architecture = architecture
        self._seed = seed
        self._chance = random.Random(seed)

    @property
    def smallest(self) -> Architecture:
        """The least of every dimension."""
        return self._architecture.member(self._elastic.smallest)

    def begin(self, epoch: int) -> None:
        """An epoch, counted from zero, begins."""
        self._chance = random.Random(f"{self._seed} {epoch}")

    def next(self) -> Architecture:
        """A member, every dimension by itself; cells without a path through them are passed over.

        Raises InvalidCandidate where no cell has one.
        """
        for _ in range(_MOST_TRIES):
            member = self._architecture.member(self._elastic.sample(self._chance))
            if not self._elastic.operations or not _is_constant(member):
                return member
        raise InvalidCandidate(
            "no cell of these operations has a path from its input to its output: allow more than "
            "'none' on the edges of one path"
        )


def _is_constant(member: Architecture) -> bool:
    return plan_of(member, in_channels=1, num_classes=2).is_constant
