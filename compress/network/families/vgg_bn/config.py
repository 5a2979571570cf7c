"""Shape of a VGG network with BatchNorm: convolutions of every stage, and the head.

Simonyan and Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, table 1, with a BatchNorm
behind every convolution.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compress.network.families.plans.config import FamilyConfig, check_one_per_stage, scaled
from compress.network.member import Shape

Channels = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=1, le=16)]


class VggBn(FamilyConfig, frozen=True, extra="forbid"):
    """VGG-16 for ImageNet where nothing else is said; every stage ends in a 2x2 max pool.

    ``hidden`` 0 leaves a single linear layer, ``pool`` 1 averages all of a map: together the usual
    head for small images.
    """

    family: Literal["vgg_bn"] = "vgg_bn"
    depths: tuple[Blocks, ...] = Field(
        default=(2, 2, 3, 3, 3),
        min_length=1,
        max_length=8,
        description="Convolutions of every stage.",
    )
    widths: tuple[Channels, ...] = Field(
        default=(64, 128, 256, 512, 512),
        min_length=1,
        max_length=8,
        description="Channels of every stage.",
    )
    pool: int = Field(
        default=7,
        ge=1,
        le=7,
        description="Side that maps are averaged to before they are a vector.",
    )
    hidden: int = Field(
        default=4096,
        ge=0,
        le=4096,
        description="Outputs of each of two linear layers before the last one; 0 for neither.",
    )
    places: tuple[Blocks, ...] | None = Field(
        default=None,
        max_length=8,
        description=(
            "Convolutions of every stage of the network whose numbers the layers keep; None for "
            "this one's own."
        ),
    )

    @model_validator(mode="after")
    def _one_entry_per_stage(self) -> VggBn:
        check_one_per_stage(widths=self.widths, depths=self.depths, places=self.numbered)
        if any(place < depth for place, depth in zip(self.numbered, self.depths, strict=True)):
            raise ValueError(
                f"places {self.numbered} must be at least depths {self.depths}, stage by stage"
            )
        return self

    @property
    def blocks(self) -> tuple[int, ...]:
        """Convolutions of every stage."""
        return self.depths

    @property
    def reduction(self) -> int:
        """Pixels of a side of the image per pixel of the last map: every stage halves it."""
        return int(2**self.num_stages)

    @property
    def numbered(self) -> tuple[int, ...]:
        """Convolutions of every stage that have a number, of this network or of its whole."""
        return self.places or self.depths

    def resized(self, shape: Shape) -> VggBn:
        """Narrower stages of fewer convolutions, and as much narrower hidden layers."""
        depths = tuple(min(depth, shape.depth) for depth in self.depths)
        return self.model_copy(
            update={
                "widths": tuple(scaled(width, shape.width) for width in self.widths),
                "depths": depths,
                "hidden": scaled(self.hidden, shape.width) if self.hidden else 0,
                "places": self.places if depths == self.depths else self.numbered,
            }
        )
