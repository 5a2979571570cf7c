"""Config of ``quantization``: how many bits a weight takes in the file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from compress.knobs import Choice, Searchable


class Quantization(BaseModel, frozen=True, extra="forbid"):
    """Symmetric per-channel weights of 8 or 4 bits and 8-bit activations, calibrated statically."""

    technique: Literal["quantization"] = "quantization"
    weight_bits: Annotated[Literal[4, 8], Searchable(default=Choice(choices=(8, 4)))] = Field(
        default=8, description="Bits of a weight as stored in the file."
    )
    edges_8bit: Annotated[bool, Searchable(default=Choice(choices=(True,)))] = Field(
        default=True,
        description="Keep the first and the last layer at 8 bits when the others have fewer.",
    )
    calibration_images: int = Field(
        default=256, ge=16, le=4096, description="Training images that set the activation ranges."
    )

    @property
    def has_effect(self) -> bool:
        """Whether applying it could change a network at all: a quantized file always differs."""
        return True
