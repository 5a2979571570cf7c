"""Config of ``low_rank``: how much of each layer its factors keep."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Choice, Searchable
from compress.values.patterns import Exclude


class LowRank(StepConfig, frozen=True, extra="forbid"):
    """Replace layers by a row of smaller ones where that saves weights."""

    technique: Literal["low_rank"] = "low_rank"
    energy: Annotated[float, Searchable(default=Choice(choices=(1.0, 0.99, 0.98, 0.95, 0.9)))] = (
        Field(
            default=0.95,
            gt=0.0,
            le=1.0,
            description="Share of a layer's squared norm that its factors keep; 1 sets no rank.",
        )
    )
    size_ratio: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="Share of a layer's weights that its factors may hold; 1 sets no limit.",
    )
    method: Literal["auto", "tucker2", "spatial", "channel"] = Field(
        default="auto",
        description="How a convolution with a kernel is split; auto takes the best of the three.",
    )
    weighting: Literal["none", "activation"] = Field(
        default="activation",
        description="The norm is that of the weights, or of what they answer to training images.",
    )
    calibration_images: int = Field(
        default=128, ge=1, le=4096, description="Training images that show those answers."
    )
    exclude: Exclude = ""

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.energy < 1 or self.size_ratio < 1

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        size = f" size {self.size_ratio:g}" if self.size_ratio < 1 else ""
        method = f" {self.method}" if self.method != "auto" else ""
        by_weights = " by weights" if self.weighting == "none" else ""
        return f"low rank {self.energy:g}{size}{method}{by_weights}{patterns.words(self.exclude)}"
