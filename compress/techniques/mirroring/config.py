"""Config of ``mirroring``: over which mirror images of its input a file averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values.knobs import Choice, Searchable

Flip = Literal["none", "horizontal", "vertical", "both"]
_ROWS, _COLUMNS = 2, 3
"""Axes of a batch of images, ``(N, C, H, W)``."""
Views = tuple[tuple[int, ...], ...]
"""For each view the axes that are reversed; the first view is the image itself."""
VIEWS: Mapping[str, Views] = {
    "none": ((),),
    "horizontal": ((), (_COLUMNS,)),
    "vertical": ((), (_ROWS,)),
    "both": ((), (_COLUMNS,), (_ROWS,), (_ROWS, _COLUMNS)),
}
"""The views of each ``flip``."""
THE_IMAGE = VIEWS["none"]


class Mirroring(StepConfig, frozen=True, extra="forbid"):
    """Answer with the mean over mirror images: accuracy for MACs, at hardly a byte."""

    technique: Literal["mirroring"] = "mirroring"
    flip: Annotated[Flip, Searchable(default=Choice(choices=("none", "horizontal")))] = Field(
        default="horizontal",
        description="Mirrored left to right, top to bottom, or both ways, which makes four views.",
    )

    @property
    def views(self) -> Views:
        """What the file averages over."""
        return VIEWS[self.flip]

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return len(self.views) > 1

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        ways = f" {self.flip}" if self.flip != "horizontal" else ""
        return f"mirrored{ways}"
