"""Config of ``thresholding``: how small a weight has to be, and what happens to the others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values.knobs import Choice, Searchable


class Thresholding(StepConfig, frozen=True, extra="forbid"):
    """Set to zero what is below a share of its layer's largest weight."""

    technique: Literal["thresholding"] = "thresholding"
    level: Annotated[float, Searchable(default=Choice(choices=(0.0, 0.2, 0.4)))] = Field(
        default=0.2, ge=0.0, lt=1.0, description="Share of the largest weight; 0 sets none to zero."
    )
    mode: Annotated[
        Literal["hard", "soft"], Searchable(default=Choice(choices=("hard", "soft")))
    ] = Field(default="hard", description="The others stay, or become smaller by the threshold.")
    shrinkage: float = Field(
        default=1.0, gt=0.0, le=1.0, description="Share of the threshold that `soft` takes off."
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.level > 0

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        return f"{self.mode} threshold {self.level:g}"
