"""Every family, and what a job needs to say to name one of its networks. Torch-free."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, Field, model_validator

from compress.families.residual.config import Residual

Architecture: TypeAlias = Residual
"""The configs of all families; becomes a union, told apart by ``family``, with the second one."""

Channel = Annotated[float, Field(gt=-1e6, lt=1e6)]
Deviation = Annotated[float, Field(gt=0, lt=1e6)]


class Normalisation(BaseModel, frozen=True, extra="forbid"):
    """What happens to raw values before the first layer: ``(x * scale - mean) / std`` per channel.

    It becomes part of every exported file, so files take the dataset's raw values.
    """

    scale: float = Field(default=1.0, gt=0, lt=1e6)
    mean: tuple[Channel, ...] = Field(min_length=1, max_length=16)
    std: tuple[Deviation, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _same_length(self) -> Normalisation:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std need one entry per channel, got {self.mean}, {self.std}"
            )
        return self
