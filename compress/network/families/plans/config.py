"""What all configs of families have in common: what their members may differ in. Torch-free."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from compress.network.member import Dimension, Shape

_SMALLEST_SIDE = 4
_LARGEST_SIDE = 1024


class FamilyConfig(BaseModel, frozen=True, extra="forbid"):
    """A network of a family, by its published settings or by other ones."""

    elastic: ClassVar[frozenset[Dimension]] = frozenset({"width", "depth"})
    """In what the members of the family may differ, apart from the resolution."""
    fewer_strides: ClassVar[str] = "fewer stages"
    """What else to change where the strides leave nothing of an image."""
    resolution: int | None = Field(
        default=None,
        ge=_SMALLEST_SIDE,
        le=_LARGEST_SIDE,
        description="Side in pixels that images are resized to in the network; None leaves them.",
    )

    @model_validator(mode="after")
    def _resolution_is_enough(self) -> Self:
        if self.too_coarse is not None:
            raise ValueError(self.too_coarse)
        return self

    @property
    @abstractmethod
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map."""

    @property
    def too_coarse(self) -> str | None:
        """Why no image can be resized to this resolution; None where it can.

        A config that was read has been asked. A member has not: it is only a change of another.
        """
        least = max(_SMALLEST_SIDE, self.reduction)
        if self.resolution is None or self.resolution >= least:
            return None
        return (
            f"resolution {self.resolution} leaves no pixel behind strides of {self.reduction} in "
            f"all: use at least {least}, or {self.fewer_strides}"
        )

    @property
    @abstractmethod
    def blocks(self) -> tuple[int, ...]:
        """Blocks of every stage."""

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return len(self.blocks)

    @property
    def largest_kernel(self) -> int:
        """Rows of the largest kernel that a member may have smaller; 1 where it may not."""
        return 1

    @property
    def operations(self) -> tuple[tuple[str, ...], ...]:
        """What a member may have on every edge of its cell, the most costly first.

        Empty where there is no cell.
        """
        return ()

    def least(self, allowed: Sequence[Sequence[str]]) -> tuple[str, ...]:
        """A cell that costs no more than what any cell of these operations needs, edge by edge."""
        return ()

    @abstractmethod
    def resized(self, shape: Shape) -> Self:
        """The member of that shape, ``resolution`` apart. No dimension ever grows."""

    def member(self, shape: Shape) -> Self:
        """The member of that shape: itself where the shape keeps everything."""
        smaller = self.resized(shape)
        if shape.resolution == 0:
            return smaller
        return smaller.model_copy(update={"resolution": shape.resolution})


def scaled(channels: int, share: float) -> int:
    """Channels at a width, rounded to the nearest, at least one."""
    return max(1, int(channels * share + 0.5))


def divisible(channels: float, divisor: int = 8) -> int:
    """Rounded to a multiple, as the mobile families do: never more than a tenth is lost.

    ``_make_divisible`` of the published MobileNet code.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def check_one_per_stage(**entries: Sequence[object]) -> None:
    """Raises ValueError where lists that have an entry for each stage differ in length."""
    if len({len(entry) for entry in entries.values()}) > 1:
        lengths = [str(len(entry)) for entry in entries.values()]
        raise ValueError(
            f"{_listed(list(entries))} need one entry per stage, got {_listed(lengths)}"
        )


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}"
