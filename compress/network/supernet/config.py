"""Which members of a supernet are trained together. Torch-free."""

from __future__ import annotations

import math
import random
from typing import Annotated

from pydantic import BaseModel, Field

from compress.network.member import AS_IS, Shape

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=AS_IS)]


class Elastic(BaseModel, frozen=True, extra="forbid"):
    """The values that each dimension of a member may take; the largest of each is the supernet.

    ``operations`` are those that an edge of a cell may have; empty for families without cells.
    """

    widths: tuple[Share, ...] = Field(default=(1.0,), min_length=1, max_length=100)
    depths: tuple[Count, ...] = Field(default=(AS_IS,), min_length=1, max_length=100)
    kernels: tuple[Count, ...] = Field(default=(AS_IS,), min_length=1, max_length=100)
    expansions: tuple[Share, ...] = Field(default=(1.0,), min_length=1, max_length=100)
    operations: tuple[tuple[str, ...], ...] = Field(default=(), max_length=100)

    @property
    def largest(self) -> Shape:
        """The most of everything."""
        return Shape(
            width=max(self.widths),
            depth=max(self.depths),
            kernel=max(self.kernels),
            expansion=max(self.expansions),
        )

    @property
    def smallest(self) -> Shape:
        """The least of everything; cells have no least and keep what they have."""
        return Shape(
            width=min(self.widths),
            depth=min(self.depths),
            kernel=min(self.kernels),
            expansion=min(self.expansions),
        )

    @property
    def num_shapes(self) -> int:
        """How many members there are to sample."""
        dimensions = (self.widths, self.depths, self.kernels, self.expansions, *self.operations)
        return math.prod(len(set(values)) for values in dimensions)

    def sample(self, chance: random.Random) -> Shape:
        """A member, every dimension by itself and evenly."""
        return Shape(
            width=chance.choice(self.widths),
            depth=chance.choice(self.depths),
            kernel=chance.choice(self.kernels),
            expansion=chance.choice(self.expansions),
            cell=tuple(chance.choice(names) for names in self.operations),
        )
