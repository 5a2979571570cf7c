"""Config of ``weight_sharing``: how many values a layer's weights may choose from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from compress.techniques.description.config import StepConfig
from compress.values import patterns
from compress.values.knobs import Choice, Searchable
from compress.values.patterns import Exclude


class WeightSharing(StepConfig, frozen=True, extra="forbid"):
    """Every layer picks its weights from a codebook that k-means found."""

    technique: Literal["weight_sharing"] = "weight_sharing"
    index_bits: Annotated[int, Searchable(default=Choice(choices=(0, 4, 3, 2)))] = Field(
        default=4,
        ge=0,
        le=8,
        description="Bits of an index into the codebook of 2^bits values; 0 shares nothing.",
    )
    normalise: Literal["channel", "layer"] = Field(
        default="channel",
        description="Divide weights by one scale per output channel, or per layer, before k-means.",
    )
    centroids: Literal["trained", "reclustered"] = Field(
        default="trained",
        description="In recovery: trained by gradients, or k-means again before every epoch.",
    )
    weighting: Literal["none", "activation"] = Field(
        default="none",
        description="Squared errors count alike, or times the mean square of the weight's input.",
    )
    calibration_images: int = Field(
        default=128, ge=1, le=4096, description="Training images that measure those inputs."
    )
    exclude: Exclude = ""

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all."""
        return self.index_bits > 0

    @property
    def words(self) -> str:
        """The step in a few words: what is not as usual."""
        scale = " scaled per layer" if self.normalise == "layer" else ""
        again = " reclustered" if self.centroids == "reclustered" else ""
        by = " by activation" if self.weighting == "activation" else ""
        what = f"codebooks of {self.index_bits} bits"
        return f"{what}{scale}{again}{by}{patterns.words(self.exclude)}"
