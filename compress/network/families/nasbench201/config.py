"""A network of NAS-Bench-201: the operations of its cell, and how often it is repeated.

Dong and Yang, NAS-Bench-201, arXiv:2001.00326, section 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from compress.network.families.plans import paths
from compress.network.families.plans.config import FamilyConfig, scaled
from compress.network.families.plans.paths import Arrow
from compress.network.member import OPERATIONS, Dimension, Operation, Shape
from compress.values.errors import InvalidCandidate

Held = Literal[Operation, "all"]
"""``all`` is the sum of all operations, each with weights of its own."""
Count = Annotated[int, Field(ge=0, le=64)]

EDGES: tuple[Arrow, ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""``(source, target)`` of the edges of a cell, in the order of the benchmark's strings."""
NUM_EDGES = len(EDGES)
LAST_NODE = 3
_TEXT = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
_LONGEST_TEXT = 200
_EXAMPLE = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"


class NasBench201(FamilyConfig, frozen=True, extra="forbid"):
    """A stem, and three stages of equal cells; stages 2 and 3 begin with a residual block.

    That block halves the image and doubles the channels. The default cell holds all operations on
    every edge: its members are the 15,625 networks of the benchmark.
    """

    elastic: ClassVar[frozenset[Dimension]] = frozenset({"width", "depth", "cell"})
    family: Literal["nasbench201"] = "nasbench201"
    cell: tuple[Held, ...] = Field(
        default=("all",) * NUM_EDGES,
        min_length=NUM_EDGES,
        max_length=NUM_EDGES,
        description="The operation of every edge: 0 to 1, 0 to 2, 1 to 2, 0 to 3, 1 to 3, 2 to 3; "
        f"or the benchmark's string, {_EXAMPLE}.",
    )
    channels: int = Field(
        default=16, ge=1, le=1024, description="Of the first stage; the others have 2 and 4 times."
    )
    cells: tuple[Annotated[Count, Field(ge=1)], Count, Count] = Field(
        default=(5, 5, 5), description="Cells of every stage, or one number for all three."
    )

    @field_validator("cell", mode="before")
    @classmethod
    def _of_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        found = _TEXT.fullmatch(value[:_LONGEST_TEXT])
        if found is None:
            raise ValueError(f"a cell is {NUM_EDGES} operations or a string like {_EXAMPLE!r}")
        return found.groups()

    @field_validator("cells", mode="before")
    @classmethod
    def _of_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return (value, value, value) if is_number else value

    @property
    def text(self) -> str:
        """The cell as the benchmark writes it."""
        at = [f"{name}~{source}" for name, (source, _) in zip(self.cell, EDGES, strict=True)]
        return f"|{at[0]}|+|{at[1]}|{at[2]}|+|{at[3]}|{at[4]}|{at[5]}|"

    @property
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage: its cells, and the one that halves the image."""
        first, second, third = self.cells
        return (first, second + 1, third + 1)

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""
        return 4

    @property
    def operations(self) -> tuple[tuple[str, ...], ...]:
        """What a member may have on every edge: what is there, or one of all; or nothing."""
        return tuple(
            OPERATIONS[::-1] if held == "all" else tuple(dict.fromkeys((held, "none")))
            for held in self.cell
        )

    def resized(self, shape: Shape) -> NasBench201:
        """Fewer channels, fewer cells, and of every edge an operation that is there.

        Raises InvalidCandidate for operations that the cell does not hold.
        """
        first, second, third = self.cells
        return self.model_copy(
            update={
                "channels": scaled(self.channels, shape.width),
                "cells": (
                    min(first, shape.depth),
                    min(second, shape.depth - 1),
                    min(third, shape.depth - 1),
                ),
                "cell": self._chosen(shape.cell),
            }
        )

    def least(self, allowed: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """Of every edge the cheapest operation, and none where it could not change the answer.

        Files hold no weights of the latter. An edge that has an effect here has one in every cell
        of the allowed operations, because here nothing is joined that is not joined there.
        Nothing allowed leaves the cell as it is.
        """
        names = [min(each, key=_cost) for each in allowed] or self.cell
        joined = [edge for edge, name in zip(EDGES, names, strict=True) if name != "none"]
        live = paths.between(joined, last=LAST_NODE)
        return tuple(
            name if edge in live else "none" for edge, name in zip(EDGES, names, strict=True)
        )

    def _chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        if not names:
            return self.cell
        if len(names) != NUM_EDGES:
            raise InvalidCandidate(f"a cell has {NUM_EDGES} edges, got {len(names)} operations")
        for (source, target), held, allowed, name in zip(
            EDGES, self.cell, self.operations, names, strict=True
        ):
            if name not in (held, *allowed):
                raise InvalidCandidate(
                    f"the edge from {source} to {target} of the cell has {held}, so a member has "
                    f"{' or '.join(allowed)} there, not {name}: start from a cell with 'all' there"
                )
        return tuple(names)


def _cost(name: str) -> int:
    return (*OPERATIONS, "all").index(name)
